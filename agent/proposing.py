"""A proposal enters the ledger together with its verdict, or with the question that will give it one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import func
from sqlmodel import col, select

from solvus.agent.asking import question
from solvus.agent.campaign import Campaign
from solvus.agent.decide import Experiment
from solvus.agent.ledger.ledger import Clock, Step
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.planner.limits import PlanLimits
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import Recipe
from solvus.agent.states import ExperimentState
from solvus.agent.transitions import move_experiment
from solvus.drivers.messages import new_id

E = ExperimentState


class Proposer:
    """Writes proposals of one campaign.

    Parameters
    ----------
    check : says why a recipe may not be made, or ``None``.
    """

    def __init__(
        self, campaign_id: str, campaign: Campaign, check: Callable[[Recipe], str | None], clock: Clock
    ) -> None:
        self._id = campaign_id
        self._campaign = campaign
        self._check = check
        self._clock = clock

    async def write(
        self,
        step: Step,
        proposal: Proposal,
        replicate_of: int | None,
        replicate: int,
        experiments: Sequence[Experiment],
        limits: PlanLimits | None = None,
    ) -> ExperimentRow:
        """Write a proposal and its verdict: rejected by a limit, waiting for a person, or approved.

        Parameters
        ----------
        experiments : of the campaign so far, for policies that ask only about what is new.
        limits : those that the planner was told of. They rest on what the devices last did, so the ledger keeps them.
        """
        highest = select(func.max(col(ExperimentRow.number))).where(ExperimentRow.campaign == self._id)
        number = ((await step.session.exec(highest)).one() or 0) + 1
        await step.append(
            self._id,
            "experiment-proposed",
            {
                "number": number,
                "sample_id": f"{self._id}-{number}-{new_id()[:8]}",
                "recipe": proposal.recipe,
                "replicate_of": replicate_of,
                "replicate": replicate,
                "proposal": proposal.model_dump(mode="json"),
                **({} if limits is None else {"limits": limits.model_dump(mode="json")}),
            },
        )
        row = await step.get(ExperimentRow, self._id, number)
        assert row is not None  # noqa: S101 -- made by the event above
        await self._judge(step, row, proposal.recipe, experiments)
        return row

    async def _judge(
        self, step: Step, row: ExperimentRow, recipe: Recipe, experiments: Sequence[Experiment]
    ) -> None:
        refusal = self._check(recipe)
        if refusal is not None:
            verdict = {"verdict": "rejected", "by": "limits"}
            await move_experiment(step, row, E.REJECTED, reason=refusal, decision=verdict)
            return
        asked = question(
            self._campaign.approval,
            recipe,
            self._campaign.search_space,
            experiments,
            replicate=row.replicate_of is not None,
            at=self._clock(),
        )
        if asked is None:
            await move_experiment(step, row, E.APPROVED, decision={"verdict": "automatic"})
            return
        await step.append(
            self._id, "question-asked", {"number": row.number, "question": asked.model_dump(mode="json")}
        )
