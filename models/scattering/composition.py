"""What a sample is made of, and how strongly it scatters on average.

Per atom, with c_a the share of species a among the atoms and f_a(Q) its amplitude:

    <f> = sum_a c_a f_a,    <f^2> = sum_a c_a f_a^2,    C = sum_a c_a C_a    (what is scattered without interference).

X-rays: C_a = Z - f_a^2 / Z, Compton scattering of Z electrons that share the form factor f_a equally (the rule
Z - sum_n f_n^2 over electrons n, with f_n = f_a / Z), without the recoil factor. Neutrons: C_a = sigma_i / 4 pi,
incoherent scattering. Intensities in electrons^2 or fm^2 per atom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import periodictable
import torch

from solvus.models.scattering.form_factors import Radiation, element_of, form_factors
from solvus.models.scattering.structure import Structure

FM2_PER_BARN = 100.0


@dataclass(frozen=True)
class Composition:
    """Species and the share of each among the atoms, ``share`` (s,) or (b, s), which sums to one."""

    species: tuple[str, ...]
    share: torch.Tensor

    def mean_mass(self) -> torch.Tensor:
        """Of an atom, daltons: () or (b,)."""
        masses = [float(getattr(periodictable, element_of(name)).mass) for name in self.species]
        mean: torch.Tensor = self.share @ torch.tensor(masses).to(self.share)
        return mean


@dataclass(frozen=True)
class Power:
    """<f^2>, <f>^2 and C at the points of Q: each (m,) or (b, m)."""

    mean_square: torch.Tensor
    square_mean: torch.Tensor
    inelastic: torch.Tensor

    def smooth(self) -> torch.Tensor:
        """The intensity of a sample without structure: <f^2> + C."""
        return self.mean_square + self.inelastic


def composition_of(structure: Structure) -> Composition:
    """Of a structure, or of b that differ in their occupancies."""
    names = tuple(sorted(set(structure.species)))
    place = {name: k for k, name in enumerate(names)}
    number = torch.tensor([place[name] for name in structure.species], device=structure.occupancy.device)
    empty = torch.zeros(*structure.occupancy.shape[:-1], len(names)).to(structure.occupancy)
    amounts = empty.index_add(-1, number, structure.occupancy)
    return Composition(names, amounts / amounts.sum(dim=-1, keepdim=True))


def scattering_power(
    composition: Composition,
    q: torch.Tensor,
    radiation: Radiation = "xray",
    *,
    lengths: Mapping[str, float] | None = None,
) -> Power:
    """Mean amplitudes and incoherent part at Q, with gradients to the shares.

    Parameters
    ----------
    q : (m,) 1/angstrom; lengths : neutron lengths (fm) that take the place of tabulated ones.
    """
    grid = q.detach().cpu().double().numpy()
    f = form_factors(composition.species, grid, radiation, lengths=lengths)
    alone = np.stack(
        [_incoherent(name, row, radiation) for name, row in zip(composition.species, f, strict=True)]
    )
    amplitude, inelastic = (torch.from_numpy(table).to(composition.share) for table in (f, alone))
    share = composition.share
    return Power(share @ amplitude.square(), (share @ amplitude).square(), share @ inelastic)


def _incoherent(species: str, f: np.ndarray, radiation: Radiation) -> np.ndarray:
    element = element_of(species)
    if radiation == "neutron":
        barns = getattr(periodictable, element).neutron.incoherent or 0.0
        return np.full(len(f), FM2_PER_BARN * float(barns) / (4.0 * math.pi))
    electrons = float(form_factors([species], [0.0], radiation)[0, 0])
    return np.asarray(np.maximum(electrons - f**2 / electrons, 0.0))
