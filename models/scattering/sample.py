"""A sample to simulate: structures with their shares of the atoms, and a distribution of sizes.

Spheres are cut from crystals; finite structures are as they are. Lengths in angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from solvus.models.scattering.composition import Composition, composition_of
from solvus.models.scattering.curves import Curves
from solvus.models.scattering.exact import exact_curves
from solvus.models.scattering.form_factors import element_of
from solvus.models.scattering.mixture import (
    By,
    fractions_of_atoms,
    mixed,
    phases_of,
    whole_composition,
)
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.size_distribution import Lognormal, shape_function
from solvus.models.scattering.structure import Structure

WHOLE = 1e-3
"""Atoms per formula that agree with whole numbers to this are written so."""
MOST_UNITS = 60
"""Whole numbers are tried up to this many formula units: enough for Keggin ions and spinels."""


@dataclass(frozen=True)
class Sample:
    """What is measured.

    Attributes
    ----------
    structures : one for each phase; ``shares`` : of the atoms, summing to one.
    size : diameters of the spheres that every crystal among the structures is cut into; ``None`` for endless crystals.
    """

    structures: tuple[Structure, ...]
    shares: tuple[float, ...] = (1.0,)
    size: Lognormal | None = None

    @classmethod
    def of(
        cls,
        structures: Sequence[Structure],
        fractions: Sequence[float],
        *,
        by: By = "atoms",
        size: Lognormal | None = None,
    ) -> Sample:
        """From fractions of atoms or of mass, in any unit."""
        shares = fractions_of_atoms([composition_of(s) for s in structures], fractions, by=by)
        return cls(tuple(structures), tuple(shares.tolist()), size)

    @property
    def composition(self) -> Composition:
        """Of the whole."""
        parts = [composition_of(s) for s in self.structures]
        return whole_composition(parts, torch.tensor(self.shares, dtype=torch.float64))

    def curves(self, settings: Settings) -> Curves:
        """F and G; F is that of endless crystals."""
        if len(self.structures) == 1:
            alone = exact_curves(self.structures[0], settings)
            if self.size is None or self.structures[0].lattice is None:
                return alone
            return replace(alone, g=alone.g * shape_function(self.size, alone.r))
        phases = phases_of(self.structures, settings)
        if self.size is not None:
            cut = shape_function(self.size, phases.curves[0].r)
            shapes = [
                shape if structure.lattice is None else shape * cut
                for shape, structure in zip(phases.shapes, self.structures, strict=True)
            ]
            phases = replace(phases, shapes=tuple(shapes))
        return mixed(phases, torch.tensor(self.shares, dtype=torch.float64))

    def formula(self) -> str:
        """Elements with whole numbers where there are small ones, else relative to the most frequent."""
        composition = self.composition
        amounts: dict[str, float] = {}
        for name, share in zip(composition.species, composition.share.tolist(), strict=True):
            amounts[element_of(name)] = amounts.get(element_of(name), 0.0) + share
        least = min(amounts.values())
        for units in range(1, MOST_UNITS + 1):
            numbers = {name: units * share / least for name, share in amounts.items()}
            if all(abs(x - round(x)) <= WHOLE * x for x in numbers.values()):
                return "".join(f"{n}{round(x) if round(x) > 1 else ''}" for n, x in sorted(numbers.items()))
        most = max(amounts.values())
        return "".join(f"{n}{share / most:.4g}" for n, share in sorted(amounts.items()))


def atoms_in(structure: Structure) -> float:
    """Of a cell or a cluster, partial ones in part."""
    return math.fsum(structure.occupancy.detach().tolist())
