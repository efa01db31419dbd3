"""``solvus bench crashes``: real processes, killed on entering every state, and compared with the devices' journals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

VIOLATED = 1
"""Exit status when an invariant did not hold."""


def crashes(
    broker: Annotated[
        list[str] | None, typer.Option(help="embedded or mosquitto; both by default.", show_default=False)
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL server in which databases may be made, as postgresql://user@host/postgres; "
            "SQLite alone without it.",
            show_default=False,
        ),
    ] = None,
    program: Annotated[
        list[str] | None,
        typer.Option(help="agent, robot, diffractometer or broker; all by default.", show_default=False),
    ] = None,
    random_campaigns: Annotated[
        int, typer.Option(min=0, max=100, help="Campaigns with kills at random moments, of pairs too.")
    ] = 1,
    at_once: Annotated[int, typer.Option(min=1, max=32, help="Campaigns side by side.")] = 2,
    table: Annotated[
        Path | None, typer.Option(help="Write the table in Markdown to this file.", show_default=False)
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep ledgers, journals and logs in this new folder.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """The crash matrix: agent, devices and broker killed on entering every state of an order and of an experiment.

    Takes minutes for each program, broker and database. Ends with status 1 when an invariant does not hold.

    Example: solvus bench crashes --broker embedded --program agent
    """
    import asyncio

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from solvus.agent.commandline.console import err, fail, out, print_json
    from solvus.drivers.broker import find_mosquitto
    from solvus.simulations.benchmarks.crashes.campaign import PROGRAMS, Outcome
    from solvus.simulations.benchmarks.crashes.matrix import crash_matrix
    from solvus.simulations.benchmarks.crashes.programs import BROKERS

    brokers, programs = broker or list(BROKERS), program or list(PROGRAMS)
    for given, known, option in ((brokers, BROKERS, "--broker"), (programs, PROGRAMS, "--program")):
        if wrong := [name for name in given if name not in known]:
            fail(f"{option}: {wrong[0]!r} is not one of {', '.join(known)}", as_json)
    if "mosquitto" in brokers and find_mosquitto() is None:
        fail("--broker: mosquitto is not installed here; install it or give --broker embedded", as_json)
    if keep is not None and keep.exists():
        fail(f"--keep: {keep} exists already; name a new folder", as_json)
    servers: dict[str, str | None] = {"sqlite": None}
    if postgres is not None:
        servers["postgresql"] = postgres
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        total = len(brokers) * len(servers) * (len(programs) + random_campaigns)
        task = progress.add_task("campaigns", total=total)

        def done(outcome: Outcome) -> None:
            name = f"{outcome.program}, {outcome.broker}, {outcome.database}"
            verdict = "; ".join(outcome.violations) or "all holds"
            missed = f", did not come to {', '.join(outcome.missed)}" if outcome.missed else ""
            kills = sum(outcome.kills.values())
            progress.console.print(
                f"{name}: {kills} kills in {outcome.seconds:.0f} s{missed}: {verdict}",
                highlight=False,
                markup=False,
            )
            progress.advance(task)

        matrix = asyncio.run(
            crash_matrix(
                brokers=brokers,
                servers=servers,
                programs=programs,
                random_seeds=range(1, random_campaigns + 1),
                at_once=at_once,
                keep=keep,
                done=done,
            )
        )
    if table is not None:
        table.write_text(matrix.table(), encoding="utf-8")
    document = matrix.document()
    if as_json:
        print_json(document)
    else:
        out.print(
            f"{document['campaigns']} campaigns, {document['kills']} kills, {document['violations']} violations",
            highlight=False,
        )
    if document["violations"]:
        raise typer.Exit(VIOLATED)
