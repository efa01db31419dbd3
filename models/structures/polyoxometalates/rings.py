"""Small clusters of tetrahedra, and rings: dimetalates, metavanadate, alpha-octamolybdate, Strandberg.

Sites are given in angstrom, roughly; the relaxation does the rest.
"""

from __future__ import annotations

import numpy as np

from solvus.models.structures.polyoxometalates.draft import Draft, draft, swept
from solvus.models.structures.polyoxometalates.lattice import anderson
from solvus.models.structures.polyoxometalates.symmetry import group_of, reflection, rotation

C2V = group_of(reflection([1, 0, 0]), reflection([0, 1, 0]))
D2D = group_of(rotation([1, 0, 0], 2), rotation([0, 0, 1], 4) @ reflection([0, 0, 1]))
C2 = group_of(rotation([1, 0, 0], 2))
FIFTH = 2.0 * np.pi / 5.0


def dimetalate(metal: str) -> Draft:
    """M2O7: two tetrahedra on one corner, bent, their free corners eclipsed, C2v."""
    sites = [(1.7, 0.0, 0.0)], [(0.0, 0.0, 0.7), (1.7, 0.0, -1.7), (3.0, 1.2, 0.6)]
    metals, oxygens = (np.concatenate([swept(C2V, site) for site in kind]) for kind in sites)
    return draft(
        [metal] * len(metals) + ["O"] * len(oxygens),
        np.concatenate([metals, oxygens]),
        {metal: 4},
        parent=C2V,
    )


def metavanadate(metal: str) -> Draft:
    """M4O12: a ring of four tetrahedra, D2d, its bridges alternately above and below."""
    metals = swept(D2D, (2.4, 0.0, 0.0))
    bridges = swept(D2D, (1.6, 1.6, 0.5))
    free = swept(D2D, (3.3, -0.4, 1.3))
    places = np.concatenate([metals, bridges, free])
    return draft([metal] * 4 + ["O"] * (len(places) - 4), places, {metal: 4}, parent=D2D)


def alpha_octametalate(metal: str) -> Draft:
    """alpha-M8O26: the ring of an Anderson ion without its heteroatom, a tetrahedron on either face, D3d."""
    ring = anderson(metal, "X").without([6])
    axis = np.ones(3) / np.sqrt(3.0)
    inner = ring.where("O")[np.argsort(np.linalg.norm(ring.positions[ring.where("O")], axis=1))[:6]]
    height = float(np.abs(ring.positions[inner] @ axis).mean())
    caps = np.concatenate(
        [np.outer([sign * (height + rise) for sign in (1, -1)], axis) for rise in (0.6, 2.3)]
    )
    species = [*ring.species, metal, metal, "O", "O"]
    return draft(
        species,
        np.concatenate([ring.positions, caps]),
        [*ring.coordination, 4, 4, 0, 0],
        parent=ring.group,
    )


def strandberg(metal: str, hetero: str) -> Draft:
    """X2M5O23, C2: a ring of five octahedra, four edges and one corner shared, a tetrahedron on either side.

    Metals at turns 0 (on the twofold axis), 1 and 2 of a regular pentagon and their images.
    """
    ring, bridge, outer, out = 2.87, 3.3, 4.0, 1.25
    metals = [_at(ring, turn, 0.0) for turn in range(5)]
    edges = [_at(bridge, turn + 0.5, 0.0) for turn in range(5)]
    free = [_at(outer, turn, sign * out) for turn in range(5) for sign in (1, -1)]
    heteroatoms = [(0.0, 0.0, 2.0), (0.0, 0.0, -2.0)]
    apices = [(0.0, 0.0, 3.5), (0.0, 0.0, -3.5)]
    legs = [_at(1.45, turn, 1.5) for turn in (0.5, 2.0, 3.5)]
    legs += [_at(1.45, -turn, -1.5) for turn in (0.5, 2.0, 3.5)]
    oxygens = [*edges, *free, *apices, *legs]
    species = [metal] * 5 + [hetero] * 2 + ["O"] * len(oxygens)
    return draft(species, [*metals, *heteroatoms, *oxygens], {metal: 6, hetero: 4}, parent=C2)


def _at(radius: float, turn: float, height: float) -> tuple[float, float, float]:
    """A point at so many fifths of a turn."""
    return radius * float(np.cos(turn * FIFTH)), radius * float(np.sin(turn * FIFTH)), height
