"""``solvus evaluate``: how good the learned parts are, measured against test patterns of other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.console import BAD_INPUT, err, fail, out, print_json

if TYPE_CHECKING:
    from solvus.simulations.benchmarks.recognition.results import Result

evaluate_app = typer.Typer(no_args_is_help=True, help="Measure how good the learned parts are.")

QUICK = 40
"""Patterns of each condition: enough to see that everything runs, too few for a figure."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
INTERRUPTED = 130
"""Exit status of what Ctrl-C ended."""
SEED = 20_261


@evaluate_app.callback()
def evaluate() -> None:
    """Measure how good the learned parts are."""


@evaluate_app.command("recognition")
def recognition(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A row to measure, such as oxides; may be repeated. Default: all.", show_default=False
        ),
    ] = None,
    recogniser: Annotated[
        list[str] | None,
        typer.Option(
            help="One to compare; may be repeated, goals are asked of the first. Default: all.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="Patterns of each condition. Default: each row's own number.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help=f"The same as --count {QUICK}.")] = False,
    patterns: Annotated[
        Path | None,
        typer.Option(
            help="Folder of measured patterns with its truth.csv, for the row 'measured'.", show_default=False
        ),
    ] = None,
    report: Annotated[Path, typer.Option("--report", "-o", help="Folder for the report.")] = Path(
        "recognition-report"
    ),
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder where drawn curves are kept. Default: your cache folder.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of everything that is drawn.")] = SEED,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that answer; times are right with one only.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Recognition on test patterns of independent programs, with the peers' figures beside it.

    Writes report.html, report.md and report.json, anew after each row; Ctrl-C leaves what is done.

    Example: solvus evaluate recognition --quick --only oxides -o here
    """
    for name in THREADS:  # before numpy is loaded, which reads them once
        os.environ.setdefault(name, "1")
    import torch

    from solvus.models.structures.catalogue_file import CatalogueError
    from solvus.simulations.benchmarks.recognition import evaluation
    from solvus.simulations.benchmarks.recognition.bench import Bench
    from solvus.simulations.benchmarks.recognition.recognisers import ChoiceError, chosen
    from solvus.simulations.benchmarks.recognition.report import PAGE, document, write_report
    from solvus.simulations.benchmarks.recognition.rows import rows_of

    torch.set_num_threads(1)
    _check(count, quick, patterns, report, as_json)
    try:
        choices = chosen(recogniser or ())
        rows = rows_of(only or (), patterns=patterns is not None)
    except ChoiceError as error:
        fail(str(error), as_json)
    results: list[Result] = []
    interrupted = False
    folder = (work or cache_folder()).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _Watch() as watch:
            number = QUICK if quick else count
            bench = Bench(choices, seed, folder, number, patterns, watch.over, processes)
            # Once before anything is done, so that a folder which cannot be written is known at once.
            write_report(evaluation.told(results, rows, bench), report)
            try:
                for result in evaluation.evaluate(rows, bench):
                    results.append(result)
                    watch.say(result)
                    write_report(evaluation.told(results, rows, bench), report)
            except KeyboardInterrupt:
                interrupted = True
            finally:
                bench.close()
    except (CatalogueError, OSError) as error:
        fail(str(error), as_json)
    told = evaluation.told(results, rows, bench)
    if as_json:
        print_json(document(told))
    else:
        out.print(told.state, highlight=False, soft_wrap=True)
        out.print(str(report / PAGE), highlight=False, soft_wrap=True)
    if interrupted:
        err.print("solvus: interrupted; the report holds the rows that were done", highlight=False)
        raise typer.Exit(INTERRUPTED)
    if not any(result.measured for result in results):
        raise typer.Exit(BAD_INPUT)


def _check(count: int | None, quick: bool, patterns: Path | None, report: Path, as_json: bool) -> None:
    if quick and count is not None:
        fail(f"--quick: means --count {QUICK}; give one of the two", as_json)
    if patterns is not None and not patterns.is_dir():
        fail(f"--patterns: no folder {patterns}", as_json)
    if report.exists() and not report.is_dir():
        fail(f"--report: {report} is a file; name a folder", as_json)


def cache_folder() -> Path:
    """Where the system keeps what a user's programs can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "solvus" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "solvus"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "solvus"


class _Watch:
    """Bars on stderr while rows are measured, and a line for each that is done."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=err, transient=True)

    def __enter__(self) -> _Watch:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def over(self, things: Iterable[Any], total: int, heading: str) -> Iterator[Any]:
        """The things, under a bar of their own."""
        task = self._progress.add_task(heading, total=total)
        try:
            for thing in things:
                yield thing
                self._progress.advance(task)
        finally:
            self._progress.remove_task(task)

    def say(self, result: Result) -> None:
        from solvus.simulations.benchmarks.recognition.report_words import found, reached

        line = f"{result.claim.key}: {'; '.join(found(result))} [{reached(result)}]"
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


@evaluate_app.command("autoencoder")
def autoencoder(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A row to measure, such as families; may be repeated. Default: all.", show_default=False
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="Patterns of each row, and walks.")] = 100,
    patterns: Annotated[
        Path | None,
        typer.Option(help="Folder of measured patterns, for the row 'measured'.", show_default=False),
    ] = None,
    report: Annotated[Path, typer.Option("--report", "-o", help="Folder for the report.")] = Path(
        "autoencoder-report"
    ),
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of everything that is drawn.")] = SEED,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """The autoencoder on test patterns of independent programs: coordinates, sizes, coverage, walks.

    Writes report.md, report.json and errors.png, anew after each row; Ctrl-C leaves what is done.

    Example: solvus evaluate autoencoder --only families --count 40 -o here
    """
    for name in THREADS:  # before numpy is loaded, which reads them once
        os.environ.setdefault(name, "1")
    import torch

    from solvus.models.latent.weights import shipped
    from solvus.models.recognition.weights import WeightsError
    from solvus.simulations.benchmarks.latent import report as pages
    from solvus.simulations.benchmarks.latent.rows import ROWS, Row, row
    from solvus.simulations.benchmarks.recognition.peers import PeerError

    torch.set_num_threads(1)
    unknown = [name for name in only or () if name not in ROWS]
    if unknown:
        fail(f"--only: {unknown[0]} is no row; choose of {', '.join(ROWS)}", as_json)
    _check(None, False, patterns, report, as_json)
    rows: list[Row] = []
    interrupted = False
    try:
        weights = shipped()
        with _Watch() as watch:
            try:
                for key in only or ROWS:
                    rows += row(key, weights, count, seed, watch.over, patterns)
                    pages.write_report(rows, weights.version, seed, report)
            except KeyboardInterrupt:
                interrupted = True
    except (WeightsError, PeerError, OSError) as error:
        fail(str(error), as_json)
    if as_json:
        print_json(pages.document(rows, weights.version, seed))
    else:
        out.print(pages.markdown(rows, weights.version, seed), highlight=False, markup=False, soft_wrap=True)
        out.print(str(report / "report.md"), highlight=False, soft_wrap=True)
    if interrupted:
        err.print("solvus: interrupted; the report holds the rows that were done", highlight=False)
        raise typer.Exit(INTERRUPTED)
