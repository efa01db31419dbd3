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


def moments(t: Floats, index: NDArray[np.int64], weight: Floats | None, size: int) -> Floats:
    """sum of w t^m over the pairs of each interval: (POINTS, size)."""
    result = np.empty((POINTS, size))
    result[0] = np.bincount(index, weights=weight, minlength=size)
    power = t if weight is None else t * weight
    for m in range(1, POINTS):
        result[m] = np.bincount(index, weights=power, minlength=size)
        if m < POINTS - 1:
            power = power * t
    return result


def to_nodes(moment: Floats, rows: int, nodes: int) -> Floats:
    """Node weights from the moments of the intervals: (rows, nodes)."""
    shares = (COEFFICIENTS.T @ moment).reshape(POINTS, rows, nodes)
    result = np.zeros((rows, nodes + POINTS))
    for share, offset in zip(shares, OFFSETS + BEFORE, strict=True):
        result[:, offset : offset + nodes] += share
    return result[:, BEFORE : BEFORE + nodes]


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
            base = t.astype(np.int64)
            t -= base
            base += row.numpy() * nodes
            moment = moments(t, base, weight.numpy().astype(np.float64), rows * nodes)
            return torch.from_numpy(to_nodes(moment, rows, nodes)).to(d)
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
