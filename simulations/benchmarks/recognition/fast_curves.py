"""Many G(r) of one cluster under many conditions at once: what a peer's training set is simulated with.

Formula, form factors and grid of Q are those of :mod:`solvus.simulations.benchmarks.recognition.pair_sum`. F(Q) is a
smooth function of U, a sum over distances d of

    exp(-U w Q^2) sin(Q d) / d,        w = 1 - delta2 / d^2, nought where that is negative,

so it is summed up at ``NODES`` Chebyshev points of the range of U only, and the polynomial through them gives it
anywhere between; all curves of a cluster then are one product of matrices. They differ from those of the plain sum by
less than ``TOLERANCE`` of the highest peak, for U from 0.001 to 0.013 and Q up to 25. Lengths in angstrom, Q in
1/angstrom, U in angstrom^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from periodictable.cromermann import fxrayatq
from scipy.spatial.distance import cdist, pdist

from solvus.simulations.benchmarks.recognition.pair_sum import DECIMALS, NOTHING, Q_STEP

Floats = NDArray[np.float64]

TOLERANCE = 1e-5
"""Of the highest peak; 5e-10 was measured."""
NODES = 12
"""For U Q^2 from 0.8 to 7.9, as B from 0.1 to 1 makes it at Q = 25, the polynomial misses exp(-U Q^2) by at most 2e-6
(the remainder of Chebyshev interpolation, 7.1^12 / (2^23 12!) exp(-0.8))."""
BLOCK = 256
"""Distances at a time: a block of sines fits the cache of a processor."""


@dataclass(frozen=True)
class Measurements:
    """Conditions of n curves: (n,) each."""

    qmin: Floats
    qmax: Floats
    qdamp: Floats
    u_iso: Floats


def cluster_pdfs(
    species: Sequence[str], positions: Floats, r: Floats, under: Measurements, *, delta2: float
) -> Floats:
    """G at ``r`` (m,) under each of n conditions: (n, m).

    Parameters
    ----------
    species : element of each atom; positions : (atoms, 3).
    delta2 : angstrom^2, of correlated motion.
    """
    q = np.asarray((np.arange(math.ceil(under.qmax.max() / Q_STEP)) + 0.5) * Q_STEP, dtype=np.float64)
    nodes = chebyshev.chebpts1(NODES)
    middle = 0.5 * (under.u_iso.max() + under.u_iso.min())
    half = max(under.u_iso.max() - middle, NOTHING)  # of equal values any width will do
    at_nodes = _reduced_factors(species, positions, q, middle + half * nodes, delta2)
    between = _polynomials((under.u_iso - middle) / half, nodes)
    seen = (q >= under.qmin[:, None]) & (q <= under.qmax[:, None])
    g = 2.0 / math.pi * Q_STEP * ((between @ at_nodes) * seen) @ np.sin(np.outer(q, r))
    return np.asarray(g * np.exp(-0.5 * np.square(np.outer(under.qdamp, r))))


def _polynomials(values: Floats, nodes: Floats) -> Floats:
    """Weights of what is known at ``nodes`` (k,) in the polynomial at ``values`` (n,), all from -1 to 1: (n, k)."""
    degree = len(nodes) - 1
    there = chebyshev.chebvander(values, degree)
    return np.asarray(there @ np.linalg.inv(chebyshev.chebvander(nodes, degree)))


def _reduced_factors(
    species: Sequence[str], positions: Floats, q: Floats, u_iso: Floats, delta2: float
) -> Floats:
    """F at ``q`` (m,) for each of ``u_iso`` (k,): (k, m)."""
    names = np.array(species)
    kinds = sorted(set(species))
    f = {kind: np.asarray(fxrayatq(kind, q)) for kind in kinds}
    mean = sum(float((names == kind).mean()) * f[kind] for kind in kinds)
    total = np.zeros((len(u_iso), len(q)))
    for one, other in combinations_with_replacement(kinds, 2):
        if one == other:
            distances = pdist(positions[names == one])
        else:
            distances = cdist(positions[names == one], positions[names == other]).ravel()
        total += 2.0 * f[one] * f[other] * _damped_sines(distances, q, u_iso, delta2)
    return np.asarray(total / (len(names) * mean**2))


def _damped_sines(distances: Floats, q: Floats, u_iso: Floats, delta2: float) -> Floats:
    """Sum of exp(-s^2 q^2 / 2) sin(q d) / d over the distances, for each U: (k, m)."""
    d, number = np.unique(np.round(distances[distances > NOTHING], DECIMALS), return_counts=True)
    d = np.maximum(d, NOTHING)
    shrunk = np.maximum(1.0 - delta2 / np.square(d), 0.0)
    total = np.zeros((len(u_iso), len(q)))
    for start in range(0, len(d), BLOCK):
        part = slice(start, start + BLOCK)
        sines = np.sin(np.outer(d[part], q)) * (number[part] / d[part])[:, None]
        exponent = np.outer(shrunk[part], -np.square(q))
        for k, u in enumerate(u_iso):
            total[k] += np.einsum("dq,dq->q", np.exp(u * exponent), sines)
    return total
