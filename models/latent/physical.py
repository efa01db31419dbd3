"""Is a structure one that atoms could take? Checks of decoded structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]

NEAREST = 0.85
"""Least distance of two atoms in units of the mean contact: Mackay icosahedra and decahedra are strained by 5 %."""
NEAR = 1.2
"""Contacts; the second neighbours of bcc, at 1.155, are bound nearly as the first."""
MOST_NEIGHBOURS = 14
"""Of close packing 12, of bcc 14."""
LOOSE = 3
"""Neighbours below which an atom is loosely bound; vertices of a simple cubic crystal have three."""
MOST_LOOSE = 0.25
"""Share of loosely bound atoms; rods and plates of a simple cubic crystal have some."""


@dataclass(frozen=True)
class Physical:
    """What was found.

    Attributes
    ----------
    faults : sentences; empty for a physical structure.
    nearest : least distance, contacts. coordination : mean number of neighbours.
    """

    faults: tuple[str, ...]
    nearest: float
    coordination: float

    @property
    def sane(self) -> bool:
        return not self.faults


def physical(positions: Floats) -> Physical:
    """Check a unit geometry (n, 3): no atoms that overlap, sane coordination, one piece."""
    if len(positions) < 2:
        return Physical(("fewer than two atoms",), 0.0, 0.0)
    tree = cKDTree(positions)
    nearest = float(tree.query(positions, k=2)[0][:, 1].min())
    pairs = tree.query_pairs(NEAR, output_type="ndarray")
    neighbours = np.bincount(pairs.ravel(), minlength=len(positions))
    graph = csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(positions),) * 2)
    pieces = int(connected_components(graph, directed=False)[0])
    faults = []
    if nearest < NEAREST:
        faults.append(f"two atoms are {nearest:.2f} bond lengths apart")
    if neighbours.max(initial=0) > MOST_NEIGHBOURS:
        faults.append(f"an atom has {neighbours.max()} neighbours")
    loose = float((neighbours < LOOSE).mean())
    if len(positions) > LOOSE + 1 and loose > MOST_LOOSE:
        faults.append(f"{loose:.0%} of the atoms have fewer than {LOOSE} neighbours")
    if pieces > 1:
        faults.append(f"the atoms are in {pieces} pieces")
    return Physical(tuple(faults), nearest, float(neighbours.mean()))
