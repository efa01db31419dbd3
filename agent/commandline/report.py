"""``solvus report``: the report of a campaign, again or elsewhere, from nothing but the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

if TYPE_CHECKING:
    from solvus.agent.ledger.ledger import Ledger


def report(
    campaign: Annotated[
        str | None,
        typer.Option(help="Id of the campaign, such as gold-decahedron-1. [default: the newest]"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder to write to. [default: where `solvus run` writes it]",
        ),
    ] = None,
    ledger: Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write the report of a campaign: one HTML file with the pictures and a JSON document beside it.

    Works also while the campaign runs, and for one that was interrupted.

    Example: solvus report --campaign gold-decahedron-1 -o report
    """
    from solvus.agent.commandline.console import out, print_json
    from solvus.agent.commandline.reading import read_ledger

    written = read_ledger(ledger, lambda opened: _write(opened, campaign, folder), as_json=as_json)
    if as_json:
        print_json(written)
    else:
        out.print(f"Report: {written['report']}", highlight=False, soft_wrap=True)


async def _write(ledger: Ledger, campaign: str | None, folder: Path | None) -> dict[str, Any]:
    from sqlmodel import col

    from solvus.agent.ledger.engine import LedgerError, plain_url
    from solvus.agent.ledger.tables import CampaignRow
    from solvus.agent.report import report_from_ledger

    rows = await ledger.rows(CampaignRow, order_by=col(CampaignRow.started_at))
    if not rows:
        raise LedgerError("campaign: this ledger holds none yet; run one first")
    campaign_id = campaign or rows[-1].campaign
    try:
        path = await report_from_ledger(ledger, campaign_id, folder)
    except OSError as error:
        raise LedgerError(f"report: cannot be written to {error.filename} ({error.strerror})") from error
    state = next(row.state for row in rows if row.campaign == campaign_id)
    events, head = ledger.head
    return {
        "campaign": campaign_id,
        "state": state,
        "report": str(path),
        "ledger": plain_url(ledger.engine.url),
        "events": events,
        "head": head,
    }
