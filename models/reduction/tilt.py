"""Rings that an uncorrected tilt of the detector has smeared, and how to undo it.

An image integrated without its tilt t (radians) adds up, at one apparent angle, points of the ring whose true angle
differs by t sin^2(2theta) cos(phi). Over the azimuth phi that is, with A the amplitude in Q,

    A(Q) = 2 pi / wavelength cos(theta) t sin^2(2theta),
    <sin(Q r + A r cos phi)> = J0(A r) sin(Q r),   <cos(phi) sin(Q r + A r cos phi)> = J1(A r) cos(Q r).

What is smeared is the intensity, <f>^2 F / Q, whose slope g = d ln(<f>^2 / Q) / dQ weighs the two sides of a ring
unequally. So the measured F is that of G(r) seen through a known kernel,

    F(Q) = exp(-u Q^2) int G(r) [J0(A r) sin(Q r) + g A J1(A r) cos(Q r)] dr.

Under independent normal values of G on a grid, with variance v exp(-(r / w)^2), thermal damping u and normal
errors of F,
the posterior mean of G gives the F that an unsmeared measurement would have had, and the evidence (marginal
likelihood) of
the data chooses v, w, u and t, without any model of the sample. (Without u, a tilt would be found in any sample that is
warm.) D. J. C. MacKay, Neural Computation 4, 415 (1992).

It mends old data; integrating the image again with its tilt is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import j0, j1

from solvus.models.formats.units import two_theta

Floats = NDArray[np.float64]
REACH = 60.0
"""angstrom; G(r) of a laboratory or synchrotron instrument has died away there."""
STEP = 0.8
"""Of the spacing pi / Qmax at which a grid of r would alias."""
KERNEL_ERROR = 0.03
"""Share of the root-mean-square of F added to its counting errors: the kernel leaves out the azimuthal coverage of the
detector's edge and its resolution, and is right to a few percent."""
BEYOND_DOUBT = 10.0
"""Natural units of log-evidence that the tilt must gain over none: odds of 22,000 to 1. Unsmeared powders gain
under 1."""
SAME_TILT = 1.5
"""A tilt found within this factor of the header's is the header's; anything else that broadens is not."""
LARGEST = math.radians(3.0)
WIDTH_UNIT, U_UNIT = 10.0, 0.003
"""angstrom and angstrom^2: steps of the search."""
START = (3.0, 2.0, 1.0)
"""log v, w and u in their units: G(r) of a few 1/angstrom^2 that dies over 20 angstrom, at room temperature."""


@dataclass(frozen=True)
class Prior:
    """What is taken of G(r) before the data: log v, w (angstrom) and u (angstrom^2)."""

    log_variance: float
    width: float
    u: float

    @classmethod
    def of(cls, v: Floats) -> Prior:
        """From the search's own units."""
        return cls(float(v[0]), float(v[1]) * WIDTH_UNIT, float(v[2]) * U_UNIT)


@dataclass(frozen=True)
class Smear:
    """A smeared measurement.

    Attributes
    ----------
    tilt : radians.
    gain : log-evidence over that of no smearing.
    operator : (m, m), turns the measured F into the corrected one.
    """

    tilt: float
    gain: float
    operator: Floats


class SmearModel:
    """Evidence and posterior of G(r) for one measured F(Q) with the uncertainty ``df`` (zeros where unknown)."""

    def __init__(self, q: Floats, f: Floats, df: Floats, square_mean: Floats, wavelength: float) -> None:
        self.f = f
        self.q = q
        self.slope = np.gradient(np.log(square_mean / q), q)
        self.sigma = np.hypot(df, KERNEL_ERROR * float(f.std()))
        angle = two_theta(q, wavelength)
        self.factor = 2.0 * math.pi / wavelength * np.cos(angle / 2.0) * np.sin(angle) ** 2
        step = STEP * math.pi / float(q[-1])
        self.r = np.arange(step, REACH, step)
        self.sines = np.sin(np.outer(q, self.r)) * step
        self.cosines = np.cos(np.outer(q, self.r)) * step

    def _design(self, tilt: float, prior: Prior) -> Floats:
        envelope = np.exp(-0.5 * (self.r / prior.width) ** 2)
        damping = np.exp(-prior.u * self.q**2)[:, None]
        if tilt == 0.0:
            return damping * self.sines * envelope
        amplitude = tilt * self.factor
        phase = np.outer(amplitude, self.r)
        design: Floats = self.sines * j0(phase)
        design += (self.slope * amplitude)[:, None] * self.cosines * j1(phase)
        return damping * design * envelope

    def evidence(self, tilt: float, prior: Prior) -> float:
        """log p(F), up to a constant."""
        design = self._design(tilt, prior) / self.sigma[:, None]
        y = self.f / self.sigma
        precision = design.T @ design
        precision[np.diag_indices_from(precision)] += math.exp(-prior.log_variance)
        factor = cho_factor(precision, lower=True, overwrite_a=True, check_finite=False)
        half = design.T @ y
        misfit = float(y @ y - half @ cho_solve(factor, half, check_finite=False))
        log_det = 2.0 * float(np.log(np.diag(factor[0])).sum()) + prior.log_variance * len(self.r)
        return -0.5 * (misfit + log_det)

    def operator(self, tilt: float, prior: Prior) -> Floats:
        """(m, m): measured F to the F that the same G would give unsmeared."""
        smeared = self._design(tilt, prior)
        weighted = smeared / self.sigma[:, None] ** 2
        precision = smeared.T @ weighted
        precision[np.diag_indices_from(precision)] += math.exp(-prior.log_variance)
        solved = cho_solve(cho_factor(precision, lower=True), weighted.T, check_finite=False)
        restored: Floats = self._design(0.0, prior) @ solved
        return restored


def find_smear(
    q: Floats,
    f: Floats,
    df: Floats,
    square_mean: Floats,
    wavelength: float,
    *,
    tilt: float,
    estimate: bool = False,
) -> Smear:
    """Estimate the smearing and the operator that undoes it.

    Parameters
    ----------
    q, f, df : (m,) measured F and its uncertainty (zeros where unknown); square_mean : (m,) <f>^2.
    tilt : radians; fixed, or with ``estimate`` where the search for it begins.
    """
    model = SmearModel(q, f, df, square_mean, wavelength)

    def smeared(v: Floats) -> float:
        angle = float(v[3]) * tilt if estimate else tilt
        return model.evidence(angle, Prior.of(v)) if 0.0 <= angle <= LARGEST else -math.inf

    plain, without = _maximum(lambda v: model.evidence(0.0, Prior.of(v)), [*START], [1.0, 0.5, 0.5])
    start, steps = [float(value) for value in plain], [0.5, 0.3, -0.3]
    if estimate:
        start, steps = [*start, 1.0], [*steps, 0.3]
    best, with_tilt = _maximum(smeared, start, steps)
    angle = float(best[3]) * tilt if estimate else tilt
    return Smear(angle, with_tilt - without, model.operator(angle, Prior.of(best)))


def _maximum(
    function: Callable[[Floats], float], start: list[float], steps: list[float]
) -> tuple[Floats, float]:
    """Nelder-Mead from a simplex of the stated steps: a few parameters, and no gradient is needed.

    A fixed cap on evaluations bounds the cost; widths that turn negative are out of range.
    """
    corner = np.array(start, dtype=np.float64)
    found = minimize(
        lambda v: -function(v) if v[1] > 0.1 and v[2] >= 0.0 else math.inf,
        corner,
        method="Nelder-Mead",
        options={
            "initial_simplex": np.vstack([corner, corner + np.diag(steps)]),
            "xatol": 0.02,
            "fatol": 0.3,
            "maxfev": 40 * len(start),
        },
    )
    return np.asarray(found.x, dtype=np.float64), -float(found.fun)
