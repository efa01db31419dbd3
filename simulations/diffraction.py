"""A total-scattering measurement of one kind of atom: from pair distances to a noisy G(r).

Notation: Q in 1/angstrom, n(d) ordered pairs per atom at distance d, u the displacement, f the form factor.
Debye's sum with distance-dependent widths, and the transform:

    F(Q) = sum_d n(d) exp(-u Q^2 (1 - delta2 / d^2 + (qbroad d)^2)) sin(Q d) / d
    G(r) = 2/pi  integral F(Q) sin(Q r) dQ  exp(-(qdamp r)^2 / 2)

This is a second, slower and simpler implementation than the recogniser's
(:mod:`solvus.models.scattering.debye`), on purpose: were both the same code, an error in it would cancel
and the simulated laboratory would prove nothing.

Photons are counted in I(Q) = f^2 S(Q) + Compton + background, per atom. Their Poisson noise is divided by
f^2 on the way to S(Q), so it grows with Q, and the transform correlates it along r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Conditions, Pattern
from solvus.models.scattering.form_factors import form_factors
from solvus.simulations.world import Instrument

Floats = NDArray[np.float64]

Q_STEP = 0.02
"""1/angstrom: below 2 pi / (60 + 90), so far distances do not fold back into the range of r."""
BACKGROUND = 40.0
"""Air and solvent scattering left after subtraction, electron units: an eighth of gold's signal at Q = 20."""
NORMALISATION_ERROR = 0.02
"""Relative standard deviation of the scale of S(Q) - 1."""
DRIFT = 0.01
"""Standard deviation of each slow ripple left in S(Q) by an imperfect background."""
DRIFT_RIPPLES = 4
"""Ripples of up to this many half periods over the range of Q; they end below r = 1 angstrom."""
DECIMALS = 5
"""G(r) is written to 1e-5 1/angstrom^2, far below its noise, which halves the message."""


@dataclass(frozen=True)
class Sample:
    """``distances`` (angstrom) with ``pairs``, the ordered pairs per atom at each."""

    element: str
    distances: Floats
    pairs: Floats
    u_iso: float
    delta2: float


def reduced_structure_function(sample: Sample, q: Floats, qbroad: float = 0.0) -> Floats:
    """F(Q) without noise, (m,) in 1/angstrom."""
    d = sample.distances
    broadening = np.maximum(0.0, 1.0 - sample.delta2 / d**2 + (qbroad * d) ** 2)
    result = np.zeros(len(q))
    rows = 100  # a block of 100 by 9000 stays in the cache of the processor
    for start in range(0, len(q), rows):
        block = q[start : start + rows, None]
        waves = np.sin(block * d)
        waves *= np.exp(-sample.u_iso * block**2 * broadening)
        result[start : start + rows] = waves @ (sample.pairs / d)
    return result


@cache
def _kernel(instrument: Instrument) -> tuple[Floats, Floats, Floats]:
    """Q grid (m,), r grid (k,) and the matrix (m, k) from F to G."""
    first, last = math.ceil(instrument.qmin / Q_STEP - 1e-9), math.floor(instrument.qmax / Q_STEP + 1e-9)
    q = np.arange(first, last + 1, dtype=np.float64) * Q_STEP
    r = np.round(np.arange(1, round(instrument.rmax / instrument.rstep) + 1) * instrument.rstep, DECIMALS)
    matrix = np.sin(np.outer(q, r)) * (2.0 / math.pi * Q_STEP)
    matrix[[0, -1]] *= 0.5
    matrix *= np.exp(-0.5 * (instrument.qdamp * r) ** 2)
    return q, r, matrix


def counting_noise(element: str, q: Floats, f: Floats, instrument: Instrument) -> Floats:
    """Standard deviation of F(Q) from counting photons, (m,) in 1/angstrom."""
    form = form_factors([element], q)[0]
    z = float(form_factors([element], [0.0])[0, 0])  # f(0) is the number of electrons
    # Free-electron estimate of Compton scattering: nothing forward, Z electrons at large Q.
    compton = z * (1.0 - (form / z) ** 2)
    intensity = np.maximum(form**2 * (1.0 + f / q), 0.0) + compton + BACKGROUND
    photons = instrument.counts * instrument.exposure
    return np.asarray(q * np.sqrt(intensity / photons) / form**2)


def measure(sample: Sample, instrument: Instrument, draw: np.random.Generator) -> Pattern:
    """The pattern that the instrument writes, with the uncertainty of its points from counting alone."""
    q, r, kernel = _kernel(instrument)
    f = reduced_structure_function(sample, q, instrument.qbroad)
    noise = counting_noise(sample.element, q, f, instrument)
    scale = 1.0 + NORMALISATION_ERROR * draw.normal()
    place = (q - instrument.qmin) / (instrument.qmax - instrument.qmin)
    ripples = np.cos(math.pi * np.outer(np.arange(DRIFT_RIPPLES), place))
    drift = q * (DRIFT * draw.normal(size=DRIFT_RIPPLES) @ ripples)
    measured = scale * f + drift + noise * draw.normal(size=len(q))
    conditions = Conditions(
        radiation="xray",
        qmin=instrument.qmin,
        qmax=instrument.qmax,
        qdamp=instrument.qdamp,
        qbroad=instrument.qbroad,
        wavelength=instrument.wavelength,
        composition=sample.element,
    )
    return Pattern(
        quantity="G",
        x_unit="angstrom",
        x=r,
        y=np.round(measured @ kernel, DECIMALS),
        dy=np.round(np.sqrt(noise**2 @ kernel**2), DECIMALS),
        conditions=conditions,
    )
