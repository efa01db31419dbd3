"""The answer of a refinement: values with uncertainties, agreement, verdict and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.marquardt import Verdict
from solvus.models.refinement.noise import Noise
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Value:
    """A parameter after the fit; ``uncertainty`` (one standard deviation) is ``None`` for fixed ones and on a bound."""

    value: float
    uncertainty: float | None
    free: bool
    unit: str


@dataclass(frozen=True)
class Curve:
    """Observed and calculated points of one pattern, with R_w = sqrt(sum w^2 (obs - calc)^2 / sum w^2 obs^2)."""

    label: str
    x: Floats
    observed: Floats
    calculated: Floats
    r_w: float

    @property
    def difference(self) -> Floats:
        return self.observed - self.calculated


@dataclass(frozen=True)
class Refinement:
    """What a refinement found.

    Attributes
    ----------
    values : all parameters by name.
    free : names of the refined ones, in the order of ``correlation`` (f, f).
    curves : one for each pattern; ``r_w`` : root mean square of theirs.
    chi_square : sum of squares over the uncertainties of the points, ``None`` where the data state none;
        ``degrees`` : points less parameters.
    verdict : ``"converged"``, ``"stuck"`` or ``"limit"``.
    noise : the model of the data's errors behind the uncertainties.
    records : refined structures by label.
    notes : what else a reader must know.
    """

    values: dict[str, Value]
    free: tuple[str, ...]
    correlation: Floats
    curves: tuple[Curve, ...]
    r_w: float
    chi_square: float | None
    degrees: int
    verdict: Verdict
    evaluations: int
    noise: Noise
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    records: dict[str, Record] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.values[name].value

    def uncertainty(self, name: str) -> float | None:
        return self.values[name].uncertainty

    @property
    def converged(self) -> bool:
        return self.verdict == "converged"

    def document(self) -> dict[str, Any]:
        """Everything but the curves, as JSON holds it."""
        return {
            "verdict": self.verdict,
            "r_w": self.r_w,
            "chi_square": self.chi_square,
            "degrees_of_freedom": self.degrees,
            "evaluations": self.evaluations,
            "noise": self.noise,
            "parameters": {
                name: {
                    "value": v.value,
                    "uncertainty": v.uncertainty,
                    "free": v.free,
                    "unit": v.unit,
                }
                for name, v in self.values.items()
            },
            "correlations": {
                f"{a} {b}": round(float(self.correlation[i, j]), 4)
                for i, a in enumerate(self.free)
                for j, b in enumerate(self.free)
                if j < i
            },
            "patterns": [{"label": c.label, "r_w": c.r_w, "points": len(c.x)} for c in self.curves],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }
