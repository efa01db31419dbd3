"""Clusters of edge-sharing octahedra: pieces of the rocksalt arrangement of metal and oxygen.

Sites are the points (i, j, k) of whole numbers: i + j + k odd for metals, even for oxygens (the other way round where a
metal is at the origin). A piece is its metals and all the six neighbours of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solvus.models.structures.polyoxometalates.draft import Draft, draft
from solvus.models.structures.polyoxometalates.symmetry import group_of, reflection, rotation

SPACING = 1.95
"""angstrom: mean bond of an octahedron, to start from."""
CUBIC = group_of(rotation([0, 0, 1], 4), rotation([1, 1, 1], 3), reflection([1, 0, 0]))
"""Oh, (48, 3, 3)."""

Site = tuple[int, int, int]

HEXAMETALATE: tuple[Site, ...] = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
"""About the oxygen at the origin."""
DECAMETALATE: tuple[Site, ...] = (
    *HEXAMETALATE,
    *[(i + 1, j + 1, k) for i, j, k in HEXAMETALATE if (i + 1, j + 1, k) not in HEXAMETALATE],
)
"""Two hexametalates that share an edge."""
HEPTAMOLYBDATE = tuple(site for site in DECAMETALATE if site not in {(-1, 0, 0), (0, 1, 0), (1, 2, 0)})
"""Without one side of the middle layer."""
BETA_OCTAMOLYBDATE = tuple(site for site in DECAMETALATE if site not in {(-1, 0, 0), (2, 1, 0)})
"""Without two opposite corners of the middle layer."""
RING: tuple[Site, ...] = ((1, -1, 0), (0, -1, 1), (-1, 0, 1), (-1, 1, 0), (0, 1, -1), (1, 0, -1))
"""Around a metal at the origin, in the plane across [111]."""
EVANS_SHOWELL: tuple[Site, ...] = (
    *[(-1, -1, 0), (0, 1, 1), (0, -1, -1), (1, 0, -1), (-1, 0, 1)],
    *[(2, 2, 0), (1, 2, -1), (1, 0, 1), (2, 1, 1), (0, 1, -1)],
)
"""Around two heteroatoms at (0, 0, 0) and (1, 1, 0): five of the ring across [1 -1 1] and of that across [1 -1 -1]."""
WAUGH: tuple[Site, ...] = (
    *[(1, -1, 0), (0, 1, -1), (-1, 0, 1)],
    *[(1, 1, 0), (0, 1, 1), (1, 0, 1), (-1, -1, 0), (0, -1, -1), (-1, 0, -1)],
)
"""Around a heteroatom at the origin: every other metal of its ring, three above and three below."""


def piece(metals: Sequence[Site], metal: str, heteroatoms: Sequence[Site] = (), hetero: str = "") -> Draft:
    """The draft of a piece; heteroatoms sit on metal sites."""
    centres = [*metals, *heteroatoms]
    steps = np.array(HEXAMETALATE)
    oxygens = sorted({tuple(int(v) for v in site + step) for site in np.array(centres) for step in steps})
    species = [metal] * len(metals) + [hetero] * len(heteroatoms) + ["O"] * len(oxygens)
    places = SPACING * np.array([*centres, *oxygens], dtype=np.float64)
    return draft(species, places, {metal: 6, hetero: 6}, parent=CUBIC)


def hexametalate(metal: str) -> Draft:
    """Lindqvist M6O19, Oh."""
    return piece(HEXAMETALATE, metal)


def heptametalate(metal: str) -> Draft:
    """M7O24 of paramolybdate, C2v."""
    return piece(HEPTAMOLYBDATE, metal)


def capped_hexametalate(metal: str) -> Draft:
    """M7O22: a Lindqvist ion with one more octahedron on a face, C3v."""
    return piece([*HEXAMETALATE, (1, 1, 1)], metal)


def beta_octametalate(metal: str) -> Draft:
    """beta-M8O26, C2h."""
    return piece(BETA_OCTAMOLYBDATE, metal)


def decametalate(metal: str) -> Draft:
    """M10O28, D2h."""
    return piece(DECAMETALATE, metal)


def anderson(metal: str, hetero: str) -> Draft:
    """Anderson-Evans XM6O24, D3d."""
    return piece(RING, metal, [(0, 0, 0)], hetero)


def evans_showell(metal: str, hetero: str) -> Draft:
    """X2M10O38, D2."""
    return piece(EVANS_SHOWELL, metal, [(0, 0, 0), (1, 1, 0)], hetero)


def waugh(metal: str, hetero: str) -> Draft:
    """XM9O32, D3."""
    return piece(WAUGH, metal, [(0, 0, 0)], hetero)
