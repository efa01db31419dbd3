"""The probabilistic autoencoder: structures to a latent space and back, and patterns to a posterior in it.

A conditional variational autoencoder (K. Sohn et al., NeurIPS 2015; for PDFs E. T. S. Kjaer et al., Digital Discovery
2, 69 (2023)). ``Reader`` is q(z | structure), from invariants of the structure. ``Speaker`` is p(construction | z):
packing, centre, heights of the faces, stacking and number of atoms, of which :mod:`solvus.models.latent.decode` makes
atoms. ``Prior`` is p(z | pattern), a mixture of normal distributions, so that a pattern with two explanations keeps
both.

The first two dimensions are the map. While training, the others are hidden from the speaker in a share of the cases
(nested dropout: O. Rippel et al., ICML 2014), so that two numbers say as much of a structure as two can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from solvus.models.latent.construction import DEEPEST
from solvus.models.latent.invariants import COUNT
from solvus.models.latent.packings import ELSEWHERE, MOST_FORMS, PACKINGS
from solvus.models.recognition.canonical import INPUTS

MAP = 2
"""Dimensions of the map."""
LETTERS = 2 * DEEPEST + 2
NAMES = tuple(PACKINGS)
CENTRES = tuple((*packing.centres, ELSEWHERE) for packing in PACKINGS.values())
"""Names of the centres of each packing."""
MOST_CENTRES = max(len(names) for names in CENTRES)
LEAST_SD, MOST_SD = 0.02, 3.0
"""Of the latent coordinates."""
LEAST_SPREAD, MOST_SPREAD = 0.004, 1.0
"""Of logarithms of heights and of the radius."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the networks: dimensions of the latent space, components of the posterior, widths, blocks, and what of
    the recogniser is read beside the pattern."""

    dimensions: int = 8
    components: int = 8
    width: int = 512
    prior_width: int = 640
    blocks: int = 2
    prior_blocks: int = 3
    features: int = 768


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.second(functional.gelu(self.first(self.norm(x))))
        return x + change


def _trunk(inputs: int, width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.GELU(), *(_Block(width) for _ in range(blocks)), nn.LayerNorm(width)
    )


def _between(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """A standard deviation between two limits, both approached smoothly."""
    return low + (high - low) * torch.sigmoid(x - math.log(high / 0.1 - 1.0))


@dataclass(frozen=True)
class Spoken:
    """What the speaker says of n points of the latent space.

    Attributes
    ----------
    packing : (n, packings) logits; centre : (n, packings, centres) logits, of which a packing has its own number.
    height, height_sd : (n, packings, forms) logarithms of heights over the radius of the sphere of equal volume.
    radius, radius_sd : (n,) logarithm of that radius in bond lengths.
    letters : (n, letters) logits of h.
    eccentricity, eccentricity_sd : (n,) distance of the axis or point of a twinned packing, in radii.
    """

    packing: torch.Tensor
    centre: torch.Tensor
    height: torch.Tensor
    height_sd: torch.Tensor
    radius: torch.Tensor
    radius_sd: torch.Tensor
    letters: torch.Tensor
    eccentricity: torch.Tensor
    eccentricity_sd: torch.Tensor


@dataclass(frozen=True)
class Mixture:
    """Normal distributions in the latent space for n patterns: logits (n, k), mean and sd (n, k, dimensions), and the
    logarithm of the bond length (angstrom) with its standard deviation, (n,) each."""

    logits: torch.Tensor
    mean: torch.Tensor
    sd: torch.Tensor
    bond: torch.Tensor
    bond_sd: torch.Tensor

    def log_density(self, z: torch.Tensor) -> torch.Tensor:
        """At z (n, dimensions): (n,)."""
        u = (z[:, None] - self.mean) / self.sd
        each = -0.5 * (u**2).sum(2) - self.sd.log().sum(2) - 0.5 * z.shape[1] * math.log(2.0 * math.pi)
        return torch.logsumexp(functional.log_softmax(self.logits, 1) + each, 1)


class Autoencoder(nn.Module):
    """The three networks; see the module."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        d, packings = shape.dimensions, len(NAMES)
        self.reader = nn.Sequential(_trunk(COUNT, shape.width, shape.blocks), nn.Linear(shape.width, 2 * d))
        self.speaker = _trunk(d + 1, shape.width, shape.blocks)
        self.sizes = (
            packings,
            packings * MOST_CENTRES,
            packings * MOST_FORMS,
            packings * MOST_FORMS,
            2,
            LETTERS,
            2,
        )
        self.words = nn.Linear(shape.width, sum(self.sizes))
        self.prior = _trunk(INPUTS + shape.features, shape.prior_width, shape.prior_blocks)
        self.mixture = nn.Linear(shape.prior_width, shape.components * (2 * d + 1) + 2)
        nn.init.normal_(self.mixture.bias[: shape.components * d], std=1.0)

    def read(self, invariants: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of q(z | structure): (n, dimensions) each."""
        mean, spread = self.reader(invariants).chunk(2, dim=1)
        return mean, _between(spread, LEAST_SD, MOST_SD)

    def speak(self, z: torch.Tensor, hidden: torch.Tensor | None = None) -> Spoken:
        """The construction at z (n, dimensions); where ``hidden`` (n,), from the map alone."""
        n, packings = len(z), len(NAMES)
        flag = torch.zeros(n, 1) if hidden is None else hidden.to(z.dtype)[:, None]
        flag = flag.to(z)
        seen = torch.cat([z[:, :MAP], z[:, MAP:] * (1.0 - flag), flag], dim=1)
        packing, centre, height, spread, radius, letters, eccentric = self.words(self.speaker(seen)).split(
            self.sizes, dim=1
        )
        return Spoken(
            packing,
            centre.reshape(n, packings, MOST_CENTRES),
            height.reshape(n, packings, MOST_FORMS),
            _between(spread.reshape(n, packings, MOST_FORMS), LEAST_SPREAD, MOST_SPREAD),
            radius[:, 0] + 1.0,
            _between(radius[:, 1], LEAST_SPREAD, MOST_SPREAD),
            letters,
            eccentric[:, 0],
            _between(eccentric[:, 1], 0.02, 1.0),
        )

    def posterior(self, values: torch.Tensor, features: torch.Tensor) -> Mixture:
        """p(z | pattern) of canonical inputs (n, 308) and the recogniser's features (n, features)."""
        n, k, d = len(values), self.shape.components, self.shape.dimensions
        out = self.mixture(self.prior(torch.cat([values, features], dim=1)))
        mean, spread, logits, bond = out.split((k * d, k * d, k, 2), dim=1)
        return Mixture(
            logits,
            mean.reshape(n, k, d),
            _between(spread.reshape(n, k, d), LEAST_SD, MOST_SD),
            bond[:, 0] + 1.0,
            _between(bond[:, 1], 0.001, 0.5),
        )
