"""Geometries of metal clusters in units of their bond length, and the bond lengths of the metals.

The *bond length* b is the mean distance of nearest-neighbour contacts; a unit geometry has b = 1. Families:
icosahedral (Mackay), decahedral (regular and Marks-truncated), fcc (octahedra, truncated octahedra,
cuboctahedra, spheres whole or with twin planes), hcp and bcc (spheres). The *diameter* is that of the sphere
of equal volume,

    D = b (6 N v / pi)^(1/3),

with v the volume per atom in units of b^3: 1/sqrt(2) for close packing, 4/(3 sqrt 3) for bcc, 1 for sc. More
geometries are in :mod:`solvus.models.structures.further_clusters`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from ase.build import bulk
from ase.cluster import Decahedron, Icosahedron, Octahedron
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvus.models.structures.elements import CONTACT, close_contact, other_contact
from solvus.models.structures.stacking import twinned_sphere

Floats = NDArray[np.float64]

FAMILIES = ("icosahedral", "decahedral", "fcc", "hcp", "bcc")
"""Families of the core, whose shares are descriptors of every identification."""
ALL_FAMILIES = (*FAMILIES, "sc", "faulted")
SMALLEST, LARGEST = 13, 31_000
"""Atoms: from one shell around one atom to 10 nm of gold."""
SMALLEST_TWINNED = 2.6
"""Radius in b: two whole layers on either side of a twin plane."""
TWINNED_SPACING = 1.05
"""Ratio of neighbouring radii; twinned spheres refine the fcc answer and need no finer sizes."""


@dataclass(frozen=True)
class Cluster:
    """One geometry with b = 1.

    Attributes
    ----------
    name : stable, readable, unique: ``icosahedron-561``.
    family : one of ``FAMILIES``; shape : ``icosahedron``, ``octahedron``, ``sphere``, ...
    n_atoms : number of atoms.
    build : makes the positions (n_atoms, 3).
    core : one of those that an identification searches unless asked for more.
    """

    name: str
    family: str
    shape: str
    n_atoms: int
    build: Callable[[], Floats]
    core: bool = True


@cache
def bond_length(element: str) -> float | None:
    """Nearest-neighbour contact in a metal's own crystal, angstrom; ``None`` for what is no metal or has none.

    Raises KeyError for a symbol that is no element. Sources: :mod:`solvus.models.structures.elements`.
    """
    return close_contact(element) or other_contact(element)


@cache
def metals() -> dict[str, float]:
    """Every metal with a known bond length, angstrom."""
    return {s: b for s in chemical_symbols[1:] if (b := bond_length(s)) is not None}


def volume_per_atom(family: str) -> float:
    """v in units of b^3."""
    return {"bcc": 4.0 / (3.0 * math.sqrt(3.0)), "sc": 1.0}.get(family, 1.0 / math.sqrt(2.0))


def diameter(family: str, n_atoms: float, bond: float = 1.0) -> float:
    """Diameter of the sphere of equal volume, in the unit of ``bond``."""
    return float(bond * (6.0 * n_atoms * volume_per_atom(family) / math.pi) ** (1.0 / 3.0))


def unit_positions(positions: Floats) -> Floats:
    """The same geometry, centred, with the mean contact distance 1.

    Parameters
    ----------
    positions : (n, 3), n >= 2.
    """
    tree = cKDTree(positions)
    nearest = float(tree.query(positions, k=2)[0][:, 1].min())
    pairs = tree.query_pairs(CONTACT * nearest, output_type="ndarray")
    contact = float(np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1).mean())
    centred: Floats = (positions - positions.mean(axis=0)) / contact
    return centred


def lattice_sphere(family: str, radius: float) -> Floats:
    """All lattice sites within ``radius`` (in b) of one atom, unit geometry: (n, 3)."""
    cell = {
        "fcc": lambda: bulk("X", "fcc", a=math.sqrt(2.0)),
        "bcc": lambda: bulk("X", "bcc", a=2.0 / math.sqrt(3.0)),
        "hcp": lambda: bulk("X", "hcp", a=1.0, c=math.sqrt(8.0 / 3.0)),
        "sc": lambda: bulk("X", "sc", a=1.0),
    }[family]()
    # The lattice planes of a cell vector are 1 / |reciprocal vector| apart.
    reach = math.ceil((radius + 1.0) * np.linalg.norm(np.linalg.inv(cell.cell), axis=0).max()) + 1
    shifts = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = (shifts @ cell.cell.array)[:, None, :] + (cell.positions - cell.positions[0])[None]
    flat = sites.reshape(-1, 3)
    chosen: Floats = flat[np.linalg.norm(flat, axis=1) <= radius + 1e-6]
    return chosen


def all_clusters() -> list[Cluster]:
    """Every geometry of the core, ordered by family and size, neighbours at least ``spacing`` apart."""
    found = [*_icosahedra(), *_decahedra(), *_octahedra(), *_twinned_spheres()]
    for family in ("fcc", "hcp", "bcc"):
        found += _spheres(family)
    return sorted(found, key=lambda c: (FAMILIES.index(c.family), c.n_atoms, c.name))


def spacing(n_atoms: int) -> float:
    """Least relative difference in diameter of neighbouring sizes of one shape: 3.5 % up to 1,000 atoms
    (about the difference that data to 30 angstrom resolve), growing to 8 % at the largest, whose ends lie
    beyond the data."""
    return 0.035 if n_atoms <= 1000 else 0.035 + 0.045 * math.log(n_atoms / 1000) / math.log(LARGEST / 1000)


def spaced(clusters: list[Cluster], smallest: int = SMALLEST) -> list[Cluster]:
    """Those from ``smallest`` to ``LARGEST`` atoms, thinned until neighbours are :func:`spacing` apart."""
    kept: list[Cluster] = []
    for cluster in sorted(clusters, key=lambda c: (c.n_atoms, c.name)):
        wanted = smallest <= cluster.n_atoms <= LARGEST
        if wanted and (
            not kept or (cluster.n_atoms / kept[-1].n_atoms) ** (1 / 3) >= 1 + spacing(kept[-1].n_atoms)
        ):
            kept.append(cluster)
    return kept


def _icosahedron(shells: int) -> Floats:
    return unit_positions(Icosahedron("Au", shells).positions)  # type: ignore[no-untyped-call]


def _decahedron(p: int, q: int, r: int) -> Floats:
    return unit_positions(Decahedron("Au", p, q, r).positions)  # type: ignore[no-untyped-call]


def _octahedron(length: int, cut: int) -> Floats:
    return unit_positions(Octahedron("Au", length, cut).positions)  # type: ignore[no-untyped-call]


def _icosahedra() -> Iterator[Cluster]:
    for shells in range(2, 23):
        n = (10 * shells**3 - 15 * shells**2 + 11 * shells - 3) // 3
        if SMALLEST <= n <= LARGEST:
            yield Cluster(
                f"icosahedron-{n}",
                "icosahedral",
                "icosahedron",
                n,
                partial(_icosahedron, shells),
            )


def _decahedra() -> list[Cluster]:
    """Nearly equiaxed ones: long and flat decahedra scatter much like their equiaxed neighbours."""
    regular: list[Cluster] = []
    marks: list[Cluster] = []
    for r in (0, 1, 2, 3):
        for p in range(2, 26):
            for q in range(1, 26):
                shape = decahedron_shape(p, q, r)
                if shape is None:
                    continue
                n, aspect = shape
                if SMALLEST <= n <= LARGEST and 0.75 <= aspect <= 1.35:
                    cluster = Cluster(
                        f"decahedron-{p}-{q}-{r}",
                        "decahedral",
                        "decahedron" if r == 0 else "marks-decahedron",
                        n,
                        partial(_decahedron, p, q, r),
                    )
                    (marks if r else regular).append(cluster)
    return spaced(regular) + spaced(marks)


def decahedron_shape(p: int, q: int, r: int) -> tuple[int, float] | None:
    """Atoms of ASE's ``Decahedron(p, q, r)`` and its height over width; ``None`` where it does not exist."""
    height, rings = p + q + 2 * r - 1, p + 2 * r
    inside = rings - r
    atoms = height
    for n in range(1, min(rings, height)):
        on_ring = sum(1 for i in range(n) if n - i < inside and i < inside)
        atoms += 5 * on_ring * (height - n)
    if rings < 2:
        return None
    # Two rings across the pentagon, each sqrt(3)/2 b wide, span 1.90 of a ring's radius.
    return atoms, (height - 1) / (1.902 * math.sqrt(0.75) * (rings - 1))


def _octahedra() -> list[Cluster]:
    by_shape: dict[str, list[Cluster]] = {}
    for length in range(3, 37):
        for cut in range((length - 1) // 2 + 1):
            n = _octahedron_atoms(length, cut)
            if not SMALLEST <= n <= LARGEST:
                continue
            shape = _octahedron_shape(length, cut)
            cluster = Cluster(
                f"{shape}-{n}",
                "fcc",
                shape,
                n,
                partial(_octahedron, length, cut),
            )
            by_shape.setdefault(shape, []).append(cluster)
    return [c for group in by_shape.values() for c in spaced(group)]


def _octahedron_atoms(length: int, cut: int) -> int:
    """An octahedron of ``length`` atoms along the edge, less a square pyramid of ``cut`` layers at each
    corner."""
    whole = length * (2 * length**2 + 1) // 3
    return whole - 6 * (cut * (cut + 1) * (2 * cut + 1) // 6)


def _octahedron_shape(length: int, cut: int) -> str:
    if cut == 0:
        return "octahedron"
    return "cuboctahedron" if length == 2 * cut + 1 else "truncated-octahedron"


def _spheres(family: str) -> list[Cluster]:
    """Spheres around an atom, one for each size that differs from the one before."""
    per_atom = volume_per_atom(family)
    largest = (3.0 * LARGEST * per_atom / (4.0 * math.pi)) ** (1 / 3)
    distances = np.sort(np.linalg.norm(lattice_sphere(family, largest), axis=1))
    edges = np.flatnonzero(np.diff(distances) > 1e-6)
    clusters = [
        Cluster(
            f"{family}-sphere-{last + 1}",
            family,
            "sphere",
            int(last) + 1,
            partial(lattice_sphere, family, float(distances[last]) + 1e-3),
        )
        for last in edges
    ]
    return spaced(clusters)


def _twinned_spheres() -> list[Cluster]:
    """One size for each step of 5 % in radius: from the smallest that holds two whole layers beside a
    plane."""
    found: dict[str, Cluster] = {}
    largest = (3.0 * LARGEST * volume_per_atom("fcc") / (4.0 * math.pi)) ** (1 / 3)
    for twins, shape in ((1, "twinned-sphere"), (2, "double-twinned-sphere")):
        radius = SMALLEST_TWINNED
        while radius < largest:
            n = len(twinned_sphere(radius, twins))
            name = f"fcc-{shape}-{n}"
            found.setdefault(name, Cluster(name, "fcc", shape, n, partial(twinned_sphere, radius, twins)))
            radius *= TWINNED_SPACING
    return list(found.values())
