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
    curves : with F at uniform steps from 0 or from half a step on.
    q : (p,) 1/angstrom, up to five samples below the last one of ``curves``; F(-Q) = -F(Q).

    Raises
    ------
    SettingsError
        When q lies beyond the samples.
    """
    first, dq = float(curves.q[0]), float(curves.q[1] - curves.q[0])
    position = ((q.detach() - first) / dq).to(torch.float64)
    base = position.floor().long()
    if len(base) and int(base.max()) + HALF >= curves.f.shape[-1]:
        raise SettingsError(f"qmax: F is known to {float(curves.q[-1 - HALF]):.4g} 1/angstrom only")
    powers = (position - base)[:, None] ** torch.arange(2 * HALF, device=position.device)
    weights = (powers @ torch.from_numpy(LAGRANGE).to(powers)).to(curves.f)
    samples = base[:, None] + torch.from_numpy(OFFSETS).to(base.device)
    mirrored = samples < 0
    weights = torch.where(mirrored, -weights, weights)
    samples = torch.where(mirrored, -samples - round(2.0 * first / dq), samples)
    parts = [curves.f[..., samples[:, k]] * weights[:, k] for k in range(2 * HALF)]
    return sum(parts[1:], start=parts[0])


def bin_means(curves: Curves, q: torch.Tensor, step: float) -> torch.Tensor:
    """Mean of F over bins of width ``step`` around ``q``, by Simpson's rule, as a detector that counts into bins has
    it: (p,) or (b, p)."""
    parts = [weight * resampled(curves, q + place * step) for place, weight in SIMPSON]
    return sum(parts[1:], start=parts[0])
