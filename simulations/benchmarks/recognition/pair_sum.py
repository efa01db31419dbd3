"""G(r) of a cluster by the plain sum over its pairs, with correlated motion, in NumPy.

For the peers whose published patterns have delta2, which DebyeCalculator does not know:

    F(Q) = 1 / (N <f>^2) sum_{i != j} f_i f_j exp(-s_ij^2 Q^2 / 2) sin(Q d_ij) / d_ij,
    s_ij^2 = (U_i + U_j) (1 - delta2 / d_ij^2), nought where that is negative,
    G(r) = 2/pi sum_Q F(Q) sin(Q r) dQ exp(-(qdamp r)^2 / 2).

As DebyePDFCalculator of diffpy.srreal (C. L. Farrow, S. J. L. Billinge, Acta Cryst. A65, 232 (2009)), with the form
factors of Waasmaier and Kirfel as `periodictable` has them, and nothing of our own engine. Lengths in angstrom, Q in
1/angstrom, U in angstrom^2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from periodictable.cromermann import fxrayatq
from scipy.spatial.distance import cdist, pdist

Floats = NDArray[np.float64]

Q_STEP = math.pi / 72.0
"""1/angstrom; see :data:`solvus.simulations.benchmarks.recognition.peers.Q_STEP`."""
DECIMALS = 5
"""Distances that agree so far count as one."""
NOTHING = 1e-8
"""angstrom: atoms nearer than this share a site."""


def cluster_pdf(
    species: Sequence[str],
    positions: Floats,
    r: Floats,
    *,
    qmin: float,
    qmax: float,
    qdamp: float,
    u_iso: float | Mapping[str, float],
    delta2: float,
) -> Floats:
    """G at ``r``: (n,).

    Parameters
    ----------
    positions : (atoms, 3).
    u_iso : one for all atoms, or one for each element.
    """
    q = np.asarray(
        (np.arange(math.floor(qmin / Q_STEP), math.ceil(qmax / Q_STEP)) + 0.5) * Q_STEP, dtype=np.float64
    )
    q = q[(q >= qmin) & (q <= qmax)]
    g = (
        2.0
        / math.pi
        * Q_STEP
        * (np.sin(np.outer(r, q)) @ reduced_factor(species, positions, q, u_iso, delta2))
    )
    return np.asarray(g * np.exp(-0.5 * (qdamp * r) ** 2))


def reduced_factor(
    species: Sequence[str],
    positions: Floats,
    q: Floats,
    u_iso: float | Mapping[str, float],
    delta2: float,
) -> Floats:
    """F at ``q``: (m,)."""
    names = np.array(species)
    kinds = sorted(set(species))
    f = {kind: np.asarray(fxrayatq(kind, q)) for kind in kinds}
    mean = sum(float((names == kind).mean()) * f[kind] for kind in kinds)
    total = np.zeros_like(q)
    for one, other in combinations_with_replacement(kinds, 2):
        if one == other:
            distances = pdist(positions[names == one])
        else:
            distances = cdist(positions[names == one], positions[names == other]).ravel()
        width2 = 2.0 * u_iso if isinstance(u_iso, float) else u_iso[one] + u_iso[other]
        total += 2.0 * f[one] * f[other] * _damped_sines(distances, q, width2, delta2)
    return np.asarray(total / (len(names) * mean**2))


def _damped_sines(distances: Floats, q: Floats, far_width2: float, delta2: float) -> Floats:
    """Sum of exp(-s^2 q^2 / 2) sin(q d) / d over the distances: (m,)."""
    d, number = np.unique(np.round(distances[distances > NOTHING], DECIMALS), return_counts=True)
    d = np.maximum(d, NOTHING)
    width2 = far_width2 * np.maximum(1.0 - delta2 / d**2, 0.0)
    total = np.zeros_like(q)
    for start in range(0, len(d), 2000):  # blocks bound the memory
        part = slice(start, start + 2000)
        damping = np.exp(-0.5 * np.outer(width2[part], q**2))
        total += (number[part] / d[part]) @ (damping * np.sin(np.outer(d[part], q)))
    return total
