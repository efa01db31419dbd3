"""Views of the ledger's rows: for the decision, for the planner, and for a person who watches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from solvus import __version__
from solvus.agent.campaign import Campaign
from solvus.agent.decide import Experiment
from solvus.agent.ledger.canonical import sha256_text
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.planner.observations import Observation, Outcome, Proposal
from solvus.agent.scoring import Score, TargetDescriptors
from solvus.agent.states import ExperimentState
from solvus.drivers.messages import AgentState
from solvus.models.identification import Descriptor, Identification

E = ExperimentState


@dataclass
class Snapshot:
    """What a person wants to see while a campaign runs; brought up to date at every turn of the loop."""

    campaign: str
    title: str
    budget: int
    state: AgentState = "starting"
    waits_for: str = ""
    experiments: list[Experiment] = field(default_factory=list)
    identifications: dict[int, Identification] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    paused: bool = False
    asks: tuple[str, ...] = ()
    """What people are asked, and how to answer, in words."""

    def copy(self) -> Snapshot:
        """As it is now, to compare with later."""
        return replace(self, identifications=dict(self.identifications))


def as_experiment(row: ExperimentRow, *, asks: bool = False) -> Experiment:
    """``asks``: a person has been asked about it and has not answered."""
    return Experiment(
        number=row.number,
        state=E(row.state),
        recipe=json.loads(row.recipe),
        replicate_of=row.replicate_of,
        replicate=row.replicate,
        cause=row.cause,
        score=None if row.score is None else Score.model_validate_json(row.score),
        asks=asks,
    )


def as_observation(row: ExperimentRow) -> Observation | None:
    """What the planner learns from an experiment; ``None`` while it has not ended.

    An unknown outcome counts as failed equipment, which says nothing of the recipe, unless a person has looked and
    found that there is no product.
    """
    state = E(row.state)
    descriptors: dict[str, Descriptor] = {}
    if state is E.SCORED and row.identification is not None and row.score is not None:
        trusted = Score.model_validate_json(row.score).trusted
        outcome: Outcome = "ok" if trusted else "untrusted"
        if trusted:
            descriptors = Identification.model_validate_json(row.identification).descriptors
    elif state in (E.FAILED, E.UNKNOWN) and row.cause == "chemistry":
        outcome = "failed_chemistry"
    elif state in (E.FAILED, E.UNKNOWN):
        outcome = "failed_equipment"
    else:
        return None
    return Observation(
        experiment=row.number,
        replicate=row.replicate,
        recipe=json.loads(row.recipe),
        outcome=outcome,
        descriptors=descriptors,
    )


def plan_request(
    campaign: Campaign, target: TargetDescriptors, rows: Sequence[ExperimentRow], count: int
) -> dict[str, Any]:
    """What the planner is asked, as JSON: all that the next ``count`` proposals depend on. A replay asks the same.

    What a person or a limit has refused is not asked for again: to the planner it stays on its way for ever.
    """
    observations = [o for o in map(as_observation, rows) if o is not None]
    return {
        "space": campaign.search_space.model_dump(mode="json"),
        "target": target.model_dump(mode="json"),
        "observations": [o.model_dump(mode="json") for o in observations],
        "pending": [e.recipe for e in map(as_experiment, rows) if e.active or e.rejected],
        "n": count,
        "seed": campaign.seed,
        "proposed": sum(row.replicate_of is None for row in rows),
        "settings": campaign.planner.model_dump(mode="json"),
        "budget": campaign.budget.experiments,
    }


def replicate_proposal(rows: Sequence[ExperimentRow], first: Experiment) -> Proposal:
    """The proposal to make the recipe of a hit again."""
    row = next(r for r in rows if r.number == first.number)
    return Proposal(
        recipe=first.recipe,
        source="replicate",
        probability_feasible=1.0,
        seed=0,
        data_sha256=sha256_text(row.identification or ""),
        versions={"solvus": __version__},
        explanation=f"experiment {first.number} hit the target; made again to confirm it",
    )


def summarise(score: Score) -> str:
    """A score in a few words."""
    if not score.trusted or score.distance_mean is None or score.probability_within is None:
        return "not trusted: it does not steer"
    verdict = "hit" if score.hit else "miss"
    return (
        f"{verdict}, {score.distance_mean:.2f} tolerances from the target, "
        f"{100 * score.probability_within:.0f} % probable to be within"
    )
