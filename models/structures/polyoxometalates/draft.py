"""A cluster before relaxation: its atoms roughly in place, who binds how many oxygens, and its point group.

Lengths in angstrom. Hydrogen and counter-ions are left out everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from solvus.models.structures.polyoxometalates.symmetry import group_of, kept_by, permutations
from solvus.models.structures.record import Floats

DRAFT_TOLERANCE = 0.4
"""angstrom: how far a draft may be from its symmetry. The nearest atoms of a kind are never less than 2 apart."""


@dataclass(frozen=True)
class Draft:
    """Atoms roughly in place.

    Attributes
    ----------
    species : n elements; positions : (n, 3), centred on their mean.
    coordination : n numbers of oxygen neighbours; 0 for oxygen itself.
    group : (g, 3, 3) operations about the origin.
    """

    species: tuple[str, ...]
    positions: Floats
    coordination: tuple[int, ...]
    group: Floats

    def without(self, gone: Sequence[int]) -> Draft:
        """The same with some atoms removed, and the symmetry that is left."""
        kept = [i for i in range(len(self.species)) if i not in set(gone)]
        return draft(
            [self.species[i] for i in kept],
            self.positions[kept],
            [self.coordination[i] for i in kept],
            parent=self.group,
        )

    def where(self, element: str) -> NDArray[np.int64]:
        """Indices of the atoms of an element."""
        found: NDArray[np.int64] = np.flatnonzero(np.array(self.species) == element)
        return found

    @cached_property
    def around(self) -> list[NDArray[np.int64]]:
        """Of each atom the oxygens bound to it, nearest first; of an oxygen nothing."""
        oxygen = self.where("O")
        away = cdist(self.positions, self.positions[oxygen])
        nearest = [oxygen[np.argsort(row, kind="stable")] for row in away]
        return [order[:n] for order, n in zip(nearest, self.coordination, strict=True)]


def draft(
    species: Sequence[str],
    positions: ArrayLike,
    coordination: Mapping[str, int] | Sequence[int],
    *,
    parent: Floats | None = None,
) -> Draft:
    """Centre the atoms, find which operations of ``parent`` they have, and give them exactly that symmetry.

    Parameters
    ----------
    coordination : for each element (oxygen may be left out), or for each atom.
    parent : a group, about the mean of the atoms, of which the draft's is a part; none for no symmetry.
    """
    places = np.asarray(positions, dtype=np.float64)
    places = places - places.mean(axis=0)
    if isinstance(coordination, Mapping):
        coordination = [coordination.get(name, 0) for name in species]
    group = kept_by(group_of() if parent is None else parent, species, places, DRAFT_TOLERANCE)
    made = Draft(tuple(species), places, tuple(coordination), group)
    return replace(made, positions=symmetrised(made))


def symmetrised(rough: Draft) -> Floats:
    """Each atom at the mean of what the operations bring to it: (n, 3)."""
    places = permutations(rough.group, rough.species, rough.positions, DRAFT_TOLERANCE)
    total = np.zeros_like(rough.positions)
    for operation, to in zip(rough.group, places, strict=True):
        total[to] += rough.positions @ operation.T
    mean: Floats = total / len(rough.group)
    return mean


def merged(positions: ArrayLike, closer_than: float) -> Floats:
    """Points with those that lie together replaced by their mean: (m, 3), in the order of first appearance."""
    left = list(np.asarray(positions, dtype=np.float64))
    joined: list[Floats] = []
    while left:
        near = [i for i, point in enumerate(left) if np.linalg.norm(point - left[0]) < closer_than]
        joined.append(np.mean([left[i] for i in near], axis=0))
        left = [point for i, point in enumerate(left) if i not in near]
    return np.array(joined)


def swept(group: Floats, points: ArrayLike, closer_than: float = 0.3) -> Floats:
    """The orbit of some points (k, 3) under a group, each place once: (m, 3)."""
    images = np.einsum("gij,kj->kgi", group, np.atleast_2d(np.asarray(points, dtype=np.float64)))
    return merged(images.reshape(-1, 3), closer_than)
