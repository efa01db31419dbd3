"""``solvus status``: what the campaigns of a ledger have come to, also while an agent runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

if TYPE_CHECKING:
    from solvus.agent.campaign_record import CampaignRecord, ExperimentRecord
    from solvus.agent.commandline.status_waits import Waits
    from solvus.agent.ledger.ledger import Ledger
    from solvus.agent.ledger.tables import CommandRow

LOOKS = 5
"""How often a campaign is read while its ledger grows between the first read and the last; an event takes longer."""


def status(
    campaign: Annotated[
        str | None, typer.Argument(help="Id of one campaign, such as gold-decahedron-1; all when left out.")
    ] = None,
    ledger: Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the campaigns of a ledger, or the experiments and open orders of one, and what waits for people.

    Example: solvus status gold-decahedron-1
    """
    from solvus.agent.commandline.console import out, print_json
    from solvus.agent.commandline.reading import read_ledger
    from solvus.agent.commandline.status_waits import as_document

    if campaign is None:
        records = read_ledger(ledger, _all_campaigns, as_json=as_json)
        if as_json:
            print_json([_summary(r) | {"waiting": waits.count} for r, waits in records])
        else:
            out.print(_campaign_table(records))
        return
    record, commands, waits = read_ledger(
        ledger, lambda opened: _one_campaign(opened, campaign), as_json=as_json
    )
    if as_json:
        experiments = [_experiment(r) for r in record.experiments]
        orders = [_order(row) for row in commands]
        print_json(
            _summary(record) | {"all_experiments": experiments, "open_commands": orders} | as_document(waits)
        )
    else:
        _show(record, commands)
        _show_waits(waits, record.id)


async def _all_campaigns(ledger: Ledger) -> list[tuple[CampaignRecord, Waits]]:
    from sqlmodel import col

    from solvus.agent.campaign_record import read_campaign
    from solvus.agent.commandline.status_waits import read_waits
    from solvus.agent.ledger.tables import CampaignRow

    rows = await ledger.rows(CampaignRow, order_by=col(CampaignRow.started_at))
    ids = [row.campaign for row in rows]
    return [(await read_campaign(ledger, i), await read_waits(ledger, i)) for i in ids]


async def _one_campaign(ledger: Ledger, campaign: str) -> tuple[CampaignRecord, list[CommandRow], Waits]:
    """Read of one moment: an agent may write between two reads, and a campaign must not be shown as paused by the
    expiry of a proposal that still waits."""
    for _ in range(LOOKS):
        before = await ledger.read_head()
        found = await _look(ledger, campaign)
        if await ledger.read_head() == before:
            break
    return found


async def _look(ledger: Ledger, campaign: str) -> tuple[CampaignRecord, list[CommandRow], Waits]:
    from solvus.agent.campaign_record import read_campaign
    from solvus.agent.commandline.status_waits import read_waits
    from solvus.agent.ledger.tables import CommandRow
    from solvus.agent.outbox import open_commands

    record = await read_campaign(ledger, campaign)
    commands = open_commands(await ledger.rows(CommandRow, CommandRow.campaign == campaign))
    return record, commands, await read_waits(ledger, campaign)


def _summary(record: CampaignRecord) -> dict[str, Any]:
    best = record.best
    score = None if best is None else best.experiment.score
    return {
        "campaign": record.id,
        "target": record.target,
        "state": record.state,
        "reason": record.reason,
        "started_at": record.started_at,
        "last_event_at": record.last_event_at,
        "experiments": len(record.experiments),
        "budget": record.campaign.budget.experiments,
        "best": None if best is None else best.number,
        "distance": None if score is None else score.distance_mean,
        "probability_within": None if score is None else score.probability_within,
        "found": list(record.found),
    }


def _experiment(record: ExperimentRecord) -> dict[str, Any]:
    from solvus.agent.outcomes import distance_of, outcome_of, structure_of

    e = record.experiment
    return {
        "number": e.number,
        "state": e.state.value,
        "outcome": outcome_of(e).value,
        "recipe": e.recipe,
        "replicate_of": e.replicate_of,
        "structure": structure_of(record.identification),
        "distance": distance_of(e),
        "reason": record.reason,
    }


def _order(row: CommandRow) -> dict[str, Any]:
    return {
        "command_id": row.command_id,
        "experiment": row.experiment,
        "device": row.device,
        "purpose": row.purpose,
        "state": row.state,
    }


def _campaign_table(records: list[tuple[CampaignRecord, Waits]]) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("campaign", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("made", "best", "distance"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("found in", no_wrap=True)
    table.add_column("last event (UTC)", no_wrap=True)
    table.add_column("waits for you", no_wrap=True)
    for record, waits in records:
        s = _summary(record)
        table.add_row(
            record.id,
            record.state,
            f"{s['experiments']}/{s['budget']}",
            "" if s["best"] is None else str(s["best"]),
            "" if s["distance"] is None else f"{s['distance']:.2f}",
            ", ".join(map(str, record.found)),
            record.last_event_at[:16].replace("T", " "),
            ", ".join(
                part
                for part, there in (
                    ("paused", waits.paused is not None),
                    (str(len(waits.questions)), waits.questions),
                )
                if there
            ),
        )
    return table


def _show_waits(waits: Waits, campaign: str) -> None:
    from solvus.agent.commandline.console import out
    from solvus.agent.commandline.status_waits import as_lines

    lines = as_lines(waits, campaign)
    if lines:
        out.print("\nwaiting:", style="bold", highlight=False)
    for line in lines:
        out.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _show(record: CampaignRecord, commands: list[CommandRow]) -> None:
    from solvus.agent.commandline.console import out
    from solvus.agent.live_view import experiment_table, nearest_words
    from solvus.agent.outcomes import Outcome, outcome_of

    experiments = [r.experiment for r in record.experiments]
    found = {r.number: r.identification for r in record.experiments if r.identification is not None}
    out.print(f"{record.id}: {record.target}", style="bold", markup=False, highlight=False)
    reason = f" ({record.reason})" if record.reason else ""
    budget = record.campaign.budget.experiments
    out.print(f"{record.state}{reason}, {len(experiments)} of {budget} experiments", highlight=False)
    out.print(f"nearest: {nearest_words(experiments)}\n", highlight=False)
    out.print(experiment_table(experiments, found))
    for r in record.experiments:
        if outcome_of(r.experiment) is Outcome.NOT_MEASURED:
            out.print(f"experiment {r.number} {r.reason}", markup=False, highlight=False, soft_wrap=True)
    if commands:
        out.print("\nopen orders:", highlight=False)
    for row in commands:
        what = f"{row.purpose} for experiment {row.experiment} on {row.device}: {row.state}"
        out.print(f"  {row.command_id[:8]}  {what}", markup=False, highlight=False)
