"""Test patterns of the library's oxides: as MLstructureMining draws them, and as particles of 2 nm and more.

diffpy.pdffit2 computes the partial curves T_ij(r) of the endless crystal without limits of Q; what follows is plain
NumPy:

    F(Q) = sum_ij w_ij(Q) S[gamma(r) T_ij(r)],      S[h](Q) = sum_r h(r) sin(Q r) dr,
    G(r) = exp(-(qdamp r)^2 / 2) 2/pi sum_Q F(Q) sin(Q r) dQ,      Qmin <= Q <= Qmax,

where gamma is the mean shape function of spheres (R. C. Howell et al., Phys. Rev. B 73, 094107 (2006)) of lognormal
diameters, weighted by their volumes, and w_ij = f_i f_j / <f>^2 with the form factors of Waasmaier and Kirfel as
`periodictable` has them: so a measurement weights its pairs. pdffit2 and srreal, and with them the published sets of
the peers, take f(0) for all Q, which changes the curve of an oxide by 12 % (R_w, median).

The crystal is computed ``BEYOND`` the range and fades out there, so that the end of the range leaves no mark on it. The
small-angle scattering of the particles is left out, as in pdffit2. Lengths in angstrom, Q in 1/angstrom, U in
angstrom^2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from periodictable.cromermann import fxrayatq
from scipy.stats import norm

from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record import Record
from solvus.models.structures.record_structure import structure_of
from solvus.simulations.benchmarks.recognition import peers
from solvus.simulations.benchmarks.recognition.cached import Clean
from solvus.simulations.benchmarks.recognition.draws import (
    Draw,
    R,
    Range,
    Task,
    drawn,
    named,
    uniform,
)
from solvus.simulations.benchmarks.recognition.polyoxometalates import digest

Floats = NDArray[np.float64]

BEYOND = 6.0
"""angstrom: fifty wavelengths of Qmax 12 and more than one of the longest waves that Qmin leaves."""
COARSE_STEP = 0.05
"""angstrom: at most 1.3 times the width of the narrowest peak drawn, which a sum over the steps takes right to 1e-5."""
COARSE = np.asarray(np.arange(1, round((R[-1] + BEYOND) / COARSE_STEP) + 1) * COARSE_STEP, dtype=np.float64)
FADE = np.cos(0.5 * math.pi * np.clip((COARSE - R[-1]) / BEYOND, 0.0, 1.0)) ** 2
Q_STEP = math.pi / 72.0
"""1/angstrom: the transform repeats itself after 144 angstrom, twice the range."""
QUANTILES = (np.arange(15) + 0.5) / 15.0
"""Of the lognormal distribution of diameters."""
SHARPEST = 0.6
"""Largest delta2 / d^2 for the shortest distance d of particles: correlated motion does not narrow a peak below a
third of its width."""
EQUAL = 1e-6
"""Relative, of axes that a crystal's symmetry makes equal."""


@dataclass(frozen=True)
class OxideSetting:
    """What a set is drawn from.

    Attributes
    ----------
    weights : ``"constant"`` as pdffit2 has them, or ``"form factors"``.
    u_iso : of all atoms where ``by_element`` is false; otherwise of each metal, and ``u_oxygen`` of oxygen.
    delta2 : of correlated motion; for particles at most ``SHARPEST`` times the square of the shortest distance.
    axes : relative change of each of a, b, c; equal axes change alike, unless ``broken``.
    expansion : relative change of all axes together.
    angles : degrees, change of each angle where the symmetry is ``broken``.
    diameter : median of the spheres, drawn uniformly in its logarithm; ``None`` for endless crystals.
    spread : standard deviation of the logarithm of the diameter.
    """

    name: str
    qmin: Range
    qmax: Range
    qdamp: Range
    u_iso: Range
    delta2: Range
    axes: Range
    weights: Literal["constant", "form factors"] = "constant"
    by_element: bool = False
    u_oxygen: Range = (0.0, 0.0)
    broken: bool = False
    expansion: Range = (0.0, 0.0)
    angles: Range = (0.0, 0.0)
    diameter: Range | None = None
    spread: Range = (0.0, 0.0)


MLSTRUCTUREMINING = OxideSetting(
    "mlstructuremining",
    qmin=(0.7, 0.7),
    qmax=(20.0, 20.0),
    qdamp=(0.04, 0.04),
    u_iso=(0.005, 0.025),
    delta2=(2.0, 2.0),
    axes=(-0.04, 0.04),
)
MEASURABLE = replace(MLSTRUCTUREMINING, name="mlstructuremining-form-factors", weights="form factors")
"""The same as a measurement would give it."""
PARTICLES = OxideSetting(
    "oxide-particles",
    qmin=(0.3, 1.5),
    qmax=(12.0, 25.0),
    qdamp=(0.01, 0.06),
    u_iso=(0.002, 0.012),
    delta2=(0.0, 3.0),
    axes=(-0.005, 0.005),
    weights="form factors",
    by_element=True,
    u_oxygen=(0.004, 0.025),
    broken=True,
    expansion=(-0.015, 0.015),
    angles=(-0.3, 0.3),
    diameter=(20.0, 200.0),
    spread=(0.0, 0.3),
)


@cache
def ours() -> tuple[Record, ...]:
    """The oxides of our library."""
    shipped = Catalogue.load(own_too=False).items
    return tuple(item.record for item in shipped if item.family == "oxide")


def oxides(
    setting: OxideSetting,
    *,
    noise: float,
    seed: int,
    cache: Path,
    count: int | None = None,
    records: Sequence[Record] | None = None,
) -> Iterator[Draw]:
    """Draws of ``records``, by default :func:`ours`.

    Parameters
    ----------
    noise, seed, cache, count : as :func:`~solvus.simulations.benchmarks.recognition.draws.drawn`; by default one draw
        of each record.

    Raises
    ------
    PeerError
        When diffpy.pdffit2 is not installed or refuses a structure.
    """
    chosen = ours() if records is None else records

    def make(index: int, generator: np.random.Generator) -> Clean:
        return _crystal(setting, chosen[index], generator)

    engine = peers.version("diffpy.pdffit2")
    recipe = {"setting": asdict(setting), "engine": engine, "records": digest(chosen)}
    task = Task(setting.name, recipe, make, len(chosen))
    return drawn(task, noise=noise, seed=seed, count=count, cache=cache)


def _crystal(setting: OxideSetting, record: Record, generator: np.random.Generator) -> Clean:
    if record.cell is None:
        raise ValueError(f"{record.name}: a cluster; these draws are of crystals")
    values = named({"qmin": setting.qmin, "qmax": setting.qmax, "qdamp": setting.qdamp}, generator)
    cell = _strained(setting, record.cell, values, generator)
    u_iso = _displacements(setting, record, values, generator)
    values["delta2"] = uniform(generator, setting.delta2)
    if setting.diameter is not None:
        values["delta2"] = min(values["delta2"], SHARPEST * _shortest(record) ** 2)
        low, high = np.log(setting.diameter)
        values["diameter"] = math.exp(uniform(generator, (low, high)))
        values["spread"] = uniform(generator, setting.spread)
    crystal = peers.Crystal(record, COARSE, cell=cell, u_iso=u_iso, delta2=values["delta2"])
    q = np.arange(values["qmin"] + 0.5 * Q_STEP, values["qmax"], Q_STEP)
    shape = shape_function(COARSE, values["diameter"], values["spread"]) if setting.diameter else 1.0
    sines = np.sin(np.outer(q, COARSE)) * (shape * FADE * COARSE_STEP)
    f = sines @ crystal.pdf() if setting.weights == "constant" else _weighted(crystal, sines, q)
    g = 2.0 / math.pi * Q_STEP * (np.sin(np.outer(R, q)) @ f) * np.exp(-0.5 * (values["qdamp"] * R) ** 2)
    return Clean(
        g=g,
        truth=record.name,
        type=record.type,
        elements=record.elements,
        conditions=values,
        diameter=mean_diameter(values["diameter"], values["spread"]) if setting.diameter else None,
    )


def _weighted(crystal: peers.Crystal, sines: Floats, q: Floats) -> Floats:
    """F at ``q`` with form factors: (m,).

    Parameters
    ----------
    sines : (m, n), what turns a curve on ``COARSE`` into its sine transform.
    """
    factor = {element: np.asarray(fxrayatq(element, q)) for element in crystal.shares}
    mean = sum(share * factor[element] for element, share in crystal.shares.items())
    total = np.zeros_like(q)
    for (one, other), curve in crystal.partials().items():
        both = 1.0 if one == other else 2.0
        total += both * factor[one] * factor[other] * (sines @ curve)
    return np.asarray(total / mean**2)


def _strained(
    setting: OxideSetting, cell: Sequence[float], values: dict[str, float], generator: np.random.Generator
) -> list[float]:
    """The cell with what was drawn, which is also put into ``values``."""
    changes = generator.uniform(*setting.axes, size=3)
    if not setting.broken:  # equal axes stay equal
        first = [next(i for i in range(3) if abs(cell[i] / cell[k] - 1.0) < EQUAL) for k in range(3)]
        changes = changes[first]
    values["expansion"] = uniform(generator, setting.expansion)
    turns = generator.uniform(*setting.angles, size=3) if setting.broken else np.zeros(3)
    names = ("a", "b", "c"), ("alpha", "beta", "gamma")
    for index in range(3):
        values[f"strain_{names[0][index]}"] = float(changes[index])
        values[f"turn_{names[1][index]}"] = float(turns[index])
    lengths = [
        length * (1.0 + values["expansion"]) * (1.0 + float(change))
        for length, change in zip(cell[:3], changes, strict=True)
    ]
    return lengths + [angle + float(turn) for angle, turn in zip(cell[3:], turns, strict=True)]


def _displacements(
    setting: OxideSetting, record: Record, values: dict[str, float], generator: np.random.Generator
) -> Floats:
    """U of every site of the cell: (sites,)."""
    sites = structure_of(record)
    if not setting.by_element:
        values["u_iso"] = uniform(generator, setting.u_iso)
        return np.full(len(sites.species), values["u_iso"])
    u = {
        element: uniform(generator, setting.u_oxygen if element == "O" else setting.u_iso)
        for element in sorted(record.elements)
    }
    values.update({f"u_{element}": value for element, value in u.items()})
    return np.array([u[name] for name in sites.species])


def _shortest(record: Record) -> float:
    """Shortest distance between two atoms of a crystal."""
    atoms = record.atoms()
    distances = atoms.get_all_distances(mic=True)  # type: ignore[no-untyped-call]
    np.fill_diagonal(distances, np.inf)
    return float(min(distances.min(), *atoms.cell.lengths()))


def shape_function(r: Floats, diameter: float, spread: float) -> Floats:
    """Mean shape function of spheres with lognormal diameters of median ``diameter``, weighted by volume: (n,)."""
    diameters, shares = _spheres(diameter, spread)
    x = np.minimum(r[:, None] / diameters, 1.0)
    return np.asarray((1.0 - 1.5 * x + 0.5 * x**3) @ shares)


def mean_diameter(diameter: float, spread: float) -> float:
    """Mean of the diameters weighted by volume, which a pattern shows rather than the median ``diameter``."""
    diameters, shares = _spheres(diameter, spread)
    return float(diameters @ shares)


def _spheres(diameter: float, spread: float) -> tuple[Floats, Floats]:
    """Diameters of equal numbers of spheres, and their shares of the volume."""
    diameters = diameter * np.exp(spread * norm.ppf(QUANTILES))
    return diameters, diameters**3 / (diameters**3).sum()
