"""Lognormal distributions of particle size: spheres cut from a crystal, and families of clusters.

D is the diameter in angstrom, ln D normal with mean mu = ln(median) and standard deviation s (``spread``). Two
conventions are in use, and a distribution says which it follows:

- ``number``: n(D) dD particles, as microscopy counts them; a particle of diameter D holds atoms ~ D^3;
- ``volume``: v(D) dD of the volume (or mass, or atoms), as scattering weighs it.

A lognormal distribution of volume with median D_v is one of number with median D_v exp(-3 s^2) and the same s
(Hatch and Choate, J. Franklin Inst. 207, 369 (1929)). The shape function of a sphere,
gamma(r; D) = 1 - 3/2 r/D + 1/2 (r/D)^3 for r < D, averaged over the atoms, is with partial moments of n(D)

    M_k(r) = integral_r^inf D^k n(D) dD = exp(k mu + k^2 s^2 / 2) Phi((mu + k s^2 - ln r) / s),
    gamma(r) = (M_3 - 3/2 r M_2 + 1/2 r^3 M_0) / M_3(0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from solvus.models.scattering.curves import Curves
from solvus.models.scattering.exact import exact_curves
from solvus.models.scattering.mixture import mixed, phases_of
from solvus.models.scattering.settings import Number, Settings, SettingsError
from solvus.models.scattering.structure import Structure, StructureError

Weighting = Literal["number", "volume"]
WIDEST = 1.0
"""Largest spread: sizes then range over a factor of 50; beyond, no mean size means anything."""
NARROWEST = 1e-6
"""Spread below which all sizes are the median: the difference is of its square."""


@dataclass(frozen=True)
class Lognormal:
    """A distribution of diameters.

    Attributes
    ----------
    median : angstrom; ``spread`` : standard deviation of ln D, 0 to 1. Numbers, or (b,) tensors; gradients flow to
        both.
    weighting : what is counted, particles or their volume.
    """

    median: Number
    spread: Number
    weighting: Weighting = "number"

    def __post_init__(self) -> None:
        median, spread = (torch.as_tensor(v).detach() for v in (self.median, self.spread))
        if not bool((torch.isfinite(median) & (median > 0)).all()):
            raise SettingsError(f"median: a diameter must be a positive number, not {self.median}")
        if not bool(((spread >= 0) & (spread <= WIDEST)).all()):
            raise SettingsError(f"spread: must lie between 0 and {WIDEST:g}, not {self.spread}")
        if self.weighting not in ("number", "volume"):
            raise SettingsError(f"weighting: {self.weighting!r} is neither number nor volume")

    @classmethod
    def from_mean(cls, mean: Number, deviation: Number, weighting: Weighting = "number") -> Lognormal:
        """From mean and standard deviation of the diameter, angstrom."""
        m, d = (torch.as_tensor(v, dtype=torch.float64) for v in (mean, deviation))
        square = torch.log1p((d / m) ** 2)
        # The root has no slope at zero, where a spread of zero has none either.
        spread = torch.where(square > 0, torch.sqrt(torch.where(square > 0, square, 1.0)), 0.0)
        return cls(m * torch.exp(-0.5 * square), spread, weighting)

    def of_number(self) -> tuple[torch.Tensor, torch.Tensor]:
        """mu and s of the equivalent distribution of number."""
        median, spread = (torch.as_tensor(v, dtype=torch.float64) for v in (self.median, self.spread))
        mu = torch.log(median)
        return (mu - 3.0 * spread**2 if self.weighting == "volume" else mu), spread


def shape_function(distribution: Lognormal, r: torch.Tensor) -> torch.Tensor:
    """gamma(r), 1 at r = 0: (k,), or (b, k) for a distribution of b."""
    mu, spread = (_column(v).to(r) for v in distribution.of_number())
    narrow = spread < NARROWEST
    s = torch.where(narrow, 1.0, spread)
    x = r.clamp(min=1e-12)

    def above(k: int) -> torch.Tensor:
        """M_k(r) / M_k(0)."""
        share: torch.Tensor = torch.special.ndtr((mu + k * s**2 - torch.log(x)) / s)
        return share

    second = 1.5 * x * torch.exp(-mu - 2.5 * s**2) * above(2)
    third = 0.5 * x**3 * torch.exp(-3.0 * mu - 4.5 * s**2) * above(0)
    smooth = (above(3) - second + third).clamp(min=0.0)
    y = x * torch.exp(-mu)
    single = torch.where(y < 1.0, 1.0 - 1.5 * y + 0.5 * y**3, 0.0)
    return torch.where(narrow, single, smooth)


def polydisperse(structure: Structure, settings: Settings, distribution: Lognormal) -> Curves:
    """Curves of spheres cut from a crystal, with a distribution of diameters; F is that of the whole crystal.

    Raises
    ------
    StructureError
        For a finite structure, whose size is its own.
    SettingsError
        When the settings have a diameter too.
    """
    if structure.lattice is None:
        raise StructureError("structure: spheres are cut from a crystal; for clusters see cluster_family")
    if settings.diameter is not None:
        raise SettingsError("diameter: leave it out of the settings; the distribution has its own")
    curves = exact_curves(structure, settings)
    return replace(curves, g=curves.g * shape_function(distribution, curves.r))


def member_fractions(
    distribution: Lognormal, diameters: torch.Tensor | Sequence[float], atoms: torch.Tensor | Sequence[float]
) -> torch.Tensor:
    """Shares of the atoms that the members of a family hold, (p,) or (b, p), summing to one.

    Each member stands for the diameters nearer to its own than to another's (in ln D), the smallest and the largest for
    all beyond.

    Parameters
    ----------
    diameters : (p,) increasing, angstrom; atoms : (p,) in each.

    Raises
    ------
    SettingsError
        For diameters that do not increase.
    """
    sizes, counts = (torch.as_tensor(v, dtype=torch.float64) for v in (diameters, atoms))
    if sizes.ndim != 1 or sizes.shape != counts.shape or not len(sizes):
        raise SettingsError("diameters: give one for each member, and as many numbers of atoms")
    if not bool((sizes > 0).all()) or not bool((sizes.diff() > 0).all()):
        raise SettingsError("diameters: must be positive and increase from member to member")
    median, spread = (
        _column(torch.as_tensor(v, dtype=torch.float64)) for v in (distribution.median, distribution.spread)
    )
    borders = 0.5 * (torch.log(sizes[1:]) + torch.log(sizes[:-1]))
    below = torch.special.ndtr((borders - torch.log(median)) / spread.clamp(min=NARROWEST))
    ends = torch.zeros(*below.shape[:-1], 1, dtype=torch.float64)
    weight = torch.cat([ends, below, 1.0 + ends], dim=-1).diff(dim=-1)
    if distribution.weighting == "number":
        weight = weight * counts
    return weight / weight.sum(dim=-1, keepdim=True)


def sphere_diameter(structure: Structure) -> float:
    """Of the homogeneous sphere with the same radius of gyration, D = 2 sqrt(5/3) Rg, angstrom."""
    if structure.lattice is not None or structure.batch is not None:
        raise StructureError("structure: one finite structure has a diameter, not a crystal or a batch")
    places, share = structure.positions.detach(), structure.occupancy.detach()
    middle = (share[:, None] * places).sum(dim=0) / share.sum()
    square = (share * (places - middle).square().sum(dim=-1)).sum() / share.sum()
    return 2.0 * math.sqrt(5.0 / 3.0 * float(square))


def cluster_family(
    structures: Sequence[Structure],
    distribution: Lognormal,
    settings: Settings,
    diameters: torch.Tensor | Sequence[float] | None = None,
) -> Curves:
    """Curves of clusters of several sizes, weighted by a distribution.

    Parameters
    ----------
    structures : finite, by increasing size.
    diameters : angstrom; by default :func:`sphere_diameter` of each.
    """
    sizes = [sphere_diameter(s) for s in structures] if diameters is None else diameters
    atoms = [float(s.occupancy.detach().sum()) for s in structures]
    return mixed(phases_of(structures, settings), member_fractions(distribution, sizes, atoms))


def _column(value: torch.Tensor) -> torch.Tensor:
    return value[:, None] if value.ndim else value
