"""From F(Q) on the multiples of a step to G(r), with limits of Q anywhere between them.

    G(r) = 2/pi  integral_{Qmin}^{Qmax} F(Q) sin(Q r) dQ

The integral of the ten-point Lagrange interpolant of the integrand gives each sample a weight: 1 inside, 0 outside,
and a smooth passage about each limit, a differentiable function of it.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

POINTS = 10
HALF = POINTS // 2


@cache
def _primitive() -> NDArray[np.float64]:
    """Integral of the cardinal function from far left to x, by interval: row j holds the polynomial in
    t = x - (j - HALF) for x in [j - HALF, j - HALF + 1], from t^0 on."""
    table = np.zeros((POINTS, POINTS + 1))
    passed = 0.0
    for j in range(POINTS):
        # In this interval the node lies at the offset ``own`` from the interval's lower end.
        nodes = np.arange(POINTS) - (HALF - 1)
        own = HALF - j
        others = nodes[nodes != own]
        cardinal = np.polynomial.Polynomial.fromroots(others) / np.prod(own - others)
        integral = cardinal.integ()
        table[j, :] = integral.coef
        table[j, 0] = passed
        passed += float(integral(1.0))
    table.setflags(write=False)
    return table


def step_weights(limit: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Weight of each sample ``index`` (m,) in the integral from far below to ``limit`` (in steps): (..., m)."""
    x = limit[..., None] - index
    inside = x.clamp(-HALF, HALF)
    place = (inside.detach().floor().long() + HALF).clamp(max=POINTS - 1)
    t = inside - (place - HALF).to(x)
    rows = torch.from_numpy(_primitive().copy()).to(x)[place]
    value: torch.Tensor = rows[..., -1]
    for m in range(POINTS - 1, -1, -1):
        value = value * t + rows[..., m]
    return value


def sine_sum(values: torch.Tensor, n: int) -> torch.Tensor:
    """sum_k v_k sin(pi j k / n) for j = 0 ... n - 1 along the last dimension."""
    spectrum: torch.Tensor = torch.fft.rfft(values, n=2 * n).imag[..., :n]
    return -spectrum


def transform(
    f: torch.Tensor,
    dq: float,
    qmin: torch.Tensor,
    qmax: torch.Tensor,
    *,
    rstep: float,
    first: int,
    last: int,
) -> torch.Tensor:
    """G at r = first * rstep ... last * rstep: (..., last - first + 1).

    Parameters
    ----------
    f : (..., m) samples of F at 0, dq, 2 dq, ..., to ``HALF`` steps beyond Qmax; pi / (dq rstep) must be a whole
        number.
    qmin, qmax : 1/angstrom, scalars or of the leading dimensions of ``f``.
    """
    n = round(math.pi / (dq * rstep))
    index = torch.arange(f.shape[-1], dtype=f.dtype, device=f.device)
    weights = step_weights(qmax / dq, index) - step_weights(qmin / dq, index)
    # Samples at negative Q, where the integrand is the same, have a part in a Qmin near zero.
    weights = weights + 1.0 - step_weights(qmin / dq, -index)
    g = sine_sum(f * weights, n)
    return (2.0 / math.pi * dq) * g[..., first : last + 1]
