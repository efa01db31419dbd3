"""A structure as the encoder takes it: numbers that neither the order of the atoms nor a rotation changes.

The pattern that the structure would give under standard conditions (``PATTERN`` values of G at one bond length), the
shares of its atoms with each number of neighbours, the shares of the angles between neighbours, the shape (ratios of
the moments of inertia) and the number of atoms.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvus.models.recognition.canonical import GRID, Range, inputs
from solvus.models.recognition.curves import curves
from solvus.models.recognition.geometry_curves import GEOMETRY_REACH
from solvus.models.structures.elements import CONTACT

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

QMIN, QMAX = 0.6, 25.0
"""1/angstrom, of the pattern."""
STANDARD_U = 0.004
"""angstrom^2."""
PATTERN = len(GRID)
NEIGHBOURS = 15
ANGLES = 36
COUNT = PATTERN + NEIGHBOURS + ANGLES + 3
SAMPLED = 2000
"""Atoms whose neighbours are looked at, evenly chosen: a particle of 31,000 is known from fewer."""


def standard_patterns(rows: Singles) -> Singles:
    """G of geometries under the standard conditions, scaled: (n, PATTERN).

    Parameters
    ----------
    rows : (n, m) short curves of atoms that do not move
        (:func:`solvus.models.recognition.geometry_curves.geometry_row`).
    """
    n = len(rows)
    conditions = Range.same(n, qmin=QMIN, qmax=QMAX, qdamp=0.0, r_first=GRID[0], r_last=GRID[-1])
    g = curves(rows, GEOMETRY_REACH, np.ones(n), np.full(n, STANDARD_U), conditions)
    scaled: Singles = inputs(g, conditions)[:, :PATTERN]
    return scaled


def local_order(positions: Floats) -> Singles:
    """Neighbours, angles, shape and size of a unit geometry: (COUNT - PATTERN,).

    Parameters
    ----------
    positions : (n, 3), mean contact distance 1.
    """
    n = len(positions)
    tree = cKDTree(positions)
    chosen = np.unique(np.linspace(0, n - 1, min(n, SAMPLED)).astype(int))
    near = tree.query(positions[chosen], k=min(n, NEIGHBOURS), distance_upper_bound=CONTACT)
    distances, numbers = near[0][:, 1:], near[1][:, 1:]
    there = np.isfinite(distances)
    coordination = np.bincount(there.sum(axis=1), minlength=NEIGHBOURS)[:NEIGHBOURS] / len(chosen)
    vectors = positions[np.where(there, numbers, 0)] - positions[chosen][:, None]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-9)
    cosine = np.einsum("aid,ajd->aij", vectors, vectors)
    upper = np.triu(np.ones(cosine.shape[1:], dtype=bool), 1)
    pairs = there[:, :, None] & there[:, None, :] & upper
    degrees = np.degrees(np.arccos(np.clip(cosine[pairs], -1.0, 1.0)))
    angles = np.histogram(degrees, bins=ANGLES, range=(0.0, 180.0 + 1e-6))[0] / max(1, len(degrees))
    moments = np.linalg.eigvalsh(np.cov(positions.T)) + 1e-3
    shape = [math.log(moments[1] / moments[0]), math.log(moments[2] / moments[1])]
    return np.concatenate([coordination, 4.0 * angles, shape, [math.log(n) / 3.0 - 1.5]]).astype(np.float32)
