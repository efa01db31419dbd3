"""``solvus bench faults``: the loop under simulated faults, from seeds that can be played again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from solvus.simulations.benchmarks.faults.run import Verdict

VIOLATED = 1
"""Exit status when an invariant did not hold."""


def faults(
    seeds: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many schedules, from --first on.")
    ] = 100,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Play this one schedule again, and tell its story.", show_default=False),
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Side by side; all cores by default.", show_default=False),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="With --seed: keep ledger, journals and logs in this folder.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Whole campaigns under seeded faults: messages lost, doubled, swapped and damaged, programs killed, disks full.

    Agent and devices are the real code on a virtual clock; what they did is compared with the devices' own journals.
    Ends with status 1 when an invariant does not hold.

    Example: solvus bench faults --seeds 1000 --json
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from solvus.agent.commandline.console import err, fail, out, print_json
    from solvus.simulations.benchmarks.faults.run import Report, bench_faults

    if keep is not None and seed is None:
        fail("--keep: goes with --seed, which plays one schedule", as_json)
    if seed is not None:
        report = Report([_one(seed, keep, as_json)])
    else:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=err) as progress:
            task = progress.add_task("schedules", total=seeds)

            def done(verdict: Verdict) -> None:
                for violation in verdict.violations:
                    progress.console.print(f"seed {verdict.seed}: {violation}", highlight=False, markup=False)
                progress.advance(task)

            workers = min(processes or os.cpu_count() or 1, seeds)
            report = bench_faults(range(first, first + seeds), processes=workers, done=done)
    document = report.document()
    if as_json:
        print_json(document)
    else:
        out.print(
            f"{document['schedules']} schedules, {document['violations']} violations, slowest seed "
            f"{document['slowest_seed']} ({document['slowest_seconds']} s)",
            highlight=False,
        )
    if document["violations"]:
        raise typer.Exit(VIOLATED)


def _one(seed: int, keep: Path | None, as_json: bool) -> Verdict:
    from solvus.agent.commandline.console import out
    from solvus.simulations.benchmarks.faults.run import run_seed
    from solvus.simulations.benchmarks.faults.schedule import draw_schedule

    verdict = run_seed(seed, keep)
    if as_json:
        return verdict
    for fault in draw_schedule(seed).faults:
        out.print(f"{fault.at:6.1f} s  {fault.told()}", highlight=False, markup=False)
    for program, ends in verdict.ends.items():
        out.print(f"{program}: {', then '.join(ends)}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"ended after {verdict.virtual:.1f} s: {verdict.waits_for}", highlight=False, markup=False)
    for violation in verdict.violations:
        out.print(f"violated: {violation}", highlight=False, markup=False, soft_wrap=True)
    return verdict
