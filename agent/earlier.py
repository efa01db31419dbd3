"""Earlier campaigns of the same ledger, as the planner's prior knowledge."""

from __future__ import annotations

from sqlmodel import col

from solvus.agent.latent import recorded
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CampaignRow, ExperimentRow, PatternRow
from solvus.agent.plan_request import EarlierRows, Ground, useful
from solvus.drivers.yaml_file import ConfigurationError
from solvus.models.pattern import Pattern


async def earlier_campaigns(ledger: Ledger, campaign_id: str, ground: Ground) -> tuple[EarlierRows, ...]:
    """The experiments of the campaigns that a campaign names; what their patterns teach goes into the ground's lessons.

    Nothing is added to them while this campaign runs: a ledger has one writer.

    Raises
    ------
    ConfigurationError
        For a campaign that is not there, or of which nothing fits the search space and the target.
    """
    found = []
    known = [row.campaign for row in await ledger.rows(CampaignRow, order_by=col(CampaignRow.started_at))]
    for name in ground.campaign.earlier:
        if name not in known or name == campaign_id:
            others = ", ".join(k for k in known if k != campaign_id) or "no other"
            raise ConfigurationError(
                [f"earlier: {name} is no other campaign of this ledger; it has {others}"]
            )
        rows = await ledger.rows(
            ExperimentRow, ExperimentRow.campaign == name, order_by=col(ExperimentRow.number)
        )
        campaign = EarlierRows(name, tuple(rows), await recorded(ledger, name))
        await _learn(ledger, ground, campaign)
        if not useful(ground, campaign):
            raise ConfigurationError(
                [f"earlier: no experiment of {name} fits this search space and target; leave it out"]
            )
        found.append(campaign)
    return tuple(found)


async def _learn(ledger: Ledger, ground: Ground, earlier: EarlierRows) -> None:
    lessons = ground.lessons
    for row in earlier.rows:
        if lessons is not None and row.pattern_sha256 is not None and row.pattern_sha256 not in lessons:
            [stored] = await ledger.rows(PatternRow, PatternRow.sha256 == row.pattern_sha256)
            lessons.take(Pattern.model_validate_json(stored.body))
