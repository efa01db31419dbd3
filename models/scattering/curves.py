"""What a calculation returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Curves:
    """Curves of one structure, or b of them with a leading dimension.

    Attributes
    ----------
    r : (k,) angstrom.
    g : (k,) or (b, k), G(r) in 1/angstrom^2 with scale, damping and shape.
    q : (m,) 1/angstrom, the odd multiples of half a step in the exact convention, the multiples of a step in srreal's.
    f : (m,) or (b, m), F(Q) = Q (S - 1) in 1/angstrom, without scale, damping, shape or the cut below Qmin.
    rdf : R(r) = r times the sum of Gaussians, 1/angstrom, before the transform; ``None`` from the exact
        convention with a Qmax, see :func:`solvus.models.scattering.calculate.radial_distribution`.
    """

    r: torch.Tensor
    g: torch.Tensor
    q: torch.Tensor
    f: torch.Tensor
    rdf: torch.Tensor | None = None

    def s(self) -> torch.Tensor:
        """S(Q); 1 at Q = 0, where F does not tell it."""
        return 1.0 + self.f / torch.where(self.q > 0, self.q, torch.inf)
