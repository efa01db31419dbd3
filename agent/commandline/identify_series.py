"""``solvus identify-series``: what the patterns of one experiment are made of, and how it changes.

Only the edge is here: files in, a table or one JSON document out. The components come from
:func:`solvus.models.recognition.series.decompose`, what they are from :func:`solvus.models.identify.identify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.console import err, fail, out, print_json
from solvus.agent.commandline.curve_plot import check_picture

if TYPE_CHECKING:
    from solvus.models.identification import Identification
    from solvus.models.pattern import Pattern
    from solvus.models.recognition.series import Components

COLOURS = ("#4477aa", "#cc3311", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#777777", "#000000")
SHOWN = 24
"""Rows of the table of shares; a longer series is thinned, and ``--json`` has it whole."""


def identify_series(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="G(r) files (.gr) in the order of the experiment, 3 or more.", show_default=False
        ),
    ],
    components: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="How many components. Default: as many as stand above noise."),
    ] = None,
    elements: Annotated[
        str | None, typer.Option(help="Elements the samples may hold, and no others, as in Ti,O.")
    ] = None,
    r_range: Annotated[tuple[float, float], typer.Option("--range", help="Range of r for R_w, angstrom.")] = (
        1.6,
        20.0,
    ),
    qdamp: Annotated[
        float | None, typer.Option(min=0.0, max=0.5, help="Damping of the instrument, 1/angstrom.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder for the components, component-1.gr and so on.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw components and shares (.png, .pdf, .svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Take a series of patterns apart, and say what each component is.

    Example: solvus identify-series heating-*.gr --elements Ti,O --plot heating.png
    """
    from solvus.models.pattern import PatternError
    from solvus.models.recognition.series import decompose
    from solvus.models.recognition.signatures import SignatureError
    from solvus.models.structures.catalogue_file import CatalogueError
    from solvus.models.structures.library import LibraryError

    check_picture(plot)
    try:
        allowed = _elements(elements)
        patterns = _read(files, r_range)
        found = decompose(patterns, components)
        answers = _identified(found, allowed, r_range, qdamp)
        if save is not None:
            _save(found, save)
    except (PatternError, LibraryError, CatalogueError, SignatureError) as error:
        fail(str(error), as_json)
    if plot is not None:
        _plot(plot, found, answers)
    if as_json:
        print_json(_document(files, found, answers))
    else:
        _print(files, found, answers)


def _elements(given: str | None) -> list[str] | None:
    from solvus.models.pattern import PatternError
    from solvus.models.structures.catalogue import require_elements

    if given is None:
        return None
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise PatternError("--elements: name at least one, such as Pt or Ti,O")
    require_elements(names)
    return names


def _read(files: Sequence[Path], r_range: tuple[float, float]) -> list[Pattern]:
    """The patterns; the first that cannot be judged ends it, because its errors would become a component."""
    from solvus.models.pattern import PatternError
    from solvus.models.pattern_files import read_gr
    from solvus.models.recognition.quality import assess

    if not 0.0 < r_range[0] < r_range[1]:
        raise PatternError(f"--range: {r_range[0]:g} to {r_range[1]:g} is no range of positive distances")
    patterns = []
    for path in files:
        pattern = read_gr(path)
        reasons = assess(pattern, r_range).reasons
        if reasons:
            raise PatternError(f"{path.name}: {reasons[0]}")
        patterns.append(pattern)
    return patterns


def _identified(
    found: Components, elements: list[str] | None, r_range: tuple[float, float], qdamp: float | None
) -> list[Identification]:
    """What each component is, under a bar on stderr when a person is watching."""
    from rich.progress import track

    from solvus.models.identify import identify
    from solvus.models.structures.catalogue import Catalogue

    catalogue = Catalogue.load()
    steps = (
        track(found.patterns, description="identifying components", console=err, transient=True)
        if err.is_terminal
        else found.patterns
    )
    return [
        identify(pattern, elements=elements, r_range=r_range, qdamp=qdamp, catalogue=catalogue)
        for pattern in steps
    ]


def _save(found: Components, folder: Path) -> None:
    from solvus.models.pattern import PatternError
    from solvus.models.pattern_files import write_gr

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PatternError(f"--save: {folder} cannot be made ({error.strerror})") from error
    for number, pattern in enumerate(found.patterns, start=1):
        write_gr(pattern, folder / f"component-{number}.gr")


def _name(answer: Identification) -> str:
    """The best candidate, or the verdict."""
    if answer.verdict != "identified" or not answer.candidates:
        return {"none": "none of these", "poor_data": "cannot be judged"}.get(answer.verdict, answer.verdict)
    best = answer.candidates[0]
    metals = "/".join(best.elements[:4]) if "bond_length" in best.parameters else ""
    return f"{metals} {best.structure}".strip()


def _document(files: Sequence[Path], found: Components, answers: Sequence[Identification]) -> dict[str, Any]:
    return {
        "components": [
            {
                "number": number,
                "r": pattern.x.tolist(),
                "g": pattern.y.tolist(),
                "identification": answer.model_dump(mode="json"),
            }
            for number, (pattern, answer) in enumerate(zip(found.patterns, answers, strict=True), start=1)
        ],
        "number_of_components": found.count,
        "support": {str(number): share for number, share in found.support.items()},
        "singular_values": found.singular.tolist(),
        "limits": found.limits.tolist(),
        "series": [
            {
                "file": str(path),
                "shares": found.shares[k].tolist(),
                "uncertainties": found.sds[k].tolist(),
                "scale": float(found.scales[k]),
                "r_w": float(found.r_w[k]),
            }
            for k, path in enumerate(files)
        ],
    }


def _print(files: Sequence[Path], found: Components, answers: Sequence[Identification]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    certain = ", ".join(f"{number} in {share:.0%}" for number, share in found.support.items())
    plural = "s" if found.count > 1 else ""
    out.print(f"[bold]{len(files)} patterns, {found.count} component{plural}[/bold]")
    out.print(f"  with one pattern left out: {certain}", highlight=False)
    what = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("", "structure", "family", "prob", "R_w"):
        what.add_column(column, overflow="fold")
    for number, answer in enumerate(answers, start=1):
        known = answer.verdict == "identified" and bool(answer.candidates)
        best = answer.candidates[0] if known else None
        what.add_row(
            str(number),
            _name(answer),
            best.family if best else "",
            f"{best.probability:.2f}" if best else "",
            f"{best.r_w:.3f}" if best else "",
        )
    out.print(what)
    for number, answer in enumerate(answers, start=1):
        for reason in answer.reasons:
            out.print(f"  {number}: {reason}", markup=False, highlight=False, soft_wrap=True)
    shares = Table(
        title="shares of the scattering",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    shares.add_column("file", overflow="fold")
    for number in range(1, found.count + 1):
        shares.add_column(str(number), justify="right", no_wrap=True)
    shares.add_column("R_w", justify="right", no_wrap=True)
    every = max(1, -(-len(files) // SHOWN))
    for k in range(0, len(files), every):
        cells = [f"{found.shares[k, j]:.3f} ± {found.sds[k, j]:.3f}" for j in range(found.count)]
        shares.add_row(files[k].name, *cells, f"{found.r_w[k]:.3f}")
    out.print(shares)
    if every > 1:
        out.print(f"  every {every}. pattern of {len(files)}; --json has them all", highlight=False)


def _plot(path: Path, found: Components, answers: Sequence[Identification]) -> None:
    """Components above one another, and their shares over the series."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.0, 1.6 * found.count + 3.2), layout="constrained")
    heights = [1.0] * found.count + [1.6]
    panels = figure.subplots(found.count + 1, 1, height_ratios=heights, squeeze=False)[:, 0]
    for number, (axes, pattern, answer) in enumerate(zip(panels, found.patterns, answers, strict=False)):
        axes.plot(pattern.x, pattern.y, lw=0.9, color=COLOURS[number], rasterized=len(pattern.x) > 5000)
        axes.set_title(f"{number + 1}: {_name(answer)}", fontsize=9, loc="left")
        axes.set_xlim(pattern.x[0], pattern.x[-1])
        axes.set_ylabel("$G(r)$ / Å$^{-2}$")
    panels[found.count - 1].set_xlabel("$r$ / Å")
    index = range(1, len(found.shares) + 1)
    for number in range(found.count):
        panels[-1].errorbar(
            index,
            found.shares[:, number],
            yerr=found.sds[:, number],
            fmt="o-",
            ms=3.0,
            lw=0.9,
            color=COLOURS[number],
            label=str(number + 1),
        )
    panels[-1].set_xlabel("pattern")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_ylabel("share of the scattering")
    panels[-1].legend(frameon=False, fontsize=8, ncols=4)
    try:
        figure.savefig(path, dpi=200)
    except OSError as error:
        fail(f"--plot: {path} cannot be written ({error.strerror})")
