"""The planner behind the suggest/ingest protocol of other orchestrators: the brain of somebody else's laboratory.

The protocol is the one that bluesky's blop and its relatives use: ``suggest(n)`` gives points, plain dictionaries with
an ``_id``; ``ingest(points)`` takes points back with what came of them. Nothing but plain data goes through this door:

    in   {"_id": 3, "temperature": 70.0, ..., "outcome": "ok",
          "fraction:decahedral": {"mean": 0.8, "sd": 0.05}, "diameter": 34.0}
    out  {"_id": 4, "temperature": 72.5, ...}

A descriptor may be a plain number. A point without an ``_id`` is an experiment that the planner did not suggest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from solvus.agent.planner.observations import Observation, Proposal
from solvus.agent.planner.planner import Planner
from solvus.agent.planner.request import PlannerError
from solvus.agent.planner.search_space import Recipe

ID, OUTCOME, MISFIT, MODES = "_id", "outcome", "misfit", "modes"
NUMBER_SD = 0.0
"""Of a descriptor given as a plain number: what is known of its noise is then fitted."""


class SuggestIngest:
    """A :class:`Planner` that speaks in points.

    Attributes
    ----------
    proposals : with their reasons, by ``_id``.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.proposals: dict[int, Proposal] = {}
        self._recipes: dict[int, Recipe] = {}
        self._next = 1

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """The next points; they are under way until they are ingested or :meth:`abandon` is told of them."""
        points = []
        for proposal in self._planner.suggest(1 if num_points is None else num_points):
            points.append({ID: self._next, **proposal.recipe})
            self.proposals[self._next], self._recipes[self._next] = proposal, proposal.recipe
            self._next += 1
        return points

    def ingest(self, points: Iterable[Mapping[str, Any]]) -> None:
        """Take in what came of points.

        Raises
        ------
        PlannerError : a point that cannot be understood; one sentence names it. Then none is taken in.
        """
        taken = self._next
        observations = []
        for point in points:
            identity = point.get(ID)
            if identity is None:
                identity, taken = taken, taken + 1
            observations.append(self._observation(identity, point))
        self._planner.ingest(observations)
        self._next = taken

    def abandon(self, identities: Iterable[int]) -> None:
        """These points will have no result: nothing is learnt, and their recipes are free again."""
        gone = [self._recipes[i] for i in identities if i in self._recipes]
        left = list(self._planner.request.pending)
        for recipe in gone:
            if recipe in left:
                left.remove(recipe)
        self._planner.pending(left)

    def _observation(self, identity: Any, point: Mapping[str, Any]) -> Observation:
        names = set(self._planner.request.space.names)
        recipe = {name: value for name, value in point.items() if name in names}
        if not recipe and identity in self._recipes:
            recipe = self._recipes[identity]
        known = names | {ID, OUTCOME, MISFIT, MODES}
        descriptors = {
            name: value if isinstance(value, Mapping) else {"mean": value, "sd": NUMBER_SD}
            for name, value in point.items()
            if name not in known
        }
        try:
            return Observation.model_validate(
                {
                    "experiment": identity,
                    "recipe": recipe,
                    "outcome": point.get(OUTCOME, "ok"),
                    "descriptors": descriptors,
                    "misfit": point.get(MISFIT),
                    "modes": point.get(MODES, ()),
                }
            )
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise PlannerError(f"point {identity}: {where}: {first['msg']}") from error
