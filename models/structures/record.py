"""One structure of the library: a formula, its sites and where they come from.

A crystal is kept as crystallographers publish it: space group, cell and asymmetric unit; a cluster as its atoms.
Lengths in angstrom, angles in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal
from numpy.typing import NDArray

from solvus.models.scattering.form_factors import element_of

Floats = NDArray[np.float64]
Family = Literal["metal", "oxide", "polyoxometalate", "compound"]

SAME_SITE = 1e-3
"""Fractional coordinates that agree to this are one site on a special position."""


@dataclass(frozen=True)
class Record:
    """One structure, periodic when ``cell`` is given.

    Attributes
    ----------
    name : unique and readable: ``TiO2 anatase``, ``alpha-Keggin PW12O40``.
    family : what a chemist would call it first.
    type : structure type within the family: ``anatase``, ``spinel``, ``alpha-Keggin``.
    formula : reduced for crystals, of the whole cluster otherwise.
    species : n elements or ions, one for each site of the asymmetric unit, or each atom of a cluster.
    positions : (n, 3) fractional in a crystal, angstrom in a cluster.
    occupancy : (n,) share of each site that is filled.
    source : the publication, data set or construction that the numbers come from.
    hypothetical : a prototype decorated with metals, not a compound known to exist with this cell.
    space_group : international number, 1-230; ``setting`` : 1 or 2 as in `ase.spacegroup`, for groups with two origins.
    cell : a, b, c, alpha, beta, gamma.
    u_iso : angstrom^2 for each site, where the source gives them.
    """

    name: str
    family: Family
    type: str
    formula: str
    species: tuple[str, ...]
    positions: Floats
    source: str
    occupancy: tuple[float, ...] = ()
    hypothetical: bool = False
    space_group: int | None = None
    setting: int = 1
    cell: tuple[float, float, float, float, float, float] | None = None
    u_iso: tuple[float, ...] = ()

    @property
    def periodic(self) -> bool:
        return self.cell is not None

    @property
    def elements(self) -> frozenset[str]:
        """Chemical elements, without charges."""
        return frozenset(element_of(name) for name in self.species)

    def atoms(self) -> Atoms:
        """The whole cell, or the cluster, with one atom on each site.

        A site that several species share holds the one that fills most of it (the first of equals), and a site that is
        filled in part is there as a whole one. The shares of a crystal are in ``info["occupancy"]``, from where
        `ase.io.write` puts them into a CIF.
        """
        symbols = [element_of(name) for name in self.species]
        if self.cell is None:
            return Atoms(symbols, positions=self.positions)
        share = np.array(self.occupancy or (1.0,) * len(symbols))
        away = np.abs((self.positions[:, None] - self.positions + 0.5) % 1.0 - 0.5).max(axis=2)
        site = (away < SAME_SITE).argmax(axis=1)  # the first species there
        order = np.lexsort((-share, site))  # of atoms on one place, ase keeps the first
        atoms: Atoms = crystal(
            [symbols[k] for k in order],
            basis=self.positions[order],
            occupancies=None if (share == 1.0).all() else share[order].tolist(),
            spacegroup=self.space_group or 1,
            setting=self.setting,
            cellpar=list(self.cell),
            symprec=SAME_SITE,
            onduplicates="keep",
        )
        return atoms
