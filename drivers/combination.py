"""Limits on several parameters together: a weighted sum that must stay between bounds, always or for some choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

SLACK = 1e-9
"""Relative; a sum that rounding alone puts over its bound is within it."""

_Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
_Weight = Annotated[float, Field(allow_inf_nan=False)]


class Combination(BaseModel):
    """``at_least <= sum of weight * value <= at_most``.

    Attributes
    ----------
    name : what people call it, such as ``total volume`` or ``boiling point of ethanol``.
    terms : the weight of each numeric parameter.
    unit : of the sum; where all weights are 1 it must be the unit of every parameter in it.
    when : only for recipes with one of these choices; always when left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    terms: dict[_Id, _Weight] = Field(min_length=1)
    unit: Annotated[str, StringConstraints(max_length=40)] = ""
    at_least: float | None = None
    at_most: float | None = None
    when: dict[_Id, tuple[str, ...]] = {}

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"{self.name}: give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and not self.at_least < self.at_most:
            raise ValueError(f"{self.name}: at_least must be below at_most")
        if not any(self.terms.values()):
            raise ValueError(f"{self.name}: all weights are 0; leave the combination out")
        return self

    def applies(self, values: Mapping[str, float | str]) -> bool:
        return all(values.get(name) in choices for name, choices in self.when.items())

    def refusal(self, values: Mapping[str, float | str]) -> str | None:
        """One sentence that says why ``values`` are not acceptable together, or ``None``."""
        if not self.applies(values):
            return None
        parts = [weight * float(values[name]) for name, weight in self.terms.items()]
        total, slack = math.fsum(parts), SLACK * math.fsum(map(abs, parts))
        if self.at_most is not None and not total <= self.at_most + slack:
            return (
                f"{self.name}: {self._sum()} is {self._amount(total)}, more than {self._amount(self.at_most)}"
            )
        if self.at_least is not None and not total >= self.at_least - slack:
            return f"{self.name}: {self._sum()} is {self._amount(total)}, less than {self._amount(self.at_least)}"
        return None

    def _sum(self) -> str:
        return " + ".join(n if w == 1.0 else f"{w:g} {n}" for n, w in self.terms.items())

    def _amount(self, value: float) -> str:
        return f"{value:g} {self.unit}".rstrip()
