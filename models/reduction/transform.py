"""From S(Q) or F(Q) = Q (S - 1) to G(r), with its uncertainty.

    G(r) = 2/pi  sum_k F(Q_k) w_k sin(Q_k r) dQ_k

Each sample stands for the cell around it, dQ_k = (Q_{k+1} - Q_{k-1}) / 2, which measured grids (uniform in Q, or in
2theta) need and which is what the programs of the field do; w is 1, or the Lorch window

    w(Q) = sin(pi Q / Qmax) / (pi Q / Qmax)                     E. Lorch, J. Phys. C 2, 229 (1969).

Q in 1/angstrom, r in angstrom.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvus.models.pattern import Pattern
from solvus.models.reduction.settings import ReductionError

Floats = NDArray[np.float64]
BLOCK = 256
"""Rows of G(r) done at once when uncertainties are propagated: keeps a block below 20 MB for 10,000 points in Q."""


def kernel(q: ArrayLike, r: ArrayLike, *, lorch: bool = False) -> Floats:
    """The matrix (k, m) with ``G = kernel @ F``.

    Parameters
    ----------
    q : (m,) increasing; r : (k,).
    """
    grid, distance = np.asarray(q, dtype=np.float64), np.asarray(r, dtype=np.float64)
    weight = 2.0 / math.pi * np.gradient(grid)
    if lorch:
        weight = weight * np.sinc(grid / grid[-1])
    rows: Floats = np.sin(np.outer(distance, grid)) * weight
    return rows


def reduced_structure_function(pattern: Pattern) -> Pattern:
    """F(Q) = Q (S - 1) of a pattern that holds S(Q) or F(Q)."""
    if pattern.quantity == "F":
        return pattern
    if pattern.quantity != "S":
        raise ReductionError(f"pattern: S(Q) or F(Q) is transformed, not {pattern.quantity}; reduce it first")
    return Pattern(
        quantity="F",
        x_unit="1/angstrom",
        x=pattern.x,
        y=pattern.x * (pattern.y - 1.0),
        dy=None if pattern.dy is None else pattern.x * pattern.dy,
        conditions=pattern.conditions,
    )


def to_pdf(
    pattern: Pattern,
    r: ArrayLike,
    *,
    qmin: float | None = None,
    qmax: float | None = None,
    lorch: bool = False,
) -> Pattern:
    """G(r) of a measured S(Q) or F(Q).

    Parameters
    ----------
    pattern : S or F on any grid of Q; points outside ``qmin`` .. ``qmax`` are left out.
    r : (k,) increasing, angstrom.

    Returns
    -------
    Pattern with ``dy`` where the input has it (points of F taken as independent), and Qmin and Qmax of the points used.

    Raises
    ------
    ReductionError
        When the pattern is not S or F or fewer than 20 points lie in the range.
    """
    f = reduced_structure_function(pattern)
    inside = np.ones(len(f.x), dtype=bool)
    if qmin is not None:
        inside &= f.x >= qmin
    if qmax is not None:
        inside &= f.x <= qmax
    if int(inside.sum()) < 20:
        raise ReductionError(
            f"qmin, qmax: only {int(inside.sum())} points lie between them; at least 20 are needed"
        )
    q, distance = f.x[inside], np.asarray(r, dtype=np.float64)
    rows = kernel(q, distance, lorch=lorch)
    dy = None if f.dy is None else np.sqrt(rows**2 @ f.dy[inside] ** 2)
    conditions = f.conditions.model_copy(update={"qmin": float(q[0]), "qmax": float(q[-1])})
    return Pattern(quantity="G", x=distance, y=rows @ f.y[inside], dy=dy, conditions=conditions)


def r_grid(rmin: float, rmax: float, rstep: float) -> Floats:
    """Multiples of ``rstep`` from ``rmin`` to ``rmax``, both included."""
    first, last = math.ceil(rmin / rstep - 1e-9), math.floor(rmax / rstep + 1e-9)
    # Rounding keeps 0.29 from being written as 0.29000000000000004.
    return np.round(np.arange(first, last + 1) * rstep, 10)
