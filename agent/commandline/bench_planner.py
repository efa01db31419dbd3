"""``solvus bench planner``: our planner beside those in use, in worlds whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from solvus.agent.commandline.console import err, fail, out, print_json

Objective = Literal["gr", "sq"]


def planner(
    world: Annotated[
        str, typer.Option(help="scattbo-small, scattbo-large, gold, mixture or gold-useless.")
    ] = "scattbo-small",
    objective: Annotated[Objective, typer.Option(help="Of ScattBO: gr for G(r) or sq for S(Q).")] = "gr",
    methods: Annotated[
        str,
        typer.Option(help="Planners, by commas: solvus, solvus-latent, log-ei, sobol, optuna, ax, baybe."),
    ] = "solvus,log-ei,sobol",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Laboratories and initial designs.")] = 20,
    first_seed: Annotated[int, typer.Option(min=1, help="The seeds go on from this one.")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Experiments under way at once.")] = 1,
    budget: Annotated[
        int | None, typer.Option(min=5, max=10_000, help="Experiments; the world's own.", show_default=False)
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Processes of this computer.")] = 1,
    keep: Annotated[
        Path | None,
        typer.Option(help="Add every race to this file, and run none that it holds.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw survival curves into this file.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Our planner beside those in use: hit rates, experiments needed and paired tests over many seeds.

    A planner that is not installed is left out with a sentence; pip install 'solvus\\[bench]' brings them.

    Example: solvus bench planner --world scattbo-small --objective gr --methods solvus,log-ei --seeds 20 --json
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from solvus.agent.commandline.curve_plot import check_picture
    from solvus.simulations.benchmarks.planner.bench import bench_planners
    from solvus.simulations.benchmarks.planner.methods import METHODS, MethodMissing
    from solvus.simulations.benchmarks.planner.race import Race
    from solvus.simulations.benchmarks.planner.report import survival_figure
    from solvus.simulations.benchmarks.planner.worlds import WORLDS

    names = [name.strip() for name in methods.split(",") if name.strip()]
    if world not in WORLDS:
        fail(f"--world: {world!r} is not one of {', '.join(WORLDS)}", as_json)
    for name in names:
        if name not in METHODS:
            fail(f"--methods: {name!r} is not one of {', '.join(METHODS)}", as_json)
    if not names:
        fail("--methods: names none; give one such as solvus", as_json)
    check_picture(plot)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("races", total=len(names) * seeds)

        def done(race: Race) -> None:
            verdict = f"hit in {race.experiments}" if race.experiments else f"no hit in {len(race.best)}"
            progress.console.print(f"{race.method}, seed {race.seed}: {verdict}", highlight=False)
            progress.advance(task)

        try:
            report = bench_planners(
                world,
                objective,
                names,
                seeds,
                workers=workers,
                budget=budget,
                at_once=at_once,
                first_seed=first_seed,
                keep=keep,
                done=done,
            )
        except MethodMissing as error:
            fail(f"--methods: {error}", as_json)
        except ValueError as error:
            if keep is None:
                raise
            fail(f"--keep: {error}", as_json)
    for reason in report.skipped:
        err.print(reason, markup=False, highlight=False)
    if plot is not None and report.races:
        survival_figure(report, plot)
    document = report.document()
    if as_json:
        print_json(document)
        return
    _show(document)


def _show(document: dict[str, Any]) -> None:
    for name, m in document["methods"].items():
        low, high = m["median_interval"]
        median = _number(m["median"], document["budget"])
        interval = f"{_number(low, document['budget'])} to {_number(high, document['budget'])}"
        worst = "-" if m["worst"] is None else f"{m['worst']}"
        out.print(
            f"{name:20} hits {m['hit_rate']:5.0%}  median {median:>6} ({interval})  worst {worst:>4}  "
            f"{m['seconds_per_ask']:.2f} CPU s per ask",
            highlight=False,
            markup=False,
        )
    for name, pair in document["against_solvus"].items():
        bound = "at least " if pair["ratio_is_a_bound"] else ""
        out.print(
            f"solvus against {name}: {pair['wins']} wins, {pair['losses']} losses of {pair['seeds']}, "
            f"{bound}{pair['median_ratio']:.1f} times fewer experiments, Wilcoxon p = {pair['wilcoxon_p']:.2g}",
            highlight=False,
            markup=False,
        )


def _number(value: float | None, budget: int) -> str:
    return f"> {budget}" if value is None else f"{value:g}"
