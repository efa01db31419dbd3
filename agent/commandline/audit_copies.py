"""``solvus audit export | backup | restore | quarantine``: the record for other programs, a safe, and a person."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

if TYPE_CHECKING:
    from solvus.agent.ledger.ledger import Ledger
    from solvus.agent.ledger.tables import QuarantineRow

LedgerOption = Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


class Format(StrEnum):
    """What an export can be."""

    CSV = "csv"
    JSON = "json"
    RO_CRATE = "ro-crate"


def export(
    format: Annotated[
        Format, typer.Option(help="Experiments as a table, all events, or both with the patterns.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="New file, or new folder for ro-crate; stdout when left out.",
            show_default=False,
        ),
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign.", show_default=False)] = None,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the record for other programs: a table of experiments, the events with their hashes, or an RO-Crate.

    Example: solvus audit export --format ro-crate -o gold-crate
    """
    from solvus.agent.commandline.console import err, fail, print_json
    from solvus.agent.commandline.reading import read_ledger
    from solvus.agent.ledger.export import as_csv, read, write_crate
    from solvus.agent.ledger.export import as_json as events_json

    if output is None and (format is Format.RO_CRATE or as_json):
        fail("--output: name a new file or, for ro-crate, a new folder", as_json)
    if output is not None and output.exists():
        fail(f"--output: {output} exists already; name a new one", as_json)
    contents = read_ledger(ledger, lambda opened: read(opened, campaign), as_json=as_json)
    if campaign is not None and not contents.events:
        fail(f"--campaign: the ledger has no {campaign!r}; `solvus status` lists them", as_json)
    try:
        if format is Format.RO_CRATE and output is not None:
            write_crate(contents, output)
        else:
            text = as_csv(contents) if format is Format.CSV else events_json(contents)
            if output is None:
                typer.echo(text, nl=False)
                return
            output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"--output: {output} cannot be written ({error.strerror})", as_json)
    document = {
        "output": str(output),
        "format": format.value,
        "events": len(contents.events),
        "experiments": len(contents.experiments),
        "patterns": len(contents.patterns),
        "head": contents.head,
    }
    if as_json:
        print_json(document)
        return
    err.print(
        f"{output}: {document['events']} events, {document['experiments']} experiments, head {contents.head}",
        highlight=False,
        soft_wrap=True,
    )


def backup(
    file: Annotated[Path, typer.Argument(help="New file for the copy.")],
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the ledger into one file, also while an agent writes it. The copy is verified, and is a ledger itself.

    Example: solvus audit backup /safe/gold-2026-03-02.db
    """
    import asyncio

    from solvus.agent.commandline.console import fail
    from solvus.agent.commandline.paths import default_ledger
    from solvus.agent.ledger.backup import backup as copy
    from solvus.agent.ledger.engine import LedgerError

    try:
        found = asyncio.run(copy(ledger or default_ledger(), file))
    except (LedgerError, ValueError) as error:
        fail(str(error), as_json)
    _tell(
        f"{file}: {found.events} events, verified, head {found.head}", file, found.events, found.head, as_json
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `audit backup` wrote.")],
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the place of a ledger that is lost: into an empty one, SQLite or PostgreSQL.

    What happened after the backup is not in it. Orders that devices ended since then become unknown.

    Example: solvus audit restore /safe/gold-2026-03-02.db --ledger sqlite:///solvus.db
    """
    import asyncio

    from solvus.agent.commandline.console import fail
    from solvus.agent.commandline.paths import default_ledger
    from solvus.agent.ledger.backup import restore as copy
    from solvus.agent.ledger.engine import LedgerError

    try:
        found = asyncio.run(copy(file, ledger or default_ledger()))
    except (LedgerError, ValueError) as error:
        fail(str(error), as_json)
    _tell(
        f"{found.events} events restored and verified, head {found.head}",
        file,
        found.events,
        found.head,
        as_json,
    )


def _tell(sentence: str, file: Path, events: int, head: str, as_json: bool) -> None:
    from solvus.agent.commandline.console import out, print_json

    if as_json:
        print_json({"file": str(file), "events": events, "head": head})
    else:
        out.print(sentence, highlight=False, soft_wrap=True)


def quarantine(ledger: LedgerOption = None, as_json: JsonOption = False) -> None:
    """List refused messages: from whom, why, how often, and the beginning of the first of each kind.

    Example: solvus audit quarantine
    """
    from solvus.agent.commandline.console import out, print_json
    from solvus.agent.commandline.reading import read_ledger

    rows = read_ledger(ledger, _refused, as_json=as_json)
    if as_json:
        print_json([row.model_dump(exclude={"id"}) for row in rows])
        return
    if not rows:
        out.print("No message was refused.")
    for row in rows:
        out.print(
            f"{row.last_at[:19].replace('T', ' ')}  {row.times:>6} x  {row.device} {row.channel}: {row.reason}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        out.print(
            f"    {row.size} characters: {row.head[:100]!r}", markup=False, highlight=False, soft_wrap=True
        )


async def _refused(ledger: Ledger) -> Sequence[QuarantineRow]:
    from solvus.agent.ledger.tables import QuarantineRow

    if not ledger.has(QuarantineRow):  # written before there was one
        return []
    return await ledger.rows(QuarantineRow, order_by=QuarantineRow.last_at)
