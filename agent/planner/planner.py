"""The Planner: suggest, ingest and pending, for use on its own or inside another orchestrator.

It only keeps the data together; :func:`solvus.agent.planner.suggest.suggest` does the work.
"""

from __future__ import annotations

from collections.abc import Iterable

from solvus.agent.planner.limits import PlanLimits
from solvus.agent.planner.observations import Observation, Proposal
from solvus.agent.planner.request import EarlierCampaign, PlannerError, PlanRequest, check, outputs_for
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.suggest import suggest
from solvus.agent.scoring import TargetDescriptors


class Planner:
    """A campaign's planner.

    >>> planner = Planner(space, target, seed=1)          # doctest: +SKIP
    >>> [proposal] = planner.suggest()                    # doctest: +SKIP
    >>> planner.ingest([Observation(experiment=1, recipe=proposal.recipe, outcome="ok", descriptors=...)])
    ... # doctest: +SKIP

    Parameters
    ----------
    target : ``None`` only to explore, see :class:`PlannerSettings`.
    seed : of all randomness.
    earlier : what finished campaigns of this laboratory taught.
    target_curve : the target's pattern, on the grid of the curves that observations carry.
    """

    def __init__(
        self,
        space: SearchSpace,
        target: TargetDescriptors | None,
        settings: PlannerSettings | None = None,
        seed: int = 0,
        *,
        earlier: Iterable[EarlierCampaign] = (),
        target_curve: Iterable[float] | None = None,
    ) -> None:
        self._request = PlanRequest(
            space=space,
            target=target,
            settings=settings or PlannerSettings(),
            seed=seed,
            earlier=tuple(earlier),
            target_curve=None if target_curve is None else tuple(target_curve),
        )

    @property
    def request(self) -> PlanRequest:
        """Everything known so far, as the next suggestion will see it."""
        return self._request

    def ingest(self, observations: Iterable[Observation]) -> None:
        """Take in results. The recipe of each stops being pending.

        Raises
        ------
        PlannerError : a result does not fit the space or target, or is known already; then none is taken in.
        """
        known = list(self._request.observations)
        pending = list(self._request.pending)
        seen = {(o.experiment, o.replicate) for o in known}
        for observation in observations:
            check(observation, self._request.space, outputs_for(self._request.target))
            key = (observation.experiment, observation.replicate)
            if key in seen:
                raise PlannerError(
                    f"observation {key[0]}, replicate {key[1]}: is known already; leave it out"
                )
            seen.add(key)
            known.append(observation)
            if observation.recipe in pending:
                pending.remove(observation.recipe)
        self._request = self._request.model_copy(
            update={"observations": tuple(known), "pending": tuple(pending)}
        )

    def pending(self, recipes: Iterable[Recipe]) -> None:
        """Say which recipes are on their way, all of them; proposals are pending from the moment they are
        made.

        Raises
        ------
        PlannerError : a recipe is none of the search space.
        """
        listed = tuple(recipes)
        for recipe in listed:
            reason = self._request.space.refusal(recipe)
            if reason is not None:
                raise PlannerError(f"pending: {reason}")
        self._request = self._request.model_copy(update={"pending": listed})

    def retarget(self, target: TargetDescriptors) -> None:
        """Aim at something else from now on, with all that was learnt.

        Raises
        ------
        PlannerError : a result lacks what the new target needs; the old target then stays.
        """
        for observation in self._request.observations:
            check(observation, self._request.space, outputs_for(target))
        self._request = PlanRequest.model_validate(
            self._request.model_copy(update={"target": target}).model_dump()
        )

    def limit(self, limits: PlanLimits | None) -> None:
        """Say what may be ordered now, within the space; ``None`` for all of it."""
        self._request = self._request.model_copy(update={"limits": limits})

    def suggest(self, n: int = 1) -> list[Proposal]:
        """The next ``n`` recipes, which are pending from now on."""
        if n < 1:
            raise PlannerError(f"n: {n} proposals cannot be made; ask for 1 or more")
        proposals = suggest(self._request.model_copy(update={"n": n}))
        recipes, limits = [p.recipe for p in proposals], self._request.limits
        self._request = self._request.model_copy(
            update={
                "pending": (*self._request.pending, *recipes),
                "proposed": self._request.proposed + n,
                "limits": None if limits is None else limits.after(recipes),
            }
        )
        return proposals
