"""Test patterns of metal particles, computed by programs other than our own engine.

``families``  the 197 geometries of seven families that DeepStruc was published with, made of 28 metals at the bond
              length of each metal's own crystal, under DeepStruc's one setting (plain pair sum; it has delta2)
``varied``    the same under other ranges of Q, dampings, displacements, and 1 % noise (DebyeCalculator)
``quiet``     the draws of ``varied`` without the noise: what the settings cost, apart from what noise hides
``faulted``   spheres of close-packed layers in any stacking, up to 200 atoms, under the one setting
``large``     particles of 200 to 1,500 atoms, under the one setting
``huge``      particles of 2,000 to 12,000 atoms, under the one setting, to 60 angstrom
``gap``       geometries of 60 to 120 atoms, under the one setting: a size range that is to be left out of a library

Everything drawn follows from seed and index. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Conditions, Pattern
from solvus.models.structures.clusters import all_clusters, diameter, metals, unit_positions
from solvus.models.structures.stacking import stacked_sphere
from solvus.simulations.benchmarks.recognition import pair_sum, peers
from solvus.simulations.benchmarks.recognition.draws import R_STEP, R
from solvus.simulations.benchmarks.recognition.metal_geometries import RADII, geometries
from solvus.simulations.benchmarks.recognition.noise import white_noise

Floats = NDArray[np.float64]
Generator = np.random.Generator

B_PER_U = 8.0 * math.pi**2
ONE_SETTING = {"qmin": 0.7, "qmax": 25.0, "qdamp": 0.04, "b_iso": 0.3, "delta2": 2.0, "noise": 0.0}
VARIED = {"qmin": (0.3, 1.5), "qmax": (14.0, 25.0), "qdamp": (0.01, 0.05), "b_iso": (0.2, 1.0)}
VARIED_NOISE = 0.01
FAULTED_RADII = (1.6, 3.3)
LARGE, HUGE = (200, 1500), (2000, 12_000)
FAR: Floats = np.asarray(np.arange(3001) * R_STEP, dtype=np.float64)
"""Up to here; the sums over Q repeat themselves beyond 72 angstrom."""
GAP = (60, 120)
HEXAGONAL = (0.1, 0.9)
"""Share of h layers between which a stacking is neither fcc nor hcp."""


@dataclass(frozen=True)
class Case:
    """One test pattern with its truth: name, family, metal, bond length and positions (n, 3)."""

    name: str
    family: str
    metal: str
    bond: float
    positions: Floats
    pattern: Pattern

    @property
    def n_atoms(self) -> int:
        return len(self.positions)

    @property
    def diameter(self) -> float:
        """Of the sphere of equal volume."""
        return diameter("fcc" if self.family == "faulted" else self.family, self.n_atoms, self.bond)


@dataclass(frozen=True)
class _Shape:
    name: str
    family: str
    unit: Floats


def cases(name: str, count: int, seed: int) -> Iterator[Case]:
    """The draws of one set.

    Raises
    ------
    PeerError
        When ``varied`` is asked for and DebyeCalculator is not installed.
    """
    key = list(SETS).index(SAME_DRAWS.get(name, name))
    for index in range(count):
        generator = np.random.default_rng((seed, key, index))
        shape = SETS[name](generator)
        metal = str(generator.choice(list(RADII)))
        bond = metals()[metal]
        places = shape.unit * bond
        if name in ("varied", "quiet"):
            pattern = _varied(metal, places, generator, VARIED_NOISE if name == "varied" else 0.0)
        else:
            pattern = _fixed(metal, places, FAR if name == "huge" else R)
        yield Case(shape.name, shape.family, metal, bond, places, pattern)


def _fixed(metal: str, places: Floats, r: Floats) -> Pattern:
    limits = {k: ONE_SETTING[k] for k in ("qmin", "qmax", "qdamp")}
    g = pair_sum.cluster_pdf(
        [metal] * len(places),
        places,
        r,
        **limits,
        u_iso=ONE_SETTING["b_iso"] / B_PER_U,
        delta2=ONE_SETTING["delta2"],
    )
    return Pattern(quantity="G", x=r[1:], y=g[1:], conditions=Conditions(**limits))


def _varied(metal: str, places: Floats, generator: Generator, noise: float) -> Pattern:
    drawn = {k: float(generator.uniform(*limits)) for k, limits in VARIED.items()}
    limits = {k: drawn[k] for k in ("qmin", "qmax", "qdamp")}
    g = peers.cluster_pdf([metal] * len(places), places, R, **limits, b_iso=drawn["b_iso"])
    level = noise * float(np.abs(g).max())
    g = g + level * white_noise(R, drawn["qmax"], generator)
    return Pattern(quantity="G", x=R[1:], y=g[1:], conditions=Conditions(**limits))


def _of_peer(generator: Generator, limits: tuple[int, int] = (0, 10_000)) -> _Shape:
    held = [g for g in geometries() if limits[0] <= g.n_atoms <= limits[1]]
    chosen = held[int(generator.integers(len(held)))]
    return _Shape(chosen.name, chosen.family, unit_positions(chosen.positions))


def _faulted(generator: Generator) -> _Shape:
    radius = float(generator.uniform(*FAULTED_RADII))
    share = float(generator.uniform(0.0, 1.0))
    letters: dict[int, bool] = {}

    def steps(layers: NDArray[np.int64]) -> NDArray[np.int64]:
        hexagonal = generator.random(len(layers)) < share
        letters.update(zip(layers.tolist(), hexagonal.tolist(), strict=True))
        return np.asarray(np.cumprod(np.where(hexagonal, -1, 1)), dtype=np.int64)

    places = stacked_sphere(radius, steps)
    heights = np.unique(np.rint(places[:, 2] / math.sqrt(2.0 / 3.0)).astype(int))
    inner = [letters[k] for k in heights.tolist() if k - 1 in heights and k + 1 in heights]
    h = sum(inner) / max(1, len(inner))
    family = "fcc" if h < HEXAGONAL[0] else "hcp" if h > HEXAGONAL[1] else "faulted"
    word = "".join("h" if letter else "c" for letter in inner)
    return _Shape(f"{word} {len(places)}", family, unit_positions(places))


def _huge(generator: Generator) -> _Shape:
    return _large(generator, HUGE)


def _large(generator: Generator, limits: tuple[int, int] = LARGE) -> _Shape:
    held = [c for c in all_clusters() if limits[0] <= c.n_atoms <= limits[1]]
    families = sorted({c.family for c in held})
    family = families[int(generator.integers(len(families)))]
    chosen = [c for c in held if c.family == family]
    cluster = chosen[int(generator.integers(len(chosen)))]
    return _Shape(cluster.name, family, cluster.build())


def _gap(generator: Generator) -> _Shape:
    return _of_peer(generator, GAP)


SETS: dict[str, Callable[[Generator], _Shape]] = {
    "families": _of_peer,
    "varied": _of_peer,
    "faulted": _faulted,
    "large": _large,
    "gap": _gap,
    "quiet": _of_peer,
    "huge": _huge,
}
SAME_DRAWS = {"quiet": "varied"}
