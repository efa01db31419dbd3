"""The noise-free curve of a structure for each technique: pdf, sq, powder, saxs.

One :class:`Instrument` says the conditions; :func:`simulated` answers with a Pattern. Lengths in angstrom, Q
in 1/angstrom.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms

from solvus.models.pattern import Conditions, Pattern, PatternError
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.debye import pair_histogram
from solvus.models.scattering.form_factors import Radiation
from solvus.models.scattering.powder import Profile, intensity_q, intensity_two_theta, reflections
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.small_angle import cluster as small_angle
from solvus.models.scattering.structure import StructureError, from_ase

Technique = Literal["pdf", "sq", "powder", "saxs"]
RANGES: dict[str, tuple[float, float]] = {
    "pdf": (0.5, 25.0),
    "sq": (0.5, 25.0),
    "powder": (0.5, 8.0),
    "saxs": (0.005, 0.5),
}
"""Usual Qmin and Qmax of each technique, taken where none is stated."""
STEPS: dict[str, float] = {"powder": 0.002, "saxs": 0.0005}
FWHM = 0.02
"""1/angstrom; lines of a good powder on an area detector."""


@dataclass(frozen=True)
class Instrument:
    """Conditions of a simulation; ``None`` takes the technique's usual value."""

    qmin: float | None = None
    qmax: float | None = None
    qdamp: float = 0.0
    qbroad: float = 0.0
    rmax: float = 30.0
    rstep: float = 0.01
    u_iso: float = 0.005
    radiation: Radiation = "xray"
    wavelength: float | None = None
    fwhm: float = FWHM


def simulated(atoms: Atoms, technique: Technique, instrument: Instrument) -> Pattern:
    """Calculate one curve.

    Parameters
    ----------
    atoms : finite, or periodic in all three directions; powder lines need a crystal, small angles a finite particle.
    technique : ``"pdf"`` gives G(r), ``"sq"`` S(Q), ``"powder"`` and ``"saxs"`` I(Q). A powder pattern with a
        wavelength has the Lorentz and polarisation factors of I(2theta), on its own grid of Q.

    Raises
    ------
    StructureError, SettingsError, PatternError
        For what cannot be; one sentence names the field.
    """
    low, high = RANGES[technique]
    qmin = low if instrument.qmin is None else instrument.qmin
    qmax = high if instrument.qmax is None else instrument.qmax
    if not 0.0 <= qmin < qmax <= 50.0:
        raise PatternError(f"qmin, qmax: {qmin:g} to {qmax:g} 1/angstrom is no range between 0 and 50")
    conditions = Conditions(
        radiation="neutron" if instrument.radiation == "neutron" else "xray",
        qmin=qmin,
        qmax=qmax,
        qdamp=instrument.qdamp or None,
        qbroad=instrument.qbroad or None,
        wavelength=instrument.wavelength,
        composition=_formula(atoms),
    )
    if technique == "powder":
        return _powder(atoms, instrument, conditions, (qmin, qmax))
    if technique == "saxs":
        return _small_angle(atoms, instrument, conditions, (qmin, qmax))
    curves = calculate(
        from_ase(atoms, u_iso=instrument.u_iso),
        Settings(
            qmin=qmin,
            qmax=qmax,
            qdamp=instrument.qdamp,
            qbroad=instrument.qbroad,
            rmax=instrument.rmax + instrument.rstep,
            rstep=instrument.rstep,
            radiation=instrument.radiation,
        ),
    )
    if technique == "pdf":
        r = np.round(curves.r.numpy(), 10)
        return Pattern(quantity="G", x=r, y=curves.g.numpy(), conditions=conditions)
    q, s = curves.q.numpy(), curves.s().numpy()
    inside = (q >= qmin) & (q <= qmax)
    return Pattern(quantity="S", x_unit="1/angstrom", x=q[inside], y=s[inside], conditions=conditions)


def _formula(atoms: Atoms) -> str:
    """Smallest whole numbers of each element, as in ``CeO2``."""
    counts = Counter(list(atoms.symbols))
    divisor = math.gcd(*counts.values())
    return "".join(f"{name}{n // divisor if n > divisor else ''}" for name, n in sorted(counts.items()))


def _powder(
    atoms: Atoms, instrument: Instrument, conditions: Conditions, span: tuple[float, float]
) -> Pattern:
    if not atoms.pbc.all():
        raise StructureError(
            "structure: powder lines need a crystal; give a .cif, or take --technique sq or saxs"
        )
    q = np.arange(span[0], span[1], STEPS["powder"])
    lines = reflections(
        from_ase(atoms, u_iso=instrument.u_iso), span[1] + 1.0, radiation=instrument.radiation
    )
    if instrument.wavelength is None:
        y = intensity_q(lines, q, fwhm=instrument.fwhm)
    else:
        sine = q * instrument.wavelength / (4.0 * math.pi)
        if sine[-1] >= 1.0:
            end = 4.0 * math.pi / instrument.wavelength
            raise PatternError(f"qmax: {span[1]:g} lies beyond 4 pi / wavelength = {end:.3g} 1/angstrom")
        angle = np.degrees(2.0 * np.arcsin(sine))
        width = math.degrees(instrument.fwhm * instrument.wavelength / (2.0 * math.pi))
        y = intensity_two_theta(
            lines, angle, instrument.wavelength, profile=Profile(w=width**2), radiation=instrument.radiation
        )
    return Pattern(quantity="I", x_unit="1/angstrom", x=q, y=y, conditions=conditions)


def _small_angle(
    atoms: Atoms, instrument: Instrument, conditions: Conditions, span: tuple[float, float]
) -> Pattern:
    if atoms.pbc.any():
        raise StructureError(
            "structure: small angles need a finite particle; cut one from the crystal as .xyz"
        )
    q = np.arange(span[0], span[1], STEPS["saxs"])
    histogram = pair_histogram(atoms.positions, list(atoms.symbols))
    y = small_angle(histogram, q, u_iso=instrument.u_iso, radiation=instrument.radiation)
    return Pattern(quantity="I", x_unit="1/angstrom", x=q, y=y, conditions=conditions)
