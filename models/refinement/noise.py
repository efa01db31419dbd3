"""How uncertain refined parameters are, when the points of a curve do not err independently.

With residuals e, Jacobian J (both weighted) and noise of covariance C, least squares has the covariance

    A^-1 (J^T C J) A^-1,        A = J^T J.

A G(r) made from Q up to Qmax holds (rmax - rmin) (Qmax - Qmin) / pi independent values, however many points are
written. Its noise is stationary along r to good approximation, so that with J~(q) the discrete Fourier transform of J
over r and P(q) the power of the noise

    J^T C J = mean over q of P(q) J~(q)* J~(q).

Three models of P:

- ``spectrum``: measured. The residuals' own power, averaged over bands of q. Right for noise that was white in Q,
  white in S(Q), white in r, or anything as smooth, because only what lies between Qmin and Qmax reaches the parameters.
- ``transform``: one level between Qmin and Qmax, nothing beyond: noise white in F(Q) and carried through.
- ``independent``: P constant, from the sum of squares over points less parameters: the classical formula, right for
  noise that is white in r (and for counts), and too small by sqrt(pi / (Qmax step)) for a finely written transform.

In all of them the level is taken from the misfit, so that model error counts as noise: the usual goodness-of-fit
factor. It does not make it random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Noise = Literal["spectrum", "transform", "independent"]
NOISES: tuple[Noise, ...] = get_args(Noise)

BANDS = 8
"""At most, between Qmin and Qmax."""
PER_BAND = 12
"""Independent values that a band's mean is taken over, at least: its level is then right to 40 %, the whole to 15 %."""


@dataclass(frozen=True)
class Band:
    """The range of q (1/angstrom) that a transformed curve holds, and the step of its points (angstrom)."""

    low: float
    high: float
    step: float

    def independent(self, points: int) -> float:
        """Values that ``points`` points hold, not more than the points themselves."""
        return min(float(points), max(1.0, points * self.step * (self.high - self.low) / math.pi))


def meat(jacobian: Floats, residual: Floats, band: Band | None, noise: Noise, parameters: int) -> Floats:
    """J^T C J of one curve: (p, p).

    Parameters
    ----------
    jacobian : (k, p); residual : (k,), both weighted.
    band : ``None`` when points err independently by nature.
    parameters : refined ones that this curve shares in the determination of.
    """
    points = len(residual)
    if band is None or noise == "independent":
        level = float(residual @ residual) / max(1.0, points - parameters)
        return level * (jacobian.T @ jacobian)
    size = 2 * points
    q = np.asarray(2.0 * math.pi * np.fft.rfftfreq(size, band.step), dtype=np.float64)
    power = np.asarray(np.abs(np.fft.rfft(residual, size)) ** 2 / points, dtype=np.float64)
    values = band.independent(points)
    levels = _smoothed(q, power, band, 1 if noise == "transform" else _bands(values))
    if noise == "transform":
        levels = np.where((q >= band.low) & (q <= band.high), levels, 0.0)
    # A real signal has each frequency twice, but for the first and the last.
    twice = np.full(len(q), 2.0)
    twice[0] = twice[-1] = 1.0
    waves = np.fft.rfft(jacobian, size, axis=0)
    weighted = waves * (levels * twice)[:, None]
    product: Floats = np.real(waves.conj().T @ weighted) / size
    return product * values / max(1.0, values - parameters)


def _bands(values: float) -> int:
    return int(min(BANDS, max(1, values // PER_BAND)))


def _smoothed(q: Floats, power: Floats, band: Band, count: int) -> Floats:
    """Power averaged over ``count`` bands from low to high and one beyond, joined by straight lines."""
    edges = np.linspace(band.low, min(band.high, float(q[-1])), count + 1)
    centres, means = [], []
    for low, high in pairwise(edges):
        inside = (q >= low) & (q <= high)
        centres.append(0.5 * (low + high))
        means.append(float(power[inside].mean()) if inside.any() else 0.0)
    beyond = q > edges[-1]
    level: Floats = np.interp(q, centres, means)
    if beyond.any():
        level[beyond] = float(power[beyond].mean())
    return level
