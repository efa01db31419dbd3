"""The encoder: one network for every pattern, with a head for each question.

A residual network on the canonical input (:mod:`solvus.models.recognition.canonical`); normalisation before each block
(Xiong et al., ICML 2020). Its heads answer at once: an *embedding*, in which patterns of one structure lie near one
another whatever their conditions; logits of the structure types with "none of these" among them; logits of the groups
of metals; and normal distributions of ln D (diameter of the particle), ln s (spacing of atoms in a crystal, bond length
in a metal cluster; angstrom) and the logit of the main phase's share of the signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from solvus.models.recognition.canonical import INPUTS

QUANTITIES = ("diameter", "spacing", "share")
LEAST_SD, MOST_SD = 1e-3, 3.0


@dataclass(frozen=True)
class Shape:
    """Sizes of the network."""

    width: int
    blocks: int
    dimension: int
    kinds: int
    groups: int


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of n patterns.

    Attributes
    ----------
    embedding : (n, dimension), of length one.
    kinds : (n, kinds) logits; metals : (n, groups) logits.
    mean, sd : (n, 3) of ``QUANTITIES``.
    """

    embedding: torch.Tensor
    kinds: torch.Tensor
    metals: torch.Tensor
    mean: torch.Tensor
    sd: torch.Tensor


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.second(functional.gelu(self.first(self.norm(x))))
        return x + change


class Encoder(nn.Module):
    """See the module."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.entrance = nn.Linear(INPUTS, shape.width)
        self.blocks = nn.ModuleList(_Block(shape.width) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.width)
        self.embedding = nn.Linear(shape.width, shape.dimension)
        self.kinds = nn.Linear(shape.width, shape.kinds)
        self.metals = nn.Linear(shape.width, shape.groups)
        self.quantities = nn.Linear(shape.width, 2 * len(QUANTITIES))

    def forward(self, x: torch.Tensor) -> Encoded:
        """Of inputs (n, 308)."""
        x = self.features(x)
        mean, spread = self.quantities(x).chunk(2, dim=1)
        sd = functional.softplus(spread).clamp(LEAST_SD, MOST_SD)
        return Encoded(
            functional.normalize(self.embedding(x), dim=1), self.kinds(x), self.metals(x), mean, sd
        )

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the heads read, (n, width), of inputs (n, 308)."""
        x = functional.gelu(self.entrance(x))
        for block in self.blocks:
            x = block(x)
        normed: torch.Tensor = self.norm(x)
        return normed
