"""G(r) of many structures under many conditions from their short curves of F(Q): one fast transform for each.

    G(r) = 2/pi sum_j F(q_j) exp(-du (q_j / e)^2) sin(q_j r / e) dq / e^2,        Qmin e <= q_j <= Qmax e,

with e the stretch of all distances and du a displacement beside the curve's own, angstrom^2; q_j are the odd multiples
of dq / 2, dq = pi / reach (:mod:`solvus.models.recognition.signatures`). The transform gives steps of ``reach / FINE``
before the stretch, between which straight lines are drawn. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dst

from solvus.models.recognition.canonical import GRID, Range

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

FINE = 3200
"""Points of the transform: steps of 0.0125 angstrom for a reach of 40."""


def curves(
    f: Singles, reach: float, stretch: Floats, extra: Floats, conditions: Range, r: Floats = GRID
) -> Floats:
    """G, without the damping of instrument and size: (n, len(r)).

    Parameters
    ----------
    f : (n, m); reach : of them.
    stretch, extra : (n,) factor on distances, and displacement beside that of f.
    conditions : of n patterns; Qmin and Qmax are used.
    r : increasing, at most ``reach`` less a little, times the stretch.
    """
    dq = math.pi / reach
    q = np.asarray(dq * (np.arange(f.shape[1]) + 0.5), dtype=np.float32)
    e = stretch[:, None].astype(np.float32)
    low = ((conditions.qmin * stretch)[:, None] - (q - 0.5 * dq)) / dq
    high = ((conditions.qmax * stretch)[:, None] - (q - 0.5 * dq)) / dq
    # Each sample stands for a bin, which a limit of Q may cut.
    share = (np.clip(high, 0.0, 1.0) - np.clip(low, 0.0, 1.0)).astype(np.float32)
    weighted = f * share * np.exp(-extra[:, None].astype(np.float32) * (q / e) ** 2)
    fine = np.asarray(dst(weighted, type=2, n=FINE, axis=1))  # at r = reach k / FINE, k = 1 ... FINE
    position = r / stretch[:, None] * (FINE / reach) - 1.0
    base = np.clip(position.astype(np.int64), 0, FINE - 2)
    t = np.clip(position - base, 0.0, 1.0)
    left = np.take_along_axis(fine, base, axis=1)
    right = np.take_along_axis(fine, base + 1, axis=1)
    g: Floats = (left + (right - left) * t) * (dq / math.pi) / stretch[:, None] ** 2
    return g


def sphere(diameter: Floats, r: Floats = GRID) -> Floats:
    """Shape function of spheres of n diameters, which may be infinite: (n, len(r))."""
    x = np.minimum(r / diameter[:, None], 1.0)
    return np.asarray(1.0 - (1.5 - 0.5 * x * x) * x)


def damping(qdamp: Floats, r: Floats = GRID) -> Floats:
    """Of the instrument; none where it is not known: (n, len(r))."""
    return np.asarray(np.exp(-0.5 * (np.nan_to_num(qdamp)[:, None] * r) ** 2))
