"""What may be ordered now, within a search space: limits on combinations of parameters, and on steps from the order
before. They hold for proposals alone; experiments that were made under others stay known.

A recipe is within the limits when at least one device may make it. A limit on steps is a box about the recipe that the
device made last and, because they will be made before, about each recipe that waits for a device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from solvus.agent.planner.constraints import Constraint, LinearConstraint
from solvus.agent.planner.parameters import SIGNIFICANT_DIGITS, Continuous, Integer, Ordinal, Recipe
from solvus.agent.planner.search_space import Coordinate, SearchSpace
from solvus.drivers.messages import Identifier
from solvus.models.pattern import FloatVector

SLACK = 1e-9
"""Relative; what rounding adds to a step."""


class DeviceLimits(BaseModel):
    """Of one device.

    Attributes
    ----------
    steps : how far a parameter may be from its value in the order before, in its unit.
    before : the recipe of the device's last order; ``None`` before the first, when no step is limited.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    constraints: tuple[LinearConstraint, ...] = ()
    steps: dict[Identifier, float] = {}
    before: Recipe | None = None

    def anchors(self, waiting: Sequence[Recipe]) -> tuple[Recipe, ...]:
        """Recipes about which the steps are boxes."""
        return (*(() if self.before is None else (self.before,)), *waiting)

    def refusal(self, space: SearchSpace, recipe: Recipe, waiting: Sequence[Recipe]) -> str | None:
        """One sentence that says why the device may not make ``recipe``, or ``None``."""
        numbers = space.numbers(recipe)
        for constraint in self.constraints:
            reason = constraint.refusal(numbers, lambda name, choice: float(recipe.get(name) == choice))
            if reason is not None:
                return reason
        for name, step in sorted(self.steps.items()):
            for anchor in self.anchors(waiting):
                if name in recipe and name in anchor:
                    away = abs(float(recipe[name]) - float(anchor[name]))
                    if away > step * (1.0 + SLACK):
                        return (
                            f"{name}: is {away:g} away from the order before, more than {step:g} in one step"
                        )
        return None


class PlanLimits(BaseModel):
    """Of all devices that may make a recipe, with the recipes that wait for one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: tuple[DeviceLimits, ...] = Field(min_length=1)
    waiting: tuple[Recipe, ...] = ()

    def after(self, recipes: Sequence[Recipe]) -> PlanLimits:
        """The limits once these recipes wait as well."""
        return self.model_copy(update={"waiting": (*self.waiting, *recipes)})

    def device_for(self, space: SearchSpace, recipe: Recipe) -> DeviceLimits | None:
        """The first device that may make it."""
        return next((d for d in self.devices if d.refusal(space, recipe, self.waiting) is None), None)


@dataclass(frozen=True)
class _Box:
    """Codes from ``low`` to ``high``, (d,)."""

    low: FloatVector
    high: FloatVector

    @property
    def empty(self) -> bool:
        return bool((self.low > self.high).any())


class Within:
    """The limits as the planner uses them: on vectors of one search space."""

    def __init__(self, space: SearchSpace, limits: PlanLimits) -> None:
        self.space, self.limits = space, limits
        self._of_devices = [_box(space, device, limits.waiting) for device in limits.devices]
        self._boxes = [box for box in self._of_devices if not box.empty]

    def allows(self, recipe: Recipe) -> bool:
        return self.limits.device_for(self.space, recipe) is not None

    def spread(self, vectors: FloatVector) -> FloatVector:
        """Vectors over the whole space (k, d), shrunk into the boxes of the devices in turn."""
        if not self._boxes:
            return vectors
        turn = np.arange(len(vectors)) % len(self._boxes)
        low, high = (np.array([getattr(box, side) for box in self._boxes])[turn] for side in ("low", "high"))
        ordered = self.space.free
        found = vectors.copy()
        width = high[:, ordered] - low[:, ordered]
        found[:, ordered] = low[:, ordered] + vectors[:, ordered] * width
        return found

    def pulled(self, vectors: FloatVector) -> FloatVector:
        """Each vector (k, d) moved into the nearest box."""
        if not self._boxes or not len(vectors):
            return vectors
        moved = np.array([np.clip(vectors, box.low, box.high) for box in self._boxes])
        nearest = ((moved - vectors) ** 2).sum(-1).argmin(0)
        found: FloatVector = moved[nearest, np.arange(len(vectors))]
        return found

    def breach(self, vectors: Any, values: dict[str, Any], equals: Callable[[str, str], Any]) -> Any:
        """How far a tensor of vectors (a, d) is beyond the limits of the device that it breaks least, (a,)."""
        least: Any = None
        for device, box in zip(self.limits.devices, self._of_devices, strict=True):
            total = vectors[:, 0] * 0.0
            for constraint in device.constraints:
                beyond = constraint.excess(constraint.amount(values, equals)) / scale_of(constraint)
                total = total + constraint.applies(equals) * beyond**2
            for i in self.space.ordered:
                if box.low[i] > 0.0 or box.high[i] < 1.0:
                    total = total + (box.low[i] - vectors[:, i]).clip(min=0.0) ** 2
                    total = total + (vectors[:, i] - box.high[i]).clip(min=0.0) ** 2
            least = total if least is None else least.minimum(total)
        return least


def scale_of(constraint: Constraint) -> float:
    """The larger of the limits, to measure an excess by; 1 where it is 0."""
    return max(abs(limit) for limit in (constraint.lower, constraint.upper) if limit is not None) or 1.0


def _box(space: SearchSpace, device: DeviceLimits, waiting: Sequence[Recipe]) -> _Box:
    low, high = np.zeros(space.dimensions), np.ones(space.dimensions)
    for i in space.categorical:
        high[i] = np.inf
    for i, coordinate in enumerate(space.coordinates):
        step = device.steps.get(coordinate.name)
        if step is None:
            continue
        for anchor in device.anchors(waiting):
            if coordinate.name in anchor:
                below, above = _reach(coordinate, float(anchor[coordinate.name]), step)
                low[i], high[i] = max(low[i], below), min(high[i], above)
    return _Box(low, high)


def _reach(coordinate: Coordinate, centre: float, step: float) -> tuple[float, float]:
    """Codes of the least and largest value that can be set within ``step`` of ``centre``; 1 and 0 where there is
    none."""
    parameter = coordinate.parameter
    least, largest = centre - step * (1.0 + SLACK), centre + step * (1.0 + SLACK)
    if isinstance(parameter, Ordinal):
        inside = [level for level in parameter.levels if least <= float(level) <= largest]
        return (parameter.code(inside[0]), parameter.code(inside[-1])) if inside else (1.0, 0.0)
    if isinstance(parameter, Integer):
        least, largest = math.ceil(least), math.floor(largest)
    elif isinstance(parameter, Continuous):
        least, largest = _settable(parameter, least, math.ceil), _settable(parameter, largest, math.floor)
    if isinstance(parameter, Integer | Continuous):
        least, largest = max(least, parameter.lower), min(largest, parameter.upper)
        return (parameter.code(least), parameter.code(largest)) if least <= largest else (1.0, 0.0)
    lower, upper = parameter.lowers[coordinate.part], parameter.uppers[coordinate.part]  # type: ignore[union-attr]
    return float((least - lower) / (upper - lower)), float((largest - lower) / (upper - lower))


def _settable(parameter: Continuous, value: float, towards: Callable[[float], int]) -> float:
    """The next value that the robot can set and a recipe can say, upwards or downwards."""
    if parameter.step is not None:
        return parameter.lower + towards((value - parameter.lower) / parameter.step) * parameter.step
    if value == 0.0:
        return 0.0
    digit = 10.0 ** (math.floor(math.log10(abs(value))) - SIGNIFICANT_DIGITS + 1)
    return towards(value / digit) * digit
