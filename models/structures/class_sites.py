"""Entries built alike: one symmetry, the same sites, so that refining cell and coordinates leads from one to the other.

What is then left between their patterns is contrast: how many electrons sit on which site. :func:`matched` says which
site becomes which, :func:`contrast` is a quick measure of how much their electrons differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from ase.cell import Cell
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvus.models.structures.class_curves import sites_of
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

REACH = 0.12
"""angstrom that a site may move: half the width of a peak at the reference displacement (0.24 at half its height), from
where least squares still finds the other position."""

SAME_PLACE = 0.01
"""angstrom: coordinates of built clusters have four decimals, and alternation moves atoms by 0.1."""


@dataclass(frozen=True)
class Frame:
    """The distinct sites of an entry.

    Attributes
    ----------
    key : entries with other keys are not built alike: symmetry and numbers of atoms on each kind of site.
    places : (m, 3) fractional in a crystal; about their mean, angstrom, in a cluster.
    electrons : (m,) of each site, shared ones summed; count : (m,) atoms that it stands for.
    """

    record: Record
    key: tuple[object, ...]
    places: Floats
    electrons: Floats
    count: Floats


def frame_of(record: Record) -> Frame:
    """The sites of a record."""
    lattice, sites, electrons, count = sites_of(record)
    if record.periodic:
        places = sites @ np.linalg.inv(lattice)
        symmetry: tuple[object, ...] = (record.space_group or 1, record.setting)
    else:
        places = sites - sites.mean(axis=0)
        symmetry = (record.type, _operations(places))
    return Frame(record, (*symmetry, tuple(sorted(count.tolist()))), places, electrons, count)


def _operations(places: Floats) -> int:
    """How many of the 48 operations of a cube, about the mean and along the axes, keep a cluster as it is.

    Built clusters of one type share their axes; an ion that has lost mirrors by alternating bonds counts fewer.
    """
    tree = cKDTree(places)
    cube = (
        np.eye(3)[list(order)] * signs
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    )
    return sum(bool((tree.query(places @ operation)[0] < SAME_PLACE).all()) for operation in cube)


def matched(leader: Frame, other: Frame, stretch: float) -> NDArray[np.int64] | None:
    """Which site of the leader each of the other's becomes: (m,); none where refinement would not get there.

    Parameters
    ----------
    stretch : relative, the most by which cell lengths, or the size of a cluster, may differ; angles by as many radian.
    """
    if leader.key != other.key:
        return None
    if leader.record.cell is None or other.record.cell is None:
        size = float(np.linalg.norm(leader.places) / np.linalg.norm(other.places))
        if abs(size - 1.0) > stretch:
            return None
        distance = np.linalg.norm(other.places[:, None] * size - leader.places[None], axis=-1)
        order, away = distance.argmin(axis=1), distance.min(axis=1)
    else:
        one, two = np.array(leader.record.cell), np.array(other.record.cell)
        if (
            np.abs(one[:3] / two[:3] - 1.0).max() > stretch
            or np.radians(np.abs(one - two)[3:]).max() > stretch
        ):
            return None
        lattice = Cell.fromcellpar(leader.record.cell).array  # type: ignore[no-untyped-call]
        order, away = _nearest(other.places, leader.places, lattice)
    unique = len(set(order.tolist())) == len(order)
    return order if unique and away.max() <= REACH and (leader.count[order] == other.count).all() else None


def _nearest(places: Floats, targets: Floats, lattice: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Nearest target of each place, both fractional, and how far it is in the units of the lattice."""
    away = (places[:, None] - targets[None] + 0.5) % 1.0 - 0.5
    distance = np.linalg.norm(away @ lattice, axis=-1)
    return distance.argmin(axis=1), distance.min(axis=1)


def contrast(leader: Frame, other: Frame, order: NDArray[np.int64]) -> float:
    """About the R_w that different electrons on equal sites leave: the sine between the weights of all pairs.

    With b_i electrons on n_i sites, the weights of pairs are n_i n_j b_i b_j and the cosine of two such tables
    (sum n b b')^2 / (sum n b^2 . sum n b'^2).
    """
    b, n = leader.electrons[order], other.count
    cosine = float(n @ (b * other.electrons)) ** 2 / float(n @ b**2) / float(n @ other.electrons**2)
    return float(np.sqrt(max(0.0, 1.0 - cosine**2)))
