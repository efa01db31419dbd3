"""The kinds of parameters that a recipe sets. Pure data, with the way from a value to a code and back.

Notation: the code of an ordered parameter runs from 0 to 1 over its range, fixed by the limits and never by data, so
that an experiment keeps its coordinates for ever. The code of a choice is 0, 1, ... and is compared for equality only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from solvus.drivers.messages import Identifier, Value
from solvus.models.pattern import FloatVector

Recipe = dict[str, Value]
"""The value of every parameter, by name."""

SIGNIFICANT_DIGITS = 6
"""Digits of a continuous value: no robot is finer, and a person can read them."""
MIXTURE_GRID = 1e-6
"""Step of a mixture in shares of its total, where the robot has none: finer than any pump, and sums stay exact."""

Unit = Annotated[str, StringConstraints(max_length=40)]
Choice = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class When(BaseModel):
    """A parameter is there only where ``parameter`` has one of these values; elsewhere the recipe leaves it out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameter: Identifier
    one_of: tuple[Value, ...] = Field(min_length=1)


class _Parameter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Identifier
    when: When | None = None


class Continuous(_Parameter):
    """A real number between limits; ``step`` counts from ``lower``, in ``unit``."""

    kind: Literal["continuous"] = "continuous"
    lower: float
    upper: float
    unit: Unit = ""
    scale: Literal["linear", "log"] = "linear"
    step: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _limits_make_sense(self) -> Self:
        if not self.lower < self.upper:
            raise ValueError(f"{self.name}: lower ({self.lower:g}) must be below upper ({self.upper:g})")
        if self.scale == "log" and self.lower <= 0.0:
            raise ValueError(
                f"{self.name}: a log scale needs lower > 0, not {self.lower:g}; use scale linear"
            )
        if self.step is not None and self.step > self.upper - self.lower:
            raise ValueError(f"{self.name}: step ({self.step:g}) is larger than the range; leave it out")
        return self

    def code(self, value: float) -> float:
        """Position of ``value`` in the range, 0 to 1, on the parameter's scale."""
        if self.scale == "log":
            return math.log(value / self.lower) / math.log(self.upper / self.lower)
        return (value - self.lower) / (self.upper - self.lower)

    def value(self, code: float) -> float:
        """The value at position ``code``, on the step grid if there is one."""
        code = min(max(code, 0.0), 1.0)
        if self.scale == "log":
            return self.snap(self.lower * (self.upper / self.lower) ** code)
        return self.snap(self.lower + code * (self.upper - self.lower))

    def snap(self, value: float) -> float:
        """The nearest value that the robot can set."""
        if self.step is not None:
            # The small slack keeps a last grid point that rounding would put just outside the range.
            last = math.floor((self.upper - self.lower) / self.step + 1e-9)
            value = self.lower + min(max(round((value - self.lower) / self.step), 0), last) * self.step
        return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), self.lower), self.upper)

    def draw(self, uniform: float) -> float:
        """The value at quantile ``uniform`` of the even distribution over the scale."""
        return self.value(uniform)

    def refusal(self, value: Value) -> str | None:
        if isinstance(value, str) or not math.isfinite(value):
            return f"{self.name}: needs a finite number, not {value!r}"
        if not self.lower <= value <= self.upper:
            limits = f"{self.lower:g} to {self.upper:g} {self.unit}".rstrip()
            return f"{self.name}: {value:g} is outside {limits}"
        return None


class Integer(_Parameter):
    """A whole number between limits, both included."""

    kind: Literal["integer"] = "integer"
    lower: int
    upper: int
    unit: Unit = ""

    @model_validator(mode="after")
    def _limits_make_sense(self) -> Self:
        if not self.lower < self.upper:
            raise ValueError(f"{self.name}: lower ({self.lower}) must be below upper ({self.upper})")
        return self

    def code(self, value: float) -> float:
        """k / (K - 1) for the k-th of K values."""
        return (value - self.lower) / (self.upper - self.lower)

    def value(self, code: float) -> float:
        return float(round(self.lower + min(max(code, 0.0), 1.0) * (self.upper - self.lower)))

    def snap(self, value: float) -> float:
        return float(min(max(round(value), self.lower), self.upper))

    def draw(self, uniform: float) -> float:
        """As :meth:`Continuous.draw`; each whole number has the same share, also those at the ends."""
        return float(min(self.lower + math.floor(uniform * (self.upper - self.lower + 1)), self.upper))

    def refusal(self, value: Value) -> str | None:
        if isinstance(value, str) or not math.isfinite(value) or value != int(value):
            return f"{self.name}: needs a whole number, not {value!r}"
        if not self.lower <= value <= self.upper:
            return f"{self.name}: {value:g} is outside {self.lower} to {self.upper} {self.unit}".rstrip()
        return None


class Ordinal(_Parameter):
    """One of some levels in an order, evenly spaced for the planner: ``[low, medium, high]`` or ``[0.1, 0.2, 0.5]``."""

    kind: Literal["ordinal"] = "ordinal"
    levels: tuple[Value, ...] = Field(min_length=2)
    unit: Unit = ""

    @model_validator(mode="after")
    def _levels_are_in_order(self) -> Self:
        numbers = [level for level in self.levels if not isinstance(level, str)]
        if 0 < len(numbers) < len(self.levels):
            raise ValueError(f"{self.name}: levels are numbers and words; use one kind")
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"{self.name}: a level is there twice; remove one")
        if numbers and (not all(map(math.isfinite, numbers)) or sorted(numbers) != numbers):
            raise ValueError(f"{self.name}: levels must be finite numbers that increase; sort them")
        return self

    def _place(self, value: Value) -> int:
        return next(i for i, level in enumerate(self.levels) if level == value)

    def code(self, value: Value) -> float:
        """k / (K - 1) for the k-th of K levels."""
        return self._place(value) / (len(self.levels) - 1)

    def value(self, code: float) -> Value:
        return self.levels[round(min(max(code, 0.0), 1.0) * (len(self.levels) - 1))]

    def snap(self, value: Value) -> Value:
        return self.levels[self._place(value)]

    def draw(self, uniform: float) -> Value:
        return self.levels[min(int(uniform * len(self.levels)), len(self.levels) - 1)]

    def refusal(self, value: Value) -> str | None:
        if not any(
            level == value and isinstance(level, str) == isinstance(value, str) for level in self.levels
        ):
            return f"{self.name}: {value!r} is not one of {', '.join(map(str, self.levels))}"
        return None


class Categorical(_Parameter):
    """One of some names, without order.

    ``descriptors``: numbers that say how alike the choices are, such as a solvent's polarity, each a list with one
    number for every choice.
    """

    kind: Literal["categorical"] = "categorical"
    choices: tuple[Choice, ...] = Field(min_length=2)
    descriptors: dict[str, tuple[float, ...]] = {}

    @model_validator(mode="after")
    def _choices_differ(self) -> Self:
        if len(set(self.choices)) != len(self.choices):
            raise ValueError(f"{self.name}: a choice is named twice; remove one")
        for name, numbers in self.descriptors.items():
            if len(numbers) != len(self.choices):
                raise ValueError(
                    f"{self.name}: descriptor {name} has {len(numbers)} numbers for {len(self.choices)} choices; "
                    f"give one for each"
                )
            if max(numbers) <= min(numbers):
                raise ValueError(f"{self.name}: descriptor {name} is the same for all choices; remove it")
        return self

    def code(self, value: Value) -> float:
        return float(self.choices.index(str(value)))

    def value(self, code: float) -> str:
        return self.choices[min(max(round(code), 0), len(self.choices) - 1)]

    def snap(self, value: Value) -> str:
        return str(value)

    def draw(self, uniform: float) -> str:
        """The choice at quantile ``uniform``; every choice has the same share."""
        return self.choices[min(int(uniform * len(self.choices)), len(self.choices) - 1)]

    def refusal(self, value: Value) -> str | None:
        if value not in self.choices:
            return f"{self.name}: {value!r} is not one of {', '.join(self.choices)}"
        return None


class Fixed(BaseModel):
    """A parameter that every recipe sets to one value: the robot needs it, the planner does not choose it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["fixed"] = "fixed"
    name: Identifier
    value: Value
    unit: Unit = ""

    def refusal(self, value: Value) -> str | None:
        if value != self.value or isinstance(value, str) != isinstance(self.value, str):
            return f"{self.name}: is fixed at {self.value}, not {value!r}"
        return None


class Component(BaseModel):
    """One stock of a mixture, in the mixture's unit; by default from nothing to all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Identifier
    lower: float = Field(default=0.0, ge=0.0)
    upper: float | None = Field(default=None, gt=0.0)


class Mixture(BaseModel):
    """Amounts that add up to ``total``, such as volumes of stock solutions; each is a parameter of the recipe.

    ``step``: what the robot can dispense, in ``unit``; every amount is a multiple of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["mixture"] = "mixture"
    name: Identifier
    components: tuple[Component, ...] = Field(min_length=2)
    total: float = Field(default=1.0, gt=0.0)
    unit: Unit = ""
    step: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _amounts_make_sense(self) -> Self:
        for c in self.components:
            upper = self.total if c.upper is None else c.upper
            if not c.lower < upper or upper > self.total * (1 + 1e-9):
                raise ValueError(
                    f"{self.name}: {c.name} needs lower ({c.lower:g}) below upper ({upper:g}) "
                    f"and upper at most the total ({self.total:g})"
                )
        if not self.lowers.sum() < self.total:
            raise ValueError(
                f"{self.name}: the least amounts leave nothing of {self.total:g} to choose; lower them"
            )
        if self.uppers.sum() < self.total:
            raise ValueError(
                f"{self.name}: the largest amounts do not add up to {self.total:g}; raise them or lower the total"
            )
        if self.step is not None:
            for what, value in [("total", self.total), *((c.name, c.lower) for c in self.components)]:
                if abs(value / self.step - round(value / self.step)) > 1e-6:
                    raise ValueError(
                        f"{self.name}: {what} ({value:g}) is no multiple of the step ({self.step:g}); change one"
                    )
        return self

    @property
    def grid(self) -> float:
        return self.step or MIXTURE_GRID * self.total

    @property
    def lowers(self) -> FloatVector:
        return np.array([c.lower for c in self.components])

    @property
    def uppers(self) -> FloatVector:
        """Largest amounts, also in view of what the others need at least."""
        own = np.array([self.total if c.upper is None else c.upper for c in self.components])
        return np.asarray(np.minimum(own, self.total - (self.lowers.sum() - self.lowers)))

    def codes(self, recipe: Mapping[str, Value]) -> FloatVector:
        """(k,), 0 at the least amount of a component and 1 at its largest."""
        amounts = np.array([float(recipe[c.name]) for c in self.components])
        return np.asarray((amounts - self.lowers) / (self.uppers - self.lowers))

    def values(self, codes: FloatVector) -> Recipe:
        """The nearest amounts that add up, on the grid."""
        lowers, uppers = self.lowers, self.uppers
        wanted = lowers + np.clip(codes, 0.0, 1.0) * (uppers - lowers)
        return self._on_grid(self._to_total(wanted))

    def _to_total(self, amounts: FloatVector) -> FloatVector:
        """Scale what is above the least amounts until the sum is right, and hold what meets its largest."""
        lowers, uppers = self.lowers, self.uppers
        free = np.ones(len(amounts), dtype=bool)
        found = amounts.copy()
        for _ in range(len(amounts)):
            left = self.total - found[~free].sum() - lowers[free].sum()
            above = np.maximum(amounts[free] - lowers[free], 0.0)
            share = above / above.sum() if above.sum() > 0 else np.full(int(free.sum()), 1.0 / free.sum())
            found[free] = lowers[free] + left * share
            over = free & (found > uppers * (1 + 1e-12))
            if not over.any():
                break
            found[over] = uppers[over]
            free &= ~over
            if not free.any():
                break
        return found

    def _on_grid(self, amounts: FloatVector) -> Recipe:
        """Whole multiples of the grid by largest remainders, with the sum kept."""
        grid = self.grid
        low = np.ceil(self.lowers / grid - 1e-6).astype(int)
        high = np.floor(self.uppers / grid + 1e-6).astype(int)
        exact = amounts / grid
        whole = np.clip(np.floor(exact + 1e-9).astype(int), low, high)
        short = round(self.total / grid) - int(whole.sum())
        order = np.argsort(-(exact - whole) * np.sign(short or 1), kind="stable")
        while short != 0:
            step = 1 if short > 0 else -1
            can = [i for i in order if low[i] <= whole[i] + step <= high[i]]
            if not can:
                break
            for i in can[: abs(short)]:
                whole[i] += step
                short -= step
        return {
            c.name: float(f"{n * grid:.12g}") for c, n in zip(self.components, whole.tolist(), strict=True)
        }

    def draw(self, uniform: FloatVector) -> Recipe:
        """Amounts at a point of the unit cube, (k,): even over the simplex of what is above the least amounts."""
        spread = -np.log(np.clip(uniform, 1e-12, 1.0 - 1e-12))
        above = (self.total - self.lowers.sum()) * spread / spread.sum()
        return self._on_grid(self._to_total(self.lowers + above))

    def refusal(self, recipe: Mapping[str, Value]) -> str | None:
        total = 0.0
        for c, upper in zip(self.components, self.uppers.tolist(), strict=True):
            value = recipe[c.name]
            if isinstance(value, str) or not math.isfinite(value):
                return f"{c.name}: needs a finite number, not {value!r}"
            slack = 1e-9 * self.total
            if not c.lower - slack <= value <= upper + slack:
                return f"{c.name}: {value:g} is outside {c.lower:g} to {upper:g} {self.unit}".rstrip()
            total += value
        if abs(total - self.total) > 1e-5 * self.total:
            return f"{self.name}: the amounts add up to {total:g}, not {self.total:g} {self.unit}".rstrip()
        return None


Scalar = Continuous | Integer | Ordinal | Categorical
Parameter = Annotated[
    Continuous | Integer | Ordinal | Categorical | Fixed | Mixture, Field(discriminator="kind")
]
