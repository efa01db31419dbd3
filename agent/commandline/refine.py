"""``solvus refine``: fit a structure to a measured G(r) and say how well, with uncertainties.

Only the edge is here; the fit is :func:`solvus.models.refinement.refine.refine`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from solvus.agent.commandline.console import err, fail, out, print_json
from solvus.agent.commandline.curve_plot import check_picture

if TYPE_CHECKING:
    from solvus.models.pattern import Pattern
    from solvus.models.refinement.refinement import Curve, Refinement
    from solvus.models.structures.record import Record

WORDS = {
    "converged": "[green]converged[/green]",
    "stuck": "[yellow]stuck[/yellow] short of a minimum",
    "limit": "[yellow]not converged[/yellow]",
}
ENDINGS = {".cif", ".xyz", ".extxyz", ".vasp", ".poscar"}
NOT_CONVERGED = 3
"""Exit status of a fit that did not reach a minimum; its numbers are printed all the same."""


def refine(
    patterns: Annotated[
        list[Path], typer.Argument(help="G(r) files (.gr); several are fitted together.", show_default=False)
    ],
    structure: Annotated[
        list[str],
        typer.Option(
            "--structure",
            "-s",
            help="A .cif or .xyz file, or a name of the library; repeat for several phases.",
            show_default=False,
        ),
    ],
    free: Annotated[
        str | None,
        typer.Option(
            help="What to refine, as in scale,lattice,u,delta2,diameter,positions,occupancy,qdamp or a,u_O,x_O.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--set", help="Values to start from or keep, as in qdamp=0.04,diameter=40.", show_default=False
        ),
    ] = None,
    r_range: Annotated[tuple[float, float], typer.Option("--range", help="Range of r, angstrom.")] = (
        1.6,
        20.0,
    ),
    qmin: Annotated[
        float | None, typer.Option(min=0.0, max=20.0, help="1/angstrom, where the file has none.")
    ] = None,
    qmax: Annotated[
        float | None, typer.Option(min=1.0, max=100.0, help="1/angstrom, where the file has none.")
    ] = None,
    noise: Annotated[
        Literal["spectrum", "transform", "independent"],
        typer.Option(help="How the points err: measured, white in Q, or each for itself."),
    ] = "spectrum",
    form_factors: Annotated[
        Literal["exact", "constant"],
        typer.Option(help="X-ray weights: at every Q, or at Q = 0 as PDFgui has them."),
    ] = "exact",
    plot: Annotated[
        Path | None, typer.Option(help="Draw data, fit and difference (.png, .pdf, .svg).")
    ] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(help="Write the refined structure: cif, xyz or stru, or a file with that ending."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Refine a structure against measured patterns.

    Example: solvus refine sample.gr --structure CeO2.cif --free scale,lattice,u,delta2,diameter --plot fit.png
    """
    from solvus.models.pattern import PatternError
    from solvus.models.refinement.export import write_structure
    from solvus.models.refinement.refine import Options
    from solvus.models.refinement.refine import refine as fitted

    check_picture(plot)
    try:
        measured = [_pattern(path, qmin, qmax) for path in patterns]
        records = [_record(text) for text in structure]
        options = Options(
            free=tuple(_words(free)),
            start=_values(start),
            window=r_range,
            noise=noise,
            form_factors=form_factors,
        )
        answer = fitted(measured, records, options)
        files = [
            (target, label)
            for wanted in export or []
            for target, label in _targets(wanted, patterns[0], list(answer.records), patterns)
        ]
        for target, label in files:
            write_structure(answer, target, label)
    except (
        PatternError,
        ValueError,
    ) as error:  # every refusal of the models is a ValueError that says what to do
        fail(str(error), as_json)
    if plot is not None:
        _draw(plot, [path.name for path in patterns], answer)
    if as_json:
        print_json({"files": [str(p) for p in patterns], "structures": structure, **answer.document()})
    else:
        _print(answer, structure)
        for target, _ in files:
            out.print(f"  written: {target}", markup=False, highlight=False, soft_wrap=True)
    if not answer.converged:
        raise typer.Exit(NOT_CONVERGED)


def _pattern(path: Path, qmin: float | None, qmax: float | None) -> Pattern:
    """A file's G(r); the limits given take the place of what it says."""
    from solvus.models.pattern import Conditions
    from solvus.models.pattern_files import read_gr

    pattern = read_gr(path)
    given = {k: v for k, v in (("qmin", qmin), ("qmax", qmax)) if v is not None}
    if not given:
        return pattern
    return pattern.model_copy(update={"conditions": Conditions(**(pattern.conditions.model_dump() | given))})


def _record(text: str) -> Record:
    """A file where one is named, else an entry of the library."""
    from solvus.models.refinement.parameters import RefinementError

    path = Path(text).expanduser()
    if path.exists() or path.suffix.lower() in ENDINGS:
        from solvus.models.structures.record_files import read_records

        found = read_records(path)
        if len(found) > 1:
            raise RefinementError(
                f"--structure: {path.name} holds {len(found)} structures; give a file with one"
            )
        return found[0]
    from solvus.models.structures.catalogue import Catalogue

    return Catalogue.load().find(text)


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _values(text: str | None) -> dict[str, float]:
    from solvus.models.refinement.parameters import RefinementError

    values = {}
    for word in _words(text):
        name, _, number = word.partition("=")
        try:
            values[name.strip()] = float(number)
        except ValueError:
            raise RefinementError(f"--set: {word!r} is not NAME=NUMBER, as in qdamp=0.04") from None
    return values


def _targets(wanted: str, pattern: Path, labels: list[str], inputs: list[Path]) -> list[tuple[Path, str]]:
    """Files to write, one for each phase; never one of those that were read."""
    from solvus.models.refinement.export import FORMATS
    from solvus.models.refinement.parameters import RefinementError

    path = Path(f"{pattern.stem}-refined.{wanted}") if wanted in FORMATS else Path(wanted)
    targets = [(path if not label else path.with_stem(f"{path.stem}-{label}"), label) for label in labels]
    for target, _ in targets:
        if any(target.exists() and given.exists() and target.samefile(given) for given in inputs):
            raise RefinementError(f"--export: {target} is an input; name another")
    return targets


def _print(answer: Refinement, structures: list[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from solvus.models.refinement.export import with_uncertainty

    chi = "" if answer.chi_square is None else f", chi^2 {answer.chi_square:.4g} for {answer.degrees} degrees"
    out.print(f"{WORDS[answer.verdict]}: R_w [bold]{answer.r_w:.4f}[/bold]{chi}", highlight=False)
    if len(answer.curves) > 1:
        for curve in answer.curves:
            out.print(f"  pattern {curve.label}: R_w {curve.r_w:.4f}", highlight=False)
    for k, (label, record) in enumerate(answer.records.items()):
        out.print(
            f"  {label + ': ' if label else ''}{record.name} from {structures[k]}",
            markup=False,
            highlight=False,
        )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("parameter")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for name in answer.free:
        value = answer.values[name]
        table.add_row(name, with_uncertainty(value.value, value.uncertainty), value.unit)
    out.print(table)
    for message in answer.warnings:
        err.print(f"  warning: {message}", markup=False, highlight=False, soft_wrap=True)
    for message in answer.notes:
        err.print(f"  note: {message}", markup=False, highlight=False, soft_wrap=True)


def _draw(path: Path, names: list[str], answer: Refinement) -> None:
    """One panel for each pattern: observed, calculated and, below both, their difference."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 2.8 * len(answer.curves) + 0.6), layout="constrained")
    panels = figure.subplots(len(answer.curves), 1, squeeze=False)[:, 0]
    for axes, name, curve in zip(panels, names, answer.curves, strict=True):
        _panel(axes, curve)
        phases = " + ".join(record.name for record in answer.records.values())
        axes.set_title(f"{name}: {phases} ($R_w$ = {curve.r_w:.3f})", fontsize=9, loc="left")
    panels[-1].set_xlabel("$r$ / Å")
    try:
        figure.savefig(path, dpi=200)
    except OSError as error:
        _unwritable(path, error)


def _unwritable(path: Path, error: OSError) -> NoReturn:
    fail(f"--plot: {path} cannot be written ({error.strerror})")


def _panel(axes: Any, curve: Curve) -> None:
    observed, calculated, difference = curve.observed, curve.calculated, curve.difference
    marker = {"ms": 2.4, "mfc": "none", "mec": "#4477aa", "mew": 0.6}
    axes.plot(curve.x, observed, "o", label="observed", rasterized=len(curve.x) > 5000, **marker)
    axes.plot(curve.x, calculated, color="#cc3311", lw=1.1, label="calculated")
    offset = min(observed.min(), calculated.min()) - 1.2 * max(difference.max(), 0.0)
    axes.plot(curve.x, difference + offset, color="#777777", lw=0.8, label="difference")
    axes.axhline(offset, color="#777777", lw=0.4, ls=":")
    axes.set_ylabel("$G(r)$ / Å$^{-2}$")
    axes.set_xlim(curve.x[0], curve.x[-1])
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper right")
