"""The clusters of MetalFinder and DeepStruc, made anew from their published recipe.

Seven kinds of clusters of 5 to 200 atoms as `ase` builds them, in 28 metals with a lattice constant of twice the
single-bond metallic radius (``metallic_radius`` of the package `mendeleev`); of clusters with equal distances one
stays. That gives 197 geometries. Metals of equal radius give the same clusters, so that 19 bond lengths and 3,743
distinct clusters remain, the number of the peers' classes.

E. T. S. Kjaer et al., Digital Discovery 2, 69 (2023), DOI 10.1039/D2DD00086E, and its repository. Lengths in angstrom.
In a unit geometry the lattice constant of the recipe is 1. The *bond length* is the mean distance of touching
neighbours: 1 too, but sqrt(3)/2 in bcc, and up to 4 % more where the edges of a twinned cluster differ.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations_with_replacement, product

import numpy as np
from ase import Atoms
from ase.cluster import Decahedron, Icosahedron, Octahedron
from ase.cluster.cubic import BodyCenteredCubic, FaceCenteredCubic, SimpleCubic
from ase.lattice.hexagonal import HexagonalClosedPacked
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from solvus.models.structures.clusters import all_clusters, unit_positions
from solvus.models.structures.further_clusters import further_clusters
from solvus.models.structures.library import Library
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

FEWEST, MOST = 5, 200
"""Atoms."""
LAYERS = range(1, 11)
"""Of atoms along each direction, and cells of the hexagonal crystals."""
FACES = ((1, 0, 0), (1, 1, 0), (1, 1, 1))
HEXAGONAL_RATIO = 1.633
SAME = 1e-4
"""Lattice constants: distances that agree so far are equal."""
TWIN = 2e-3
"""Bond lengths: how far the distances of a twin in our library may differ. The ratio c/a of the peers' hexagonal cells
differs from the ideal one by 2e-5, which is 1e-4 over a cluster; different geometries differ by 1e-2 and more."""
RADII = {
    "Sc": 1.44, "Ti": 1.32, "V": 1.22, "Cr": 1.19, "Mn": 1.18, "Fe": 1.17, "Co": 1.16, "Ni": 1.15, "Cu": 1.18,
    "Zn": 1.21, "Y": 1.62, "Zr": 1.45, "Nb": 1.34, "Tc": 1.27, "Ru": 1.25, "Rh": 1.25, "Pd": 1.28, "Ag": 1.34,
    "Cd": 1.38, "Hf": 1.44, "Ta": 1.34, "W": 1.30, "Re": 1.28, "Os": 1.26, "Ir": 1.27, "Pt": 1.30, "Au": 1.34,
    "Hg": 1.39,
}  # fmt: skip
"""Single-bond metallic radii, angstrom, as `mendeleev` lists them."""
SOURCE = "recipe of E. T. S. Kjaer et al., Digital Discovery 2, 69 (2023)"
KINDS = ("sc", "fcc", "bcc", "hcp", "icosahedron", "decahedron", "octahedron")
FAMILY = {"icosahedron": "icosahedral", "decahedron": "decahedral", "octahedron": "fcc"}
"""The family of our library for each kind that is not called the same there."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """One cluster with a lattice constant of 1.

    Attributes
    ----------
    name : ``fcc 2-3-4``; kind : one of ``KINDS``.
    positions : (atoms, 3).
    """

    name: str
    kind: str
    positions: Floats

    @property
    def n_atoms(self) -> int:
        return len(self.positions)

    @property
    def family(self) -> str:
        """As our library calls it."""
        return FAMILY.get(self.kind, self.kind)

    @cached_property
    def bond(self) -> float:
        """Mean distance of touching neighbours."""
        return float(pdist(self.positions).min() / pdist(unit_positions(self.positions)).min())

    @cached_property
    def twin(self) -> str | None:
        """Name of the same geometry in ``Library.load("all")``, or ``None``."""
        mine = np.sort(pdist(unit_positions(self.positions)))
        for name, distances in _ours().get(self.n_atoms, ()):
            if np.abs(distances - mine).max() < TWIN:
                return name
        return None


@dataclass(frozen=True)
class MetalClass:
    """One of the 3,743 classes: a geometry and one of the 19 lattice constants, which ``metals`` share."""

    geometry: Geometry
    lattice: float
    metals: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.metals[0]} {self.geometry.name}"

    @property
    def bond(self) -> float:
        return self.lattice * self.geometry.bond

    @property
    def record(self) -> Record:
        """As a user would add it to the library."""
        return record_of(self.geometry, self.metals[0], self.lattice)


def record_of(geometry: Geometry, metal: str, lattice: float) -> Record:
    """A geometry as a structure of the library, under ``<metal> <name of the geometry>``."""
    return Record(
        name=f"{metal} {geometry.name}",
        family="metal",
        type=geometry.kind,
        formula=f"{metal}{geometry.n_atoms}",
        species=(metal,) * geometry.n_atoms,
        positions=geometry.positions * lattice,
        source=SOURCE,
        hypothetical=True,
    )


@cache
def geometries() -> tuple[Geometry, ...]:
    """The 197, by kind and in the order of their recipe."""
    kept: dict[int, list[tuple[Floats, Geometry]]] = {}
    found: list[Geometry] = []
    for geometry in _all():
        distances = np.sort(pdist(geometry.positions))
        alike = kept.setdefault(geometry.n_atoms, [])
        if not any(np.abs(distances - other).max() < SAME for other, _ in alike):
            alike.append((distances, geometry))
            found.append(geometry)
    return tuple(found)


@cache
def classes() -> tuple[MetalClass, ...]:
    """The 3,743, by geometry and rising lattice constant."""
    by_length: dict[float, list[str]] = {}
    for metal, radius in RADII.items():
        by_length.setdefault(2.0 * radius, []).append(metal)
    lengths = sorted(by_length.items())
    return tuple(
        MetalClass(geometry, length, tuple(metals))
        for geometry, (length, metals) in product(geometries(), lengths)
    )


def missing() -> tuple[Geometry, ...]:
    """Those without a twin in our library."""
    return tuple(geometry for geometry in geometries() if geometry.twin is None)


def _all() -> Iterator[Geometry]:
    """Every cluster of the recipe within the limits of size, duplicates included."""
    root = math.sqrt(2.0)
    yield from _layered("sc", SimpleCubic, 1.0)
    yield from _layered("fcc", FaceCenteredCubic, root)
    yield from _layered("bcc", BodyCenteredCubic, 1.0)
    for size in combinations_with_replacement(LAYERS, 3):
        if 2 * math.prod(size) <= MOST:
            atoms = HexagonalClosedPacked(symbol="Au", latticeconstant=(1.0, HEXAGONAL_RATIO), size=size)
            yield from _fitting("hcp", size, atoms)
    for shells in range(1, 6):
        yield from _fitting("icosahedron", (shells,), Icosahedron("Au", shells, latticeconstant=root))  # type: ignore[no-untyped-call]
    for p, q, r in product(range(1, 6), range(1, 6), range(6)):
        yield from _fitting("decahedron", (p, q, r), Decahedron("Au", p, q, r, latticeconstant=root))  # type: ignore[no-untyped-call]
    for length in range(2, 8):
        yield from _fitting("octahedron", (length,), Octahedron("Au", length, latticeconstant=root))  # type: ignore[no-untyped-call]


def _layered(kind: str, build: Callable[..., Atoms], lattice: float) -> Iterator[Geometry]:
    """Crystals with h <= k <= l layers along ``FACES``; more layers never mean fewer atoms."""
    too_large: list[tuple[int, ...]] = []
    for layers in combinations_with_replacement(LAYERS, 3):
        if any(all(a <= b for a, b in zip(less, layers, strict=True)) for less in too_large):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of faces that others cut off
            atoms = build("Au", surfaces=FACES, layers=layers, latticeconstant=lattice)
        if len(atoms) > MOST:
            too_large.append(layers)
        yield from _fitting(kind, layers, atoms)


def _fitting(kind: str, numbers: tuple[int, ...], atoms: Atoms) -> Iterator[Geometry]:
    if FEWEST <= len(atoms) <= MOST:
        yield Geometry(f"{kind} {'-'.join(map(str, numbers))}", kind, np.array(atoms.positions))


@cache
def _ours() -> dict[int, tuple[tuple[str, Floats], ...]]:
    """Sorted distances of our library's geometries in bond lengths, by the number of atoms."""
    held = {entry.name for entry in Library.load("all").entries}
    found: dict[int, list[tuple[str, Floats]]] = {}
    for cluster in (*all_clusters(), *further_clusters()):
        if FEWEST <= cluster.n_atoms <= MOST and cluster.name in held:
            distances = np.sort(pdist(unit_positions(cluster.build())))
            found.setdefault(cluster.n_atoms, []).append((cluster.name, distances))
    return {n: tuple(rows) for n, rows in found.items()}
