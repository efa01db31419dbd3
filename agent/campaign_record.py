"""One campaign as the ledger holds it: what was wanted, every experiment with its reasons, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import col

from solvus.agent.campaign import Campaign
from solvus.agent.decide import Experiment, confirmed
from solvus.agent.jobs import EXPLORATION, ResolvedTarget
from solvus.agent.ledger.engine import LedgerError
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.projections import LedgerEvent
from solvus.agent.ledger.tables import CampaignRow, EventRow, ExperimentRow, PatternRow
from solvus.agent.outcomes import best_of
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import SearchSpace
from solvus.agent.snapshot import as_experiment
from solvus.models.identification import Identification
from solvus.models.pattern import Pattern


@dataclass(frozen=True)
class ExperimentRecord:
    """One experiment with the proposal that led to it and the identification that came of it."""

    experiment: Experiment
    proposal: Proposal
    identification: Identification | None
    pattern_sha256: str | None
    reason: str
    """Why it failed or was rejected; else empty."""

    @property
    def number(self) -> int:
        return self.experiment.number


@dataclass(frozen=True)
class CampaignRecord:
    """A campaign.

    Attributes
    ----------
    state, reason : how it ended; ``running`` and empty while no end has been written.
    laboratory : the laboratory file as it was when the campaign began.
    simulated : for each device that the agent met, whether it declared itself simulated on the wire.
    environments : versions at the start and at every resumption.
    first_hash : of the event that began it; no two campaigns share it.
    stopped_by_rule : a rule of stopping ended it, before its budget was spent.
    """

    id: str
    state: str
    reason: str
    started_at: str
    last_event_at: str
    ended_at: str | None
    campaign: Campaign
    laboratory: Mapping[str, Any]
    simulated: Mapping[str, bool]
    environments: tuple[Mapping[str, str], ...]
    experiments: tuple[ExperimentRecord, ...]
    first_hash: str
    stopped_by_rule: bool = False

    @property
    def target(self) -> str:
        """The target as it was written in the campaign file."""
        wanted = self.campaign.target
        if wanted is None:
            return EXPLORATION
        return str(wanted.structure or wanted.file or wanted.pattern)

    @property
    def found(self) -> tuple[int, ...]:
        """Numbers of the experiments that made and confirmed the target; empty when none did."""
        return confirmed([r.experiment for r in self.experiments], self.campaign.confirmations) or ()

    @property
    def best(self) -> ExperimentRecord | None:
        """The experiment that was confirmed, else the one that came nearest; ``None`` when nothing was scored."""
        nearest = best_of(r.experiment for r in self.experiments)
        number = self.found[0] if self.found else None if nearest is None else nearest.number
        return next((r for r in self.experiments if r.number == number), None)


async def read_campaign(ledger: Ledger, campaign_id: str) -> CampaignRecord:
    """Read a campaign from its events and rows.

    Raises
    ------
    LedgerError
        When the ledger has no campaign of that id; the message names those it has.
    """
    rows = await ledger.rows(CampaignRow)
    row = next((r for r in rows if r.campaign == campaign_id), None)
    if row is None:
        known = ", ".join(sorted(r.campaign for r in rows)) or "none yet"
        raise LedgerError(f"campaign: {campaign_id!r} is not in this ledger; it has {known}")
    events = await ledger.events(campaign_id)
    started = next(e for e in events if e.kind == "campaign-started")
    met = [e.body["devices"] for e in events if e.kind == "devices-met"]
    resumed = [e for e in events if e.kind == "campaign-resumed"]
    ended = events[-1] if events[-1].kind == "campaign-ended" else None
    proposals = {
        e.body["number"]: Proposal.model_validate(e.body["proposal"])
        for e in events
        if e.kind == "experiment-proposed"
    }
    experiments = await ledger.rows(
        ExperimentRow, ExperimentRow.campaign == campaign_id, order_by=col(ExperimentRow.number)
    )
    campaign = Campaign.model_validate_json(row.config)
    first = await ledger.rows(EventRow, EventRow.seq == started.seq)
    return CampaignRecord(
        id=campaign_id,
        state=row.state,
        reason=_reason(ended),
        started_at=row.started_at,
        last_event_at=events[-1].at,
        ended_at=None if ended is None else ended.at,
        campaign=campaign,
        laboratory=started.body["laboratory"],
        simulated={device: said["simulated"] for device, said in met[-1].items()} if met else {},
        environments=tuple(e.body["environment"] for e in (started, *resumed)),
        experiments=tuple(_experiment(r, proposals[r.number], campaign.search_space) for r in experiments),
        first_hash=first[0].hash,
        stopped_by_rule=ended is not None and "proposal" in ended.body,
    )


def _reason(ended: LedgerEvent | None) -> str:
    return "" if ended is None else str(ended.body["reason"])


def _experiment(row: ExperimentRow, proposal: Proposal, space: SearchSpace) -> ExperimentRecord:
    stored = row.identification
    experiment = as_experiment(row)
    # The ledger's text is sorted by name; people know the order of their own campaign file.
    ordered = {name: experiment.recipe[name] for name in space.names if name in experiment.recipe}
    return ExperimentRecord(
        experiment=replace(experiment, recipe=ordered),
        proposal=proposal,
        identification=None if stored is None else Identification.model_validate_json(stored),
        pattern_sha256=row.pattern_sha256,
        reason=row.reason,
    )


async def read_pattern(ledger: Ledger, record: ExperimentRecord | None) -> Pattern | None:
    """The pattern measured in an experiment; ``None`` when there is none."""
    if record is None or record.pattern_sha256 is None:
        return None
    rows = await ledger.rows(PatternRow, PatternRow.sha256 == record.pattern_sha256)
    return Pattern.model_validate_json(rows[0].body) if rows else None


def latest_target(events: Sequence[LedgerEvent]) -> dict[str, Any]:
    """What the ledger keeps of a campaign's target, the latest where it was aimed at another."""
    kept = [e.body["target"] for e in events if e.kind in ("campaign-started", "campaign-retargeted")]
    return dict(kept[-1])


async def read_target(ledger: Ledger, campaign_id: str) -> ResolvedTarget:
    """The target of a campaign, as it was resolved when the campaign began or was last aimed at another.

    Raises
    ------
    LedgerError
        When the ledger does not hold the target's pattern: one of before 0.1.0 does not.
    """
    events = await ledger.events(campaign_id)
    recorded = dict(latest_target(events))
    sha256 = recorded.pop("pattern_of_target")
    if sha256 is None:
        return ResolvedTarget.model_validate(recorded | {"pattern": None})
    rows = await ledger.rows(PatternRow, PatternRow.sha256 == sha256)
    if not rows:
        raise LedgerError(
            f"campaign: the ledger lacks the pattern of {campaign_id}'s target, which an early Solvus did not keep; "
            "`solvus status` and `solvus audit show` tell of it"
        )
    return ResolvedTarget.model_validate(recorded | {"pattern": Pattern.model_validate_json(rows[0].body)})
