"""Point groups as matrices, and how they act on a cluster.

An operation is a (3, 3) orthogonal matrix R about the origin, x' = R x, with x in angstrom as a column.
A group is closed under multiplication: (g, 3, 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from solvus.models.structures.record import Floats

Integers = NDArray[np.int64]

LARGEST_GROUP = 120
"""Order of the icosahedral group Ih: a closure that grows beyond it has generators that belong to no group."""
SAME_MATRIX = 1e-6
"""Matrices whose elements agree to this are one operation."""


def rotation(axis: ArrayLike, order: int) -> Floats:
    """Turn by 2 pi / order about an axis (3,), after Rodrigues."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = 2.0 * np.pi / order
    turned: Floats = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    return turned


def reflection(normal: ArrayLike) -> Floats:
    """Mirror through the plane with this normal (3,)."""
    n = np.asarray(normal, dtype=np.float64) / np.linalg.norm(normal)
    mirrored: Floats = np.eye(3) - 2.0 * np.outer(n, n)
    return mirrored


def group_of(*generators: Floats) -> Floats:
    """All products of the generators, the identity first: (g, 3, 3).

    Raises
    ------
    ValueError
        When the generators make more operations than any point group with axes up to the fifth order here.
    """
    members = [np.eye(3)]
    for member in members:
        for generator in generators:
            product = generator @ member
            if not any(np.allclose(product, known, atol=SAME_MATRIX) for known in members):
                members.append(product)
        if len(members) > LARGEST_GROUP:
            raise ValueError("generators: they make no point group of up to 120 operations; check their axes")
    return np.array(members)


def permutations(group: Floats, species: Sequence[str], positions: Floats, tolerance: float) -> Integers:
    """Where each operation puts each atom: (g, n), -1 where no atom of the kind lies within ``tolerance``."""
    found = np.full((len(group), len(positions)), -1, dtype=np.int64)
    for name in set(species):
        own = np.flatnonzero(np.array(species) == name)
        images = np.einsum("gij,nj->gni", group, positions[own])
        away = cdist(images.reshape(-1, 3), positions[own]).reshape(len(group), len(own), len(own))
        found[:, own] = np.where(away.min(axis=-1) > tolerance, -1, own[away.argmin(axis=-1)])
    return found


def kept_by(group: Floats, species: Sequence[str], positions: Floats, tolerance: float) -> Floats:
    """The operations of the group that map the atoms onto themselves: (h, 3, 3)."""
    places = permutations(group, species, positions, tolerance)
    return group[(places >= 0).all(axis=1)]


def invariant_moves(group: Floats, places: Integers) -> Floats:
    """Basis of the displacements that keep the symmetry: (3 n, p), each column of unit length.

    A site moves within the space that its own stabiliser leaves alone; the atoms of its orbit follow.

    Parameters
    ----------
    group : (g, 3, 3); places : (g, n), from :func:`permutations`, without -1.
    """
    n = places.shape[1]
    columns: list[Floats] = []
    for site in range(n):
        orbit = places[:, site]
        if orbit.min() < site:
            continue
        mean = group[orbit == site].mean(axis=0)
        axes, strengths, _ = np.linalg.svd(mean)
        for axis in axes.T[strengths > 0.5]:  # eigenvalues of a projector are 0 or 1
            move = np.zeros((n, 3))
            move[orbit] = group @ axis
            columns.append(move.ravel() / np.linalg.norm(move))
    return np.array(columns).T
