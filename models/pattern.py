"""The Pattern: one measured or simulated curve together with the conditions it was taken under.

Light on purpose (numpy and pydantic only): drivers import it on small machines beside instruments.

Units are fixed and written into the data: r in angstrom, Q in 1/angstrom, G(r) in 1/angstrom^2,
F(Q) in 1/angstrom, S(Q) without unit. A curve in nanometres is refused here and nowhere else silently
rescaled, because 1/nm taken for 1/angstrom is the classic silent corruption.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

FloatVector = NDArray[np.float64]


class PatternError(ValueError):
    """A pattern that cannot be used; the message names the field and the fix in one sentence."""


def _as_vector(value: Any) -> FloatVector:
    """A read-only float64 copy of a one-dimensional list of numbers; strings and booleans are not numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError("must be a list of numbers")
    vector = np.array(array, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError("must be a flat list of numbers")
    vector.setflags(write=False)
    return vector


Vector = Annotated[
    FloatVector,
    BeforeValidator(_as_vector),
    PlainSerializer(lambda v: v.tolist(), return_type=list[float]),
    WithJsonSchema({"type": "array", "items": {"type": "number"}}),
]

Quantity = Literal["G", "F", "S", "I"]
"""``G``: reduced PDF G(r); ``F``: Q(S-1); ``S``: S(Q); ``I``: raw I(Q)."""

X_UNIT_OF: dict[str, str] = {"G": "angstrom", "F": "1/angstrom", "S": "1/angstrom", "I": "1/angstrom"}

MIN_POINTS = 20
"""Fewer points than this are no curve: 20 points cannot hold one coordination shell and its surroundings."""


class Conditions(BaseModel):
    """How a pattern was taken. What is not known is ``None``, never a guess.

    Attributes
    ----------
    radiation : ``"xray"`` or ``"neutron"``.
    qmin, qmax : range of the transform, 1/angstrom.
    qdamp : Gaussian damping of G(r) by the Q-resolution, 1/angstrom: exp(-(qdamp r)^2 / 2).
    qbroad : growth of peak widths with r, 1/angstrom.
    wavelength : angstrom.
    composition : chemical formula of the sample as the measuring program recorded it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    radiation: Literal["xray", "neutron"] = "xray"
    qmin: float | None = Field(default=None, ge=0.0, lt=50.0)
    qmax: float | None = Field(default=None, gt=0.0, le=100.0)
    qdamp: float | None = Field(default=None, ge=0.0, lt=1.0)
    qbroad: float | None = Field(default=None, ge=0.0, lt=1.0)
    wavelength: float | None = Field(default=None, gt=0.0, lt=20.0)
    composition: str | None = Field(default=None, max_length=200)

    @model_validator(mode="after")
    def _range_is_a_range(self) -> Self:
        if self.qmin is not None and self.qmax is not None and self.qmin >= self.qmax:
            raise ValueError(f"qmin ({self.qmin:g}) must be below qmax ({self.qmax:g}), both in 1/angstrom")
        return self


class Pattern(BaseModel):
    """One curve with its conditions.

    Attributes
    ----------
    quantity : which function ``y`` holds.
    x_unit : ``"angstrom"`` for G(r), ``"1/angstrom"`` for functions of Q; anything else is refused.
    x, y : float64 vectors of equal length (n,), ``x`` strictly increasing.
    dy : standard uncertainty of ``y``, or ``None``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    quantity: Quantity = "G"
    x_unit: Literal["angstrom", "1/angstrom"] = "angstrom"
    x: Vector
    y: Vector
    dy: Vector | None = None
    conditions: Conditions = Conditions()

    @model_validator(mode="after")
    def _is_a_curve(self) -> Self:
        if self.x_unit != X_UNIT_OF[self.quantity]:
            raise ValueError(
                f"x_unit: {self.quantity} is a function in {X_UNIT_OF[self.quantity]}, "
                f"not {self.x_unit}; convert the first column"
            )
        if len(self.x) != len(self.y):
            raise ValueError(f"x has {len(self.x)} points and y {len(self.y)}; both need the same number")
        if len(self.x) < MIN_POINTS:
            raise ValueError(f"x: {len(self.x)} points are no curve; at least {MIN_POINTS} are needed")
        columns = {"x": self.x, "y": self.y} | ({} if self.dy is None else {"dy": self.dy})
        for name, column in columns.items():
            if not np.isfinite(column).all():
                raise ValueError(f"{name}: NaN or infinite at point {int(np.argmin(np.isfinite(column)))}")
        if not (np.diff(self.x) > 0).all():
            raise ValueError(f"x: not increasing after point {int(np.argmin(np.diff(self.x) > 0))}")
        if self.x[0] < 0:
            raise ValueError("x: negative distances or Q values")
        if self.dy is not None and (len(self.dy) != len(self.y) or (self.dy < 0).any()):
            raise ValueError("dy: needs one non-negative uncertainty for each point")
        return self

    @property
    def canonical_json(self) -> str:
        """JSON text with sorted keys and no spaces: equal patterns give equal text."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False
        )

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON text of this pattern: its identity in the ledger."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.model_dump(mode="json") == other.model_dump(mode="json")

    def __hash__(self) -> int:
        return hash(self.sha256)
