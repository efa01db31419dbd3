"""``solvus bench``: figures that anybody can make again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from solvus.agent.commandline.bench_ask import ask
from solvus.agent.commandline.bench_crashes import crashes
from solvus.agent.commandline.bench_faults import faults
from solvus.agent.commandline.bench_planner import planner
from solvus.agent.commandline.console import err, fail, out, print_json

bench_app = typer.Typer(no_args_is_help=True, help="Benchmarks: the figures we quote, made again.")
bench_app.command("planner")(planner)
bench_app.command("ask")(ask)


@bench_app.callback()
def bench() -> None:
    """Benchmarks: the figures we quote, made again."""


bench_app.command("faults")(faults)
bench_app.command("crashes")(crashes)


@bench_app.command("campaign")
def campaign(
    world: Annotated[str, typer.Option(help="Simulated chemistry.")] = "gold",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Simulated laboratories.")] = 10,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Campaigns side by side.")] = 2,
    keep: Annotated[
        Path | None, typer.Option(help="Keep ledgers and reports in this new folder.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Whole campaigns over MQTT: the planner against Sobol on the same simulated laboratories.

    Example: solvus bench campaign --world gold --seeds 10 --json
    """
    import asyncio
    import tempfile

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from solvus.agent.commandline.campaign_run import read_configuration
    from solvus.drivers.yaml_file import ConfigurationError
    from solvus.simulations.benchmarks.campaign import METHODS, Run, bench_campaigns

    campaigns = {"gold": "gold-decahedron"}
    if world not in campaigns:
        fail(f"--world: {world!r} has no benchmark campaign; there is {', '.join(campaigns)}", as_json)
    if keep is not None and keep.exists():
        fail(f"--keep: {keep} exists already; name a new folder", as_json)
    try:
        read, laboratory, _ = read_configuration(campaigns[world], world, None)
    except ConfigurationError as error:
        fail(str(error), as_json)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as scratch, Progress(*columns, console=err) as progress:
        task = progress.add_task("campaigns", total=len(METHODS) * seeds + 1)

        def done(run: Run) -> None:
            verdict = f"found in {run.experiments}" if run.found else f"not found in {run.experiments}"
            progress.console.print(
                f"{run.method}, seed {run.seed}: {verdict} ({run.seconds:.0f} s)", highlight=False
            )
            progress.advance(task)

        folder = keep or Path(scratch) / "bench"
        try:
            report = asyncio.run(
                bench_campaigns(
                    read, laboratory, world=world, seeds=seeds, folder=folder, at_once=at_once, done=done
                )
            )
        except* RuntimeError as group:
            fail("; ".join(str(e) for e in group.exceptions), as_json)
    document = report.document()
    if as_json:
        print_json(document)
        return
    for name, figures in document["methods"].items():
        median = "-" if figures["median"] is None else f"{figures['median']:g}"
        out.print(
            f"{name:10} found {figures['found']} of {figures['seeds']}, median {median} experiments, "
            f"true hits {figures['true_hits']}, {figures['stated_hits']:.1f} by the probabilities stated",
            highlight=False,
        )
    decision = document["decision_seconds_median"]
    out.print(
        f"pattern to next order: median {decision:.2f} s" if decision else "no decisions", highlight=False
    )
    out.print(f"same seed, same recipes: {'yes' if document['same_recipes'] else 'NO'}", highlight=False)


@bench_app.command("scattering")
def scattering(
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Calls of each; medians are shown.")] = 7,
    plot: Annotated[
        Path | None, typer.Option(help="Draw cost against atoms into this file.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """The scattering engine beside DebyeCalculator, pdffit2 and srreal, on one thread of this machine.

    Example: solvus bench scattering --json
    """
    from solvus.agent.commandline.curve_plot import check_picture
    from solvus.simulations.benchmarks.scattering import Row, bench, cost_figure

    check_picture(plot)
    rows: list[Row] = []
    for row in bench(repeats):
        rows.append(row)
        if as_json:
            err.print(f"{row.name}: done", highlight=False)
            continue
        times = [f"{t * 1e3:10.2f} ms" if t is not None else " " * 13 for t in (row.ours_s, row.peer_s)]
        ratio = "" if row.ratio is None else f"{row.ratio:6.1f} x (goal {row.goal:g})"
        out.print(f"{row.name:38}{times[0]} {row.peer:>16}{times[1]} {ratio} {row.note}", highlight=False)
    if plot is not None:
        cost_figure(rows, plot)
    if as_json:
        print_json([row.document() for row in rows])


@bench_app.command("refinement")
def refinement(
    repeats: Annotated[int, typer.Option(min=1, max=50, help="Fits that are timed; medians are shown.")] = 5,
    draws: Annotated[int, typer.Option(min=10, max=10_000, help="Noise draws for the z-scores.")] = 200,
    starts: Annotated[int, typer.Option(min=1, max=1000, help="Random starts.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """The refinement on a synthetic CeO2 pattern: its speed beside pdffit2, its uncertainties and its starts.

    Example: solvus bench refinement --json
    """
    from solvus.simulations.benchmarks import refinement as benchmark

    rows: list[benchmark.Row] = []
    for row in benchmark.bench(repeats, draws, starts):
        rows.append(row)
        if as_json:
            continue
        value = "" if row.value is None else f"{row.value:.4g} {row.unit}".strip()
        verdict = {None: "", True: "ok", False: "NOT MET"}[row.passed]
        goal = f"(goal {row.goal})" if row.goal else ""
        out.print(
            f"{row.name:52} {value:>14}  {goal} {verdict} {row.note}".rstrip(),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if as_json:
        print_json([row.document() for row in rows])
