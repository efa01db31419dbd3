"""A pattern as the encoder takes it: G(r) on one grid, without scale, beside the conditions it was taken under.

Any grid, range and radiation ends here. r in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

R_STEP = 0.1
"""angstrom: below pi / Qmax for every Qmax up to 31."""
R_POINTS = 300
GRID: Floats = np.arange(1, R_POINTS + 1, dtype=np.float64) * R_STEP
"""0.1 to 30 angstrom."""
MEASURED_FROM = 1.2
"""angstrom: what lies below says more of the reduction than of the sample and does not count for the scale."""
LARGEST = 12.0
"""Root mean squares: what stands out more is an artefact."""
UNKNOWN_QDAMP = 0.03
"""1/angstrom, usual for an area detector."""
CONDITIONS = 8
INPUTS = R_POINTS + CONDITIONS


@dataclass(frozen=True)
class Range:
    """The conditions of n patterns, each (n,): limits of the transform and of r, damping (NaN: not known), neutrons."""

    qmin: Floats
    qmax: Floats
    qdamp: Floats
    r_first: Floats
    r_last: Floats
    neutron: NDArray[np.bool_]

    @staticmethod
    def same(
        n: int,
        *,
        qmin: float,
        qmax: float,
        qdamp: float,
        r_first: float,
        r_last: float,
        neutron: bool = False,
    ) -> Range:
        """The same for n patterns."""
        limits = (
            np.full(n, qmin),
            np.full(n, qmax),
            np.full(n, qdamp),
            np.full(n, r_first),
            np.full(n, r_last),
        )
        return Range(*limits, np.full(n, neutron))


def on_grid(r: Floats, g: Floats) -> Floats:
    """G at ``GRID``; zero outside the range of r: (300,)."""
    inside = (r[0] - 1e-9 <= GRID) & (r[-1] + 1e-9 >= GRID)
    values = np.zeros(R_POINTS)
    values[inside] = CubicSpline(r, g)(GRID[inside])
    return values


def inputs(g: NDArray[np.floating], conditions: Range) -> Singles:
    """What the encoder reads: (n, 308).

    Parameters
    ----------
    g : (n, 300) on ``GRID``; what lies outside each pattern's range of r is dropped.
    """
    seen = (conditions.r_first[:, None] - 1e-9 <= GRID) & (conditions.r_last[:, None] + 1e-9 >= GRID)
    counted = seen & (GRID >= MEASURED_FROM)
    square = np.where(counted, g, 0.0) ** 2
    scale = np.sqrt(square.sum(axis=1) / np.maximum(counted.sum(axis=1), 1))
    scaled = np.where(seen, g, 0.0) / np.where(scale > 0, scale, 1.0)[:, None]
    known = np.isfinite(conditions.qdamp)
    columns = np.stack(
        [
            conditions.qmin - 0.8,
            (conditions.qmax - 18.0) / 6.0,
            (np.where(known, conditions.qdamp, UNKNOWN_QDAMP) - UNKNOWN_QDAMP) / 0.02,
            known - 0.5,
            conditions.r_first - 0.8,
            (conditions.r_last - 22.0) / 6.0,
            conditions.neutron - 0.5,
            np.log(np.maximum(counted.sum(axis=1), 1) / 200.0),
        ],
        axis=1,
    )
    return np.concatenate([np.clip(scaled, -LARGEST, LARGEST), columns], axis=1).astype(np.float32)
