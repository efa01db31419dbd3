"""The two sine transforms between a grid that begins at zero and one that begins half a step from it.

    to_half_steps     y_j = sum_k v_k sin(pi (2 j + 1) k / 2 n)          k = 0, 1, ... n - 1;  j = 0 ... n - 1
    from_half_steps   y_k = sum_j v_j sin(pi (2 j + 1) k / 2 n)          j = 0, 1, ... n - 1;  k = 0 ... n - 1

These are the discrete sine transforms III and II (Wang, Appl. Math. Comput. 16, 149 (1985)), which take a third of the
time of a Fourier transform of 2 n points. Each is the transpose of the other, and so its gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.fft import dst


def to_half_steps(values: torch.Tensor, n: int, count: int) -> torch.Tensor:
    """From v_0 ... v_m at the multiples of a step, m < n, to y_0 ... y_(count-1): along the last dimension."""
    return _sines(values, n, 3, count)


def from_half_steps(values: torch.Tensor, n: int, count: int) -> torch.Tensor:
    """From v_0 ... v_m at the odd multiples of half a step, m < n, to y_0 ... y_(count-1)."""
    return _sines(values, n, 2, count)


def _sines(values: torch.Tensor, n: int, kind: int, count: int) -> torch.Tensor:
    if not values.requires_grad:
        return _transformed(values, n, kind, count)
    result: torch.Tensor = _Sines.apply(values, n, kind, count)  # type: ignore[no-untyped-call]
    return result


class _Sines(torch.autograd.Function):
    """The kind 3 takes k to j, the kind 2 takes j to k; ``count`` results."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, n: int, kind: int, count: int) -> torch.Tensor:
        ctx.grid = values.shape[-1], n, kind
        return _transformed(values.detach(), n, kind, count)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        size, n, kind = ctx.grid
        return _sines(grads[0], n, 5 - kind, size), None, None, None


def _transformed(values: torch.Tensor, n: int, kind: int, count: int) -> torch.Tensor:
    if values.device.type != "cpu":
        return _by_fourier(values, n, kind)[..., :count]
    given = values.numpy()
    if kind == 3:
        return torch.from_numpy(dst(given[..., 1:], type=3, n=n)[..., :count] * 0.5)
    result = np.zeros((*given.shape[:-1], count), dtype=given.dtype)
    np.multiply(dst(given, type=2, n=n)[..., : count - 1], 0.5, out=result[..., 1:])
    return torch.from_numpy(result)


def _by_fourier(values: torch.Tensor, n: int, kind: int) -> torch.Tensor:
    """The same on any device: sin is the imaginary part of a Fourier term, twisted by a quarter step."""
    size = values.shape[-1]
    k = torch.arange(n, device=values.device, dtype=values.dtype)
    half = torch.polar(torch.ones_like(k), 0.5 * math.pi / n * k)
    if kind == 3:
        series = torch.fft.ifft(values * half[:size], n=2 * n)[..., :n]
    else:
        series = torch.fft.ifft(values, n=2 * n)[..., :n] * half
    result: torch.Tensor = 2 * n * series.imag
    return result
