"""The Keggin ion XM12O40, its rotational isomers and what is left when metals are taken away.

Four triads of edge-sharing octahedra sit on the faces of a tetrahedron around X and share corners. Each triad of the
alpha isomer (Td) may be turned by 60 degrees about its threefold axis: one gives beta, two gamma, three delta, four
epsilon. The oxygens are called a (bound to X and one triad), b (between triads), c (within a triad), d (terminal).

The alpha isomer stands with its triads on [1 1 1], [1 -1 -1], [-1 1 -1], [-1 -1 1].
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from solvus.models.structures.polyoxometalates.draft import Draft, draft, swept
from solvus.models.structures.polyoxometalates.lattice import CUBIC
from solvus.models.structures.polyoxometalates.symmetry import group_of, reflection, rotation
from solvus.models.structures.record import Floats

TETRAHEDRAL = group_of(rotation([1, 1, 1], 3), rotation([0, 0, 1], 2), reflection([1, -1, 0]))
"""Td, (24, 3, 3)."""
TRIADS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
"""Axes of the four triads."""

CHIRAL = group_of(rotation([1, 1, 1], 3), rotation([0, 0, 1], 2))
"""T, (12, 3, 3): the rotations of Td."""

METAL_SITE = (2.517, 2.517, 0.099)
"""angstrom: gives metals 3.42 apart within a triad and 3.70 between triads, as in Brown et al. (1977)."""
OXYGEN_SITES = {
    "a": (0.883, 0.883, 0.883),  # 1.53 from X
    "b": (2.91, 1.40, -1.40),  # outside the middle of two metals of different triads
    "c": (3.34, 1.52, 1.52),  # outside the middle of two metals of a triad
    "d": (3.72, 3.72, 0.10),  # 1.70 outwards of the metal
}
"""angstrom: one of each kind, to start from."""


def keggin(metal: str, hetero: str | None, turned: int = 0) -> Draft:
    """XM12O40 with ``turned`` triads of the alpha isomer turned by 60 degrees; without X when ``hetero`` is None."""
    shell, oxygens = _alpha()
    for axis in TRIADS[:turned]:
        turn = rotation(axis, 6)
        shell = np.where(_in_triad(shell, axis)[:, None], shell @ turn.T, shell)
        for kind in "cd":
            of_kind = oxygens[kind]
            oxygens[kind] = np.where(_in_triad(of_kind, axis)[:, None], of_kind @ turn.T, of_kind)
    centre = [] if hetero is None else [hetero]
    species = [*centre, *[metal] * len(shell), *["O"] * sum(map(len, oxygens.values()))]
    places = np.concatenate([np.zeros((len(centre), 3)), shell, *oxygens.values()])
    return draft(species, places, {metal: 6, hetero or "": 4}, parent=CUBIC)


def alternating(metal: str, hetero: str | None) -> Draft:
    """The alpha isomer with the symmetry T that bonds of alternating length leave it; see :func:`twisted`."""
    whole = keggin(metal, hetero)
    return draft(whole.species, whole.positions, whole.coordination, parent=CHIRAL)


def twisted(rough: Draft, metal: str, positions: Floats, by: float) -> Floats:
    """Positions (n, 3) with the metals moved along the turn of their triad about its axis.

    Every bridging oxygen then has a short and a long bond, all the way round each ring: the alternation of the
    molybdates.

    Parameters
    ----------
    by : angstrom.
    """
    moved = positions.copy()
    for i in rough.where(metal):
        axis = TRIADS[np.argmax(TRIADS @ positions[i])]
        along = np.cross(axis, positions[i])
        moved[i] += by * along / np.linalg.norm(along)
    return moved


def _alpha() -> tuple[Floats, dict[str, Floats]]:
    """Metals (12, 3) and oxygens of each kind of the alpha isomer."""
    return swept(TETRAHEDRAL, METAL_SITE), {
        kind: swept(TETRAHEDRAL, site) for kind, site in OXYGEN_SITES.items()
    }


def _in_triad(points: Floats, axis: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which points belong to the triad on an axis: those for which it is the nearest."""
    nearest: np.ndarray[tuple[int], np.dtype[np.bool_]] = (points @ TRIADS.T).argmax(axis=1) == np.argmax(
        TRIADS @ axis
    )
    return nearest


def lacunary(whole: Draft, taken: list[int]) -> Draft:
    """Without some metals and the oxygens that no other atom binds."""
    around = whole.around
    left = {int(o) for i, of_i in enumerate(around) if i not in taken for o in of_i}
    return whole.without([*taken, *[int(o) for o in whole.where("O") if int(o) not in left]])


def monolacunary(whole: Draft, metal: str) -> Draft:
    """One metal less: alpha-XM11O39 of the alpha isomer."""
    return lacunary(whole, [int(whole.where(metal)[0])])


def trilacunary(whole: Draft, metal: str, axis: int, kind: str) -> Draft:
    """Three metals less: type A loses the three corner-sharing metals opposite to a triad, type B that triad.

    Parameters
    ----------
    axis : number of the triad in ``TRIADS``; kind : ``"A"`` or ``"B"``.
    """
    metals = whole.where(metal)
    height = whole.positions[metals] @ TRIADS[axis]
    order = np.argsort(height if kind == "A" else -height, kind="stable")
    return lacunary(whole, [int(i) for i in metals[order[:3]]])


def dilacunary_gamma(metal: str, hetero: str) -> Draft:
    """gamma-XM10O36: the gamma isomer without the two metals that its turned triads join by an edge."""
    whole = keggin(metal, hetero, turned=2)
    around, metals = whole.around, whole.where(metal)
    first, second = (set(metals[_in_triad(whole.positions[metals], axis)]) for axis in TRIADS[:2])
    pair = next(
        [int(i), int(j)]
        for i, j in combinations(metals, 2)
        if i in first and j in second and len(np.intersect1d(around[i], around[j])) == 2
    )
    return lacunary(whole, pair)


def lone_pair(metal: str, hetero: str) -> Draft:
    """B-alpha-XM9O33: a heteroatom with a lone pair in place of its fourth oxygen, C3v."""
    whole = trilacunary(keggin(metal, hetero), metal, axis=0, kind="B")
    around = whole.around
    centre = int(whole.where(hetero)[0])
    bound = {int(o) for i in whole.where(metal) for o in around[i]}
    open_one = next(int(o) for o in around[centre] if int(o) not in bound)
    three = [n - int(i == centre) for i, n in enumerate(whole.coordination)]
    return Draft(whole.species, whole.positions, tuple(three), whole.group).without([open_one])
