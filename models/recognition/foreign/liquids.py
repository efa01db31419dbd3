"""Simple liquids by molecular dynamics: metals, alloys and molten salts, as droplets cut from a periodic box.

Atoms i and j of species s and t attract and repel by

    V(r) = 4 e ((d / r)^12 - (d / r)^6) + g z_s z_t exp(-r) / r,      d = d_st,

in units of kT at the temperature 1, with the mean diameter as the unit of length; Lennard-Jones alone (g = 0) for
metals, repulsion and screened charges for salts. Velocity Verlet with velocities scaled to the temperature; the start
is a random packing, the end the last step. The shape of g(r) is that of a simple liquid, not of the very metal: gallium
and mercury have their own shoulders, which an experiment would show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvus.models.recognition.foreign.packing import Body, packed_box
from solvus.models.recognition.foreign.prototypes import Split
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

ATOMS = 600
"""In the box; half of them are in the droplet, seven to eight diameters across."""
STEPS, STEP = 400, 0.005
"""Two units of time: several rattling periods in the cage of neighbours, which decide g(r)."""
RENEWED, REACH, SKIN = 10, 2.5, 0.35
"""Steps between lists of neighbours, range of the forces, and how far beyond it the lists look."""
CLOSEST = 0.8
"""Distances below this count as this, until the start has lost its last overlaps."""
FIRST_PEAK = 1.08
"""First maximum of g(r) of a Lennard-Jones liquid near its triple point, in diameters."""
SIMULATED = "molecular dynamics of a simple liquid (Hansen, McDonald, Theory of Simple Liquids, 1976)"


@dataclass(frozen=True)
class Fluid:
    """A liquid in reduced units.

    Attributes
    ----------
    share : of the second species. diameters : of both species with themselves, and of one with the other.
    charges : of both. coupling : g. depth : e. density : atoms per cubed mean diameter.
    """

    share: float = 0.0
    diameters: tuple[float, float, float] = (1.0, 1.0, 1.0)
    charges: tuple[float, float] = (0.0, 0.0)
    coupling: float = 0.0
    depth: float = 1.3
    density: float = 0.84


_SALT = Fluid(0.5, (1.15, 1.15, 0.9), (1.0, -1.0), 60.0, 1.0, 0.5)
_FLUIDS: list[tuple[str, Fluid, str]] = [
    ("liquid metal", Fluid(), "Cu 2.50, Al 2.80, Sn 3.20, Pb 3.35, K 4.60"),
    ("liquid metal", Fluid(depth=0.9, density=0.79), "Fe 2.58, Ga 2.80, Hg 3.05, Na 3.75, Bi 3.40"),
    ("liquid alloy", Fluid(0.5, (1.08, 0.92, 1.0)), "Zr Cu 2.80, Mg Zn 2.95, La Al 3.20"),
    ("liquid alloy", Fluid(0.2, (1.0, 0.96, 0.95), depth=1.4), "Pb Sn 3.30, Ag Cu 2.85"),
    ("molten salt", _SALT, "Na Cl 2.80, K Br 3.30, Li F 2.00, Rb I 3.60"),
]
"""Kind, liquid, and elements with the distance of the first peak, angstrom: Waseda, The Structure of Non-Crystalline
Materials (1980), to about 0.05."""
LIQUIDS = frozenset(kind for kind, _, _ in _FLUIDS)


def liquids(split: Split, seed: int) -> Iterator[Record]:
    """Droplets of liquids; all of them are for the test."""
    if split != "test":
        return
    for number, (kind, fluid, entries) in enumerate(_FLUIDS):
        for entry in entries.split(", "):
            *elements, peak = entry.split()
            second, positions = _droplet(fluid, (seed, number))
            species = tuple(elements[-1] if other else elements[0] for other in second)
            counts = [species.count(element) for element in elements]
            parts = [f"{e}{round(100 * n / len(species))}" for e, n in zip(elements, counts, strict=True)]
            formula = elements[0] if len(elements) == 1 else "".join(parts)
            nearest = fluid.diameters[2] if fluid.share else fluid.diameters[0]
            yield Record(
                name=f"{formula} {kind}",
                family="compound",
                type=kind,
                formula=formula,
                species=species,
                positions=positions * float(peak) / (FIRST_PEAK * nearest),
                source=SIMULATED,
            )


@cache
def _droplet(fluid: Fluid, seed: tuple[int, int]) -> tuple[tuple[bool, ...], Floats]:
    """Which atoms are of the second species, and their places in mean diameters."""
    few = round(fluid.share * ATOMS)
    sphere = {name: Body((name,), np.zeros((1, 3)), np.array([0.47])) for name in "AB"}
    filling = fluid.density * np.pi / 6.0 * 0.94**3
    box = packed_box([sphere["B"]] * few + [sphere["A"]] * (ATOMS - few), filling, seed)
    kinds = np.array([name == "B" for name in box.species], dtype=np.int64)
    size = (ATOMS / fluid.density) ** (1.0 / 3.0)
    moved = _run(box.centres * size / box.size, kinds, size, fluid, np.random.default_rng([*seed, ATOMS]))
    around = moved % size - size / 2.0
    inside = np.linalg.norm(around, axis=1) <= size / 2.0
    return tuple((kinds[inside] == 1).tolist()), around[inside]


def _run(
    places: Floats, kinds: NDArray[np.int64], size: float, fluid: Fluid, draw: np.random.Generator
) -> Floats:
    velocity = draw.standard_normal(places.shape)
    force = np.zeros_like(places)
    pairs = np.empty((0, 2), dtype=np.int64)
    for step in range(STEPS):
        if step % RENEWED == 0:
            places = places % size
            pairs = cKDTree(places, boxsize=size).query_pairs(REACH + SKIN, output_type="ndarray")
            force = _forces(places, pairs, kinds, size, fluid)
            velocity -= velocity.mean(axis=0)
            velocity /= np.sqrt((velocity**2).mean())
        velocity = velocity + 0.5 * STEP * force
        places = places + STEP * velocity
        force = _forces(places, pairs, kinds, size, fluid)
        velocity = velocity + 0.5 * STEP * force
    return places


def _forces(
    places: Floats, pairs: NDArray[np.int64], kinds: NDArray[np.int64], size: float, fluid: Fluid
) -> Floats:
    i, j = pairs.T
    away = (places[i] - places[j] + size / 2.0) % size - size / 2.0
    r = np.linalg.norm(away, axis=1)
    close = r < REACH
    i, j, away, r = i[close], j[close], away[close], np.maximum(r[close], CLOSEST)
    unlike = kinds[i] != kinds[j]
    d = np.where(unlike, fluid.diameters[2], np.array(fluid.diameters)[kinds[i]])
    z = np.array(fluid.charges)
    sixth = (d / r) ** 6
    attraction = 0.0 if fluid.coupling else 1.0  # between ions the charges attract
    slope = 24.0 * fluid.depth * (2.0 * sixth**2 - attraction * sixth) / r
    slope = slope + fluid.coupling * z[kinds[i]] * z[kinds[j]] * np.exp(-r) * (1.0 / r + 1.0 / r**2)
    pull = away * (slope / r)[:, None]
    n = len(places)
    total: Floats = np.stack(
        [
            np.bincount(i, weights=pull[:, k], minlength=n) - np.bincount(j, weights=pull[:, k], minlength=n)
            for k in range(3)
        ],
        axis=1,
    )
    return total
