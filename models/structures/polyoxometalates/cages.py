"""Cages and sandwiches: decatungstate, Peacock-Weakley, paratungstate B, Dexter-Silverton, vanadate shells, bicapped
Keggin.

Sites are given in angstrom, roughly; the relaxation does the rest.
"""

from __future__ import annotations

import numpy as np

from solvus.models.structures.polyoxometalates.draft import Draft, draft, swept
from solvus.models.structures.polyoxometalates.keggin import keggin
from solvus.models.structures.polyoxometalates.lattice import CUBIC, SPACING
from solvus.models.structures.polyoxometalates.symmetry import group_of, reflection, rotation
from solvus.models.structures.record import Floats

C4V = group_of(rotation([0, 0, 1], 4), reflection([1, 0, 0]))
D4H = group_of(rotation([0, 0, 1], 4), reflection([1, 0, 0]), reflection([0, 0, 1]))
D4D = group_of(rotation([0, 0, 1], 8) @ reflection([0, 0, 1]), reflection([1, 0, 0]))
TH = group_of(rotation([1, 1, 1], 3), reflection([1, 0, 0]))
C2H = group_of(reflection([0, 1, 0]), rotation([0, 1, 0], 2))
EIGHTH = rotation([0, 0, 1], 8)


def _bowl() -> tuple[Floats, Floats]:
    """M5O18, a hexametalate without one M=O, its rim of four oxygens at z = 0: metals (5, 3), oxygens (18, 3)."""
    metals = [(1, 0, 1), (0, 0, 2)]
    oxygens = [(0, 0, 1), (1, 0, 0), (2, 0, 1), (1, 1, 1), (1, 0, 2), (0, 0, 3)]
    shell, cover = (np.concatenate([swept(C4V, site) for site in kind]) for kind in (metals, oxygens))
    return SPACING * shell, SPACING * cover


def decatungstate(metal: str) -> Draft:
    """M10O32 of decatungstate, D4h: two bowls on one rim."""
    metals, oxygens = _bowl()
    flip = [1.0, 1.0, -1.0]
    below = oxygens[oxygens[:, 2] > 0.1] * flip
    species = [metal] * 10 + ["O"] * (len(oxygens) + len(below))
    return draft(species, np.concatenate([metals, metals * flip, oxygens, below]), {metal: 6}, parent=D4H)


def peacock_weakley(metal: str, hetero: str) -> Draft:
    """XM10O36, D4d: a large ion between two bowls that are turned by 45 degrees."""
    gap = 1.4
    metals, oxygens = (part + np.array([0.0, 0.0, gap]) for part in _bowl())
    turned = [(part * [1.0, 1.0, -1.0]) @ EIGHTH.T for part in (metals, oxygens)]
    places = np.concatenate([[[0.0, 0.0, 0.0]], metals, turned[0], oxygens, turned[1]])
    species = [hetero] + [metal] * 10 + ["O"] * 36
    return draft(species, places, {metal: 6, hetero: 8}, parent=D4D)


def dexter_silverton(metal: str, hetero: str) -> Draft:
    """XM12O42, Th: an icosahedron of oxygens around X, six pairs of octahedra that share a face."""
    metals = swept(TH, (0.0, 1.6, 3.4))
    inner = swept(TH, (1.31, 0.0, 2.13))
    outer = swept(TH, (0.0, 0.0, 4.4))
    free = swept(TH, (1.3, 2.4, 4.2))
    places = np.concatenate([[[0.0, 0.0, 0.0]], metals, inner, outer, free])
    species = [hetero] + [metal] * len(metals) + ["O"] * (len(places) - 1 - len(metals))
    return draft(species, places, {metal: 6, hetero: 12}, parent=TH)


def vanadate_shell(metal: str, turned: bool) -> Draft:
    """M18O42: square pyramids on the 18 square faces of a rhombicuboctahedron of oxygens, Oh; with one cupola
    turned by 45 degrees, D4d."""
    edge, rise, oxo = 2.6, 0.65, 1.6
    far = (1.0 + np.sqrt(2.0)) * edge / 2.0
    shell = swept(CUBIC, (edge / 2.0, edge / 2.0, far))
    flat, slanted = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]) / np.sqrt(2.0)
    height = (far + edge / 2.0) / np.sqrt(2.0)
    metals = np.concatenate([swept(CUBIC, (far + rise) * flat), swept(CUBIC, (height + rise) * slanted)])
    oxos = np.concatenate(
        [swept(CUBIC, (far + rise + oxo) * flat), swept(CUBIC, (height + rise + oxo) * slanted)]
    )
    if turned:
        shell, metals, oxos = (
            np.where(part[:, 2:] < -1.5, part @ EIGHTH.T, part) for part in (shell, metals, oxos)
        )
    species = [metal] * len(metals) + ["O"] * (len(shell) + len(oxos))
    parent = D4D if turned else CUBIC
    return draft(species, np.concatenate([metals, shell, oxos]), {metal: 5}, parent=parent)


def bicapped_keggin(metal: str, hetero: str) -> Draft:
    """XM14O42: an alpha-Keggin ion with a square pyramid on two opposite windows, D2d."""
    core = keggin(metal, hetero)
    window, oxo = 3.5, 5.1
    caps = [(0.0, 0.0, sign * h) for h in (window, oxo) for sign in (1.0, -1.0)]
    species = [*core.species, metal, metal, "O", "O"]
    bound = [*core.coordination, 5, 5, 0, 0]
    return draft(species, np.concatenate([core.positions, caps]), bound, parent=CUBIC[_keeps_z(CUBIC)])


def _keeps_z(group: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which operations leave the z axis where it is."""
    kept: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.abs(group[:, 2, 2]) > 0.5
    return kept


def paratungstate(metal: str) -> Draft:
    """M12O42 of paratungstate B, C2h: two triads M3O13 and two bent rows M3O14 of edge-sharing octahedra, joined by
    corners. y = 0 is the mirror; the first triad is at the top, the first row at +x."""
    metals = [(2.17, 0.0, 2.92), (-0.62, 1.66, 2.24), (3.63, 0.0, -0.48), (2.49, 2.90, 0.62)]
    oxygens = [
        *[(0.54, 0.0, 1.48), (0.80, 1.34, 3.51), (-1.42, 0.0, 2.92)],  # within the triad
        *[(2.92, 1.49, 2.00), (0.58, 2.80, 1.33)],  # from the triad to its row
        (-1.73, 1.21, 0.59),  # from the triad to an edge of the other row
        (3.94, 1.91, -0.34),  # within the row
        *[(3.13, 0.0, 4.33), (-1.56, 2.72, 3.17)],  # of the triad's metals alone
        *[
            (4.13, 0.0, -2.14),
            (4.85, 0.0, 0.75),
            (3.24, 4.08, 1.64),
            (2.08, 3.96, -0.69),
        ],  # of the row's alone
    ]
    shell, cover = (np.concatenate([swept(C2H, site) for site in kind]) for kind in (metals, oxygens))
    species = [metal] * len(shell) + ["O"] * len(cover)
    return draft(species, np.concatenate([shell, cover]), {metal: 6}, parent=C2H)
