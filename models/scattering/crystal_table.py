"""The distances of a crystal on a grid, when no gradient is asked for: differences of sites, then lattice translations.

Pairs of sites with the same difference vector, up to its sign, see the same distances, so that centring and supercells
cost nothing: magnetite's 3,136 differences are 400. Lengths in angstrom.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.scattering.pairs import CHUNK, COINCIDENT, MOST_CELLS, SAME_PLACE
from solvus.models.scattering.spreading import BEFORE, FINE, Floats, add_pairs, fine_to_nodes
from solvus.models.scattering.structure import StructureError

Integers = NDArray[np.int64]


def crystal_weights(
    fractional: Floats,
    occupancy: Floats,
    lattice: Floats,
    channel: Integers,
    *,
    reach: float,
    nodes: int,
    step: float,
) -> Floats:
    """Ordered pairs of atoms of one cell and all others at each node: (channels, nodes).

    Parameters
    ----------
    fractional : (n, 3); occupancy : (n,); lattice : (3, 3), rows.
    channel : (n, n), to which channel each two sites add.
    reach : largest distance.

    Raises
    ------
    StructureError
        When two atoms are nearer than a few steps without sharing a place, or the cell is too small for the range.
    """
    i, j, orders = _every_two(len(fractional))
    difference = fractional[j] - fractional[i]
    difference -= np.rint(difference)
    row, weight, difference = _merged(channel[i, j], orders * occupancy[i] * occupancy[j], difference)
    vectors = difference @ lattice
    squares = np.einsum("ij,ij->i", vectors, vectors)
    moves = _translations(lattice, reach + float(np.sqrt(squares.max())))
    lengths = np.einsum("ij,ij->i", moves, moves)
    sums = np.zeros((3, int(channel.max() + 1) * nodes * FINE))
    rows = max(1, CHUNK // len(moves))
    for start in range(0, len(row), rows):
        part = slice(start, start + rows)
        squared = vectors[part] @ (2.0 * moves.T)
        squared += squares[part, None]
        squared += lengths
        within = (squared < reach**2) & (squared > COINCIDENT**2)
        d = np.sqrt(squared[within])
        count = within.sum(axis=1)
        if len(d) and d.min() < (BEFORE + 1) * step:
            raise StructureError(f"positions: two atoms are {d.min():.3g} apart; no two may be so near")
        d /= step
        d += np.repeat(row[part] * float(nodes), count)
        add_pairs(sums, d, np.repeat(weight[part], count))
    return np.stack([fine_to_nodes(part, packed=False) for part in np.split(sums, channel.max() + 1, axis=1)])


@lru_cache(maxsize=16)
def _every_two(n: int) -> tuple[Integers, Integers, Floats]:
    """Sites i <= j, and how many orders each pair has."""
    i, j = np.triu_indices(n)
    return i, j, np.where(i == j, 1.0, 2.0)


def _merged(row: Integers, weight: Floats, difference: Floats) -> tuple[Integers, Floats, Floats]:
    """One representative, with the sum of the weights, for all pairs of a channel with the same difference."""
    period = round(1.0 / SAME_PLACE)
    folded = np.rint(difference / SAME_PLACE).astype(np.int64)
    one, other = folded % period, -folded % period
    # The lattice sums of a difference and of its negative are equal: take the one that sorts first.
    unequal = one != other
    axis = unequal.argmax(axis=1)
    turn = np.take_along_axis(other < one, axis[:, None], axis=1)
    key = np.where(turn, other, one)
    order = np.lexsort((key[:, 2], key[:, 1], key[:, 0], row))
    key, row = key[order], row[order]
    first = np.ones(len(row), dtype=bool)
    first[1:] = (row[1:] != row[:-1]) | (key[1:] != key[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    return row[starts], np.add.reduceat(weight[order], starts), difference[order[starts]]


def _translations(lattice: Floats, reach: float) -> Floats:
    """Lattice vectors not longer than ``reach``: (m, 3)."""
    spacing = np.linalg.norm(np.linalg.inv(lattice), axis=0)
    counts = np.ceil(reach * spacing).astype(np.int64)
    if np.prod(2.0 * counts + 1.0) > MOST_CELLS:
        raise StructureError(
            f"lattice: too small a cell for a range of {reach:.0f} angstrom; check the units"
        )
    a, b, c = (np.arange(-n, n + 1)[:, None] * vector for n, vector in zip(counts, lattice, strict=True))
    vectors: Floats = ((a[:, None] + b)[:, :, None] + c).reshape(-1, 3)
    within: NDArray[np.bool_] = np.einsum("ij,ij->i", vectors, vectors) <= (reach * (1 + 1e-9)) ** 2
    return vectors[within]
