"""What the virtual detector counts before anything is taken off: raw I(Q) of a sol in a capillary.

Per gold atom and in electron units, with f the form factors and S the structure factor of the particles,

    sample(Q)     = amount (f^2 S(Q) + Compton)
    background(Q) = 100 H2O + 2 SiO2, each a molecule's Debye sum, times the halos of the liquid or glass, + Compton
    I(Q)          = flux gain(Q) (sample + background) counts,     in photons a second and bin, as a monitor gives it

The amount of sample in the beam differs from sample to sample, the flux is known to the monitor's error, and the gain
of the detector wavers slowly over Q. Photons are counted after all of that. The resolution damps each wave sin(Q d) by
exp(-(qdamp d)^2 / 2), which is the convolution of the pattern with a Gaussian of that width.

Q in 1/angstrom, distances in angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Conditions, Pattern
from solvus.models.scattering.form_factors import form_factors
from solvus.simulations.diffraction import DRIFT_RIPPLES, Q_STEP, Sample, reduced_structure_function
from solvus.simulations.world import Instrument

Floats = NDArray[np.float64]

BELOW, ABOVE = 0.2, 1.0
"""1/angstrom that the detector sees beyond the calibrated range at either end."""
AMOUNT = 0.1
"""Relative standard deviation of the amount of sample in the beam: the filling of a capillary."""
MONITOR_ERROR = 0.003
"""Relative standard deviation of the flux as the monitor gives it: an ionisation chamber's."""
GAIN_RIPPLE = 0.002
"""Standard deviation of each slow ripple of the detector's gain that the flat field leaves."""
DIGITS = 7
"""Significant digits written: far below the noise of any point."""


@dataclass(frozen=True)
class Matter:
    """Disordered matter, per formula unit.

    Attributes
    ----------
    units : formula units in the beam for each gold atom.
    atoms : atoms of each element in a formula unit.
    bonds : (element, element, unordered pairs in a formula unit, angstrom).
    halos : (place, width, height) of Gaussians that the order between units adds to 1, 1/angstrom.
    """

    units: float
    atoms: Mapping[str, int]
    bonds: tuple[tuple[str, str, int, float], ...]
    halos: tuple[tuple[float, float, float], ...]


BOND_SPREAD = 0.005
"""angstrom^2, mean square variation of a bond length."""
WATER = Matter(
    units=100.0,  # a sol concentrated to 0.55 mol of gold in a litre: half of what is counted is not gold
    atoms={"O": 1, "H": 2},
    bonds=(("O", "H", 2, 0.96), ("H", "H", 1, 1.52)),
    # After the measurement of G. Hura et al., J. Chem. Phys. 113, 9140 (2000): a peak at 2.0 with a shoulder at 3.0.
    halos=((0.0, 1.2, -0.9), (2.0, 0.35, 0.6), (3.0, 0.5, 0.2)),
)
SILICA = Matter(
    units=2.0,  # walls of 0.015 mm around 1 mm of sol
    atoms={"Si": 1, "O": 2},
    bonds=(("Si", "O", 4, 1.61),),
    halos=((0.0, 1.0, -0.9), (1.53, 0.25, 0.8)),  # the first sharp diffraction peak of the glass
)


def _compton(elements: Mapping[str, int], q: Floats) -> Floats:
    """Free-electron estimate of Compton scattering: nothing forward, Z electrons at large Q."""
    total = np.zeros(len(q))
    for element, count in elements.items():
        form, z = form_factors([element], q)[0], float(form_factors([element], [0.0])[0, 0])
        total += count * z * (1.0 - (form / z) ** 2)
    return total


def _disordered(matter: Matter, q: Floats) -> Floats:
    form = {element: form_factors([element], q)[0] for element in matter.atoms}
    coherent = sum((n * form[element] ** 2 for element, n in matter.atoms.items()), np.zeros(len(q)))
    for one, other, pairs, d in matter.bonds:
        wave = np.sinc(q * d / math.pi) * np.exp(-0.5 * BOND_SPREAD * q**2)
        coherent += 2.0 * pairs * form[one] * form[other] * wave
    order = 1.0 + sum(height * np.exp(-0.5 * ((q - at) / width) ** 2) for at, width, height in matter.halos)
    return np.asarray(matter.units * (coherent * order + _compton(matter.atoms, q)))


@cache
def _grid(instrument: Instrument) -> Floats:
    """Points of the detector in Q, as far as the wavelength lets it see."""
    last = min(instrument.qmax + ABOVE, 4.0 * math.pi / instrument.wavelength)
    first = max(instrument.qmin - BELOW, Q_STEP)
    steps = np.arange(math.ceil(first / Q_STEP - 1e-9), math.floor(last / Q_STEP + 1e-9) + 1)
    return steps.astype(np.float64) * Q_STEP


def background(q: Floats) -> Floats:
    """Solvent and container without noise, (m,) in electron units per gold atom."""
    return _disordered(WATER, q) + _disordered(SILICA, q)


def particles(sample: Sample, q: Floats, instrument: Instrument) -> Floats:
    """The particles alone without noise, (m,) in electron units per atom."""
    damped = replace(sample, pairs=sample.pairs * np.exp(-0.5 * (instrument.qdamp * sample.distances) ** 2))
    f = reduced_structure_function(damped, q, instrument.qbroad)
    square = form_factors([sample.element], q)[0] ** 2
    return np.asarray(np.maximum(square * (1.0 + f / q), 0.0) + _compton({sample.element: 1}, q))


def measure(sample: Sample, instrument: Instrument, draw: np.random.Generator) -> Pattern:
    """I(Q) of a sol in its capillary, with the counting error of each point."""
    q = _grid(instrument)
    amount = math.exp(AMOUNT * draw.normal())
    return _counted(
        q, amount * particles(sample, q, instrument) + background(q), instrument, draw, sample.element
    )


def measure_background(instrument: Instrument, draw: np.random.Generator) -> Pattern:
    """I(Q) of the capillary with solvent alone.

    The file beside ``configs/laboratories/gold-raw.yaml`` is this measurement for the default instrument with ten
    times its exposure, drawn from ``generator(0, "background")``.
    """
    q = _grid(instrument)
    return _counted(q, background(q), instrument, draw, None)


def _counted(
    q: Floats, intensity: Floats, instrument: Instrument, draw: np.random.Generator, composition: str | None
) -> Pattern:
    place = (q - q[0]) / (q[-1] - q[0])
    ripples = np.cos(math.pi * np.outer(np.arange(DRIFT_RIPPLES), place))
    gain = 1.0 + GAIN_RIPPLE * draw.normal(size=DRIFT_RIPPLES) @ ripples
    flux = 1.0 + MONITOR_ERROR * draw.normal()
    photons = draw.poisson(flux * gain * intensity * instrument.counts * instrument.exposure)
    return Pattern(
        quantity="I",
        x_unit="1/angstrom",
        x=np.round(q, DIGITS),
        y=_rounded(photons / instrument.exposure),
        # A point that counted nothing is known to about one photon.
        dy=_rounded(np.sqrt(np.maximum(photons, 1.0)) / instrument.exposure),
        conditions=Conditions(radiation="xray", wavelength=instrument.wavelength, composition=composition),
    )


def _rounded(values: Floats) -> Floats:
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])
