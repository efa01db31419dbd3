"""Whether two structures are the same for a scatterer: equal composition and equal distances.

The sorted distances of each kind of pair, counted per atom, do not depend on the choice of cell, origin or setting; a
supercell, a primitive cell and a mirror image give the same. Two structures are the same when these lists differ
nowhere by more than ``TOLERANCE`` up to ``REACH``. Lengths in angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase.neighborlist import neighbor_list
from ase.spacegroup import Spacegroup
from numpy.typing import NDArray

from solvus.models.scattering.form_factors import element_of
from solvus.models.structures.record import SAME_SITE, Record

Floats = NDArray[np.float64]

REACH = 7.0
"""Beyond the second cell of a simple oxide: structures that agree so far agree."""
TOLERANCE = 0.02
"""A cell 0.3 % larger, as between two laboratories or 100 K, still counts as the same."""
SAME_SHARE = 0.01
"""Shares of the elements that agree to this are equal."""
SLIVER = 1e-6
"""Widths of counts below this come from rounding."""


@dataclass(frozen=True)
class Fingerprint:
    """Shares of the elements, atoms of a cluster (0 for a crystal), and the distances of each kind of pair with the
    pairs per atom that each stands for."""

    shares: dict[str, float]
    cluster: int
    n_atoms: int
    distances: dict[tuple[str, str], Floats]


def site_counts(record: Record) -> list[int]:
    """How many atoms of the cell each site of the record stands for."""
    if record.cell is None:
        return [1] * len(record.species)
    group = Spacegroup(record.space_group or 1, record.setting)
    return [
        len(group.equivalent_sites([place], symprec=SAME_SITE)[0])  # type: ignore[no-untyped-call]
        for place in record.positions
    ]


def composition(record: Record, counts: list[int]) -> dict[str, float]:
    """Atoms of each element in the cell or the cluster, by occupancy; ``counts`` as of :func:`site_counts`."""
    occupancy = record.occupancy or (1.0,) * len(record.species)
    amounts: dict[str, float] = {}
    for species, share, count in zip(record.species, occupancy, counts, strict=True):
        element = element_of(species)
        amounts[element] = amounts.get(element, 0.0) + count * share
    return amounts


def fingerprint(record: Record) -> Fingerprint:
    """What :func:`same` compares; make it once for each record."""
    atoms = record.atoms()
    amounts = composition(record, site_counts(record))
    total = sum(amounts.values())
    first, second, d = neighbor_list("ijd", atoms, REACH)  # type: ignore[no-untyped-call]
    symbols = np.array(list(atoms.symbols))
    pairs = combinations_with_replacement(sorted(set(symbols.tolist())), 2)
    distances = {(a, b): np.sort(d[(symbols[first] == a) & (symbols[second] == b)]) for a, b in pairs}
    shares = {element: amount / total for element, amount in amounts.items()}
    return Fingerprint(shares, 0 if record.periodic else len(atoms), len(atoms), distances)


def same(one: Fingerprint, other: Fingerprint, tolerance: float = TOLERANCE) -> bool:
    """Whether no distance tells the two apart."""
    if one.cluster != other.cluster or one.shares.keys() != other.shares.keys():
        return False
    if any(abs(share - other.shares[element]) > SAME_SHARE for element, share in one.shares.items()):
        return False
    if one.distances.keys() != other.distances.keys():
        return False
    return all(
        _close(d, one.n_atoms, other.distances[pair], other.n_atoms, tolerance)
        for pair, d in one.distances.items()
    )


def _close(d: Floats, n: int, e: Floats, m: int, tolerance: float) -> bool:
    """Compare two sorted lists as functions of the number of pairs per atom."""
    safe = REACH - 2.0 * tolerance  # beyond, the other list may have been cut off
    inside, inside_other = np.count_nonzero(d <= safe) / n, np.count_nonzero(e <= safe) / m
    edges = np.unique(np.concatenate([np.arange(len(d) + 1) / n, np.arange(len(e) + 1) / m]))
    middle = ((edges[1:] + edges[:-1]) / 2.0)[np.diff(edges) > SLIVER]
    middle = middle[middle < max(inside, inside_other)]
    i, j = (middle * n).astype(np.int64), (middle * m).astype(np.int64)
    if (i >= len(d)).any() or (j >= len(e)).any():
        return False
    return bool((np.abs(d[i] - e[j]) <= tolerance).all())
