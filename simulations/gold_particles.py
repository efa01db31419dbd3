"""Atoms of the gold particles that the world ``gold`` makes, and their pair distances for every size.

Each family is one large body whose atoms are put in order by a gauge, a function that grows from the centre
outwards with the shape of the particle; the particle of N atoms is the first N. So particles exist for
every N, with partly filled outer layers and rounded edges, and coincide with the closed-shell clusters of a
structure library only by accident: the simulated laboratory is not made of the entries it is searched with.

Because each particle contains the smaller ones, the distances of all sizes are counted in one pass.

Notation: b nearest-neighbour distance of bulk gold (angstrom), a = sqrt(2) b the lattice constant, D the
diameter of the sphere of equal volume, N = (pi / 6) D^3 / (a^3 / 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvus.simulations.chance import generator

Floats = NDArray[np.float64]

LATTICE_CONSTANT = 4.0786
"""Angstrom, gold at room temperature (Swanson and Tatge, NBS Circular 539, 1953)."""
BOND = LATTICE_CONSTANT / math.sqrt(2.0)
ATOM_VOLUME = LATTICE_CONSTANT**3 / 4.0

DIAMETERS: Floats = 10.0 * np.power(1.02, np.arange(96, dtype=np.float64))
"""The grid of sizes, 10 to 66 angstrom in steps of 2 %, half the narrowest size distribution made."""
BIN = 0.01
"""Width of a distance bin, angstrom: a tenth of the thermal width of a peak."""
BINS = 9000
"""Distances up to 90 angstrom: the diagonal of the largest particle."""
REACH = 60.0
"""Bodies are cut from blocks of this half-width (angstrom), beyond the corners of the largest particle."""
ROUNDING = 0.25
"""Share of the plain radius in the gauge: rounds edges and corners as surface melting does."""
NOTCH, CAP = 1.1, 1.15
"""Weights of the re-entrant notches and the {111} caps of a decahedron: it is then about as high as wide."""
VOID_RADIUS = 9.0
"""Angstrom, the hole of a hollow particle."""
DISORDERED_LIMIT = 36.0
"""Angstrom; larger disordered clusters crystallise, so none are made."""


def atoms_of(diameter: float) -> int:
    """Atoms of a compact particle of this equal-volume diameter (angstrom)."""
    return round(math.pi / 6.0 * diameter**3 / ATOM_VOLUME)


def _ordered(atoms: Floats, facet_distance: Floats) -> Floats:
    """Atoms from the centre outwards; ``facet_distance`` is the distance to the flat faces, in angstrom."""
    radius = np.linalg.norm(atoms, axis=1)
    gauge = (1.0 - ROUNDING) * facet_distance + ROUNDING * radius
    inside = np.argsort(gauge, kind="stable")[: atoms_of(float(DIAMETERS[-1])) + 1]
    return np.ascontiguousarray(atoms[inside])


def _with_mean_bond(atoms: Floats) -> Floats:
    """Scaled so that the mean distance of nearest neighbours is b, in the innermost 1000 atoms."""
    core = atoms[:1000]
    pairs = cKDTree(core).query_pairs(1.2 * BOND, output_type="ndarray")
    mean = float(np.linalg.norm(core[pairs[:, 0]] - core[pairs[:, 1]], axis=1).mean())
    return atoms * (BOND / mean)


def _fcc() -> Floats:
    """Truncated octahedron of fcc; the Wulff ratio of {100} to {111} distances is 1.15, near that of gold.

    The centre lies at no site of symmetry, as it would in a particle that grew freely.
    """
    n = int(REACH / LATTICE_CONSTANT) + 1
    corner = np.stack(np.meshgrid(*[np.arange(-n, n + 1.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    basis = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    atoms = (corner[:, None, :] + basis - np.array([0.21, 0.13, 0.07])).reshape(-1, 3) * LATTICE_CONSTANT
    size = np.abs(atoms)
    atoms = atoms[size.max(axis=1) < REACH]
    size = np.abs(atoms)
    return _ordered(atoms, np.maximum(size.sum(axis=1) / math.sqrt(3.0), size.max(axis=1) / 1.15))


def _decahedral() -> Floats:
    """Marks decahedron: five fcc grains round a common [110] axis, with {100} side faces and re-entrant
    notches.

    Grain k holds the atoms i u_k + j u_(k+1), with u_k at 72 k degrees, in columns of period b along the
    axis. Closing the gap of 7.35 degrees stretches the bonds between the u directions by 1.8 %; a radial
    contraction of 0.6 % shares the strain between both directions (Marks, J. Cryst. Growth 61, 556, 1983,
    and Phil. Mag. A 49, 81, 1984).
    """
    spoke = BOND * math.sqrt(3.0) / 2.0 * (1.0 - 0.006)
    n, layers = int(REACH / spoke) + 1, int(REACH / BOND) + 1
    i, j, m = (v.ravel() for v in np.meshgrid(np.arange(n), np.arange(n), np.arange(-layers, layers + 1)))
    z = (
        m + 0.5 * ((i + j) % 2) + 0.17
    ) * BOND  # the centre of the particle lies between two atoms of the axis
    side = (i + j) * spoke * math.cos(math.radians(36.0))
    notch = np.maximum(i, j) * spoke * NOTCH
    cap = (np.abs(z) + (i + j) * BOND / 2.0) * math.sqrt(2.0 / 3.0) * CAP
    facets = np.maximum.reduce([side, notch, cap])
    grains, distances = [], []
    for k in range(5):
        first, second = (2.0 * math.pi * (k + step) / 5.0 for step in (0, 1))
        x = spoke * (i * math.cos(first) + j * math.cos(second))
        y = spoke * (i * math.sin(first) + j * math.sin(second))
        # Each grain owns the plane j = 0, and the first grain owns the axis.
        own = (i > 0) | ((j == 0) & (k == 0))
        grains.append(np.stack([x, y, z], axis=1)[own])
        distances.append(facets[own])
    return _with_mean_bond(_ordered(np.concatenate(grains), np.concatenate(distances)))


def _icosahedral() -> Floats:
    """Mackay icosahedron: twenty grains i u + j v + k w spanned by the corners of the faces, layer number i
    + j + k.

    Tangential bonds are 5.1 % longer than radial ones (Mackay, Acta Cryst. 15, 916, 1962); the body is
    scaled so that their mean over the atom's 6 + 6 bonds is b. Layers fill from the faces' centres, so
    corners are missing.
    """
    golden = (1.0 + math.sqrt(5.0)) / 2.0
    signs = [(s, t) for s in (-1.0, 1.0) for t in (-1.0, 1.0)]
    corners = np.array([np.roll([0.0, s, t * golden], turn) for turn in range(3) for s, t in signs])
    corners /= np.linalg.norm(corners[0])
    edge = min(float(np.linalg.norm(p - q)) for p, q in combinations(corners, 2))
    radial = BOND
    faces = [
        face
        for face in combinations(range(12), 3)
        if all(np.linalg.norm(corners[p] - corners[q]) < 1.01 * edge for p, q in combinations(face, 2))
    ]
    n = int(REACH / radial)
    ijk = np.array([(i, j, k) for i in range(n) for j in range(n - i) for k in range(n - i - j)], dtype=float)
    atoms = np.concatenate([ijk @ corners[list(face)] * radial for face in faces])
    layer = np.tile(ijk.sum(axis=1), len(faces))
    # Neighbouring grains share faces and edges: keep one of each place.
    _, once = np.unique(np.round(atoms, 4), axis=0, return_index=True)
    inradius = radial * float(np.linalg.norm(corners[list(faces[0])].mean(axis=0)))
    return _with_mean_bond(_ordered(atoms[once], layer[once] * inradius))


def _hollow() -> Floats:
    """The fcc particle without its core; its wall grows outwards from a hole of fixed radius."""
    atoms = _fcc()
    return np.ascontiguousarray(atoms[np.linalg.norm(atoms, axis=1) > VOID_RADIUS])


def _disordered() -> Floats:
    """Dense random packing: random points in a sphere, pushed apart until the nearest neighbours are b apart.

    A ball of soft spheres relaxed by repeated displacement along overlaps (in the spirit of Jodrey and
    Tory, Phys. Rev. A 32, 2347, 1985). The density is 0.93 of the crystal's, and no order reaches beyond a
    few shells.
    """
    radius = DISORDERED_LIMIT / 2.0 / 0.93 ** (1.0 / 3.0)
    draw = generator(0, "disordered packing")
    n = atoms_of(DISORDERED_LIMIT)
    direction = draw.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    atoms = direction * (radius * draw.random((n, 1)) ** (1.0 / 3.0))
    for _ in range(200):
        pairs = cKDTree(atoms).query_pairs(BOND, output_type="ndarray")
        if len(pairs) == 0:
            break
        pairs = pairs[np.lexsort(pairs.T)]
        apart = atoms[pairs[:, 1]] - atoms[pairs[:, 0]]
        distance = np.maximum(np.linalg.norm(apart, axis=1), 1e-6)
        push = apart * (0.3 * (BOND - distance) / distance)[:, None]
        for axis in range(3):
            atoms[:, axis] += np.bincount(pairs[:, 1], push[:, axis], n) - np.bincount(
                pairs[:, 0], push[:, axis], n
            )
        outside = np.linalg.norm(atoms, axis=1)
        atoms *= np.minimum(1.0, radius / np.maximum(outside, 1e-6))[:, None]
    return np.ascontiguousarray(atoms[np.argsort(np.linalg.norm(atoms, axis=1), kind="stable")])


BODIES: dict[str, Callable[[], Floats]] = {
    "decahedral": _decahedral,
    "icosahedral": _icosahedral,
    "fcc": _fcc,
    "disordered": _disordered,
    "hollow": _hollow,
}
FAMILIES = tuple(BODIES)


@cache
def body(family: str) -> Floats:
    """All atoms of a family's largest particle, (n, 3) in angstrom, from the centre outwards."""
    atoms = BODIES[family]()
    atoms.setflags(write=False)
    return atoms


class SizeSeries:
    """Distance histograms of one family for the sizes of ``DIAMETERS``, counted as far as they were asked
    for.

    Row k holds the ordered pairs i != j of the k-th particle, divided by its number of atoms. A distance is
    shared between the two nearest nodes in proportion, so that the mean distance is kept.
    """

    def __init__(self, family: str) -> None:
        self._atoms = body(family)
        hole = atoms_of(2.0 * VOID_RADIUS) if family == "hollow" else 0
        smallest = 55  # below this a particle has no interior
        wanted = [max(smallest, atoms_of(float(d)) - hole) for d in DIAMETERS]
        self._counts = [min(n, len(self._atoms)) for n in wanted]
        self._pairs: Floats = np.zeros(BINS)
        self._done = 0
        self._rows: list[Floats] = []

    def row(self, k: int) -> Floats:
        """Pairs per atom of the k-th size, (BINS,)."""
        while len(self._rows) <= k:
            self._grow(self._counts[len(self._rows)])
            row = self._pairs / self._done
            row.setflags(write=False)
            self._rows.append(row)
        return self._rows[k]

    def _grow(self, count: int) -> None:
        rows_at_once = 200  # keeps the temporaries below 20 MB for the largest particle
        for start in range(self._done, count, rows_at_once):
            new = self._atoms[start : min(start + rows_at_once, count)]
            old = self._atoms[:start]
            self._count_between(new, old)
            first, second = np.triu_indices(len(new), 1)
            self._count(np.linalg.norm(new[first] - new[second], axis=1))
        self._done = max(self._done, count)

    def _count_between(self, new: Floats, old: Floats) -> None:
        if len(old) == 0:
            return
        squared = (new**2).sum(axis=1)[:, None] + (old**2).sum(axis=1)[None, :] - 2.0 * (new @ old.T)
        self._count(np.sqrt(np.maximum(squared, 0.0, out=squared), out=squared).ravel())

    def _count(self, distance: Floats) -> None:
        place = distance / BIN
        left = place.astype(np.int64)
        right_share = np.bincount(left, weights=place - left, minlength=BINS)
        self._pairs += 2.0 * (np.bincount(left, minlength=BINS) - right_share)
        self._pairs[1:] += 2.0 * right_share[:-1]


@cache
def size_series(family: str) -> SizeSeries:
    """The one series of a family in this process."""
    return SizeSeries(family)
