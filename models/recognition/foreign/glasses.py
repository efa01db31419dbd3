"""Disordered solids of other chemistry: random packings of hard spheres of one or two sizes.

A packing is made once for each pair of sizes, in units of the larger diameter, and scaled to the distances of several
pairs of elements; what differs between those is the contrast and the scale. Lengths in angstrom.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.foreign.packing import Body, packed_box
from solvus.models.recognition.foreign.prototypes import Split
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

SPHERES = 700
"""In the box; about half of them are in the droplet."""
PACKED = "random packing of hard spheres (J. D. Bernal, Nature 183 (1959) 141)"

_PACKINGS: list[tuple[float, float, float, str]] = [
    (1.0, 0.0, 0.60, "Ar 3.76, Kr 4.0, P 2.25, As 2.5, B 1.78, Co 2.50"),
    (1.0, 0.0, 0.54, "Xe 4.36, K 4.5, I 3.3, Ca 3.9, U 2.9"),
    (0.90, 0.50, 0.60, "Kr Ar 4.0, Zr N 3.1, Ti H 2.9, Mo P 2.7"),
    (0.80, 0.35, 0.61, "Fe P 2.55, Co P 2.52, Ni As 2.5, Cs Cl 4.4, Y N 3.5"),
    (0.70, 0.20, 0.62, "Fe B 2.52, Co B 2.5, Ni B 2.5, W B 2.75, Pb Cl 3.9"),
    (0.60, 0.25, 0.62, "Fe C 2.55, Nb C 2.9, Ti N 2.95, Pt P 2.75, Ba F 4.2"),
    (0.50, 0.50, 0.64, "Ag F 3.4, K F 3.9, La N 3.6, Hf C 3.2, La H 3.6"),
]
"""Size of the smaller sphere and its share, the filling, and pairs of elements (larger first) with the diameter of the
larger: metallic or van der Waals diameters for atoms of one kind, about twice the covalent radius for others."""


def hard_spheres(split: Split, seed: int) -> Iterator[Record]:
    """One record for each packing and elements; all of them are for training."""
    if split != "training":
        return
    for number, (ratio, share, filling, entries) in enumerate(_PACKINGS):
        for entry in entries.split(", "):
            *elements, diameter = entry.split()
            small, positions = _packing(ratio, share, filling, (seed, number))
            species = tuple(elements[-1] if s else elements[0] for s in small)
            percent = [f"{e}{round(100 * species.count(e) / len(species))}" for e in elements]
            formula = elements[0] if len(elements) == 1 else "".join(percent)
            yield Record(
                name=f"{formula} hard-sphere glass",
                family="compound",
                type="hard-sphere glass",
                formula=formula,
                species=species,
                positions=positions * float(diameter),
                source=PACKED,
            )


@cache
def _packing(
    ratio: float, share: float, filling: float, seed: tuple[int, int]
) -> tuple[tuple[bool, ...], Floats]:
    """Which spheres are small, and their places, the larger diameter being 1."""
    bodies = {
        name: Body((name,), np.zeros((1, 3)), np.array([size / 2]))
        for name, size in (("A", 1.0), ("B", ratio))
    }
    few = round(share * SPHERES)
    species, positions = packed_box(
        [bodies["B"]] * few + [bodies["A"]] * (SPHERES - few), filling, seed
    ).droplet()
    return tuple(name == "B" for name in species), positions
