"""What is sought, as a function of the surrogate's outputs: near a target, on a front, or new.

Each aim turns joint draws of the outputs at the experiments that already count into a reference, and draws at a
candidate into the gain over it, smooth enough for gradients. Shapes: draws (S, a, m), gains (S, a).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from solvus.agent.planner.outputs import Output, distance_squared, log_kept, natural, utility
from solvus.agent.scoring import squared_distance

NOT_KEPT = 100.0
"""Utility lost where a bound is broken: beyond any distance that counts."""
AUGMENTATION = 0.05
"""Weight of the sum beside the maximum, as in ParEGO: keeps points that are better in one goal and equal in others."""


class Aim(Protocol):
    """What is sought."""

    def reference(self, held: Tensor) -> Tensor:
        """What a candidate is measured against, from draws at all that counts already (S, b, m)."""
        ...

    def gain(self, draws: Tensor, reference: Tensor) -> Tensor:
        """How much a candidate would add, (S, a); negative where it would not."""
        ...

    def merit(self, values: Tensor) -> Tensor:
        """A single number for outputs (..., m), larger is better: for ranking what was made."""
        ...


@dataclass(frozen=True)
class NearTarget:
    """The utility of :func:`solvus.agent.planner.outputs.utility`; what breaks a bound is no reference."""

    outputs: tuple[Output, ...]

    def merit(self, values: Tensor) -> Tensor:
        u = utility(self.outputs, values)
        if all(output.bound is None for output in self.outputs):
            return u
        return u - NOT_KEPT * (1.0 - log_kept(self.outputs, values).exp())

    def reference(self, held: Tensor) -> Tensor:
        return self.merit(held).max(-1).values

    def gain(self, draws: Tensor, reference: Tensor) -> Tensor:
        return utility(self.outputs, draws) - reference[:, None]


@dataclass(frozen=True)
class OnFront:
    """One direction of the front: the augmented Chebyshev distance with weights (k,) that differ from proposal to
    proposal (Knowles 2006, doi:10.1109/TEVC.2005.851274)."""

    outputs: tuple[Output, ...]
    weights: Tensor

    def merit(self, values: Tensor) -> Tensor:
        columns = natural(self.outputs, values)
        parts: list[Any] = [
            squared_distance([column], [output.goal]).log1p()
            for column, output in zip(columns, self.outputs, strict=True)
            if output.aimed
        ]
        weighted = torch.stack(parts, -1) * self.weights
        merit = -weighted.amax(-1) - AUGMENTATION * weighted.sum(-1)
        return merit - NOT_KEPT * (1.0 - log_kept(self.outputs, values).exp())

    def reference(self, held: Tensor) -> Tensor:
        return self.merit(held).max(-1).values

    def gain(self, draws: Tensor, reference: Tensor) -> Tensor:
        return self.merit(draws) - reference[:, None]


@dataclass(frozen=True)
class Unlike:
    """Structures unlike all that are known: the distance to the nearest known or expected one, in units (m,); where
    bounds are given, within them, so that a region of structures is filled."""

    outputs: tuple[Output, ...]
    known: Tensor
    """Outputs of the experiments, (k, m)."""
    units: Tensor

    def merit(self, values: Tensor) -> Tensor:
        return log_kept(self.outputs, values)

    def reference(self, held: Tensor) -> Tensor:
        known = self.known.expand(len(held), *self.known.shape)
        return torch.cat((known, held), 1) / self.units

    def gain(self, draws: Tensor, reference: Tensor) -> Tensor:
        steps = draws[:, :, None] / self.units - reference[:, None]
        return ((steps**2).sum(-1) + 1e-12).sqrt().amin(-1)


@dataclass(frozen=True)
class LeastMisfit:
    """The misfit itself, in units of its spread: what is left when descriptors teach nothing."""

    unit: float

    def merit(self, values: Tensor) -> Tensor:
        return -values[..., 0] / self.unit

    def reference(self, held: Tensor) -> Tensor:
        return self.merit(held).max(-1).values

    def gain(self, draws: Tensor, reference: Tensor) -> Tensor:
        return self.merit(draws) - reference[:, None]


def tolerances_off(outputs: tuple[Output, ...], values: Tensor) -> Tensor:
    """Distance to the target in tolerances, (...)."""
    return distance_squared(outputs, values).sqrt()
