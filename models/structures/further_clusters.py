"""Geometries beside the core of the library: more facets, more lattices, stacking faults, and clusters from 5 atoms.

The closed-loop campaigns and their records rest on the core (:func:`solvus.models.structures.clusters.all_clusters`);
these are searched only when asked for: ``Library.load("all")``. Families: those of the core, and

``sc``       simple cubic, as polonium: spheres, cubes and octahedra;
``faulted``  close-packed layers between fcc and hcp (:mod:`solvus.models.structures.stacking`).

A faceted crystal is the set of lattice sites x with gauge(x) = max_k n_k . x / h_k <= g, where n_k are the unit
normals of its faces and h_k their relative distances from the centre; a sphere has gauge |x|. Units of the bond length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations, product

import numpy as np
from ase.cluster import Decahedron
from numpy.typing import NDArray

from solvus.models.structures.clusters import (
    ALL_FAMILIES,
    LARGEST,
    Cluster,
    decahedron_shape,
    lattice_sphere,
    spaced,
    unit_positions,
    volume_per_atom,
)
from solvus.models.structures.stacking import POLYTYPES, SINGLE_FAULTS, faulted_sphere

Floats = NDArray[np.float64]

SMALLEST_FURTHER = 5
"""Atoms: the trigonal bipyramid."""
SMALLEST_FAULTED = 2.6
"""Radius in b: three whole layers on either side of the middle one."""
FAULTED_SPACING = 1.08
"""Ratio of neighbouring radii of one stacking."""
LONG = (1.35, 2.5)
"""Height over width of elongated Ino decahedra; the core has those up to 1.35."""
WULFF_BCC = 1.1
"""Distance of the {100} over that of the {110} faces: between the surface energies of bcc iron and tungsten."""
CORNER = 2.0
"""No corner of the polyhedra here lies farther than this many inradii from the centre (cube: 1.73)."""


def further_clusters() -> list[Cluster]:
    """Every geometry beside the core, ordered by family and size."""
    found = [*_tetrahedra(), *_decahedra(), *_faulted(), *_smallest()]
    for family, shape, gauge in _gauges():
        found += _grown(family, shape, gauge)
    unique = {cluster.name: cluster for cluster in found}
    return sorted(unique.values(), key=lambda c: (ALL_FAMILIES.index(c.family), c.n_atoms, c.name))


def _gauges() -> Iterator[tuple[str, str, Callable[[Floats], Floats]]]:
    faces_100, faces_110, faces_111 = (_cubic_faces(*index) for index in ((1, 0, 0), (1, 1, 0), (1, 1, 1)))
    yield "fcc", "cube", partial(polyhedral, faces_100)
    yield "bcc", "cube", partial(polyhedral, faces_100)
    yield "bcc", "rhombic-dodecahedron", partial(polyhedral, faces_110)
    truncated = np.vstack([faces_110, faces_100 / WULFF_BCC])
    yield "bcc", "truncated-rhombic-dodecahedron", partial(polyhedral, truncated)
    yield "sc", "sphere", radial
    yield "sc", "cube", partial(polyhedral, faces_100)
    yield "sc", "octahedron", partial(polyhedral, faces_111)
    yield "hcp", "hexagonal-prism", partial(polyhedral, _hexagonal_faces(math.inf))
    yield "hcp", "truncated-bipyramid", partial(polyhedral, _hexagonal_faces(math.sqrt(8.0 / 3.0)))


def radial(sites: Floats) -> Floats:
    """Gauge (n,) of a sphere."""
    gauge: Floats = np.linalg.norm(sites, axis=1)
    return gauge


def polyhedral(faces: Floats, sites: Floats) -> Floats:
    """Gauge (n,) of sites (n, 3); the rows of ``faces`` are n_k / h_k."""
    gauge: Floats = (sites @ faces.T).max(axis=1)
    return gauge


def _cubic_faces(h: int, k: int, l: int) -> Floats:  # noqa: E741 -- Miller's letters
    indices = {
        tuple(s * i for s, i in zip(signs, order, strict=True))
        for order in permutations((h, k, l))
        for signs in product((1, -1), repeat=3)
    }
    normals = np.array(sorted(indices), dtype=np.float64)
    faces: Floats = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return faces


def _hexagonal_faces(c_over_a: float) -> Floats:
    """{0001}, and the six {10-10} of a prism (infinite ``c_over_a``) or the twelve {10-11} of a bipyramid."""
    angles = np.radians(30.0 + 60.0 * np.arange(6))
    around = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    # The normal of {10-11} has 1 / (a cos 30) across and 1 / c along the axis.
    slope = math.cos(math.radians(30.0)) / c_over_a
    tilted = [around + np.array([0.0, 0.0, s * slope]) for s in ((1, -1) if slope else (0,))]
    normals = np.vstack([*tilted, [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
    faces: Floats = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return faces


def _grown(family: str, shape: str, gauge: Callable[[Floats], Floats]) -> list[Cluster]:
    """One crystal for each shell of sites, thinned to sizes that differ."""
    # A gauge up to g holds at least the inscribed sphere, which reaches LARGEST atoms at this radius.
    reach = (3.0 * LARGEST * volume_per_atom(family) / (4.0 * math.pi)) ** (1 / 3)
    values = np.sort(gauge(lattice_sphere(family, CORNER * reach)))
    edges = np.flatnonzero(np.diff(values) > 1e-6)
    edges = edges[edges + 1 <= LARGEST]
    return spaced(
        [
            Cluster(
                f"{family}-{shape}-{last + 1}",
                family,
                shape,
                int(last) + 1,
                partial(grown, family, gauge, float(values[last])),
                core=False,
            )
            for last in edges
        ],
        SMALLEST_FURTHER,
    )


def grown(family: str, gauge: Callable[[Floats], Floats], limit: float) -> Floats:
    """Sites (n, 3) of a lattice around an atom whose gauge is at most ``limit``."""
    sites = lattice_sphere(family, CORNER * limit + 1e-3)
    chosen: Floats = sites[gauge(sites) <= limit + 1e-6]
    return chosen


def tetrahedron(edge: int, cut: int) -> Floats:
    """fcc tetrahedron with ``edge`` atoms along the edge, less ``cut`` layers at each corner: (n, 3)."""
    i, j, k = np.indices((edge, edge, edge)).reshape(3, -1)
    rest = edge - 1 - i - j - k
    kept = (rest >= 0) & (np.maximum.reduce([i, j, k, rest]) <= edge - 1 - cut)
    vectors = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]) / math.sqrt(2.0)
    sites: Floats = np.stack([i, j, k], axis=1)[kept] @ vectors
    return sites


def bipyramid(edge: int) -> Floats:
    """Two fcc tetrahedra that share a face, a twin plane: (n, 3)."""
    half = tetrahedron(edge, 0)
    # The shared face is opposite the corner with the largest last index, and holds the origin.
    normal = np.array([-1.0, 1.0, 1.0]) / math.sqrt(3.0)
    height = half @ normal
    above = height > 1e-6
    mirrored = half[above] - 2.0 * height[above, None] * normal
    sites: Floats = np.vstack([half, mirrored])
    return sites


def _tetrahedra() -> list[Cluster]:
    found: list[Cluster] = []
    by_cut: dict[str, list[Cluster]] = {"tetrahedron": [], "truncated-tetrahedron": [], "bipyramid": []}
    for edge in range(2, 60):
        whole = edge * (edge + 1) * (edge + 2) // 6
        # Cutting a third of the edge makes the truncated edges about as long as what is left.
        cut = edge // 3
        rest = whole - 4 * (cut * (cut + 1) * (cut + 2) // 6)
        double = 2 * whole - edge * (edge + 1) // 2
        for shape, n, build in (
            ("tetrahedron", whole, partial(tetrahedron, edge, 0)),
            ("truncated-tetrahedron", rest, partial(tetrahedron, edge, cut)),
            ("bipyramid", double, partial(bipyramid, edge)),
        ):
            if SMALLEST_FURTHER <= n <= LARGEST and (shape != "truncated-tetrahedron" or cut):
                by_cut[shape].append(Cluster(f"{shape}-{n}", "fcc", shape, n, build, core=False))
    for group in by_cut.values():
        found += spaced(group, SMALLEST_FURTHER)
    return found


def _decahedron(p: int, q: int, r: int) -> Floats:
    return unit_positions(Decahedron("Au", p, q, r).positions)  # type: ignore[no-untyped-call]


def _decahedra() -> list[Cluster]:
    """Regular pentagonal bipyramids, which are flat, and elongated Ino decahedra."""
    regular: list[Cluster] = []
    long: list[Cluster] = []
    for p in range(2, 40):
        for q in range(1, 40):
            atoms, aspect = decahedron_shape(p, q, 0) or (0, 0.0)
            name, build = f"decahedron-{p}-{q}-0", partial(_decahedron, p, q, 0)
            if not SMALLEST_FURTHER <= atoms <= LARGEST:
                continue
            if q == 1:
                regular.append(Cluster(name, "decahedral", "pentagonal-bipyramid", atoms, build, core=False))
            elif LONG[0] < aspect <= LONG[1]:
                long.append(Cluster(name, "decahedral", "long-decahedron", atoms, build, core=False))
    return [*spaced(regular, SMALLEST_FURTHER), *spaced(long, SMALLEST_FURTHER)]


def _faulted() -> Iterator[Cluster]:
    largest = (3.0 * LARGEST * volume_per_atom("faulted") / (4.0 * math.pi)) ** (1 / 3)
    for stacking in (*POLYTYPES, *SINGLE_FAULTS):
        radius = SMALLEST_FAULTED
        while radius < largest:
            n = len(faulted_sphere(radius, stacking))
            if n <= LARGEST:
                name = f"faulted-{stacking}-sphere-{n}"
                yield Cluster(
                    name,
                    "faulted",
                    f"{stacking}-sphere",
                    n,
                    partial(faulted_sphere, radius, stacking),
                    core=False,
                )
            radius *= FAULTED_SPACING


def _smallest() -> Iterator[Cluster]:
    """Compact clusters below one full shell that no rule above makes: octahedron-6 and the first shell of bcc."""
    square = [[x, y, 0.0] for x, y in product((-0.5, 0.5), repeat=2)]
    octahedron = np.array([*square, [0.0, 0.0, math.sqrt(0.5)], [0.0, 0.0, -math.sqrt(0.5)]])
    yield Cluster("octahedron-6", "fcc", "octahedron", 6, partial(np.copy, octahedron), core=False)
    yield Cluster("bcc-sphere-9", "bcc", "sphere", 9, partial(lattice_sphere, "bcc", 1.001), core=False)
