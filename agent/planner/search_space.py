"""The SearchSpace: which recipes there are, and how they become vectors and back.

Notation: a recipe becomes a float64 vector of shape (d,), with one coordinate for every continuous, integer, ordinal or
categorical parameter and one for every component of a mixture; a fixed parameter has none. What a coordinate holds is
said in :mod:`solvus.agent.planner.parameters`. A parameter that is not there under its condition has the middle of its
range as its coordinate (a choice: the first), so that recipes without it do not differ by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.stats import qmc

from solvus.agent.planner.constraints import Constraint
from solvus.agent.planner.parameters import (
    Categorical,
    Choice,
    Component,
    Continuous,
    Fixed,
    Integer,
    Mixture,
    Ordinal,
    Parameter,
    Recipe,
    Scalar,
    When,
)
from solvus.drivers.messages import Value
from solvus.models.pattern import FloatVector

__all__ = [
    "Categorical",
    "Choice",
    "Component",
    "Continuous",
    "Fixed",
    "Integer",
    "Mixture",
    "Ordinal",
    "Parameter",
    "Recipe",
    "SearchSpace",
    "SearchSpaceError",
    "Shown",
    "When",
]

FEASIBLE_LOG2 = 13
"""2^13 recipes are drawn to see whether constraints leave any: a space with less than 0.1 % of them needs narrower
limits anyway."""
ABSENT = 0.5
"""Coordinate of an ordered parameter that is not there."""


class SearchSpaceError(ValueError):
    """A recipe or vector that does not fit the search space; one sentence names the parameter and the fix."""


@dataclass(frozen=True)
class Coordinate:
    """One entry of a vector: a scalar parameter, or component number ``part`` of a mixture."""

    name: str
    parameter: Scalar | Mixture
    part: int = 0

    @property
    def categorical(self) -> bool:
        return isinstance(self.parameter, Categorical)


@dataclass(frozen=True)
class Shown:
    """One name of a recipe as a person sees it: ``choices`` as texts in order, else numbers, and the range searched."""

    name: str
    unit: str
    choices: tuple[str, ...]
    limits: tuple[float, float]
    logarithmic: bool

    def height(self, value: Value) -> float:
        """The value as a number on the axis of this parameter."""
        return float(self.choices.index(str(value))) if self.choices else float(value)

    @property
    def searched(self) -> str:
        """The range or the choices in words."""
        if len(self.choices) == 1:
            return "fixed"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return f"{self.limits[0]:g} to {self.limits[1]:g}"


class SearchSpace(BaseModel):
    """The parameters that a recipe sets, and what recipes must keep to."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    parameters: tuple[Parameter, ...] = Field(min_length=1)
    constraints: tuple[Constraint, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        names = [*self.names, *(p.name for p in self.parameters if isinstance(p, Mixture))]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"parameters: {name} is there twice; remove one")
        if not self.coordinates:
            raise ValueError("parameters: all are fixed; leave at least one to choose")
        for parameter in self.parameters:
            if isinstance(parameter, Scalar) and parameter.when is not None:
                self._check_condition(parameter, parameter.when)
        for constraint in self.constraints:
            self._check_constraint(constraint)
        if self.constraints and not any(self.refusal(r) is None for r in self._drawn(FEASIBLE_LOG2, 0)):
            raise ValueError(
                f"constraints: none of {2**FEASIBLE_LOG2} recipes drawn keeps to them; widen one or narrow the limits"
            )
        return self

    def _check_condition(self, parameter: Scalar, when: When) -> None:
        parent = next((p for p in self.parameters if p.name == when.parameter), None)
        if not isinstance(parent, Categorical | Ordinal | Integer):
            raise ValueError(
                f"{parameter.name}: its condition needs a categorical, ordinal or integer parameter, and "
                f"{when.parameter} is none"
            )
        if parent.when is not None or parent.name == parameter.name:
            raise ValueError(
                f"{parameter.name}: depends on {parent.name}, which depends itself; name its parent"
            )
        for value in when.one_of:
            reason = parent.refusal(value)
            if reason is not None:
                raise ValueError(f"{parameter.name}: its condition cannot hold: {reason}")

    def _check_constraint(self, constraint: Constraint) -> None:
        numeric = {
            c.name
            for c in self.coordinates
            if not c.categorical
            and not (isinstance(c.parameter, Ordinal) and isinstance(c.parameter.levels[0], str))
        } | {p.name for p in self.parameters if isinstance(p, Fixed) and not isinstance(p.value, str)}
        compared: dict[str, set[str]] = {}
        for name, choice in constraint.compared:
            compared.setdefault(name, set()).add(choice)
        for name in sorted(constraint.names | compared.keys()):
            if name in compared:
                parameter = next((p for p in self.parameters if p.name == name), None)
                if not isinstance(parameter, Categorical) or not compared[name] <= set(parameter.choices):
                    raise ValueError(f"constraint {constraint.text}: {name} has no such choice; correct it")
            elif name not in numeric:
                raise ValueError(
                    f"constraint {constraint.text}: {name} is no number of this space; correct it"
                )

    # --- coordinates ---

    @cached_property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """What each entry of a vector holds."""
        found: list[Coordinate] = []
        for parameter in self.parameters:
            if isinstance(parameter, Mixture):
                found += [Coordinate(c.name, parameter, i) for i, c in enumerate(parameter.components)]
            elif not isinstance(parameter, Fixed):
                found.append(Coordinate(parameter.name, parameter))
        return tuple(found)

    @property
    def names(self) -> list[str]:
        """Everything that a recipe may set, in order."""
        found: list[str] = []
        for parameter in self.parameters:
            if isinstance(parameter, Mixture):
                found += [c.name for c in parameter.components]
            else:
                found.append(parameter.name)
        return found

    @property
    def shown(self) -> tuple[Shown, ...]:
        """Every name that a recipe sets, for tables and figures."""
        found: list[Shown] = []
        for p in self.parameters:
            if isinstance(p, Mixture):
                uppers = p.uppers.tolist()
                found += [
                    Shown(c.name, p.unit, (), (c.lower, upper), False)
                    for c, upper in zip(p.components, uppers, strict=True)
                ]
            elif isinstance(p, Categorical):
                found.append(Shown(p.name, "", p.choices, (0.0, len(p.choices) - 1.0), False))
            elif isinstance(p, Ordinal):
                levels = tuple(map(str, p.levels))
                found.append(Shown(p.name, p.unit, levels, (0.0, len(levels) - 1.0), False))
            elif isinstance(p, Fixed):
                found.append(Shown(p.name, p.unit, (str(p.value),), (0.0, 0.0), False))
            else:
                logarithmic = isinstance(p, Continuous) and p.scale == "log"
                found.append(Shown(p.name, p.unit, (), (p.lower, p.upper), logarithmic))
        return tuple(found)

    @property
    def dimensions(self) -> int:
        return len(self.coordinates)

    @property
    def freedom(self) -> int:
        """Numbers that can be chosen independently: a mixture has one less than its components."""
        return self.dimensions - sum(isinstance(p, Mixture) for p in self.parameters)

    @property
    def ordered(self) -> list[int]:
        """Positions of everything but choices in a vector."""
        return [i for i, c in enumerate(self.coordinates) if not c.categorical]

    @property
    def categorical(self) -> list[int]:
        """Positions of the categorical parameters in a vector."""
        return [i for i, c in enumerate(self.coordinates) if c.categorical]

    @property
    def free(self) -> list[int]:
        """Positions of ordered coordinates outside mixtures."""
        return [i for i in self.ordered if not isinstance(self.coordinates[i].parameter, Mixture)]

    @property
    def mixtures(self) -> list[tuple[Mixture, list[int]]]:
        """Each mixture with the positions of its components."""
        return [
            (p, [i for i, c in enumerate(self.coordinates) if c.parameter is p])
            for p in self.parameters
            if isinstance(p, Mixture)
        ]

    # --- recipes ---

    def active(self, parameter: Parameter, recipe: Recipe) -> bool:
        """Whether ``recipe`` has to set this parameter."""
        when = getattr(parameter, "when", None)
        return when is None or recipe.get(when.parameter) in when.one_of

    def refusal(self, recipe: Recipe) -> str | None:
        """One sentence that says why ``recipe`` is none of this space, or ``None``."""
        known = set(self.names)
        for name in recipe:
            if name not in known:
                return f"{name}: is no parameter of this search space; remove it"
        for parameter in self.parameters:
            reason = self._refusal_of(parameter, recipe)
            if reason is not None:
                return reason
        for constraint in self.constraints:
            reason = constraint.refusal(
                self.numbers(recipe), lambda n, choice: float(recipe.get(n) == choice)
            )
            if reason is not None:
                return reason
        return None

    def _refusal_of(self, parameter: Parameter, recipe: Recipe) -> str | None:
        if isinstance(parameter, Mixture):
            for component in parameter.components:
                if component.name not in recipe:
                    return f"{component.name}: is missing from the recipe"
            return parameter.refusal(recipe)
        if not self.active(parameter, recipe):
            when = getattr(parameter, "when", None)
            if parameter.name in recipe and when is not None:
                wanted = " or ".join(map(str, when.one_of))
                return f"{parameter.name}: is set although {when.parameter} is not {wanted}; leave it out"
            return None
        if parameter.name not in recipe:
            return f"{parameter.name}: is missing from the recipe"
        return parameter.refusal(recipe[parameter.name])

    def numbers(self, recipe: Recipe) -> dict[str, float]:
        """Every parameter as a number for arithmetic; one that is not there, or is a word, counts 0."""
        return {
            name: 0.0 if isinstance(recipe.get(name, 0.0), str) else float(recipe.get(name, 0.0))
            for name in self.names
        }

    def encode(self, recipe: Recipe) -> FloatVector:
        """Vector of shape (d,) for ``recipe``. Raises SearchSpaceError when the recipe is refused."""
        reason = self.refusal(recipe)
        if reason is not None:
            raise SearchSpaceError(reason)
        return self._encoded(recipe)

    def _encoded(self, recipe: Recipe) -> FloatVector:
        vector = np.empty(self.dimensions)
        for i, c in enumerate(self.coordinates):
            if isinstance(c.parameter, Mixture):
                if c.part == 0:
                    vector[i : i + len(c.parameter.components)] = c.parameter.codes(recipe)
            elif c.name not in recipe:
                vector[i] = 0.0 if c.categorical else ABSENT
            else:
                vector[i] = c.parameter.code(recipe[c.name])  # type: ignore[arg-type]
        return vector

    def decode(self, vector: FloatVector) -> Recipe:
        """The nearest recipe that can be made, for a vector of shape (d,); it may still break a constraint."""
        if vector.shape != (self.dimensions,) or not np.isfinite(vector).all():
            raise SearchSpaceError(f"vector: needs {self.dimensions} finite numbers")
        place = {c.name: i for i, c in enumerate(self.coordinates)}
        recipe: Recipe = {}
        for parameter in self.parameters:
            if isinstance(parameter, Fixed):
                recipe[parameter.name] = parameter.value
            elif isinstance(parameter, Mixture):
                codes = vector[[place[c.name] for c in parameter.components]]
                recipe |= parameter.values(codes)
            else:
                recipe[parameter.name] = parameter.value(float(vector[place[parameter.name]]))
        return self._without_absent(recipe)

    def _without_absent(self, recipe: Recipe) -> Recipe:
        absent = {p.name for p in self.parameters if not self.active(p, recipe)}
        return {name: value for name, value in recipe.items() if name not in absent}

    def draw(self, uniform: FloatVector) -> Recipe:
        """The recipe at a point of the uniform unit cube, shape (d,): even over ranges, whole numbers, choices and
        simplices. It may break a constraint."""
        recipe: Recipe = {}
        numbers = iter(uniform.tolist())
        for parameter in self.parameters:
            if isinstance(parameter, Fixed):
                recipe[parameter.name] = parameter.value
            elif isinstance(parameter, Mixture):
                recipe |= parameter.draw(np.array([next(numbers) for _ in parameter.components]))
            else:
                recipe[parameter.name] = parameter.draw(next(numbers))
        return self._without_absent(recipe)

    def _drawn(self, log2: int, seed: int) -> Iterator[Recipe]:
        engine = qmc.Sobol(self.dimensions, scramble=True, rng=np.random.default_rng(seed))
        for u in engine.random_base2(log2):
            yield self.draw(u)

    def snap(self, recipe: Recipe) -> Recipe:
        """``recipe`` on the grid of steps. Raises SearchSpaceError when the recipe is refused."""
        reason = self.refusal(recipe)
        if reason is not None:
            raise SearchSpaceError(reason)
        return self.decode(self._encoded(recipe))

    # --- for gradients ---

    def values_of(self, vectors: Any) -> dict[str, Any]:
        """The parameters' values for a tensor of vectors (..., d), differentiable where they are continuous."""
        found: dict[str, Any] = {}
        for i, c in enumerate(self.coordinates):
            code, p = vectors[..., i], c.parameter
            if isinstance(p, Mixture):
                found[c.name] = float(p.lowers[c.part]) + code * float(p.uppers[c.part] - p.lowers[c.part])
            elif isinstance(p, Continuous) and p.scale == "log":
                found[c.name] = p.lower * (p.upper / p.lower) ** code
            elif isinstance(p, Continuous | Integer):
                found[c.name] = p.lower + code * (p.upper - p.lower)
            elif isinstance(p, Ordinal):
                found[c.name] = self._levels_at(p, code)
            else:
                found[c.name] = code * 0.0
            when = getattr(p, "when", None)
            if when is not None:
                found[c.name] = found[c.name] * self._holds(vectors, when)
        for other in self.parameters:
            if isinstance(other, Fixed):
                found[other.name] = 0.0 if isinstance(other.value, str) else float(other.value)
        return found

    @staticmethod
    def _levels_at(parameter: Ordinal, code: Any) -> Any:
        """Piecewise linear between the levels."""
        if isinstance(parameter.levels[0], str):
            return code * 0.0
        levels = [float(level) for level in parameter.levels]
        t, value = code * (len(levels) - 1), levels[0]
        for k in range(len(levels) - 1):
            value = value + (levels[k + 1] - levels[k]) * (t - k).clip(0.0, 1.0)
        return value

    def _holds(self, vectors: Any, when: When) -> Any:
        place = next(i for i, c in enumerate(self.coordinates) if c.name == when.parameter)
        parent = self.coordinates[place].parameter
        codes = [parent.code(value) for value in when.one_of]  # type: ignore[union-attr,arg-type]
        return sum((abs(vectors[..., place] - code) < 1e-6) * 1.0 for code in codes)

    def equals_in(self, vectors: Any, name: str, choice: str) -> Any:
        """1 where a tensor of vectors has this choice, else 0."""
        place = next(i for i, c in enumerate(self.coordinates) if c.name == name)
        code = self.coordinates[place].parameter.code(choice)  # type: ignore[union-attr,arg-type]
        return (vectors[..., place] == code) * 1.0
