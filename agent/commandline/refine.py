"""``solvus refine``: fit a structure to measured patterns and say how well, with uncertainties.

Only the edge is here. G(r) goes to :func:`solvus.models.refinement.refine.refine`, I of a crystal to
:func:`solvus.models.refinement.rietveld.refine_powder`, I without a structure to
:func:`solvus.models.refinement.small_angle_model.refine_small_angle`.
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
AXES = {
    "G": ("$r$ / Å", "$G(r)$ / Å$^{-2}$"),
    "powder": (r"$2\theta$ / degrees", "$I$"),
    "small angle": ("$q$ / Å$^{-1}$", "$I(q)$"),
}
NOT_CONVERGED = 3
"""Exit status of a fit that did not reach a minimum; its numbers are printed all the same."""


def refine(
    patterns: Annotated[
        list[Path],
        typer.Argument(
            help="G(r) files (.gr), several are fitted together; or one I(Q).", show_default=False
        ),
    ],
    structure: Annotated[
        list[str] | None,
        typer.Option(
            "--structure",
            "-s",
            help="A .cif or .xyz file, or a name of the library; repeat for several phases. "
            "I(Q) without one is fitted as small-angle scattering of spheres.",
            show_default=False,
        ),
    ] = None,
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
    span: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--range",
            help="r in angstrom (1.6 20), 2theta in degrees (5 140) or q in 1/angstrom.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Laboratory source of a powder pattern over 2theta: MoKa, CuKa, AgKa, MoKa1, CuKa1."
        ),
    ] = None,
    wavelength: Annotated[
        float | None, typer.Option(min=0.01, max=20.0, help="angstrom, of a powder pattern.")
    ] = None,
    unit: Annotated[
        Literal["1/angstrom", "1/nm", "2theta"] | None,
        typer.Option(help="Of the first column of I, where the file does not say it."),
    ] = None,
    qmin: Annotated[
        float | None, typer.Option(min=0.0, max=20.0, help="1/angstrom, where the file has none.")
    ] = None,
    qmax: Annotated[
        float | None, typer.Option(min=1.0, max=100.0, help="1/angstrom, where the file has none.")
    ] = None,
    noise: Annotated[
        Literal["spectrum", "transform", "independent"],
        typer.Option(help="How the points of G(r) err: measured, white in Q, or each for itself."),
    ] = "spectrum",
    form_factors: Annotated[
        Literal["exact", "constant"],
        typer.Option(help="X-ray weights in G(r): at every Q, or at Q = 0 as PDFgui has them."),
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
    from solvus.models.refinement.export import write_structure

    check_picture(plot)
    names = structure or []
    try:
        _require_source(source)
        measured = [_pattern(path, qmin, qmax, unit, wavelength, source) for path in patterns]
        records = [_record(text) for text in names]
        kind = _kind(measured, records)
        words, values = tuple(_words(free)), _values(start)
        if kind == "G":
            if source is not None or wavelength is not None:
                fail(
                    "--source, --wavelength: for powder patterns, but these are G(r); leave them out", as_json
                )
            answer = _real_space(measured, records, words, values, span, noise, form_factors)
        else:
            answer = _intensity(measured[0], records, words, values, span, source)
        files = [t for wanted in export or [] for t in _targets(wanted, list(answer.records), patterns)]
        for target, label in files:
            write_structure(answer, target, label)
    except ValueError as error:  # every refusal of the models is a ValueError that says what to do
        fail(str(error), as_json)
    if plot is not None:
        _draw(plot, [path.name for path in patterns], answer, kind)
    if as_json:
        print_json({"files": [str(p) for p in patterns], "structures": names, **answer.document()})
    else:
        _print(answer, names)
        for target, _ in files:
            out.print(f"  written: {target}", markup=False, highlight=False, soft_wrap=True)
    if not answer.converged:
        raise typer.Exit(NOT_CONVERGED)


def _real_space(
    measured: list[Pattern],
    records: list[Record],
    free: tuple[str, ...],
    start: dict[str, float],
    span: tuple[float, float] | None,
    noise: Literal["spectrum", "transform", "independent"],
    form_factors: Literal["exact", "constant"],
) -> Refinement:
    from solvus.models.refinement.refine import WINDOW, Options
    from solvus.models.refinement.refine import refine as fitted

    options = Options(free=free, start=start, window=span or WINDOW, noise=noise, form_factors=form_factors)
    return fitted(measured, records, options)


def _intensity(
    pattern: Pattern,
    records: list[Record],
    free: tuple[str, ...],
    start: dict[str, float],
    span: tuple[float, float] | None,
    source: str | None,
) -> Refinement:
    """I(Q): a powder pattern of crystals, or a small-angle curve."""
    if records:
        from solvus.models.refinement.rietveld import WINDOW, PowderOptions, refine_powder

        options = PowderOptions(source=source, free=free, start=start, window=span or WINDOW)
        return refine_powder(pattern, records, options)
    from solvus.models.refinement.small_angle_model import USUAL, SmallAngleOptions, refine_small_angle

    return refine_small_angle(pattern, SmallAngleOptions(free=free or USUAL, start=start, window=span))


def _require_source(source: str | None) -> None:
    from solvus.models.refinement.parameters import RefinementError
    from solvus.models.refinement.powder_model import SOURCES

    if source is not None and source not in SOURCES:
        raise RefinementError(f"--source: {source!r} is unknown; give one of {', '.join(SOURCES)}")


def _kind(measured: list[Pattern], records: list[Record]) -> str:
    """``"G"``, ``"powder"`` or ``"small angle"``."""
    from solvus.models.refinement.parameters import RefinementError

    kinds = {pattern.quantity for pattern in measured}
    if kinds == {"G"}:
        if not records:
            raise RefinementError(
                "--structure: a G(r) needs one; give a .cif or .xyz, or a name of the library"
            )
        return "G"
    if kinds == {"I"} and len(measured) == 1:
        return "powder" if records else "small angle"
    raise RefinementError(
        f"patterns: {', '.join(sorted(kinds))} cannot be refined together; give G(r) files, or one I(Q)"
    )


def _pattern(
    path: Path,
    qmin: float | None,
    qmax: float | None,
    unit: Literal["1/angstrom", "1/nm", "2theta"] | None,
    wavelength: float | None,
    source: str | None,
) -> Pattern:
    """A file's curve; the limits given take the place of what it says."""
    from solvus.models.formats.read import read_pattern
    from solvus.models.pattern import Conditions
    from solvus.models.refinement.powder_model import SOURCES

    if path.suffix.lower() != ".gr" and source in SOURCES:
        unit, wavelength = unit or "2theta", wavelength or SOURCES[source][0][0]
    pattern = read_pattern(path, x_unit=unit, wavelength=wavelength).pattern
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


def _targets(wanted: str, labels: list[str], inputs: list[Path]) -> list[tuple[Path, str]]:
    """Files to write, one for each phase; never one of those that were read."""
    from solvus.models.refinement.export import FORMATS
    from solvus.models.refinement.parameters import RefinementError

    path = Path(f"{inputs[0].stem}-refined.{wanted}") if wanted in FORMATS else Path(wanted)
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
    for given, (label, record) in zip(structures, answer.records.items(), strict=False):
        source = "" if given == record.name else f" from {given}"
        out.print(f"  {label + ': ' if label else ''}{record.name}{source}", markup=False, highlight=False)
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


def _draw(path: Path, names: list[str], answer: Refinement, kind: str) -> None:
    """One panel for each pattern: observed, calculated and, below both, their difference."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 2.8 * len(answer.curves) + 0.6), layout="constrained")
    panels = figure.subplots(len(answer.curves), 1, squeeze=False)[:, 0]
    for axes, name, curve in zip(panels, names, answer.curves, strict=True):
        _panel(axes, curve, kind)
        phases = " + ".join(record.name for record in answer.records.values()) or "spheres"
        axes.set_title(f"{name}: {phases} ($R_w$ = {curve.r_w:.3f})", fontsize=9, loc="left")
    panels[-1].set_xlabel(AXES[kind][0])
    try:
        figure.savefig(path, dpi=200)
    except OSError as error:
        _unwritable(path, error)


def _unwritable(path: Path, error: OSError) -> NoReturn:
    fail(f"--plot: {path} cannot be written ({error.strerror})")


def _panel(axes: Any, curve: Curve, kind: str) -> None:
    observed, calculated, difference = curve.observed, curve.calculated, curve.difference
    marker = {"ms": 2.4, "mfc": "none", "mec": "#4477aa", "mew": 0.6}
    axes.plot(curve.x, observed, "o", label="observed", rasterized=len(curve.x) > 5000, **marker)
    axes.plot(curve.x, calculated, color="#cc3311", lw=1.1, label="calculated")
    axes.set_ylabel(AXES[kind][1])
    if kind == "small angle":  # a difference over decades has no place below the curves
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        offset = min(observed.min(), calculated.min()) - 1.2 * max(difference.max(), 0.0)
        axes.plot(curve.x, difference + offset, color="#777777", lw=0.8, label="difference")
        axes.axhline(offset, color="#777777", lw=0.4, ls=":")
        axes.set_xlim(curve.x[0], curve.x[-1])
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper right")
