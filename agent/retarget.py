"""A campaign is aimed at another target: every experiment so far counts anew, and nothing is made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlmodel import col

from solvus.agent.campaign import Campaign
from solvus.agent.jobs import ResolvedTarget
from solvus.agent.ledger.ledger import Ledger, Step
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.scoring import Score, ScoringError, score
from solvus.agent.snapshot import summarise
from solvus.agent.states import ExperimentState
from solvus.drivers.yaml_file import ConfigurationError
from solvus.models.identification import Identification


@dataclass(frozen=True)
class Retarget:
    """The new target, with the scores of all experiments that have one, by number."""

    target: ResolvedTarget
    scores: dict[int, Score]

    async def write(self, step: Step, campaign_id: str, recorded: dict[str, Any]) -> None:
        """Enter both into the ledger; ``recorded`` is what it keeps of a target."""
        await step.append(campaign_id, "campaign-retargeted", {"target": recorded})
        for number, result in self.scores.items():
            body = {"number": number, "score": result.model_dump(mode="json"), "summary": summarise(result)}
            await step.append(campaign_id, "experiment-scored", body)


async def scored_anew(
    ledger: Ledger, campaign_id: str, campaign: Campaign, target: ResolvedTarget
) -> Retarget:
    """Score every identified experiment against a new target.

    Raises
    ------
    ConfigurationError
        When an identification lacks what the new target has a goal for.
    """
    rows = await ledger.rows(
        ExperimentRow,
        ExperimentRow.campaign == campaign_id,
        ExperimentRow.state == ExperimentState.SCORED.value,
        order_by=col(ExperimentRow.number),
    )
    scores: dict[int, Score] = {}
    for row in rows:
        identification = Identification.model_validate_json(row.identification or "")
        try:
            scores[row.number] = score(identification, target.descriptors, campaign.hit_probability)
        except ScoringError as error:
            raise ConfigurationError(
                [f"resume: experiment {row.number} cannot be scored against the new target: {error}"]
            ) from error
    return Retarget(target, scores)
