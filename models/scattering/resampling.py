"""F(Q) at other points than those it was calculated at.

F is odd in Q and holds no distance beyond the structure's, so that ten-point Lagrange interpolation of the calculated
samples is right to about 1e-5 of its amplitude for distances below half the reach of the transform.
"""

from __future__ import annotations

import numpy as np
import torch

from solvus.models.scattering.curves import Curves
from solvus.models.scattering.settings import SettingsError

HALF = 5
"""Samples taken on either side."""
OFFSETS = np.arange(1 - HALF, HALF + 1)
LAGRANGE = np.linalg.inv(np.vander(OFFSETS, increasing=True).astype(np.float64))
"""Row k holds what t^k contributes to the weight of each sample."""
SIMPSON = ((-0.5, 1.0 / 6.0), (0.0, 4.0 / 6.0), (0.5, 1.0 / 6.0))
"""Places in a bin and their weights."""


def resampled(curves: Curves, q: torch.Tensor) -> torch.Tensor:
    """F at ``q``: (p,) or (b, p).

    Parameters
    ----------
    curves : with F at uniform steps from 0 or from half a step on; each of a batch may have its own.
    q : (p,) 1/angstrom, up to five samples below the last one of ``curves``; F(-Q) = -F(Q).

    Raises
    ------
    SettingsError
        When q lies beyond the samples.
    """
    grid = curves.q.detach().to(torch.float64)
    first, dq = grid[..., :1], grid[..., 1:2] - grid[..., :1]
    position = (q.detach() - first) / dq
    base = position.floor().long()
    if base.numel() and int(base.max()) + HALF >= curves.f.shape[-1]:
        raise SettingsError(f"qmax: F is known to {float(grid[..., -1 - HALF].min()):.4g} 1/angstrom only")
    t = (position - base).to(curves.f)
    # Samples below the first are mirrored: it is its own image at 0, and a neighbour's at half a step.
    own = int(torch.round(2.0 * first / dq).max())
    total = torch.zeros(1).to(curves.f)
    for column, offset in enumerate(OFFSETS.tolist()):
        sample, weight = base + offset, torch.zeros_like(t)
        for coefficient in reversed(LAGRANGE[:, column].tolist()):
            weight = weight * t + coefficient
        weight = torch.where(sample < 0, -weight, weight)
        total = total + _taken(curves.f, torch.where(sample < 0, -sample - own, sample)) * weight
    return total


def roughly(curves: Curves, q: torch.Tensor) -> torch.Tensor:
    """F at ``q`` by straight lines, for what needs no more: how many counts a bin holds."""
    first, dq = curves.q[..., :1], curves.q[..., 1:2] - curves.q[..., :1]
    position = ((q - first) / dq).clamp(min=0.0, max=curves.f.shape[-1] - 1.001)
    base = position.floor().long()
    return torch.lerp(_taken(curves.f, base), _taken(curves.f, base + 1), (position - base).to(curves.f))


def _taken(f: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """f at the same samples in every row, or at those of each row."""
    if sample.ndim == 1:
        return f[..., sample]
    return f.expand(len(sample), -1).gather(1, sample)


def bin_means(curves: Curves, q: torch.Tensor, step: float) -> torch.Tensor:
    """Mean of F over bins of width ``step`` around ``q``, by Simpson's rule, as a detector that counts into bins has
    it: (p,) or (b, p)."""
    parts = [weight * resampled(curves, q + place * step) for place, weight in SIMPSON]
    return sum(parts[1:], start=parts[0])
