"""Rules of stopping that a campaign has asked for: when the planner says that enough is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solvus.agent.campaign import Campaign
from solvus.agent.decide import Experiment
from solvus.agent.planner.limits import PlanLimits
from solvus.agent.planner.observations import Proposal


@dataclass(frozen=True)
class Enough:
    """A rule that is met, with the proposal that was not made for it.

    ``ended`` : experiments that had ended then; when another ends, the planner is asked again.
    """

    reason: str
    proposal: Proposal
    ended: int
    limits: PlanLimits | None

    def holds(self, experiments: Sequence[Experiment]) -> bool:
        return _ended(experiments) == self.ended

    def record(self) -> dict[str, Any]:
        """For the ledger: the decision can be computed again like any other."""
        limits = {} if self.limits is None else {"limits": self.limits.model_dump(mode="json")}
        return {"proposal": self.proposal.model_dump(mode="json"), **limits}


def enough(
    campaign: Campaign, proposal: Proposal, experiments: Sequence[Experiment], limits: PlanLimits | None
) -> Enough | None:
    """The rule that ends the campaign, or ``None`` when the proposal is to be made."""
    asked = {"improvement": campaign.stop_when.improvement_below_cost, "reached": campaign.stop_when.reached}
    for rule in proposal.stopping:
        if rule.met and asked.get(rule.name, False):
            limit = "" if rule.limit is None else f"; the limit is {rule.limit:g}"
            return Enough(f"{rule.text}{limit}", proposal, _ended(experiments), limits)
    return None


def _ended(experiments: Sequence[Experiment]) -> int:
    return sum(not e.active for e in experiments)
