"""``solvus bench ask``: seconds and memory that the planner takes to answer."""

from __future__ import annotations

from typing import Annotated

import typer

from solvus.agent.commandline.console import err, out, print_json


def ask(
    experiments: Annotated[int, typer.Option(min=10, max=2000, help="That are known already.")] = 200,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Answers timed.")] = 5,
    beside_ax: Annotated[
        bool, typer.Option("--ax/--no-ax", help="Measure Ax in the same run, where it is installed.")
    ] = True,
    memory: Annotated[
        int, typer.Option(min=0, max=2000, help="Look at the memory up to so many experiments; 0 for not.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """How long the planner takes to answer in a mixed space with eight descriptors, in processor seconds on one thread.

    Example: solvus bench ask --memory 500 --json
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from solvus.simulations.benchmarks.planner.asking import bench_asking

    def told(sentence: str) -> None:
        err.print(sentence, highlight=False, markup=False)

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        progress.add_task("asking", total=None)
        document = bench_asking(experiments, repeats, beside=beside_ax, remembered=memory, told=told)
    if as_json:
        print_json(document)
        return
    for one in document["asked"]:
        out.print(
            f"{one['planner']:8} {one['recipes']} at once, {one['experiments']} known: {one['median']:.2f} CPU s "
            f"({one['least']:.2f} to {one['most']:.2f})",
            highlight=False,
            markup=False,
        )
    if "times_faster_than_ax" in document:
        out.print(f"{document['times_faster_than_ax']:.1f} times faster than ax", highlight=False)
