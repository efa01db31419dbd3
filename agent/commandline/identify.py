"""``solvus identify``: what structure a measured G(r) shows.

Only the edge is here: files in, a table or one JSON document out. The answer itself is
:func:`solvus.models.identify.identify`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.console import BAD_INPUT, err, fail, out, print_json

if TYPE_CHECKING:
    from solvus.models.identification import Candidate, Identification
    from solvus.models.pattern import Pattern
    from solvus.models.structures.catalogue import Catalogue

LEAST_SHOWN = 0.005
"""Probability from which a type is printed."""
PROCESSES = min(4, os.cpu_count() or 1)
"""In which the best compounds are refined; more would wait for the slowest."""
WORDS = {
    "identified": "[green]identified[/green]",
    "none": "[yellow]none of these[/yellow]: nothing in the library explains the pattern",
    "poor_data": "[red]poor data[/red]: the pattern cannot be judged",
}


def identify(
    files: Annotated[list[Path], typer.Argument(help="G(r) files (.gr), r in angstrom.", show_default=False)],
    elements: Annotated[
        str | None,
        typer.Option(
            help="Elements the sample may hold, and no others, as in Pt or Ti,O. "
            "Default: the composition in the file's header, or any."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=20, help="Candidates to list.")] = 5,
    r_range: Annotated[tuple[float, float], typer.Option("--range", help="Range of r for R_w, angstrom.")] = (
        1.6,
        20.0,
    ),
    qdamp: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=0.5, help="Damping of the instrument, 1/angstrom. Default: the file's, or refined."
        ),
    ] = None,
    expansion: Annotated[
        float | None,
        typer.Option(
            help="Hold cells and bond lengths possible that differ from the library's by up to this, all alike, as "
            "in 0.03. Default: what heat, size and substitution do.",
            show_default=False,
        ),
    ] = None,
    siblings: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=500,
            help="Further compounds of the best types to refine; more tell more metals apart. "
            "Default: 4, 12 where nothing like the pattern is known, 50 with --expansion.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw data, best candidate and difference (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say which structure a measured pattern shows.

    Example: solvus identify sample.gr --elements Pt --plot fit.png
    """
    from solvus.models.identify import identify as identify_pattern
    from solvus.models.pattern import PatternError
    from solvus.models.pattern_files import read_gr
    from solvus.models.recognition.signatures import SignatureError
    from solvus.models.recognition.weights import WeightsError
    from solvus.models.structures.catalogue import Catalogue
    from solvus.models.structures.catalogue_file import CatalogueError
    from solvus.models.structures.library import LibraryError

    try:
        chosen = _checked_elements(elements)
        _check_options(r_range, plot)
        catalogue = Catalogue.load()
    except (PatternError, LibraryError, CatalogueError) as error:
        fail(str(error), as_json)
    for warning in catalogue.warnings:
        err.print(f"solvus: {warning}", markup=False, highlight=False, soft_wrap=True)
    documents: list[dict[str, Any]] = []
    answers: list[tuple[Path, Pattern, Identification]] = []
    for path in _with_progress(files):
        try:
            pattern = read_gr(path)
            answer = identify_pattern(
                pattern,
                elements=chosen,
                r_range=r_range,
                top=top,
                qdamp=qdamp,
                catalogue=catalogue,
                expansion=expansion,
                siblings=siblings,
                processes=PROCESSES,
            )
        except (PatternError, LibraryError, SignatureError, WeightsError) as error:
            documents.append({"file": str(path), "error": str(error)})
            continue
        answers.append((path, pattern, answer))
        documents.append({"file": str(path), **answer.model_dump(mode="json")})
    errors = [document["error"] for document in documents if "error" in document]
    if not answers:
        fail("\n".join(errors), as_json)
    if plot is not None:
        _plot(plot, answers, catalogue)
    if as_json:
        print_json({"files": documents})
    else:
        for path, _, answer in answers:
            _print(path, answer)
    if errors:
        for message in errors:
            err.print(f"solvus: {message}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT)


def _checked_elements(elements: str | None) -> list[str] | None:
    """The elements of ``--elements``, each known."""
    from solvus.models.pattern import PatternError
    from solvus.models.structures.catalogue import require_elements

    if elements is None:
        return None
    names = [name.strip() for name in elements.split(",") if name.strip()]
    if not names:
        raise PatternError("--elements: name at least one, such as Pt or Ti,O")
    require_elements(names)
    return names


def _check_options(r_range: tuple[float, float], plot: Path | None) -> None:
    from solvus.models.pattern import PatternError

    if not 0.0 < r_range[0] < r_range[1]:
        raise PatternError(f"--range: {r_range[0]:g} to {r_range[1]:g} is no range of positive distances")
    if plot is None:
        return
    if plot.suffix.lower() not in {".png", ".pdf", ".svg"}:
        raise PatternError(f"--plot: {plot.name} needs the ending .png, .pdf or .svg")
    if not plot.parent.is_dir():
        raise PatternError(f"--plot: no folder {plot.parent}")


def _with_progress(files: list[Path]) -> Iterator[Path]:
    """The files, under a bar on stderr when there are several and a person is watching."""
    from rich.progress import track

    if len(files) == 1 or not err.is_terminal:
        yield from files
    else:
        yield from track(files, description="identifying", console=err, transient=True)


def _name(candidate: Candidate) -> str:
    """A cluster's name with the metals that it may be made of; a compound's own says its elements."""
    metals = "/".join(candidate.elements[:4]) if "bond_length" in candidate.parameters else ""
    return f"{metals} {candidate.structure}".strip()


def _print(path: Path, answer: Identification) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    out.print(f"[bold]{escape(path.name)}[/bold]: {WORDS[answer.verdict]}")
    for reason in answer.reasons:
        out.print(f"  {reason}", markup=False, highlight=False, soft_wrap=True)
    _print_recognised(answer)
    _print_phases(answer)
    if answer.verdict == "poor_data" or not answer.candidates:
        return
    title = None if answer.verdict == "identified" else "nearest, but none of them explains it"
    # Tight enough that the longest structure name stays whole on 80 columns.
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("structure", overflow="fold")
    table.add_column("family", no_wrap=True)
    for column in ("prob", "R_w", "bond or cell", "D"):
        table.add_column(column, justify="right", no_wrap=True)
    for candidate in answer.candidates:
        parameters = candidate.parameters
        lengths = [parameters[name] for name in ("bond_length", "a", "b", "c") if name in parameters]
        table.add_row(
            _name(candidate),
            candidate.family,
            f"{candidate.probability:.2f}",
            f"{candidate.r_w:.3f}",
            " ".join(f"{length:.3f}" for length in lengths),
            f"{parameters['diameter']:.1f}" if "diameter" in parameters else "",
        )
    out.print(table)
    out.print("  bond length of a metal cluster or cell of a crystal, and diameter D, in Å", highlight=False)
    if answer.descriptors and "bond_length" not in answer.descriptors:
        values = (f"{name} {v.mean:.4g} ± {v.sd:.1g}" for name, v in answer.descriptors.items())
        out.print(f"  refined: {', '.join(values)}", highlight=False)
    elif answer.descriptors:
        size, bond = answer.descriptors["diameter"], answer.descriptors["bond_length"]
        bound = "at least " if size.lower_bound else ""
        shares = ", ".join(
            f"{name.removeprefix('fraction:')} {value.mean:.0%} ± {value.sd:.0%}"
            for name, value in answer.descriptors.items()
            if name.startswith("fraction:") and value.mean >= 0.01
        )
        out.print(
            f"  diameter {bound}{size.mean:.1f} ± {size.sd:.1f} Å, bond {bond.mean:.3f} ± {bond.sd:.3f} Å"
        )
        out.print(f"  as a mixture of families: {shares}")


def _print_phases(answer: Identification) -> None:
    """The shares of two phases, where one is not enough."""
    if answer.phases:
        shares = (f"{p.structure} {p.atoms.mean:.0%} ± {p.atoms.sd:.0%}" for p in answer.phases)
        out.print(
            f"  two phases, of the atoms: {', '.join(shares)}", markup=False, highlight=False, soft_wrap=True
        )


def _print_recognised(answer: Identification) -> None:
    """Probabilities of the types, and the metals that may be there."""
    seen = answer.recognised
    if seen is None:
        return
    likely = [f"{name} {p:.2f}" for name, p in seen.types if p >= LEAST_SHOWN]
    out.print(f"  type: {', '.join(likely)}", markup=False, highlight=False, soft_wrap=True)
    if seen.metals:
        promise = f", {seen.coverage:.0%} set" if seen.promised else " that fit, without a promise"
        found = f"  metals{promise}: {', '.join(seen.metals)}"
        out.print(found, markup=False, highlight=False, soft_wrap=True)
    if seen.strange:
        out.print("  unlike the library: the network was trained on nothing like this pattern", markup=False)


def _plot(path: Path, answers: list[tuple[Path, Pattern, Identification]], catalogue: Catalogue) -> None:
    """One panel for each file: data, best candidate and, below both, their difference."""
    from matplotlib.figure import Figure

    from solvus.models.identify import curve_of

    figure = Figure(figsize=(7.0, 2.6 * len(answers) + 0.6), layout="constrained")
    panels = figure.subplots(len(answers), 1, squeeze=False)[:, 0]
    for axes, (name, pattern, answer) in zip(panels, answers, strict=True):
        inside = (pattern.x >= answer.r_range[0]) & (pattern.x <= answer.r_range[1])
        r, observed = pattern.x[inside], pattern.y[inside]
        axes.plot(
            r,
            observed,
            "o",
            ms=2.2,
            mfc="none",
            mec="#4477aa",
            mew=0.6,
            label="measured",
            rasterized=len(r) > 5000,
        )
        title = f"{name.name}: {answer.verdict.replace('_', ' ')}"
        if answer.candidates:
            best = answer.candidates[0]
            calculated = curve_of(best, pattern, answer.r_range, catalogue=catalogue)
            difference = observed - calculated
            offset = min(observed.min(), calculated.min()) - 1.15 * max(difference.max(), 0.0)
            axes.plot(r, calculated, color="#cc3311", lw=1.1, label="calculated")
            axes.plot(r, difference + offset, color="#777777", lw=0.8, label="difference")
            axes.axhline(offset, color="#777777", lw=0.4, ls=":")
            title += f", best {_name(best)} ($R_w$ = {best.r_w:.3f})"
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_ylabel("$G(r)$ / Å$^{-2}$")
        axes.set_xlim(*answer.r_range)
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper right")
    panels[-1].set_xlabel("$r$ / Å")
    try:
        figure.savefig(path, dpi=200)
    except OSError as error:
        fail(f"--plot: {path} cannot be written ({error.strerror})")
