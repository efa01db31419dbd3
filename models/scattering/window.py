"""From F(Q) at the odd multiples of half a step to G(r), with limits of Q anywhere between them.

    G(r) = 2/pi  integral_{Qmin}^{Qmax} F(Q) sin(Q r) dQ

The integral of the ten-point Lagrange interpolant of the integrand gives each sample a weight: 1 inside, 0 outside,
and a smooth passage about each limit, a differentiable function of it.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.scattering.settings import Number
from solvus.models.scattering.sine_transforms import from_half_steps

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


def _window(low: torch.Tensor, high: torch.Tensor, count: int) -> torch.Tensor:
    """Weights of the samples at 1/2, 3/2, ... (``count`` of them) in the integral between two limits in steps."""
    index = torch.arange(count, dtype=low.dtype, device=low.device) + 0.5
    # Samples at negative Q, where the integrand is the same, have a part in a Qmin near zero.
    return step_weights(high, index) - step_weights(low, index) + 1.0 - step_weights(low, -index)


@lru_cache(maxsize=64)
def _fixed_window(low: float, high: float, count: int) -> torch.Tensor:
    limits = torch.tensor([low, high], dtype=torch.float64)
    return _window(limits[0], limits[1], count)


def transform(
    f: torch.Tensor,
    dq: float,
    qmin: Number,
    qmax: Number,
    *,
    rstep: float,
    first: int,
    last: int,
) -> torch.Tensor:
    """G at r = first * rstep ... last * rstep: (..., last - first + 1).

    Parameters
    ----------
    f : (..., m) samples of F at dq / 2, 3 dq / 2, ..., to ``HALF`` steps beyond Qmax; pi / (dq rstep) must be a whole
        number.
    qmin, qmax : 1/angstrom, scalars or of the leading dimensions of ``f``.
    """
    n = round(math.pi / (dq * rstep))
    count = f.shape[-1]
    if isinstance(qmin, torch.Tensor) or isinstance(qmax, torch.Tensor):
        low, high = (torch.as_tensor(v, device=f.device).to(f.dtype) / dq for v in (qmin, qmax))
        weights = _window(low, high, count)
    else:
        weights = _fixed_window(qmin / dq, qmax / dq, count).to(f)
    finer = math.ceil((count + 1) / n)  # a grid too coarse for Qmax is a part of one that is not
    g = from_half_steps(f * weights, n * finer, last * finer + 1)[..., ::finer]
    return (2.0 / math.pi * dq) * g[..., first:]
