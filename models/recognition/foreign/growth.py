"""Other disorder and other carbon, which fix the threshold of rejection: grown glasses and nanotubes.

A glass grows as C. H. Bennett built it (J. Appl. Phys. 43, 2727 (1972)): from three touching spheres, each next sphere
of the same size is put where it touches three others, as near to the middle as there is room. Nothing is relaxed, so
that g(r) has the sharp contact and the split second maximum of such models, which packings from a random start lack.
Lengths in angstrom, in the growth in diameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations

import numpy as np
from ase.build import nanotube
from numpy.typing import NDArray

from solvus.models.recognition.foreign.prototypes import Split
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

SPHERES = 350
"""Seven to eight diameters across."""
TOUCHING = 1e-6
"""Relative; what overlaps by less touches."""
GLASSES = (
    "C 1.55, Si 2.40, Ge 2.50, Sb 2.95, S 2.90, Si Ge 2.45, Ge Sb 2.75, Fe Si 2.45, Ni Si 2.40, Mg Ge 2.85"
)
"""Elements and diameter: twice the covalent radius, or the metallic diameter where a metal is the larger part."""
SECOND = 0.3
"""Share of the second element, on spheres drawn at random."""
TUBES = [(5, 5), (8, 0), (10, 0), (7, 4), (10, 10), (14, 0)]
"""Chiral indices of carbon nanotubes, 6 to 14 angstrom across."""
TUBE_LENGTH, CARBON_BOND = 25.0, 1.42


def grown(split: Split, seed: int) -> Iterator[Record]:
    """Glasses and nanotubes; all of them are for the threshold."""
    if split != "threshold":
        return
    for number, entry in enumerate(GLASSES.split(", ")):
        *elements, diameter = entry.split()
        draw = np.random.default_rng([seed, number])
        second = draw.random(SPHERES) < (SECOND if len(elements) == 2 else 0.0)
        formula = "".join(elements)
        yield Record(
            name=f"{formula} grown glass",
            family="compound",
            type="grown glass",
            formula=formula,
            species=tuple(elements[-1] if other else elements[0] for other in second),
            positions=_glass() * float(diameter),
            source="dense random packing grown as by Bennett, J. Appl. Phys. 43 (1972) 2727",
        )
    for n, m in TUBES:
        atoms = nanotube(n, m, length=1, bond=CARBON_BOND)  # type: ignore[no-untyped-call]
        cells = max(1, round(TUBE_LENGTH / atoms.cell[2, 2]))
        atoms = atoms.repeat((1, 1, cells))
        yield Record(
            name=f"carbon nanotube ({n},{m})",
            family="compound",
            type="carbon nanotube",
            formula="C",
            species=tuple(atoms.symbols),
            positions=np.array(atoms.positions, dtype=np.float64),
            source="ideal tube by ase.build.nanotube",
        )


@cache
def _glass() -> Floats:
    """(SPHERES, 3) in diameters."""
    angle = 2.0 * np.pi / 3.0 * np.arange(3)
    spheres: Floats = np.stack([np.cos(angle), np.sin(angle), np.zeros(3)], axis=1) / np.sqrt(3.0)
    pockets = _pockets(spheres, 2)
    while len(spheres) < SPHERES:
        place = pockets[np.argmin((pockets**2).sum(axis=1))]
        spheres = np.asarray(np.vstack([spheres, place]))
        pockets = np.vstack([pockets, _pockets(spheres, len(spheres) - 1)])
        pockets = pockets[np.linalg.norm(pockets - place, axis=1) >= 1.0 - TOUCHING]
    return spheres


def _pockets(spheres: Floats, newest: int) -> Floats:
    """Free places that touch the newest sphere and two others: (n, 3)."""
    centre = spheres[newest]
    distance = np.linalg.norm(spheres - centre, axis=1)
    near = np.flatnonzero((distance < 2.0) & (distance > 0.0))
    pairs = np.array(list(combinations(near, 2)))
    a, b = spheres[pairs[:, 0]] - centre, spheres[pairs[:, 1]] - centre
    normal = np.cross(a, b)
    square = (normal**2).sum(axis=1)
    flat = square < TOUCHING
    a, b, normal, square = a[~flat], b[~flat], normal[~flat], square[~flat]
    # The centre of the circle through the three, from which the places lie above and below.
    weight_a, weight_b = (a**2).sum(axis=1)[:, None], (b**2).sum(axis=1)[:, None]
    middle = np.cross(weight_a * b - weight_b * a, np.cross(a, b)) / (2.0 * square[:, None])
    height2 = 1.0 - (middle**2).sum(axis=1)
    real = height2 > 0.0
    middle, normal, height2, square = middle[real], normal[real], height2[real], square[real]
    up = normal * np.sqrt(height2 / square)[:, None]
    places: Floats = np.vstack([middle + up, middle - up]) + centre
    clear = np.linalg.norm(places[:, None] - spheres[None], axis=-1).min(axis=1) >= 1.0 - TOUCHING
    free: Floats = places[clear]
    return free
