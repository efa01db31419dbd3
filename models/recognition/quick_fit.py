"""A few refined values of many structures at once: stretch, displacement and diameter of each, by Gauss-Newton steps.

The models are short curves of F(Q) (:mod:`solvus.models.recognition.curves`), so that one step for fifty structures
takes milliseconds. What symmetry leaves free in a cell, coordinates and motion of single elements are not varied; the
best go on to a full refinement (:mod:`solvus.models.refinement.refine`). Lengths in angstrom, u in angstrom^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.canonical import Range
from solvus.models.recognition.curves import curves, damping, sphere

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

STEPS = 6
DELTAS = (2e-4, 3e-4, 4e-4)
"""For slopes by differences: of the logarithm of the stretch, of u, and of 1 / D."""
TRUST = (0.004, 0.004, 0.02)
"""Largest change in one step."""
U_LIMITS = (-0.0028, 0.04)
"""Beside the curve's own 0.003 angstrom^2."""
NARROW = 1e-6
SMALLEST = 8.0
"""angstrom: no crystal is cut smaller."""


@dataclass(frozen=True)
class QuickFits:
    """Of n structures: (n,) each. ``diameter`` is infinite where no size limits the structure."""

    r_w: Floats
    stretch: Floats
    extra_u: Floats
    diameter: Floats
    scale: Floats


@dataclass(frozen=True)
class Observed:
    """Data on a grid: r (k,), g (k,); the range of Q and the damping of the instrument."""

    r: Floats
    g: Floats
    qmin: float
    qmax: float
    qdamp: float

    def ranges(self, n: int) -> Range:
        return Range.same(
            n,
            qmin=self.qmin,
            qmax=self.qmax,
            qdamp=self.qdamp,
            r_first=float(self.r[0]),
            r_last=float(self.r[-1]),
        )


def quick_fits(
    f: Singles,
    reach: float,
    crystalline: NDArray[np.bool_],
    observed: Observed,
    stretch: Floats,
    diameter: Floats,
    extra_u: float = 0.004,
) -> QuickFits:
    """Fit n structures to one pattern.

    Parameters
    ----------
    f : (n, m) short curves with distances up to ``reach``; crystalline : (n,) whether a size is fitted.
    stretch, diameter : (n,) to start from.
    """
    n = len(f)
    ranges, decay = observed.ranges(n), damping(np.array([observed.qdamp]), observed.r)
    parameters = np.stack(
        [np.log(stretch), np.full(n, extra_u), np.where(crystalline, 1.0 / diameter, 0.0)], axis=1
    )

    def model(values: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            size = np.where(values[:, 2] > 0, 1.0 / values[:, 2], np.inf)
        g = curves(f, reach, np.exp(values[:, 0]), values[:, 1], ranges, observed.r) * decay
        return np.asarray(g * sphere(size, observed.r))

    def misfit(values: Floats) -> tuple[Floats, Floats, Floats]:
        g = model(values)
        scale = np.maximum(g @ observed.g, 0.0) / (np.square(g).sum(axis=1) + 1e-30)
        residual = observed.g - scale[:, None] * g
        return g, scale, np.linalg.norm(residual, axis=1) / (np.linalg.norm(observed.g) + 1e-30)

    g, scale, r_w = misfit(parameters)
    damped = np.full(n, 1e-3)
    for _ in range(STEPS):
        proposed = _limited(parameters + _step(model, parameters, g, scale, observed.g, crystalline, damped))
        new_g, new_scale, new_r_w = misfit(proposed)
        better = new_r_w < r_w
        parameters[better], g[better] = proposed[better], new_g[better]
        scale[better], r_w[better] = new_scale[better], new_r_w[better]
        damped = np.where(better, damped * 0.3, damped * 10.0)
    with np.errstate(divide="ignore"):
        size = np.where(parameters[:, 2] > 0, 1.0 / parameters[:, 2], np.inf)
    return QuickFits(r_w, np.exp(parameters[:, 0]), parameters[:, 1], size, scale)


def _step(
    model: Callable[[Floats], Floats],
    parameters: Floats,
    g: Floats,
    scale: Floats,
    observed: Floats,
    crystalline: NDArray[np.bool_],
    damped: Floats,
) -> Floats:
    """The damped Gauss-Newton step of every structure, the scale taken out (variable projection): (n, 3)."""
    slopes = []
    for k, delta in enumerate(DELTAS):
        moved = parameters.copy()
        moved[:, k] += delta
        slope = (model(moved) - g) * (scale / delta)[:, None]
        slopes.append(slope if k < 2 else slope * crystalline[:, None])
    unit = g / (np.linalg.norm(g, axis=1, keepdims=True) + 1e-30)
    jacobian = np.stack(slopes, axis=2)
    jacobian -= unit[:, :, None] * np.einsum("nk,nkp->np", unit, jacobian)[:, None, :]
    residual = observed - scale[:, None] * g
    normal = np.einsum("nkp,nkq->npq", jacobian, jacobian)
    diagonal = np.einsum("npp->np", normal)
    ridge = damped[:, None] * diagonal + NARROW * diagonal.max(axis=1, keepdims=True) + 1e-30
    normal = normal + ridge[:, :, None] * np.eye(3)
    step = np.linalg.solve(normal, np.einsum("nkp,nk->np", jacobian, residual)[:, :, None])[:, :, 0]
    return np.clip(step, -np.array(TRUST), np.array(TRUST))


def _limited(parameters: Floats) -> Floats:
    limited = parameters.copy()
    limited[:, 1] = np.clip(limited[:, 1], *U_LIMITS)
    limited[:, 2] = np.clip(limited[:, 2], 0.0, 1.0 / SMALLEST)
    return limited
