"""The curve of a sample for each technique: pdf, sq, powder, saxs; with the noise of counting where it is asked for.

One :class:`Instrument` says the conditions; :func:`simulated` answers with a Pattern. Lengths in angstrom, Q
in 1/angstrom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import torch

from solvus.models.pattern import Conditions, Pattern, PatternError, Quantity
from solvus.models.scattering.calculate import Convention, Engine, calculate
from solvus.models.scattering.composition import Composition, scattering_power
from solvus.models.scattering.curves import Curves
from solvus.models.scattering.debye import pair_histogram
from solvus.models.scattering.form_factors import Radiation, element_of, form_factors
from solvus.models.scattering.noise import NoiseModel, measured
from solvus.models.scattering.powder import (
    Profile,
    Reflections,
    intensity_q,
    intensity_two_theta,
    reflections,
)
from solvus.models.scattering.sample import Sample, atoms_in
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.small_angle import Floats, lognormal_spheres
from solvus.models.scattering.small_angle import cluster as small_angle
from solvus.models.scattering.structure import Structure, StructureError

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
    """Conditions of a simulation; ``None`` takes the technique's usual value.

    ``u_iso`` takes the place of the structures' displacements; ``expansion`` stretches them, not the diameters.
    ``noise`` is that of ``pdf`` and ``sq``; of ``powder`` and ``saxs`` only its counts apply, at the strongest point.
    ``seed`` belongs to it. Of one structure and without noise only: ``engine="srreal"`` has diffpy.srreal calculate
    ``pdf`` or ``sq``, ``convention="srreal"`` computes them as it does, and ``pair`` gives the partial curve of two
    elements or ions.
    """

    qmin: float | None = None
    qmax: float | None = None
    qdamp: float = 0.0
    qbroad: float = 0.0
    delta1: float = 0.0
    delta2: float = 0.0
    expansion: float = 1.0
    pair: tuple[str, str] | None = None
    convention: Convention = "exact"
    rmax: float = 30.0
    rstep: float = 0.01
    u_iso: float | None = None
    radiation: Radiation = "xray"
    wavelength: float | None = None
    fwhm: float = FWHM
    noise: NoiseModel | None = None
    seed: int = 0
    engine: Engine = "solvus"


def simulated(
    sample: Sample, technique: Technique, instrument: Instrument, *, quantity: Quantity = "S"
) -> Pattern:
    """Calculate one curve.

    Parameters
    ----------
    sample : finite structures or crystals; powder lines need crystals, small angles finite particles or spheres cut
        from a crystal.
    technique : ``"pdf"`` gives G(r), ``"sq"`` S(Q), ``"powder"`` and ``"saxs"`` I(Q). A powder pattern with a
        wavelength has the Lorentz and polarisation factors of I(2theta), on its own grid of Q.
    quantity : of ``"sq"``: ``"S"``, ``"F"``, or ``"I"``, the coherent intensity per atom in electrons^2 or fm^2, of
        finite structures.

    Returns
    -------
    Pattern with ``dy`` where there is noise; noisy curves of Q stand on the bins they were counted in.

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
        composition=sample.formula(),
    )
    sample = replace(sample, structures=tuple(_as_asked(s, instrument) for s in sample.structures))
    if instrument.engine != "solvus" and technique not in ("pdf", "sq"):
        raise SettingsError(f"engine: {instrument.engine} does not do {technique}; leave --engine out")
    if technique in ("pdf", "sq"):
        return _total(sample, "G" if technique == "pdf" else quantity, instrument, conditions, (qmin, qmax))
    _refuse_what_only_pairs_have(instrument, technique)
    q = np.arange(qmin, qmax, STEPS[technique])
    y = _powder(sample, instrument, q) if technique == "powder" else _small_angle(sample, instrument, q)
    dy = None
    if instrument.noise is not None:
        y, dy = _counted(y, instrument.noise.counts, instrument.seed)
    return Pattern(quantity="I", x_unit="1/angstrom", x=q, y=y, dy=dy, conditions=conditions)


def _as_asked(structure: Structure, instrument: Instrument) -> Structure:
    """Expanded, and with the displacement that the instrument's ``u_iso`` states."""
    if not (math.isfinite(instrument.expansion) and instrument.expansion > 0):
        raise SettingsError(f"expansion: must be positive, not {instrument.expansion}")
    if instrument.u_iso is not None:
        structure = replace(structure, u=torch.full_like(structure.occupancy, instrument.u_iso))
    if structure.lattice is None:
        return replace(structure, positions=structure.positions * instrument.expansion)
    return replace(structure, lattice=structure.lattice * instrument.expansion)


def _refuse_what_only_pairs_have(instrument: Instrument, technique: str) -> None:
    """Powder lines and small angles do not know of correlated motion, partials or conventions of G(r)."""
    for field in fields(Instrument):
        changed = getattr(instrument, field.name) != field.default
        if changed and field.name in ("delta1", "delta2", "pair", "convention"):
            raise SettingsError(f"{field.name}: of no effect on {technique}; leave it out")


def _total(
    sample: Sample,
    quantity: Quantity,
    instrument: Instrument,
    conditions: Conditions,
    span: tuple[float, float],
) -> Pattern:
    """G(r), S(Q), F(Q) or I(Q)."""
    if quantity != "G" and sample.size is not None:
        raise StructureError(
            "diameter: S(Q) of spheres is not calculated; take --technique pdf, or cut an .xyz"
        )
    if quantity == "I" and any(s.lattice is not None for s in sample.structures):
        raise StructureError(
            "structure: the I(Q) of an endless crystal is its powder lines; take --technique powder, or a finite "
            "particle as .xyz"
        )
    if quantity == "I" and instrument.pair is not None:
        raise SettingsError("pair: a partial has no intensity of its own; write .gr, .fq or .sq")
    settings = Settings(
        qmin=span[0],
        qmax=span[1],
        qdamp=instrument.qdamp,
        qbroad=instrument.qbroad,
        delta1=instrument.delta1,
        delta2=instrument.delta2,
        pair=None if instrument.pair is None else _species(sample, instrument.pair),
        rmax=instrument.rmax + instrument.rstep,
        rstep=instrument.rstep,
        radiation=instrument.radiation,
    )
    curves, deviation = _curves(sample, settings, instrument), None
    if instrument.noise is not None:
        generator = torch.Generator().manual_seed(instrument.seed)
        made = measured(curves, sample.composition, settings, instrument.noise, generator)
        curves, errors = made.curves, made.errors
        deviation = (errors.deviation(curves.r) if quantity == "G" else errors.deviation_f()).numpy()
    if quantity == "G":
        r = np.round(curves.r.numpy(), 10)
        return Pattern(quantity="G", x=r, y=curves.g.numpy(), dy=deviation, conditions=conditions)
    inside = (curves.q >= max(span[0], np.finfo(float).tiny)) & (curves.q <= span[1])
    q, f = curves.q[inside], curves.f[inside].numpy()
    per_f, offset = _of_f(quantity, sample.composition, q, instrument.radiation)
    dy = None if deviation is None else deviation[inside.numpy()] * per_f
    return Pattern(
        quantity=quantity,
        x_unit="1/angstrom",
        x=q.numpy(),
        y=offset + per_f * f,
        dy=dy,
        conditions=conditions,
    )


def _of_f(
    quantity: Quantity, composition: Composition, q: torch.Tensor, radiation: Radiation
) -> tuple[Floats, Floats]:
    """Factor on F(Q) and what is added to it: (m,) each."""
    if quantity == "F":
        return np.ones(len(q)), np.zeros(len(q))
    if quantity == "S":
        return 1.0 / q.numpy(), np.ones(len(q))
    power = scattering_power(composition, q, radiation)
    return (power.square_mean / q).numpy(), power.mean_square.numpy()


def _species(sample: Sample, pair: tuple[str, str]) -> tuple[str, str]:
    """The ion of an element, where the structure holds it as one kind of ion only."""
    names = sorted({name for structure in sample.structures for name in structure.species})
    found = [[s for s in names if element_of(s) == wanted] for wanted in pair]
    a, b = (
        kinds[0] if len(kinds) == 1 and wanted not in names else wanted
        for wanted, kinds in zip(pair, found, strict=True)
    )
    return a, b


def _curves(sample: Sample, settings: Settings, instrument: Instrument) -> Curves:
    special = {
        "engine": instrument.engine != "solvus",
        "convention": instrument.convention != "exact",
        "pair": instrument.pair is not None,
    }
    chosen = next((name for name, is_so in special.items() if is_so), None)
    if chosen is None:
        return sample.curves(settings)
    if len(sample.structures) > 1 or sample.size is not None or instrument.noise is not None:
        raise SettingsError(
            f"{chosen}: gives the noise-free curve of one structure; leave --{chosen} or --with, --diameter, "
            "--sigma-diameter and --noise out"
        )
    return calculate(
        sample.structures[0], settings, convention=instrument.convention, engine=instrument.engine
    )


def _counted(y: Floats, counts: float, seed: int) -> tuple[Floats, Floats]:
    """A curve as counted, with its uncertainty: ``counts`` at its strongest point."""
    dose = counts / float(y.max())
    found = np.random.default_rng(seed).poisson(np.maximum(y, 0.0) * dose)
    # The usual estimate sqrt(N) would be zero where nothing was counted.
    return found / dose, np.sqrt(np.maximum(found, 1.0)) / dose


def _powder(sample: Sample, instrument: Instrument, q: Floats) -> Floats:
    """On the scale of the first phase's cell."""
    if sample.size is not None:
        raise StructureError("diameter: widens no powder lines here; set their width with --fwhm")
    total = np.zeros(len(q))
    cells = [_cells(structure) for structure in sample.structures]
    for structure, share, cell in zip(sample.structures, sample.shares, cells, strict=True):
        lines = reflections(structure, float(q[-1]) + 1.0, radiation=instrument.radiation)
        # A cell's lines are denser in Q by its volume: |F|^2 counts by the number of cells over their volume.
        total += share * cells[0] / cell * _lines(lines, instrument, q)
    return total


def _cells(structure: Structure) -> float:
    """Atoms in a cell times its volume."""
    if structure.lattice is None:
        raise StructureError(
            "structure: powder lines need a crystal; give a .cif, or take --technique sq or saxs"
        )
    return atoms_in(structure) * float(structure.volume().detach())


def _lines(lines: Reflections, instrument: Instrument, q: Floats) -> Floats:
    if instrument.wavelength is None:
        return intensity_q(lines, q, fwhm=instrument.fwhm)
    sine = q * instrument.wavelength / (4.0 * math.pi)
    if sine[-1] >= 1.0:
        end = 4.0 * math.pi / instrument.wavelength
        raise PatternError(f"qmax: {q[-1]:.4g} lies beyond 4 pi / wavelength = {end:.3g} 1/angstrom")
    angle = np.degrees(2.0 * np.arcsin(sine))
    width = math.degrees(instrument.fwhm * instrument.wavelength / (2.0 * math.pi))
    return intensity_two_theta(
        lines, angle, instrument.wavelength, profile=Profile(w=width**2), radiation=instrument.radiation
    )


def _small_angle(sample: Sample, instrument: Instrument, q: Floats) -> Floats:
    """Mean I(q) of a particle."""
    if any(structure.lattice is not None for structure in sample.structures):
        return _spheres(sample, instrument, q)
    total, particles = np.zeros(len(q)), 0.0
    for structure, share in zip(sample.structures, sample.shares, strict=True):
        number = share / atoms_in(structure)
        places = structure.positions.detach().numpy()
        histogram = pair_histogram(places, [element_of(name) for name in structure.species])
        u = 0.0 if structure.anisotropic else float(structure.u.detach().mean())
        total += number * small_angle(histogram, q, u_iso=u, radiation=instrument.radiation)
        particles += number
    return total / particles


def _spheres(sample: Sample, instrument: Instrument, q: Floats) -> Floats:
    structure, size = sample.structures[0], sample.size
    if len(sample.structures) > 1 or size is None:
        raise StructureError(
            "structure: small angles need a finite particle; give a crystal one --diameter, or cut it as .xyz"
        )
    f = form_factors(structure.species, [0.0], instrument.radiation)[:, 0]
    density = float(f @ structure.occupancy.detach().numpy()) / float(structure.volume().detach())
    mu, spread = (float(v) for v in size.of_number())
    return lognormal_spheres(q, 0.5 * math.exp(mu), spread, density)
