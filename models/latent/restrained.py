"""Atomic positions refined one by one, held near where the packing has them.

Minimised is

    |G - s G(x)|^2 / (noise |G|)^2 + sum_i |x_i - x_i0|^2 / sigma^2,

with the scale s solved for at each step. The gradient of a Debye sum by a distance is a function of the distance alone,
so it is tabulated once a step and read for every pair: a step costs as much as the distances. Lengths in angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.distance import squareform

from solvus.models.refinement.least_squares import Fit, Window

Floats = NDArray[np.float64]

SIGMA = 0.05
"""angstrom: what atoms of a particle deviate by."""
LEAST_NOISE = 0.01
"""Share of the data's norm below which nothing is fitted further."""
STEPS = 60
TABLE = 0.006
"""angstrom: step of the tables over distances."""
MOST = 400
"""Atoms up to which positions are refined one by one."""


@dataclass(frozen=True)
class Restrained:
    """Refined positions (n, 3), angstrom, and R_w with them."""

    positions: Floats
    r_w: float


def restrained(
    positions: Floats, fit: Fit, window: Window, noise: float, *, sigma: float = SIGMA
) -> Restrained:
    """Refine the positions of one particle.

    Parameters
    ----------
    positions : (n, 3) unit geometry; the fit's bond length scales it.
    noise : share of the data's norm that is noise.
    sigma : standard deviation of each coordinate, angstrom.
    """
    start = positions * fit["bond_length"]
    problem = _Problem(start, fit, window, max(noise, LEAST_NOISE), sigma)
    found = minimize(
        problem.value, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "maxcor": 20}
    )
    places = found.x.reshape(-1, 3)
    # Restraints leave the particle where it was, but for a drift of its centre.
    return Restrained(places - places.mean(axis=0), problem.r_w(found.x))


class _Problem:
    def __init__(self, start: Floats, fit: Fit, window: Window, noise: float, sigma: float) -> None:
        self.start, self.noise, self.sigma = start, noise, sigma
        self.observed, self.q = window.observed, window.q
        damping = np.exp(-0.5 * (fit["qdamp"] * window.r) ** 2)
        self.kernel = window.kernel * damping
        self.u, self.delta2 = fit["u_iso"], fit["delta2"]
        self.norm = float(np.linalg.norm(self.observed)) or 1.0
        span = float(np.linalg.norm(np.ptp(start, axis=0))) + 2.0
        self.d = np.arange(TABLE, span, TABLE)
        width = self.u * np.clip(1.0 - self.delta2 / self.d**2, 0.0, None)
        # Single precision: an error of 1e-7 of a curve that is fitted to a hundredth.
        sines = np.sin(np.outer(self.d, self.q).astype(np.float32))
        sines *= np.exp(-np.outer(width, self.q**2).astype(np.float32))
        self.sines = sines / self.d.astype(np.float32)[:, None]
        self.upper = np.triu_indices(len(start), 1)

    def _curve(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        places = x.reshape(-1, 3)
        apart = places[self.upper[0]] - places[self.upper[1]]
        d = np.sqrt((apart**2).sum(axis=1))
        at = np.clip(d / TABLE - 1.0, 0.0, len(self.d) - 1.001)
        low = at.astype(np.int64)
        part = at - low
        counted = np.bincount(low, 1.0 - part, len(self.d)) + np.bincount(low + 1, part, len(self.d))
        f = (2.0 / len(places)) * (counted[: len(self.d)].astype(np.float32) @ self.sines)
        return f @ self.kernel, d, apart

    def value(self, x: Floats) -> tuple[float, Floats]:
        curve, d, apart = self._curve(x)
        scale = max(float(curve @ self.observed) / max(float(curve @ curve), 1e-30), 0.0)
        misfit = (scale * curve - self.observed) / (self.norm * self.noise)
        by_f = self.kernel @ (2.0 * misfit * scale / (self.norm * self.noise))
        along = np.gradient(self.sines @ by_f.astype(np.float32), TABLE) * (2.0 / len(self.start))
        by_d = np.interp(d, self.d, along) / d
        pulls = np.zeros((len(self.start), 3))
        for axis in range(3):
            matrix = squareform(by_d * apart[:, axis])
            # squareform makes it symmetric; the pull on the second atom of a pair is the opposite one.
            pulls[:, axis] = np.triu(matrix, 1).sum(axis=1) - np.triu(matrix, 1).sum(axis=0)
        shift = x.reshape(-1, 3) - self.start
        total = float(misfit @ misfit) + float((shift**2).sum()) / self.sigma**2
        return total, (pulls + 2.0 * shift / self.sigma**2).ravel()

    def r_w(self, x: Floats) -> float:
        """With the best scale."""
        curve, _, _ = self._curve(x)
        scale = max(float(curve @ self.observed) / max(float(curve @ curve), 1e-30), 0.0)
        return float(np.linalg.norm(scale * curve - self.observed)) / self.norm
