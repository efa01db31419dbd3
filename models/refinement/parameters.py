"""What is refined: named numbers with bounds, and what any model must answer to be refined.

A model has parameters and, at stated values, a curve (k,) and its derivatives. The engine
(:mod:`solvus.models.refinement.refine`) knows nothing else of it, so that G(r), powder patterns and small-angle
curves are refined by the same few lines, together or alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Slopes = dict[str, Floats]


class RefinementError(ValueError):
    """A refinement that cannot be: unknown parameters, too few points, a structure or a pattern that does not fit."""


@dataclass(frozen=True)
class Parameter:
    """One number of a model.

    Attributes
    ----------
    name : ``a``, ``u_Ce``, ``delta2``; the unit is in ``unit``.
    value : where it starts, or stays.
    lower, upper : bounds, both allowed.
    natural : a change that the curve shows clearly; the trust region is round in these units.
    reciprocal : fitted as 1 / value, in which the curve is nearer to linear (a diameter, where infinity is bulk).
    """

    name: str
    value: float
    lower: float
    upper: float
    natural: float
    unit: str = ""
    reciprocal: bool = False

    def __post_init__(self) -> None:
        numbers = (self.value, self.lower, self.upper, self.natural)
        if not all(math.isfinite(v) for v in numbers) or not self.lower < self.upper or self.natural <= 0:
            raise RefinementError(
                f"{self.name}: needs finite bounds lower < upper and a positive natural step"
            )
        if not self.lower <= self.value <= self.upper:
            raise RefinementError(
                f"{self.name}: {self.value:g} lies outside its bounds {self.lower:g} to {self.upper:g}"
            )

    def started(self, value: float) -> Parameter:
        """The same with another start; bounds that a start lies outside of are an error."""
        return replace(self, value=value)

    def inside(self, value: float) -> float:
        """The number that is fitted for a value, and the value for a fitted number."""
        return 1.0 / value if self.reciprocal else value

    def internal(self) -> tuple[float, float, float, float]:
        """Start, bounds and natural step of the fitted number."""
        if not self.reciprocal:
            return self.value, self.lower, self.upper, self.natural
        return 1.0 / self.value, 1.0 / self.upper, 1.0 / self.lower, self.natural / self.value**2


class Model(Protocol):
    """Something that can be refined."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All of them, free or not."""
        ...

    def curve(self, values: Mapping[str, float], wanted: Collection[str]) -> tuple[Floats, Slopes]:
        """The curve (k,) and its derivatives by the ``wanted`` parameters that it depends on."""
        ...
