"""The report of a campaign: one HTML file that holds everything, with the pictures and a JSON document beside it."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import Any

from solvus.agent.campaign_record import (
    CampaignRecord,
    ExperimentRecord,
    read_campaign,
    read_pattern,
    read_target,
)
from solvus.agent.jobs import ResolvedTarget
from solvus.agent.ledger.engine import plain_url
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.verify import verify
from solvus.agent.outcomes import outcome_of
from solvus.agent.report_figures import Comparison, compare, history_figure, pattern_figure, recipes_figure
from solvus.agent.report_page import Report, page
from solvus.drivers.laboratory import Laboratory
from solvus.models.pattern import Pattern

PAGE, DATA = "report.html", "report.json"
FOLDER_DIGITS = 8
"""Of a hash, in the name of a folder: two of a thousand campaigns of one name agree with a probability of 1e-4."""


async def report_from_ledger(ledger: Ledger, campaign_id: str, folder: Path | None = None) -> Path:
    """Write the report of a campaign from nothing but its ledger.

    Parameters
    ----------
    folder : where to; by default ``reports/<campaign>-<first digits of the hash of its first event>`` in the data
        folder of its laboratory, so that campaigns of one name from different ledgers lie side by side.

    Returns
    -------
    The path of the HTML file.

    Raises
    ------
    LedgerError
        When the ledger has no such campaign, or does not hold its target's pattern.
    OSError
        When the folder cannot be written.
    """
    record = await read_campaign(ledger, campaign_id)
    target = await read_target(ledger, campaign_id)
    if folder is None:
        laboratory = Laboratory.model_validate(record.laboratory)
        folder = laboratory.data_directory / "reports" / f"{campaign_id}-{record.first_hash[:FOLDER_DIGITS]}"
    return await write_report(ledger, campaign_id, target, folder)


async def write_report(ledger: Ledger, campaign_id: str, target: ResolvedTarget, folder: Path) -> Path:
    """Write ``report.html``, its pictures and ``report.json`` into ``folder``.

    Returns
    -------
    The path of the HTML file.

    Raises
    ------
    LedgerError
        When the ledger has no such campaign.
    OSError
        When the folder cannot be written.
    """
    record = await read_campaign(ledger, campaign_id)
    pattern = await read_pattern(ledger, record.best)
    comparison = _compare(record, pattern, target)
    verification = await verify(ledger)
    report = Report(
        record=record,
        target=target,
        comparison=comparison,
        figures=await asyncio.to_thread(_figures, record, comparison, target.title),
        verification=verification,
        check_command=f"solvus audit verify --ledger {shlex.quote(plain_url(ledger.engine.url))} "
        f"--head {verification.head}",
    )
    return await asyncio.to_thread(_write, report, folder)


def _compare(record: CampaignRecord, pattern: Pattern | None, target: ResolvedTarget) -> Comparison | None:
    if pattern is None or target.pattern is None:
        return None
    return compare(pattern, target.pattern, record.campaign.identification.r_range)


def _figures(record: CampaignRecord, comparison: Comparison | None, title: str) -> dict[str, bytes]:
    figures = {}
    if record.best is not None and comparison is not None:
        figures["pattern"] = pattern_figure(comparison, record.best.number, title)
    if record.experiments:
        figures["history"] = history_figure(record.experiments, record.found)
        figures["recipes"] = recipes_figure(record.experiments, record.campaign.search_space, record.best)
    return figures


def _write(report: Report, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in report.figures.items():
        (folder / f"{name}.png").write_bytes(png)
    document = json.dumps(as_json(report), indent=2, allow_nan=False, ensure_ascii=False)
    (folder / DATA).write_text(document + "\n", encoding="utf-8")
    path = folder / PAGE
    path.write_text(page(report), encoding="utf-8")
    return path


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs."""
    record, best, check = report.record, report.record.best, report.verification
    return {
        "campaign": record.id,
        "target": {
            "title": report.target.title,
            "elements": list(report.target.elements),
            "descriptors": None
            if report.target.descriptors is None
            else report.target.descriptors.model_dump(mode="json"),
        },
        "state": record.state,
        "reason": record.reason,
        "found": list(record.found),
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "budget": record.campaign.budget.experiments,
        "seed": record.campaign.seed,
        "best": None if best is None else best.number,
        "recipe": None if best is None else best.experiment.recipe,
        "r_w_to_target": None if report.comparison is None else report.comparison.r_w,
        "experiments": [_experiment_json(r) for r in record.experiments],
        "ledger": {"events": check.events, "head": check.head, "problems": list(check.problems)},
        "check": report.check_command,
        "simulated": dict(report.record.simulated),
        "environments": [dict(e) for e in record.environments],
    }


def _experiment_json(record: ExperimentRecord) -> dict[str, Any]:
    e, identification = record.experiment, record.identification
    return {
        "number": e.number,
        "state": e.state.value,
        "outcome": outcome_of(e).value,
        "source": record.proposal.source,
        "recipe": e.recipe,
        "replicate_of": e.replicate_of,
        "reason": record.reason,
        "score": None if e.score is None else e.score.model_dump(mode="json"),
        "identification": None if identification is None else identification.model_dump(mode="json"),
        "pattern_sha256": record.pattern_sha256,
    }
