"""From F(Q) to G(r): the sine transform as a matrix.

    G(r) = 2/pi  integral_{Qmin}^{Qmax} F(Q) sin(Q r) dQ  exp(-(qdamp r)^2 / 2)

Q in 1/angstrom, r in angstrom, F in 1/angstrom, G in 1/angstrom^2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def sine_kernel(q: ArrayLike, r: ArrayLike, qdamp: float = 0.0) -> Floats:
    """The matrix (m, k) with ``G = F @ kernel``, by the trapezium rule.

    Parameters
    ----------
    q : (m,) uniform grid from Qmin to Qmax, both included.
    r : (k,) any grid.

    Raises
    ------
    ValueError
        When the Q grid is not uniform and increasing.
    """
    grid, distance = np.asarray(q, dtype=np.float64), np.asarray(r, dtype=np.float64)
    steps = np.diff(grid)
    if len(grid) < 2 or not (np.abs(steps - steps.mean()) <= 1e-6 * steps.mean()).all():
        raise ValueError("q: needs a uniform, increasing grid for the transform to G(r)")
    weight = np.full(len(grid), 2.0 / math.pi * steps.mean())
    weight[[0, -1]] *= 0.5
    kernel: Floats = np.sin(np.outer(grid, distance))
    kernel *= weight[:, None]
    kernel *= np.exp(-0.5 * (qdamp * distance) ** 2)
    return kernel


def q_grid(qmin: float, qmax: float, reach: float) -> Floats:
    """Uniform grid from ``qmin`` to ``qmax``, fine enough for distances up to ``reach`` = r_max + d_max.

    The trapezium rule repeats G with period 2 pi / dq, so dq must be below 2 pi / reach; one third of that
    also keeps the tails of the termination ripples, which fall off as 1/r, from folding back (to 0.3 % of G).
    """
    count = max(2, math.ceil((qmax - qmin) * 3.0 * reach / (2.0 * math.pi)) + 1)
    return np.linspace(qmin, qmax, count)
