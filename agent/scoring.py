"""The Score: how close an identification is to the target, as a distribution and not as a number.

Notation: z_j is a descriptor of the structure, known as a normal distribution; z*_j, t_j and w_j are the
value, tolerance and weight of its goal. The distance is

    d = sqrt( sum_j w_j ((z_j - z*_j) / t_j)^2 / sum_j w_j ),

in units of tolerance: 1 means off by one tolerance on (weighted) average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from solvus.models.identification import Descriptor, Identification
from solvus.models.pattern import FloatVector

DRAWS_LOG2 = 10
"""2^10 Sobol points: the mean distance is then good to about 0.1 % of its spread, in under a millisecond."""
DRAWS_SEED = 20130527
"""Fixed, so that a score is a pure function of the identification. Any number would do."""


FRACTION = "fraction:"
"""Prefix of the descriptors that hold a family's share of the scattering."""


class ScoringError(ValueError):
    """A target that cannot be scored; one sentence names the goal and the fix."""


class Goal(BaseModel):
    """What one descriptor should be.

    ``tolerance`` is how far off still counts as found. With ``at_least`` everything above ``value`` is as
    good as ``value`` itself, and down to ``value - tolerance`` counts as found; with ``at_most`` the same the other
    way round, for what is to be avoided.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    tolerance: float = Field(gt=0.0)
    weight: float = Field(default=1.0, gt=0.0)
    at_least: bool = False
    at_most: bool = False

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if self.at_least and self.at_most:
            raise ValueError("goal: at_least and at_most contradict each other; leave one out")
        return self


class Bound(BaseModel):
    """What one descriptor must keep to, whatever the goals: a purity, say. Not better for being exceeded."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _is_a_bound(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("bound: give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and not self.at_least < self.at_most:
            raise ValueError("bound: at_least must be below at_most")
        return self

    @property
    def limits(self) -> tuple[float, ...]:
        return tuple(limit for limit in (self.at_least, self.at_most) if limit is not None)

    def rooms(self, value: Any) -> tuple[Any, ...]:
        """How far within each of its limits a number, array or tensor is; negative beyond."""
        low = () if self.at_least is None else (value - self.at_least,)
        return low if self.at_most is None else (*low, self.at_most - value)


class TargetDescriptors(BaseModel):
    """The target as the planner sees it: goals by descriptor name (a share of a phase to be had or avoided, a size, a
    length), bounds that must be kept, and the family that must come out on top."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    goals: dict[str, Goal]
    """May be empty beside bounds, where nothing is aimed at: to explore within them."""
    bounds: dict[str, Bound] = {}
    family: str | None = None

    @model_validator(mode="after")
    def _names_are_given(self) -> Self:
        if not self.goals and not self.bounds:
            raise ValueError("goals: there is none; give at least one")
        if any(not name.strip() for name in (*self.goals, *self.bounds)):
            raise ValueError("goals: a goal without a name; give the name of a descriptor")
        return self


class Score(BaseModel):
    """How close an identification is to the target.

    An identification that cannot be trusted has ``trusted`` False and no numbers: it does not steer. Where nothing is
    aimed at there are no numbers either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trusted: bool
    distance_mean: float | None = None
    distance_sd: float | None = None
    probability_within: float | None = Field(default=None, ge=0.0, le=1.0)
    family: str | None = None
    """The family that leads in the identification."""
    hit: bool = False


def squared_distance(columns: Sequence[Any], goals: Sequence[Goal]) -> Any:
    """d^2 of the module's formula.

    Parameters
    ----------
    columns : for each goal the values z_j, numbers or arrays or tensors of one shape.
    goals : as many goals.

    Returns
    -------
    d^2 of that shape; differentiable where the columns are tensors, as the planner's are.
    """
    total: Any = 0.0
    for z, goal in zip(columns, goals, strict=True):
        deviation = (z - goal.value) / goal.tolerance
        if goal.at_least:
            deviation = deviation * (deviation < 0)
        if goal.at_most:
            deviation = deviation * (deviation > 0)
        total = total + goal.weight * deviation**2
    return total / sum(goal.weight for goal in goals)


@cache
def _standard_normals(count: int) -> FloatVector:
    """Scrambled Sobol points under the normal quantile function, shape (2^DRAWS_LOG2, count)."""
    normals: FloatVector = ndtri(qmc.Sobol(count, seed=DRAWS_SEED).random_base2(DRAWS_LOG2))
    normals.setflags(write=False)
    return normals


def probability_within(descriptor: Descriptor, goal: Goal) -> float:
    """Probability that the descriptor is within the goal's tolerance.

    A lower bound cannot show that a value is not too large, so it counts for an ``at_least`` goal only.
    """
    if descriptor.lower_bound and not goal.at_least:
        return 0.0
    low = -math.inf if goal.at_most else goal.value - goal.tolerance
    high = math.inf if goal.at_least else goal.value + goal.tolerance
    return _probability_between(descriptor, low, high)


def _probability_between(descriptor: Descriptor, low: float, high: float) -> float:
    if descriptor.sd == 0.0:
        return float(low <= descriptor.mean <= high)
    above = float(ndtr((descriptor.mean - high) / descriptor.sd))
    return max(0.0, float(ndtr((descriptor.mean - low) / descriptor.sd)) - above)


def probability_kept(descriptor: Descriptor, bound: Bound) -> float:
    """Probability that the descriptor keeps to a bound."""
    low = -math.inf if bound.at_least is None else bound.at_least
    high = math.inf if bound.at_most is None else bound.at_most
    return _probability_between(descriptor, low, high)


def leading_family(identification: Identification) -> str | None:
    """The family with the largest share of the scattering; without shares, the most probable one. Ties go by name."""
    totals: dict[str, float] = {
        name.removeprefix(FRACTION): d.mean
        for name, d in identification.descriptors.items()
        if name.startswith(FRACTION)
    }
    if not totals:
        for candidate in identification.candidates:
            totals[candidate.family] = totals.get(candidate.family, 0.0) + candidate.probability
    return min(totals, key=lambda family: (-totals[family], family)) if totals else None


def score(identification: Identification, target: TargetDescriptors | None, threshold: float = 0.5) -> Score:
    """Score an identification against a target.

    Parameters
    ----------
    target : ``None``, or one without goals, where nothing is aimed at: there is then no distance, and no hit.
    threshold : the least probability of being within all tolerances that makes a hit.

    Returns
    -------
    The score; untrusted unless the verdict is ``identified``.

    Raises
    ------
    ScoringError : an identified structure lacks a descriptor that the target has a goal for.

    Notes
    -----
    Descriptors are taken as independent, which is all that an identification says of them.
    """
    family = leading_family(identification)
    if identification.verdict != "identified":
        return Score(trusted=False, family=family)
    if target is None:
        return Score(trusted=True, family=family)
    missing = [name for name in (*target.goals, *target.bounds) if name not in identification.descriptors]
    if missing:
        known = ", ".join(identification.descriptors)
        raise ScoringError(f"goals: {missing[0]} is no descriptor of the identification; there are {known}")
    if not target.goals:
        return Score(trusted=True, family=family)
    goals = list(target.goals.values())
    descriptors = [identification.descriptors[name] for name in target.goals]
    normals = _standard_normals(len(goals))
    columns = [d.mean + d.sd * normals[:, j] for j, d in enumerate(descriptors)]
    distance = np.sqrt(squared_distance(columns, goals))
    within = float(np.prod([probability_within(d, g) for d, g in zip(descriptors, goals, strict=True)]))
    for name, bound in target.bounds.items():
        within *= probability_kept(identification.descriptors[name], bound)
    return Score(
        trusted=True,
        distance_mean=float(distance.mean()),
        distance_sd=float(distance.std()),
        probability_within=within,
        family=family,
        hit=within >= threshold and target.family in (None, family),
    )
