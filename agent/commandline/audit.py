"""``solvus audit``: read the ledger event by event, and check that nothing in it was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.audit_copies import backup, export, quarantine, restore
from solvus.agent.commandline.audit_reduce import reduce_again
from solvus.agent.commandline.audit_replay import replay
from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

if TYPE_CHECKING:
    from solvus.agent.ledger.ledger import Ledger
    from solvus.agent.ledger.tables import EventRow

audit_app = typer.Typer(
    no_args_is_help=True,
    help="The record: every event and decision, and whether it is whole.",
    rich_markup_mode=None,
)

audit_app.command("reduce")(reduce_again)
audit_app.command("replay")(replay)
for verb in (export, backup, restore, quarantine):
    audit_app.command()(verb)

LedgerOption = Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

BROKEN = 1
"""Exit status of a ledger that does not verify."""


@audit_app.command("list")
def list_events(
    campaign: Annotated[
        str | None, typer.Option(help="Only events of this campaign.", show_default=False)
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only events of this kind.", show_default=False)] = None,
    last: Annotated[int, typer.Option(min=0, help="Only the last so many; 0 for all.")] = 30,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List events, oldest first, one line each.

    Example: solvus audit list --kind experiment-proposed --last 10
    """
    from solvus.agent.commandline.console import err, fail, out, print_json
    from solvus.agent.commandline.reading import read_ledger
    from solvus.agent.ledger.ledger import decode
    from solvus.agent.ledger.projections import KINDS
    from solvus.agent.ledger.verify import describe

    if kind is not None and kind not in KINDS:
        fail(f"--kind: {kind!r} is no kind of event; there are {', '.join(sorted(KINDS))}", as_json)
    rows, total = read_ledger(ledger, lambda opened: _select(opened, campaign, kind, last), as_json=as_json)
    events = [decode(row) for row in rows]
    if as_json:
        print_json(
            [
                {"seq": e.seq, "at": e.at, "campaign": e.campaign, "kind": e.kind, "summary": describe(e)}
                for e in events
            ]
        )
        return
    if len(events) < total:
        err.print(f"The last {len(events)} of {total} events; --last 0 shows all.", highlight=False)
    for e in events:
        out.print(
            f"{e.seq:>6}  {e.at[:19].replace('T', ' ')}  {e.campaign}  {describe(e)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


async def _select(
    ledger: Ledger, campaign: str | None, kind: str | None, last: int
) -> tuple[list[EventRow], int]:
    """The chosen events in order, and how many there are without ``last``."""
    from sqlalchemy import func
    from sqlmodel import col, select

    from solvus.agent.ledger.tables import EventRow

    conditions = [] if campaign is None else [EventRow.campaign == campaign]
    conditions += [] if kind is None else [EventRow.kind == kind]
    chosen = select(EventRow).where(*conditions).order_by(col(EventRow.seq).desc())
    async with ledger.session() as session:
        total = (await session.exec(select(func.count()).select_from(EventRow).where(*conditions))).one()
        rows = (await session.exec(chosen.limit(last) if last else chosen)).all()
    return list(reversed(rows)), total


@audit_app.command("show")
def show(
    number: Annotated[int, typer.Argument(min=1, help="Number of the event, as `audit list` gives it.")],
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one event in plain words: a proposal with its reasons, an identification with its candidates.

    Example: solvus audit show 218
    """
    from solvus.agent.commandline.console import out, print_json
    from solvus.agent.commandline.reading import read_ledger
    from solvus.agent.ledger.explanations import explain
    from solvus.agent.ledger.ledger import decode
    from solvus.agent.ledger.verify import describe

    row = read_ledger(ledger, lambda opened: _event(opened, number), as_json=as_json)
    event = decode(row)
    chain = {"prev_hash": row.prev_hash, "hash": row.hash}
    if as_json:
        head: dict[str, Any] = {"seq": event.seq, "at": event.at, "campaign": event.campaign}
        print_json(head | {"kind": event.kind, "version": row.version, "body": event.body} | chain)
        return
    out.print(
        f"{event.kind}, event {event.seq} of {event.campaign}, {event.at}",
        style="bold",
        markup=False,
        highlight=False,
    )
    lines = explain(event) or [("", describe(event))]
    for label, text in (*lines, *((name.replace("_", " "), digest) for name, digest in chain.items())):
        out.print(f"{label:14} {text}", markup=False, highlight=False, soft_wrap=True)


async def _event(ledger: Ledger, number: int) -> EventRow:
    from solvus.agent.ledger.engine import LedgerError
    from solvus.agent.ledger.tables import EventRow

    rows = await ledger.rows(EventRow, EventRow.seq == number)
    if not rows:
        raise LedgerError(f"event: there is no event {number}; the ledger holds {ledger.head[0]}")
    return rows[0]


@audit_app.command("verify")
def verify(
    head: Annotated[
        str | None,
        typer.Option(help="Hash from a report that must still be in the chain.", show_default=False),
    ] = None,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the chain of hashes, the tables against the events, and patterns and messages against their hashes.

    Ends with status 1 when anything is wrong. Without --head nobody can tell that the newest events were cut off.

    Example: solvus audit verify --head 38d1a2b5...
    """
    from solvus.agent.commandline.console import out, print_json
    from solvus.agent.commandline.reading import read_ledger
    from solvus.agent.ledger.verify import verify as verify_ledger

    wanted = None if head is None else head.strip().lower()
    found = read_ledger(ledger, lambda opened: verify_ledger(opened, expected_head=wanted), as_json=as_json)
    if as_json:
        print_json(
            {
                "ok": not found.problems,
                "events": found.events,
                "head": found.head,
                "problems": list(found.problems),
            }
        )
    for problem in () if as_json else found.problems:
        out.print(problem, markup=False, highlight=False, soft_wrap=True)
    if found.problems:
        raise typer.Exit(BROKEN)
    if not as_json:
        out.print(
            f"{found.events} events, chain whole, tables agree, head {found.head}",
            highlight=False,
            soft_wrap=True,
        )
