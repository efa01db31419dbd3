"""What recipes must keep to, known beforehand: linear and nonlinear, between lower and upper limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from solvus.agent.planner.expressions import ExpressionError, compared_in, evaluate, names_in
from solvus.drivers.messages import Identifier

SLACK = 1e-9
"""Relative; what rounding leaves of a limit that is met."""


class _Limits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lower: float | None = None
    upper: float | None = None

    @property
    def text(self) -> str:
        raise NotImplementedError

    @property
    def names(self) -> frozenset[str]:
        raise NotImplementedError

    def amount(self, values: Mapping[str, Any], equals: Callable[[str, str], Any]) -> Any:
        """What is limited, for numbers or tensors by name."""
        raise NotImplementedError

    def applies(self, equals: Callable[[str, str], Any]) -> Any:
        """1 where a recipe has to keep to it, else 0; of the kind that ``equals`` gives."""
        return 1.0

    @model_validator(mode="after")
    def _limits_make_sense(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError(f"constraint {self.text}: has no limit; give lower or upper")
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise ValueError(
                f"constraint {self.text}: lower ({self.lower:g}) must be below upper ({self.upper:g}); "
                f"amounts that add up to a total are a mixture"
            )
        return self

    def excess(self, amount: Any) -> Any:
        """How far beyond the limits, 0 within; of the kind of ``amount``."""
        beyond: Any = 0.0
        if self.upper is not None:
            beyond = beyond + (amount - self.upper) * (amount > self.upper)
        if self.lower is not None:
            beyond = beyond + (self.lower - amount) * (amount < self.lower)
        return beyond

    def refusal(self, values: Mapping[str, Any], equals: Callable[[str, str], Any]) -> str | None:
        """One sentence that says why numbers break this, or ``None``."""
        if not self.applies(equals):
            return None
        amount = self.amount(values, equals)
        if not math.isfinite(amount):
            return f"constraint: {self.text} has no value here"
        if self.upper is not None and amount > self.upper + SLACK * max(1.0, abs(self.upper)):
            return f"constraint: {self.text} is {amount:g}, above {self.upper:g}"
        if self.lower is not None and amount < self.lower - SLACK * max(1.0, abs(self.lower)):
            return f"constraint: {self.text} is {amount:g}, below {self.lower:g}"
        return None


class LinearConstraint(_Limits):
    """lower <= sum of coefficient times value <= upper, in the parameters' own units; with ``when``, only for recipes
    that have one of these choices of every parameter named."""

    kind: Literal["linear"] = "linear"
    coefficients: dict[Identifier, float] = Field(min_length=1)
    when: dict[Identifier, tuple[str, ...]] = {}

    @property
    def text(self) -> str:
        return " + ".join(f"{c:g} {name}" for name, c in sorted(self.coefficients.items()))

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.coefficients)

    @property
    def compared(self) -> frozenset[tuple[str, str]]:
        return frozenset((name, choice) for name, choices in self.when.items() for choice in choices)

    def applies(self, equals: Callable[[str, str], Any]) -> Any:
        holds: Any = 1.0
        for name, choices in sorted(self.when.items()):
            holds = holds * sum(equals(name, choice) for choice in choices)
        return holds

    def amount(self, values: Mapping[str, Any], equals: Callable[[str, str], Any]) -> Any:
        total: Any = 0.0
        for name, coefficient in sorted(self.coefficients.items()):
            total = total + coefficient * values[name]
        return total


class NonlinearConstraint(_Limits):
    """lower <= expression <= upper, such as ``temperature * reaction_time`` at most 9000."""

    kind: Literal["nonlinear"] = "nonlinear"
    expression: str

    @model_validator(mode="after")
    def _is_arithmetic(self) -> Self:
        try:
            names_in(self.expression)
        except ExpressionError as error:
            raise ValueError(f"constraint {error}") from error
        return self

    @property
    def text(self) -> str:
        return self.expression

    @property
    def names(self) -> frozenset[str]:
        return names_in(self.expression)

    @property
    def compared(self) -> frozenset[tuple[str, str]]:
        return compared_in(self.expression)

    def amount(self, values: Mapping[str, Any], equals: Callable[[str, str], Any]) -> Any:
        return evaluate(self.expression, values, equals)


Constraint = Annotated[LinearConstraint | NonlinearConstraint, Field(discriminator="kind")]
