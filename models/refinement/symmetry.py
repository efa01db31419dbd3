"""What a space group leaves free: cell lengths and angles, and directions in which a site may move.

An operation sends x to R x + t (fractional coordinates, columns). A site keeps its symmetry when it moves along the
vectors that every operation of its stabiliser keeps: the range of P = mean of R over the stabiliser.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ase.spacegroup import Spacegroup
from numpy.typing import NDArray

from solvus.models.refinement.parameters import RefinementError

Floats = NDArray[np.float64]
Cell = tuple[float, float, float, float, float, float]

SAME_SITE = 2e-3
"""Fractional coordinates that agree to this are one site on a special position: files give three digits."""
EQUAL = 1e-4
"""Relative difference below which two cell lengths, or an angle and 90 or 120 degrees, are meant to be equal."""
NAMES = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True)
class Operations:
    """``rotations`` (m, 3, 3) and ``translations`` (m, 3) of a space group, and its international ``number``."""

    number: int
    rotations: Floats
    translations: Floats


@lru_cache(maxsize=64)
def operations(number: int, setting: int = 1) -> Operations:
    """Operations of a space group as `ase` lists them.

    Raises
    ------
    RefinementError
        For a number that is none from 1 to 230, or a setting that the group does not have.
    """
    if not 1 <= number <= 230:
        raise RefinementError(f"space_group: {number} is none of 1 to 230")
    try:
        group = Spacegroup(number, setting)
    except ValueError as error:
        raise RefinementError(f"setting: space group {number} has no setting {setting}") from error
    return of_group(group)


def of_group(group: Spacegroup) -> Operations:
    """Operations of a space group of `ase`, centring included."""
    rotations, translations = group.get_op()  # type: ignore[no-untyped-call]
    return Operations(int(group.no), np.asarray(rotations, dtype=np.float64), np.asarray(translations))


@dataclass(frozen=True)
class Orbit:
    """A site and its images.

    Attributes
    ----------
    positions : (m, 3) fractional; the first is the site, put exactly onto its special position.
    rotations : (m, 3, 3), what a shift of the site becomes at each image.
    directions : (f, 3), f <= 3 shifts that keep the symmetry, each with its first non-zero component 1.
    """

    positions: Floats
    rotations: Floats
    directions: Floats


def orbit(group: Operations, place: Floats) -> Orbit:
    """All images of a site in one cell, and how it may move."""
    images = group.rotations @ place + group.translations
    off = images - place
    off -= np.round(off)
    still = (np.abs(off) < SAME_SITE).all(axis=1)
    exact = place + off[still].mean(axis=0)
    images = group.rotations @ exact + group.translations
    apart = images[:, None] - images[None]
    apart -= np.round(apart)
    same = (np.abs(apart) < SAME_SITE).all(axis=2)
    kept = np.flatnonzero(same.argmax(axis=1) == np.arange(len(images)))  # the first of each place
    at = int(np.flatnonzero(still)[0])
    kept = np.concatenate([[at], kept[~same[at, kept]]])
    projector = group.rotations[still].mean(axis=0)
    return Orbit(images[kept] % 1.0, group.rotations[kept], _rows(projector.T))


def _rows(matrix: Floats) -> Floats:
    """Reduced row-echelon basis of the row space: directions such as (1, 1, 0) rather than any mixture."""
    work, rank = matrix.copy(), 0
    for column in range(3):
        pivot = rank + int(np.argmax(np.abs(work[rank:, column]))) if rank < 3 else 3
        if pivot == 3 or abs(work[pivot, column]) < 1e-6:
            continue
        work[[rank, pivot]] = work[[pivot, rank]]
        work[rank] /= work[rank, column]
        for row in range(3):
            if row != rank:
                work[row] -= work[row, column] * work[rank]
        rank += 1
    return work[:rank]


def free_cell(number: int, cell: Cell) -> dict[str, tuple[int, ...]]:
    """Free cell parameters by name, each with the places in (a, b, c, alpha, beta, gamma) that it sets.

    Without symmetry (number 1) lengths that are equal stay equal and angles of 90 or 120 degrees stay: a cubic cell
    listed in P1 is meant to be cubic.
    """
    lengths, angles = cell[:3], cell[3:]
    if number == 1:
        return _by_metric(cell)
    if number >= 195:
        return {"a": (0, 1, 2)}
    if 143 <= number <= 194:
        if _same(lengths[0], lengths[2]) and _same(angles[0], angles[2]) and not _same(angles[2], 120.0):
            return {"a": (0, 1, 2), "alpha": (3, 4, 5)}
        return {"a": (0, 1), "c": (2,)}
    if number >= 75:
        return {"a": (0, 1), "c": (2,)}
    free: dict[str, tuple[int, ...]] = {"a": (0,), "b": (1,), "c": (2,)}
    if number <= 2:
        return free | {"alpha": (3,), "beta": (4,), "gamma": (5,)}
    if number <= 15:
        oblique = [k for k in (3, 4, 5) if not _same(cell[k], 90.0)]
        unique = oblique[0] if oblique else 4
        return free | {NAMES[unique]: (unique,)}
    return free


def _same(x: float, y: float) -> bool:
    return abs(x - y) <= EQUAL * max(abs(x), abs(y))


def _by_metric(cell: Cell) -> dict[str, tuple[int, ...]]:
    free: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    for k in range(6):
        if k in taken or (k >= 3 and (_same(cell[k], 90.0) or _same(cell[k], 120.0))):
            continue
        block = range(3) if k < 3 else range(3, 6)
        tied = tuple(m for m in block if m >= k and _same(cell[k], cell[m]))
        taken.update(tied)
        free[NAMES[k]] = tied
    return free


def metric(cell: Floats) -> Floats:
    """Metric tensor g with |v|^2 = v g v for fractional v: (3, 3), angstrom^2."""
    cosines = np.cos(np.radians(cell[3:]))
    angles = np.array(
        [[1.0, cosines[2], cosines[1]], [cosines[2], 1.0, cosines[0]], [cosines[1], cosines[0], 1.0]]
    )
    tensor: Floats = np.outer(cell[:3], cell[:3]) * angles
    return tensor


def metric_slope(cell: Floats, places: tuple[int, ...]) -> Floats:
    """Derivative of :func:`metric` when the cell parameters at ``places`` change together, per angstrom or degree."""
    total = np.zeros((3, 3))
    for k in places:
        if k < 3:
            part = metric(cell) / cell[k]
            mask = np.zeros((3, 3))
            mask[k, :] += 1.0
            mask[:, k] += 1.0
            total += part * mask
        else:
            i, j = [(1, 2), (0, 2), (0, 1)][k - 3]
            change = -cell[i] * cell[j] * np.sin(np.radians(cell[k])) * np.pi / 180.0
            total[i, j] += change
            total[j, i] += change
    return total
