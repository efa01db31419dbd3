"""The two sums that everything else is made of, chunked and with analytic gradients.

    gaussians   y(r) = sum_k w_k exp(-(r - d_k)^2 / 2 s_k^2) / (s_k sqrt(2 pi))
    sines       y(Q) = sum_k w_k exp(-s_k^2 Q^2 / 2) sin(Q d_k) / d_k

d and s in angstrom. Each term k belongs to one row of the result, so that element pairs and batches share a call.
"""

from __future__ import annotations

import math
from typing import Any

import torch

CHUNK = 2_000_000
"""Elements of a temporary: 16 MB each in float64, a few at a time."""
RELATIVE_CUT = 3.33e-6
"""A Gaussian ends where it has fallen to this share of its height (5.02 s), as in diffpy.srreal."""


def gaussians(
    d: torch.Tensor,
    width: torch.Tensor,
    weight: torch.Tensor,
    row: torch.Tensor,
    *,
    rows: int,
    first: int,
    last: int,
    step: float,
    cut: float = RELATIVE_CUT,
) -> torch.Tensor:
    """Sum of Gaussians on the grid first * step ... last * step: (rows, last - first + 1).

    Terms of zero width are left out.

    Parameters
    ----------
    d, width, weight : (k,) positions, standard deviations and areas.
    row : (k,) int64, the row that each term adds to.
    """
    kept = width.detach() > 0
    if not bool(kept.all()):
        d, width, weight, row = d[kept], width[kept], weight[kept], row[kept]
    grid = (rows, first, last - first + 1, step, cut)
    result: torch.Tensor = _Gaussians.apply(d, width, weight, row, grid)  # type: ignore[no-untyped-call]
    return result


def _windows(
    d: torch.Tensor, width: torch.Tensor, start: int, stop: int, grid: tuple[int, int, int, float, float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Grid indices relative to the first, whether they count, and r - d, each (terms, widest window)."""
    _, first, size, step, cut = grid
    half = width[start:stop] * math.sqrt(-2.0 * math.log(cut))
    low = torch.floor((d[start:stop] - half) / step).long()
    high = torch.floor((d[start:stop] + half) / step).long()
    span = int((high - low).max()) + 1
    index = low[:, None] + torch.arange(span, device=d.device)
    x = index.to(d.dtype) * step - d[start:stop, None]
    counts = (index <= high[:, None]) & (index >= first) & (index < first + size)
    return index - first, counts, x


def _pieces(width: torch.Tensor, step: float, cut: float) -> list[tuple[int, int]]:
    """Slices of the terms whose windows together stay below ``CHUNK``."""
    span = 2.0 * float(width.max()) * math.sqrt(-2.0 * math.log(cut)) / step + 2.0
    size = max(1, int(CHUNK / span))
    return [(start, min(start + size, len(width))) for start in range(0, len(width), size)]


class _Gaussians(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        d: torch.Tensor,
        width: torch.Tensor,
        weight: torch.Tensor,
        row: torch.Tensor,
        grid: tuple[int, int, int, float, float],
    ) -> torch.Tensor:
        ctx.save_for_backward(d, width, weight, row)
        ctx.grid = grid
        rows, _, size, step, cut = grid
        result = torch.zeros(rows * size, dtype=d.dtype, device=d.device)
        for start, stop in _pieces(width, step, cut) if len(d) else []:
            index, counts, x = _windows(d, width, start, stop, grid)
            s = width[start:stop, None]
            value = torch.exp(-0.5 * (x / s) ** 2) * (weight[start:stop, None] / (s * math.sqrt(2 * math.pi)))
            place = row[start:stop, None] * size + index
            result.index_add_(0, place[counts], value[counts])
        return result.reshape(rows, size)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d, width, weight, row = ctx.saved_tensors
        size = ctx.grid[2]
        flat = grads[0].reshape(-1)
        by_d, by_width, by_weight = (torch.zeros_like(d) for _ in range(3))
        for start, stop in _pieces(width, ctx.grid[3], ctx.grid[4]) if len(d) else []:
            index, counts, x = _windows(d, width, start, stop, ctx.grid)
            s = width[start:stop, None]
            place = torch.where(counts, row[start:stop, None] * size + index, 0)
            value = torch.exp(-0.5 * (x / s) ** 2) / (s * math.sqrt(2 * math.pi)) * flat[place] * counts
            w = weight[start:stop]
            by_weight[start:stop] = value.sum(dim=1)
            by_d[start:stop] = w * (value * x / s**2).sum(dim=1)
            by_width[start:stop] = w * (value * (x**2 / s**3 - 1.0 / s)).sum(dim=1)
        return by_d, by_width, by_weight, None, None


def sines(
    d: torch.Tensor,
    variance: torch.Tensor,
    weight: torch.Tensor,
    row: torch.Tensor,
    q: torch.Tensor,
    *,
    rows: int,
) -> torch.Tensor:
    """Debye's sum: (rows, m).

    Parameters
    ----------
    d, variance, weight : (k,) distances, mean-square widths s^2 and weights; ``row`` : (k,) int64, sorted or
        not; ``q`` : (m,) without gradient.
    """
    result: torch.Tensor = _Sines.apply(d, variance, weight, row, q, rows)  # type: ignore[no-untyped-call]
    return result


class _Sines(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        d: torch.Tensor,
        variance: torch.Tensor,
        weight: torch.Tensor,
        row: torch.Tensor,
        q: torch.Tensor,
        rows: int,
    ) -> torch.Tensor:
        ctx.save_for_backward(d, variance, weight, row, q)
        result = torch.zeros(rows, len(q), dtype=d.dtype, device=d.device)
        size = max(1, CHUNK // len(q))
        for start in range(0, len(d), size):
            part = slice(start, start + size)
            wave = torch.sin(d[part, None] * q)
            wave *= torch.exp(-0.5 * variance[part, None] * q**2)
            wave *= (weight[part] / d[part])[:, None]
            result.index_add_(0, row[part], wave)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d, variance, weight, row, q = ctx.saved_tensors
        by_d, by_variance, by_weight = (torch.zeros_like(d) for _ in range(3))
        size = max(1, CHUNK // len(q))
        for start in range(0, len(d), size):
            part = slice(start, start + size)
            seen = grads[0][row[part]] * torch.exp(-0.5 * variance[part, None] * q**2)
            wave = seen * torch.sin(d[part, None] * q)
            w = weight[part] / d[part]
            total = wave.sum(dim=1)
            by_weight[part] = total / d[part]
            by_variance[part] = -0.5 * w * (wave @ q**2)
            by_d[part] = w * ((seen * torch.cos(d[part, None] * q)) @ q - total / d[part])
        return by_d, by_variance, by_weight, None, None, None
