"""Distances put on a uniform grid, so that everything after is linear algebra on its nodes.

A pair at distance d = (k + t) h gives its weight to the eight nodes around it by Lagrange's polynomials, so that
any smooth function of d is summed over nodes instead of pairs: the sum of w sin(Q d) / d is right to

    1.1e-3 (Q h)^8        (4e-6 at Q h = 0.5, before the damping of the peaks)

Gradients go to distances and weights, by the derivative of the same polynomials.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POINTS = 8
BEFORE = POINTS // 2 - 1
"""Nodes below the one at or under the distance."""
OFFSETS = np.arange(POINTS) - BEFORE
COEFFICIENTS: Floats = np.linalg.inv(np.vander(OFFSETS, POINTS, increasing=True).astype(np.float64))
"""Row m holds what t^m contributes to each node's weight."""
SLOPES: Floats = np.vstack([COEFFICIENTS[1:] * np.arange(1, POINTS)[:, None], np.zeros((1, POINTS))])
"""The same for the derivative by t."""

FINE = 8
"""Pieces of an interval in which places are kept to second order."""
SHIFT = 2.0**30
"""Counts times this plus a sum of places below 1/2 can be told apart again, up to 10^9 pairs in a piece."""


def _taylor(pieces: int) -> tuple[Floats, Floats, Floats]:
    """t^m about each piece's centre: value, slope and half the curvature, by the place within the piece."""
    centres = (np.arange(pieces) + 0.5)[:, None] / pieces
    powers = np.arange(POINTS)
    return (
        centres**powers,
        powers * centres ** np.maximum(powers - 1, 0) / pieces,
        0.5 * powers * (powers - 1) * centres ** np.maximum(powers - 2, 0) / pieces**2,
    )


STENCILS = tuple((order @ COEFFICIENTS).T for order in _taylor(FINE))
"""What the sums of w, w t and w t^2 in each piece of an interval give to the nodes around: (POINTS, FINE) each."""


def spread(
    d: torch.Tensor, weight: torch.Tensor, row: torch.Tensor, *, rows: int, nodes: int, step: float
) -> torch.Tensor:
    """Weights of pairs on the nodes 0, step, 2 step, ...: (rows, nodes).

    Parameters
    ----------
    d, weight : (k,) with BEFORE steps <= d < (nodes - POINTS) steps.
    row : (k,) int64, the row of each pair.
    """
    result: torch.Tensor = _Spread.apply(d, weight, row, (rows, nodes, step))  # type: ignore[no-untyped-call]
    return result


def add_pairs(sums: Floats, place: Floats, weight: Floats | None) -> None:
    """Add pairs to the sums of w, w t and w t^2 over each small piece, t from its centre.

    Three quick passes (two for weights of one, where the first two sums share one) instead of one for each power
    of the stencil, right to (Q h / FINE)^3 / 48, or 5e-6 at Q h = 0.5, as the stencil is, before damping.

    Parameters
    ----------
    sums : (3, intervals * FINE); place : (k,) distances in steps, overwritten; weight : (k,), or ``None`` for ones.
    """
    place *= FINE
    index = place.astype(np.int64)
    place -= index
    place -= 0.5
    size = sums.shape[1]
    if weight is None:
        sums[2] += np.bincount(index, weights=place * place, minlength=size)
        place += SHIFT
        packed = np.bincount(index, weights=place, minlength=size)
        sums[1] += packed
        return
    sums[0] += np.bincount(index, weights=weight, minlength=size)
    weight = weight * place
    sums[1] += np.bincount(index, weights=weight, minlength=size)
    weight *= place
    sums[2] += np.bincount(index, weights=weight, minlength=size)


def fine_to_nodes(sums: Floats, *, packed: bool) -> Floats:
    """Node weights from the sums of small pieces, (3, nodes * FINE) to (nodes,); ``packed`` when weights were ones."""
    if packed:
        np.rint(sums[1] / SHIFT, out=sums[0])
        sums[1] -= SHIFT * sums[0]
    counts, slopes, curvatures = sums.reshape(3, -1, FINE)
    shares = STENCILS[0] @ counts.T
    shares += STENCILS[1] @ slopes.T
    shares += STENCILS[2] @ curvatures.T
    nodes: Floats = _overlapped(shares[:, None])[0]
    return nodes


def to_nodes(moment: Floats, rows: int, nodes: int) -> Floats:
    """Node weights from the moments of the intervals: (rows, nodes)."""
    return _overlapped((COEFFICIENTS.T @ moment).reshape(POINTS, rows, nodes))


def _overlapped(shares: Floats) -> Floats:
    """Sum over what each interval gives to the nodes around it: (POINTS, rows, intervals) to (rows, nodes)."""
    _, rows, nodes = shares.shape
    result = np.zeros((rows, nodes + POINTS))
    for share, offset in zip(shares, OFFSETS + BEFORE, strict=True):
        result[:, offset : offset + nodes] += share
    return result[:, BEFORE : BEFORE + nodes]


def interpolated(values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Samples (..., nodes) read at places (..., k) in steps, by the same eight points; odd about the first node.

    Parameters
    ----------
    place : at least 0, and at least POINTS below the last node.
    """
    base = place.detach().floor()
    powers = (place - base)[..., None] ** torch.arange(POINTS, device=place.device)
    shares = powers @ torch.from_numpy(COEFFICIENTS).to(place)
    index = base.long()[..., None] + torch.from_numpy(OFFSETS).to(place.device)
    seen = torch.gather(values, -1, index.abs().flatten(-2)).reshape(index.shape)
    return (torch.where(index < 0, -seen, seen) * shares).sum(dim=-1)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, d: torch.Tensor, weight: torch.Tensor, row: torch.Tensor, grid: tuple[int, int, float]
    ) -> torch.Tensor:
        ctx.save_for_backward(d, weight, row)
        ctx.grid = grid
        rows, nodes, step = grid
        if d.device.type == "cpu":
            t = d.numpy().astype(np.float64) / step
            interval = t.astype(np.int64)
            t -= interval
            interval += row.numpy() * nodes
            power = weight.numpy().astype(np.float64)
            sums = np.empty((POINTS, rows * nodes))
            for m in range(POINTS):
                sums[m] = np.bincount(interval, weights=power, minlength=rows * nodes)
                power = power * t
            return torch.from_numpy(to_nodes(sums, rows, nodes)).to(d)
        index, powers = _intervals(d, row, nodes, step)
        result = torch.zeros(rows * nodes, dtype=d.dtype, device=d.device)
        shares = weight[:, None] * (powers @ torch.from_numpy(COEFFICIENTS).to(d))
        result.index_add_(
            0, (index[:, None] + torch.from_numpy(OFFSETS).to(index)).flatten(), shares.flatten()
        )
        return result.reshape(rows, nodes)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d, weight, row = ctx.saved_tensors
        _, nodes, step = ctx.grid
        index, powers = _intervals(d, row, nodes, step)
        flat = grads[0].reshape(-1)
        seen = flat[index[:, None] + torch.from_numpy(OFFSETS).to(index)]
        by_weight = (seen * (powers @ torch.from_numpy(COEFFICIENTS).to(d))).sum(dim=1)
        by_d = weight / step * (seen * (powers @ torch.from_numpy(SLOPES).to(d))).sum(dim=1)
        return by_d, by_weight, None, None


def _intervals(
    d: torch.Tensor, row: torch.Tensor, nodes: int, step: float
) -> tuple[torch.Tensor, torch.Tensor]:
    t = d / step
    base = t.floor()
    powers = (t - base)[:, None] ** torch.arange(POINTS, device=d.device)
    return base.long() + row * nodes, powers
