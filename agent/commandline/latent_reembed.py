"""``solvus latent reembed``: the patterns of a ledger placed anew in the latent space of the present weights."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solvus.agent.commandline.console import fail, out, print_json
from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

if TYPE_CHECKING:
    from solvus.models.latent.weights import Weights


def reembed(
    campaign: Annotated[
        list[str] | None,
        typer.Option(help="A campaign; may be repeated. Default: all of the ledger.", show_default=False),
    ] = None,
    ledger: Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Place every stored pattern under the present weights, and record the places: all of a campaign or none.

    No agent may be writing the ledger meanwhile. Where nothing changed, nothing is recorded.

    Example: solvus latent reembed --campaign gold-decahedron-1
    """
    from solvus.agent.commandline.paths import default_ledger
    from solvus.agent.ledger.engine import LedgerError
    from solvus.models.latent.weights import shipped
    from solvus.models.recognition.weights import WeightsError

    try:
        weights = shipped()
        rows = asyncio.run(_recorded(ledger or default_ledger(), campaign or [], weights))
    except (LedgerError, WeightsError, ValueError) as error:
        fail(str(error), as_json)
    if as_json:
        documents = [
            {"campaign": name, "patterns": patterns, "event": event or None} for name, patterns, event in rows
        ]
        print_json({"version": weights.version, "campaigns": documents})
        return
    for name, patterns, event in rows:
        told = f"recorded as event {event}" if event else "as recorded before"
        out.print(f"{name}: {patterns} patterns, {told}", highlight=False, markup=False, soft_wrap=True)


async def _recorded(url: str, campaigns: list[str], weights: Weights) -> list[tuple[str, int, int]]:
    from solvus.agent.latent import record
    from solvus.agent.ledger.engine import LedgerError, ledger_url
    from solvus.agent.ledger.ledger import Ledger
    from solvus.agent.ledger.tables import CampaignRow

    address = ledger_url(url)
    file = address.database if address.get_backend_name() == "sqlite" else None
    if file is not None and not Path(file).is_file():  # SQLite would make an empty one
        raise LedgerError(f"ledger: there is no file {file}; run a campaign first, or check --ledger")
    opened = await Ledger.open(url)
    try:
        held = [row.campaign for row in await opened.rows(CampaignRow)]
        rows = []
        for name in campaigns or held:
            places, event = await record(opened, name, weights)
            rows.append((name, len(places), event))
        return rows
    finally:
        await opened.close()
