"""``solvus doctor``: is everything able to do its job, and if not, what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

UNWELL = 1
"""Exit status when a check has failed."""


def doctor(
    laboratory: Annotated[
        str, typer.Argument(help="LAB.yaml, or the name of a shipped laboratory.")
    ] = "gold",
    ledger: Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check that a campaign could run: broker, database, disk, clocks, devices, models. Each failure says what to do.

    Harmless beside a running campaign. Ends with status 1 when anything fails.

    Example: solvus doctor beamline.yaml --ledger postgresql://solvus@db.example.org/solvus
    """
    import asyncio

    from rich.table import Table
    from rich.text import Text

    from solvus.agent.commandline.console import err, fail, out, print_json
    from solvus.agent.commandline.emergency_stop import address_of
    from solvus.agent.commandline.paths import configuration, default_ledger
    from solvus.agent.doctor import examine
    from solvus.agent.ledger.engine import LedgerError, ledger_url
    from solvus.drivers.laboratory import load_laboratory
    from solvus.drivers.yaml_file import ConfigurationError

    url = ledger or default_ledger()
    why, address = "", None
    try:
        lab = load_laboratory(configuration(laboratory, "laboratories"))
        ledger_url(url)
        if lab.broker.kind == "external":
            address = address_of(lab)
    except (ConfigurationError, LedgerError, ValueError) as error:
        fail(str(error), as_json)
    if lab.broker.kind != "external":
        try:
            address = address_of(lab)
        except ConfigurationError:
            why = "none runs now; `solvus run` and `solvus lab` start it, and the devices"
    with err.status("looking at broker, database, devices and models"):
        found = asyncio.run(examine(lab, address, why, url))
    failed = [check for check in found if check.ok is False]
    if as_json:
        checks = [{"name": c.name, "ok": c.ok, "words": c.words, "fix": c.fix} for c in found]
        print_json({"ok": not failed, "laboratory": lab.name, "checks": checks})
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
        for check in found:
            mark = {True: Text("ok", "green"), False: Text("FAILS", "bold red"), None: Text("-", "dim")}[
                check.ok
            ]
            words = Text(check.words)
            if check.fix and check.ok is False:
                words.append(f"\n-> {check.fix}", "yellow")
            table.add_row(mark, check.name, words)
        out.print(table)
    if failed:
        raise typer.Exit(UNWELL)
