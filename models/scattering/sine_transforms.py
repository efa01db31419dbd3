"""The two sine transforms between a grid that begins at zero and one that begins half a step from it.

    to_half_steps     y_j = sum_k v_k sin(pi (2 j + 1) k / 2 n)          k = 0, 1, ... n - 1;  j = 0 ... n - 1
    from_half_steps   y_k = sum_j v_j sin(pi (2 j + 1) k / 2 n)          j = 0, 1, ... n - 1;  k = 0 ... n - 1

These are the discrete sine transforms III and II (Wang, Appl. Math. Comput. 16, 149 (1985)), which take a third of the
time of a Fourier transform of 2 n points. Each is the transpose of the other, and so its gradient.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy.fft import dst


def to_half_steps(values: torch.Tensor, n: int) -> torch.Tensor:
    """From v_0 ... v_m at the multiples of a step, m < n, to y_0 ... y_(n-1): along the last dimension."""
    result: torch.Tensor = _Sines.apply(values[..., 1:], n, 3)  # type: ignore[no-untyped-call]
    return result


def from_half_steps(values: torch.Tensor, n: int) -> torch.Tensor:
    """From v_0 ... v_m at the odd multiples of half a step, m < n, to y_0 ... y_(n-1)."""
    result: torch.Tensor = _Sines.apply(values, n, 2)  # type: ignore[no-untyped-call]
    return torch.nn.functional.pad(result[..., : n - 1], (1, 0))


class _Sines(torch.autograd.Function):
    """Of the values at k = 1, 2, ... in the kind 3, of those at j = 0, 1, ... in the kind 2; n results."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, n: int, kind: int) -> torch.Tensor:
        ctx.grid = values.shape[-1], n, kind
        if values.device.type != "cpu":
            return _by_fourier(values, n, kind)
        result = dst(values.detach().numpy(), type=kind, n=n)
        result *= 0.5
        if kind == 3 and values.shape[-1] == n:
            last = values[..., -1:].numpy() * 0.5  # scipy counts the node n once, all others twice
            result[..., ::2] += last
            result[..., 1::2] -= last
        return torch.from_numpy(result)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        size, n, kind = ctx.grid
        back: torch.Tensor = _Sines.apply(grads[0], n, 5 - kind)  # type: ignore[no-untyped-call]
        return back[..., :size], None, None


def _by_fourier(values: torch.Tensor, n: int, kind: int) -> torch.Tensor:
    """The same on any device: sin is the imaginary part of a Fourier term, twisted by a quarter step."""
    size = values.shape[-1]
    k = torch.arange(1, n + 1, device=values.device, dtype=values.dtype)
    half = torch.polar(torch.ones_like(k), 0.5 * math.pi / n * k)
    if kind == 3:
        padded = torch.nn.functional.pad(values * half[:size], (1, 2 * n - 1 - size))
        series = torch.fft.ifft(padded)[..., :n]
    else:
        series = torch.fft.ifft(values, n=2 * n)[..., 1 : n + 1] * half
    result: torch.Tensor = 2 * n * series.imag
    return result
