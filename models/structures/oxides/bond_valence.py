"""Whether a structure is chemically possible: shortest distances and bond-valence sums.

The valence of a site is the sum of s = exp((R0 - d) / b) over its bonds to ions of the other sign (see
:mod:`solvus.models.structures.oxides.radii`); in a good structure it is the charge to about a tenth (I. D. Brown,
The Chemical Bond in Inorganic Chemistry, 2002). Lengths in angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from solvus.models.structures.oxides.facts import Oxide
from solvus.models.structures.oxides.radii import SOFTNESS, bond_constant, split_ion
from solvus.models.structures.oxides.symmetry import equivalent, lattice
from solvus.models.structures.record import Floats

REACH = 4.0
"""Longest bond counted, angstrom: a Cs-O bond of this length still carries 0.014."""


@dataclass(frozen=True)
class SiteValence:
    """A cation of the asymmetric unit: its charge and the sum of the valences of its bonds to oxygen."""

    ion: str
    charge: int
    valence: float


@dataclass(frozen=True)
class Bonding:
    """Of one structure: cations with their valences, and the shortest metal-oxygen and oxygen-oxygen distances."""

    cations: tuple[SiteValence, ...]
    metal_oxygen: float
    oxygen_oxygen: float

    @property
    def instability(self) -> float:
        """Global instability index over the cations of the asymmetric unit: r.m.s. of valence less charge."""
        misses = [cation.valence - cation.charge for cation in self.cations]
        return float(np.sqrt(np.mean(np.square(misses))))


def bonding(oxide: Oxide) -> Bonding:
    """Distances and valences of the ideal crystal.

    Raises
    ------
    RadiusError
        When the structure holds an ion of unknown bond-valence constant.
    """
    rows = lattice(oxide.cell)
    oxygens = [site for site in oxide.sites if site.element == "O"]
    images, filled = _around(oxide, rows)
    tree = cKDTree(images)
    cations: list[SiteValence] = []
    metal_oxygen = oxygen_oxygen = np.inf
    for site in oxide.sites:
        centre = np.asarray(site.position) % 1.0 @ rows
        near = np.array(tree.query_ball_point(centre, REACH), dtype=int)
        distance = np.linalg.norm(images[near] - centre, axis=1)
        other = distance > 1e-3
        distance, weight = distance[other], filled[near][other]
        if site in oxygens:
            oxygen_oxygen = min(oxygen_oxygen, float(distance.min(initial=np.inf)))
            continue
        metal_oxygen = min(metal_oxygen, float(distance.min(initial=np.inf)))
        bonds = weight * np.exp((bond_constant(site.ion) - distance) / SOFTNESS)
        cations.append(SiteValence(site.ion, split_ion(site.ion)[1], float(bonds.sum())))
    return Bonding(tuple(cations), metal_oxygen, oxygen_oxygen)


def _around(oxide: Oxide, rows: Floats) -> tuple[Floats, Floats]:
    """(n, 3) oxygen positions of the cell and of all cells within reach, angstrom; (n,) their occupancies."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(rows), axis=0)
    counts = [int(np.ceil(REACH / height)) for height in heights]
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in counts), indexing="ij"), axis=-1).reshape(
        -1, 3
    )
    positions: list[Floats] = []
    occupancies: list[Floats] = []
    for site in oxide.sites:
        if site.element == "O":
            inside = equivalent(oxide.space_group, oxide.setting, site.position)
            everywhere = (inside[None, :, :] + steps[:, None, :]).reshape(-1, 3)
            positions.append(everywhere @ rows)
            occupancies.append(np.full(len(everywhere), site.occupancy))
    return np.concatenate(positions), np.concatenate(occupancies)
