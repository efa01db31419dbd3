"""What a suggestion is asked with, checked against itself, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from solvus.agent.planner.expressions import names_in
from solvus.agent.planner.known import ReadingError, readings_of
from solvus.agent.planner.limits import PlanLimits
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.outputs import Output, outputs_of
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.scoring import TargetDescriptors

LEAST_RESULTS = 4
"""Recipes with a trusted result below which there is nothing to fit."""
LEAST_INITIAL = 4
"""Sobol proposals at the start, or one for every two parameters if that is more: as many as a model needs. In twenty
laboratories of ``gold`` kept for tuning (seeds 101 to 120), four of them led to a confirmed hit in 11.5 experiments at
the median, 14.3 on average and 41 at worst, eight in 15.5, 15.3 and 24."""
INITIAL_WITH_EARLIER = 3
"""Sobol proposals where earlier campaigns are known: enough to see whether they still hold."""


class PlannerError(ValueError):
    """A request that cannot be planned; one sentence names the field and the fix."""


class EarlierCampaign(BaseModel):
    """What a finished campaign of the same laboratory and search space taught."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    observations: tuple[Observation, ...]


class PlanRequest(BaseModel):
    """All that a suggestion depends on.

    Attributes
    ----------
    target : may be left out to explore, where all descriptors that the observations share then count.
    proposed : counts the proposals made in this campaign so far, whatever became of them.
    earlier : campaigns before this one.
    target_curve : the target's pattern on the grid of the observations' curves.
    budget : of experiments; for the rules of stopping only.
    limits : what may be ordered now, within the space; ``None`` for all of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: SearchSpace
    target: TargetDescriptors | None = None
    observations: tuple[Observation, ...] = ()
    pending: tuple[Recipe, ...] = ()
    n: int = Field(default=1, ge=1, le=100)
    seed: int = Field(ge=0)
    proposed: int = Field(default=0, ge=0)
    settings: PlannerSettings = PlannerSettings()
    earlier: tuple[EarlierCampaign, ...] = ()
    target_curve: tuple[float, ...] | None = None
    budget: int | None = Field(default=None, ge=1)
    limits: PlanLimits | None = None

    @model_validator(mode="after")
    def _fits_the_space_and_target(self) -> Self:
        if self.settings.mode != "explore" and (self.target is None or not self.target.goals):
            raise PlannerError(f"target: is missing, and mode {self.settings.mode} needs one")
        if self.settings.cost is not None:
            for name in sorted(names_in(self.settings.cost) - set(self.space.names)):
                raise PlannerError(f"settings.cost: {name} is no parameter of the search space; correct it")
        for recipe in self.pending:
            reason = self.space.refusal(recipe)
            if reason is not None:
                raise PlannerError(f"pending: {reason}")
        outputs = outputs_for(self.target)
        for output in outputs:
            try:
                output.least_scale()
            except ValueError as error:
                raise PlannerError(f"target: {error}") from error
        for observation in self.observations:
            check(observation, self.space, outputs)
        for campaign in self.earlier:
            for observation in campaign.observations:
                try:
                    check(observation, self.space, outputs)
                except PlannerError as error:
                    raise PlannerError(f"earlier campaign {campaign.name}: {error}") from error
        return self


def outputs_for(target: TargetDescriptors | None) -> tuple[Output, ...]:
    """What a target asks to be modelled; nothing without a target."""
    return () if target is None else outputs_of(target)


def check(observation: Observation, space: SearchSpace, outputs: tuple[Output, ...]) -> None:
    """Raise PlannerError when ``observation`` does not fit the space or lacks what the target needs."""
    reason = space.refusal(observation.recipe)
    if reason is not None:
        raise PlannerError(f"observation {observation.experiment}: {reason}")
    if observation.outcome != "ok":
        return
    try:
        readings_of(observation, outputs)
    except ReadingError as error:
        raise PlannerError(f"observation {observation.experiment}: {error}") from error


def initial_count(request: PlanRequest) -> int:
    """How many Sobol proposals come first."""
    usual = max((request.space.freedom + 1) // 2, LEAST_INITIAL)
    known = sum(o.outcome == "ok" for campaign in request.earlier for o in campaign.observations)
    return request.settings.initial or (INITIAL_WITH_EARLIER if known >= LEAST_RESULTS else usual)


def fingerprint_of(request: PlanRequest, held: list[Recipe], index: int) -> str:
    """SHA-256 of all that one proposal depends on, as canonical JSON; the order of arrival does not count, nor does
    what the models have gained since and a request does not use, so that older proposals keep their hash."""
    data = request.model_dump(mode="json", exclude={"n"} if request.limits else {"n", "limits"})
    for constraint in data["space"]["constraints"]:
        if not constraint.get("when", True):
            del constraint["when"]
    data["observations"].sort(key=lambda o: (o["experiment"], o["replicate"]))
    data["pending"] = sorted(held, key=lambda recipe: json.dumps(recipe, sort_keys=True))
    data["proposed"] = index
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprints(request: PlanRequest, chosen: list[Recipe]) -> list[str]:
    """The hashes that :func:`suggest` gives to ``request.n`` proposals of these recipes; without planning anything."""
    held, found = list(request.pending), []
    for index, recipe in enumerate(chosen, start=request.proposed):
        found.append(fingerprint_of(request, held, index))
        held.append(recipe)
        request = with_waiting(request, recipe)
    return found


def with_waiting(request: PlanRequest, recipe: Recipe) -> PlanRequest:
    """The request once a proposed recipe waits for a device as well."""
    if request.limits is None:
        return request
    return request.model_copy(update={"limits": request.limits.after([recipe])})
