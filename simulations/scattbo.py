"""The published benchmark ScattBO: three synthesis parameters make an ideal gold cluster, which scatters without noise.

The model of Anker and others (github.com/AndySAnker/ScattBO, commit 13a991c), with the one correction that its own
threshold needs: G(r) on the target's grid of 0.01 angstrom. With s = pH / 14,

    shells = int(8 s) + 2,   p = q = r = int(6 s + 2),   l = 2.5 + 2 pressure / 100 angstrom,   a = sqrt(2) l

    Ethanol    icosahedron of as many shells, lattice constant a
    Methanol   decahedron (p, q, r), lattice constant a
    Water      body-centred cubic block of shells^3 cells along [100], [110], [111], lattice constant l
    Others     octahedron of that edge length, lattice constant a

G(r), S(Q) - 1 and R_wp are those of DebyeCalculator under its defaults (Q from 2 to 10, B = 0.3, qdamp = 0.04), here
from our own scattering engine:

    R_wp = sqrt( sum (t - s)^2 / sum t^2 ),     both curves divided by their maximum.

The lengths are absurd for gold, on purpose: what counts is that only one small region makes the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from ase.cluster import Decahedron, Icosahedron, Octahedron
from ase.lattice.cubic import BodyCenteredCubic
from numpy.typing import NDArray

from solvus.models.scattering.debye import PairHistogram, pair_histogram, structure_factor
from solvus.models.scattering.transform import sine_kernel

Floats = NDArray[np.float64]
Objective = Literal["gr", "sq"]

SOLVENTS = ("Ethanol", "Methanol", "Water", "Others")
FAMILY = {"Ethanol": "icosahedral", "Methanol": "decahedral", "Water": "bcc", "Others": "fcc"}
B_ISO, QDAMP = 0.3, 0.04
Q: Floats = np.arange(200.0, 1000.0) * 0.01
"""1/angstrom; DebyeCalculator leaves out the end of the range."""
R: Floats = np.arange(3000.0) * 0.01
LONGEST = 4.5
"""angstrom: l at the highest pressure; distances are counted there, and shorter l shrink them."""
THRESHOLD = 0.04
"""R_wp that counts as success, from the publication."""


@dataclass(frozen=True)
class Task:
    """One published task: limits of pH and pressure, the number of solvents, and the recipe that made the target."""

    name: str
    ph: tuple[float, float]
    pressure: tuple[float, float]
    solvents: tuple[str, ...]
    target: tuple[float, float, str] = (10.0, 75.0, "Ethanol")


SMALL = Task("scattbo-small", (2.0, 12.0), (15.0, 80.0), SOLVENTS[:2])
LARGE = Task("scattbo-large", (0.0, 14.0), (0.0, 100.0), SOLVENTS)


@dataclass(frozen=True)
class Made:
    """What a recipe makes: ``size`` is the number of shells, or p of a decahedron; ``length`` is l."""

    solvent: str
    size: int
    length: float


def made_by(recipe: Mapping[str, Any]) -> Made:
    """Apply the rule."""
    s = float(recipe["pH"]) / 14.0
    solvent = str(recipe["solvent"])
    size = int(6.0 * s + 2.0) if solvent == "Methanol" else int(8.0 * s) + 2
    return Made(solvent, size, 2.5 + 2.0 * float(recipe["pressure"]) / 100.0)


def sizes(solvent: str) -> range:
    """All that the rule can ask for."""
    return range(2, 9) if solvent == "Methanol" else range(2, 11)


def positions(solvent: str, size: int) -> Floats:
    """Atoms at l = 1, (n, 3)."""
    a = math.sqrt(2.0)
    if solvent == "Ethanol":
        atoms = Icosahedron("Au", size, a)  # type: ignore[no-untyped-call]
    elif solvent == "Methanol":
        atoms = Decahedron("Au", size, size, size, a)  # type: ignore[no-untyped-call]
    elif solvent == "Water":
        axes = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
        atoms = BodyCenteredCubic(
            symbol="Au", directions=axes, size=(size,) * 3, latticeconstant=1.0, pbc=False
        )
    else:
        atoms = Octahedron("Au", size, latticeconstant=a)  # type: ignore[no-untyped-call]
    return np.asarray(atoms.positions, dtype=np.float64)


@cache
def histogram(solvent: str, size: int) -> PairHistogram:
    """Pair distances at l = ``LONGEST``."""
    return pair_histogram(positions(solvent, size) * LONGEST)


@cache
def _kernel() -> Floats:
    """From F to G as DebyeCalculator does it: a plain sum without half weights at the ends."""
    kernel = sine_kernel(Q, R, QDAMP)
    kernel[[0, -1]] *= 2.0
    return kernel


@cache
def _curve(made: Made, objective: Objective) -> Floats:
    u = B_ISO / (8.0 * math.pi**2)
    s, f = structure_factor(histogram(made.solvent, made.size), Q, u_iso=u, expansion=made.length / LONGEST)
    curve = f.numpy() @ _kernel() if objective == "gr" else s.numpy() - 1.0
    curve.setflags(write=False)
    return np.asarray(curve)


def curve(made: Made, objective: Objective) -> Floats:
    """G(r) on ``R``, or S(Q) - 1 on ``Q``."""
    return _curve(made, objective)


def r_wp(observed: Floats, target: Floats) -> float:
    """R_wp after both are divided by their maximum."""
    o, t = observed / observed.max(), target / target.max()
    return float(np.sqrt(((t - o) ** 2).sum() / (t**2).sum()))
