"""Test patterns of mono-metallic clusters under the conditions that MetalFinder was published with, and harder ones.

MetalFinder's own patterns have Qmin U(0, 2), Qmax U(12, 25), Qdamp U(0.01, 0.04), B U(0.1, 1) and delta2 = 2
angstrom^2. DebyeCalculator knows no delta2, so there are two versions: ``METALFINDER`` with delta2 by the plain pair
sum, and ``METALFINDER_DEBYE`` without it by DebyeCalculator. ``IMPERFECT`` adds, by DebyeCalculator, what ideal models
leave out:

- the lattice expanded or contracted as a whole;
- surface atoms drawn towards the centre by up to 3 % of their distance from it;
- every atom displaced at random, the same in all particles of the sample;
- particles of two other sizes of the same kind beside those of the class.

Lengths in angstrom, Q in 1/angstrom, B in angstrom^2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from solvus.models.structures.clusters import diameter
from solvus.models.structures.elements import CONTACT
from solvus.simulations.benchmarks.recognition import pair_sum, peers
from solvus.simulations.benchmarks.recognition.cached import Clean
from solvus.simulations.benchmarks.recognition.draws import Draw, R, Range, Task, drawn, named
from solvus.simulations.benchmarks.recognition.metal_geometries import Geometry, classes, geometries

Floats = NDArray[np.float64]

R_RANGE = (0.0, 29.9)
"""What MetalFinder sees."""
B_PER_U = 8.0 * math.pi**2


@dataclass(frozen=True)
class MetalSetting:
    """What a set is drawn from.

    Attributes
    ----------
    b_iso : of all atoms; delta2 : of correlated motion; with any, the plain pair sum computes the curves.
    expansion : relative, of the whole cluster.
    surface : relative contraction of surface atoms towards the centre.
    displacement : standard deviation of each coordinate of each atom.
    others : share of the atoms that are in particles of the two nearest other sizes.
    """

    name: str
    qmin: Range = (0.0, 2.0)
    qmax: Range = (12.0, 25.0)
    qdamp: Range = (0.01, 0.04)
    b_iso: Range = (0.1, 1.0)
    delta2: float = 0.0
    expansion: Range = (0.0, 0.0)
    surface: Range = (0.0, 0.0)
    displacement: float = 0.0
    others: Range = (0.0, 0.0)


METALFINDER = MetalSetting("metalfinder", delta2=2.0)
METALFINDER_DEBYE = MetalSetting("metalfinder-debye")
IMPERFECT = MetalSetting(
    "metalfinder-imperfect",
    expansion=(-0.01, 0.01),
    surface=(0.0, 0.03),
    displacement=0.05,
    others=(0.0, 0.4),
)


EXACT = 0.002
"""Relative: the range of bond lengths to be declared where clusters have exactly those of their class."""


def metal_clusters(
    setting: MetalSetting, *, noise: float, seed: int, cache: Path, count: int | None = None
) -> Iterator[Draw]:
    """Draws of :func:`~solvus.simulations.benchmarks.recognition.metal_geometries.classes`; ``truth`` is the name of
    the class, ``elements`` the metals that share its lattice constant, ``diameter`` that of the sphere of equal volume.

    Parameters
    ----------
    noise, seed, cache, count : as :func:`~solvus.simulations.benchmarks.recognition.draws.drawn`; by default one draw
        of each class.

    Raises
    ------
    PeerError
        When DebyeCalculator is needed and not installed.
    """

    def make(index: int, generator: np.random.Generator) -> Clean:
        return _cluster(setting, index, generator)

    engine = "plain pair sum" if setting.delta2 else peers.version("debyecalculator")
    task = Task(setting.name, {"setting": asdict(setting), "engine": engine}, make, len(classes()))
    return drawn(task, noise=noise, seed=seed, count=count, cache=cache, r_range=R_RANGE)


def _cluster(setting: MetalSetting, index: int, generator: np.random.Generator) -> Clean:
    chosen = classes()[index]
    ranges = {
        "qmin": setting.qmin,
        "qmax": setting.qmax,
        "qdamp": setting.qdamp,
        "b_iso": setting.b_iso,
        "expansion": setting.expansion,
        "surface": setting.surface,
        "others": setting.others,
    }
    values = named(ranges, generator)
    values |= {"delta2": setting.delta2, "displacement": setting.displacement}
    metal, lattice = chosen.metals[0], chosen.lattice * (1.0 + values["expansion"])
    g = np.zeros(len(R))
    for geometry, share in _sizes(chosen.geometry, values["others"]):
        ideal = imperfect(geometry, values["surface"]) * lattice
        places = ideal + setting.displacement * generator.standard_normal(ideal.shape)
        g += share * _curve(metal, places, values)
    bond = chosen.bond * (1.0 + values["expansion"])
    return Clean(
        g=g,
        truth=chosen.name,
        type=chosen.geometry.kind,
        elements=frozenset(chosen.metals),
        conditions=values,
        diameter=diameter(chosen.geometry.family, chosen.geometry.n_atoms, bond),
        bond=bond,
    )


def _curve(metal: str, places: Floats, values: dict[str, float]) -> Floats:
    limits = {name: values[name] for name in ("qmin", "qmax", "qdamp")}
    species = [metal] * len(places)
    if values["delta2"]:
        return pair_sum.cluster_pdf(
            species, places, R, **limits, u_iso=values["b_iso"] / B_PER_U, delta2=values["delta2"]
        )
    return peers.cluster_pdf(species, places, R, **limits, b_iso=values["b_iso"])


def imperfect(geometry: Geometry, surface: float) -> Floats:
    """The unit geometry with its surface atoms, those with fewer neighbours than the best surrounded one, drawn towards
    the centre by the share ``surface`` of their distance from it: (atoms, 3)."""
    centred: Floats = geometry.positions - geometry.positions.mean(axis=0)
    if not surface:
        return centred
    distances = cdist(centred, centred)
    nearest = distances[distances > 0].min()
    neighbours = (distances < CONTACT * nearest).sum(axis=1)
    outside = neighbours < neighbours.max()
    return np.asarray(centred * np.where(outside, 1.0 - surface, 1.0)[:, None])


def _sizes(geometry: Geometry, others: float) -> list[tuple[Geometry, float]]:
    """The geometry and the nearest smaller and larger one of its kind, with shares of the atoms."""
    if not others:
        return [(geometry, 1.0)]
    kind = sorted((g for g in geometries() if g.kind == geometry.kind), key=lambda g: g.n_atoms)
    smaller = [g for g in kind if g.n_atoms < geometry.n_atoms][-1:]
    larger = [g for g in kind if g.n_atoms > geometry.n_atoms][:1]
    beside = smaller + larger
    return [(geometry, 1.0 - others)] + [(g, others / len(beside)) for g in beside]
