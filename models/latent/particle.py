"""A decoded structure: its atoms, with the words that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from solvus.models.latent.construction import Construction
from solvus.models.scattering.unit_factor import UnitScattering
from solvus.models.structures.build import scattering_of
from solvus.models.structures.clusters import diameter, unit_positions
from solvus.models.structures.library_file import HISTOGRAM_STEP

Floats = NDArray[np.float64]

LARGE, SOURCES = 400, 40
"""Atoms from which on the distances of some stand for all."""
EQUAL, TOUCHING = frozenset({"fcc", "sc", "layers"}), 20
"""Packings whose sites are one bond length from all their neighbours, and atoms from which on some of them touch."""


@dataclass(frozen=True, eq=False)
class Particle:
    """Atoms of a packing.

    Attributes
    ----------
    construction : what it was made from; ``sites`` may differ from its own by shells that were added or taken away.
    sites : (n, 3) relative to the centre, in the frame of the packing, bond lengths.
    """

    construction: Construction
    sites: Floats

    @staticmethod
    def of(construction: Construction) -> Particle:
        return Particle(construction, construction.sites)

    @property
    def n_atoms(self) -> int:
        return len(self.sites)

    @property
    def plain(self) -> bool:
        """Whether the construction alone says where the atoms are."""
        return len(self.sites) == self.construction.n_atoms

    @property
    def family(self) -> str:
        return self.construction.family

    @property
    def name(self) -> str:
        """Readable: that of the construction with the number of atoms that there are."""
        return f"{self.construction.name.rpartition('-')[0]}-{self.n_atoms}"

    @cached_property
    def positions(self) -> Floats:
        """Unit geometry, (n, 3)."""
        if self.construction.packing in EQUAL and self.n_atoms >= TOUCHING:
            return np.asarray(self.sites - self.sites.mean(axis=0))
        return unit_positions(self.sites)

    @cached_property
    def scattering(self) -> tuple[float, UnitScattering]:
        """Largest distance in bond lengths, and X(q)."""
        steps, unit = scattering_of(self.positions)
        return steps * HISTOGRAM_STEP, unit

    @property
    def diameter(self) -> float:
        """Of the sphere of equal volume, bond lengths."""
        return diameter("fcc" if self.family == "faulted" else self.family, self.n_atoms)

    @cached_property
    def key(self) -> tuple[int, int, int]:
        """Equal for equal structures, and hardly ever for others: number of atoms and two sums over distances, for
        large particles those from ``SOURCES`` atoms."""
        places = self.positions
        if len(places) <= LARGE:
            distances = pdist(places)
        else:
            order = np.argsort(np.round(np.linalg.norm(places, axis=1), 4), kind="stable")
            distances = cdist(places[order[:: len(order) // SOURCES]], places).ravel()
        sums = float(np.exp(-distances).sum()), float(np.cos(distances).sum())
        return len(places), round(sums[0] * 1e4), round(sums[1] * 1e4)
