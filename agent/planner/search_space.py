"""The SearchSpace: which recipes there are, and how they become vectors and back.

Notation: a recipe of d parameters becomes a float64 vector of shape (d,). An ordered parameter (continuous or
integer) takes the range 0 to 1, fixed by the limits of the space and never by data, so that an experiment
keeps its coordinates for ever. A categorical parameter takes the code 0, 1, ... of its choice, which is
compared for equality only: codes carry no order.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from solvus.drivers.messages import Identifier, Value
from solvus.models.pattern import FloatVector

Recipe = dict[str, Value]
"""The value of every parameter, by name."""

SIGNIFICANT_DIGITS = 6
"""Digits of a continuous value: no robot is finer, and a person can read them."""

Unit = Annotated[str, StringConstraints(max_length=40)]
Choice = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SearchSpaceError(ValueError):
    """A recipe or vector that does not fit the search space; one sentence names the parameter and the fix."""


class Continuous(BaseModel):
    """A real number between limits; ``step`` counts from ``lower``, in ``unit``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["continuous"] = "continuous"
    name: Identifier
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


class Integer(BaseModel):
    """A whole number between limits, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["integer"] = "integer"
    name: Identifier
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


class Categorical(BaseModel):
    """One of some names, without order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["categorical"] = "categorical"
    name: Identifier
    choices: tuple[Choice, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _choices_differ(self) -> Self:
        if len(set(self.choices)) != len(self.choices):
            raise ValueError(f"{self.name}: a choice is named twice; remove one")
        return self

    def draw(self, uniform: float) -> str:
        """The choice at quantile ``uniform``; every choice has the same share."""
        return self.choices[min(int(uniform * len(self.choices)), len(self.choices) - 1)]

    def refusal(self, value: Value) -> str | None:
        if value not in self.choices:
            return f"{self.name}: {value!r} is not one of {', '.join(self.choices)}"
        return None


Parameter = Annotated[Continuous | Integer | Categorical, Field(discriminator="kind")]


class SearchSpace(BaseModel):
    """The parameters that a recipe sets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: tuple[Parameter, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [p.name for p in self.parameters]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"parameters: {name} is there twice; remove one")
        return self

    @property
    def dimensions(self) -> int:
        return len(self.parameters)

    @property
    def ordered(self) -> list[int]:
        """Positions of the continuous and integer parameters in a vector."""
        return [i for i, p in enumerate(self.parameters) if p.kind != "categorical"]

    @property
    def categorical(self) -> list[int]:
        """Positions of the categorical parameters in a vector."""
        return [i for i, p in enumerate(self.parameters) if p.kind == "categorical"]

    def refusal(self, recipe: Recipe) -> str | None:
        """One sentence that says why ``recipe`` is none of this space, or ``None``."""
        names = {p.name for p in self.parameters}
        for name in recipe:
            if name not in names:
                return f"{name}: is no parameter of this search space; remove it"
        for parameter in self.parameters:
            if parameter.name not in recipe:
                return f"{parameter.name}: is missing from the recipe"
            reason = parameter.refusal(recipe[parameter.name])
            if reason is not None:
                return reason
        return None

    def encode(self, recipe: Recipe) -> FloatVector:
        """Vector of shape (d,) for ``recipe``. Raises SearchSpaceError when the recipe is refused."""
        reason = self.refusal(recipe)
        if reason is not None:
            raise SearchSpaceError(reason)
        vector = np.empty(self.dimensions)
        for i, parameter in enumerate(self.parameters):
            value = recipe[parameter.name]
            if isinstance(parameter, Categorical):
                vector[i] = parameter.choices.index(str(value))
            else:
                vector[i] = parameter.code(float(value))
        return vector

    def decode(self, vector: FloatVector) -> Recipe:
        """The nearest recipe that can be made, for a vector of shape (d,)."""
        if vector.shape != (self.dimensions,) or not np.isfinite(vector).all():
            raise SearchSpaceError(f"vector: needs {self.dimensions} finite numbers")
        recipe: Recipe = {}
        for parameter, code in zip(self.parameters, vector, strict=True):
            if isinstance(parameter, Categorical):
                recipe[parameter.name] = parameter.choices[
                    min(max(round(code), 0), len(parameter.choices) - 1)
                ]
            else:
                recipe[parameter.name] = parameter.value(float(code))
        return recipe

    def draw(self, uniform: FloatVector) -> Recipe:
        """The recipe at a point of the uniform unit cube, shape (d,): even over ranges, whole numbers and
        choices."""
        return {p.name: p.draw(float(u)) for p, u in zip(self.parameters, uniform, strict=True)}

    def snap(self, recipe: Recipe) -> Recipe:
        """``recipe`` on the grid of steps. Raises SearchSpaceError when the recipe is refused."""
        reason = self.refusal(recipe)
        if reason is not None:
            raise SearchSpaceError(reason)
        return {
            p.name: recipe[p.name] if isinstance(p, Categorical) else p.snap(float(recipe[p.name]))
            for p in self.parameters
        }
