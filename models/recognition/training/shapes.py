"""Metal clusters of any shape: what a synthesis makes beside the magic sizes and perfect facets of a library.

A *shape* is a piece of a lattice (fcc, hcp, bcc, sc, or close-packed layers in a random stacking) about a random
centre, cut by an ellipsoid, by the faces of a polyhedron each at a distance of its own, or by the faces of the unit
cell; or a multiply twinned particle whose outer shell is there in part. It is strained along three random directions
at right angles. Unit geometries: the mean distance of touching neighbours was 1 before the strain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np
from ase.cluster import Decahedron, Icosahedron
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from solvus.models.structures.clusters import lattice_sphere, unit_positions, volume_per_atom
from solvus.models.structures.stacking import stacked_sphere

Floats = NDArray[np.float64]
Generator = np.random.Generator

FAMILIES = {
    "fcc": 0.3,
    "hcp": 0.2,
    "bcc": 0.15,
    "sc": 0.05,
    "icosahedral": 0.1,
    "decahedral": 0.15,
    "faulted": 0.05,
}
"""How often each is drawn."""
ATOMS = (8.0, 1500.0)
FEWEST = 5
STRAIN = 0.01
"""Standard deviation of the strain along each of three directions."""
ELONGATION = 0.4
"""Standard deviation of the logarithm of an axis, or of the distance of a face, relative to the others."""
FLATNESS = 0.9
"""The same of a parallelepiped: plates and rods of a few layers."""
WIDEST = 5.0
"""Radii of the sphere of equal volume within which a shape lies."""
SHELLS = (2, 8)
WHOLE = 0.4
"""Share of the multiply twinned particles whose outer shell is complete."""


def drawn_shape(generator: Generator) -> tuple[str, Floats]:
    """A family of metal clusters and a unit geometry of it, (n, 3)."""
    family = str(generator.choice(list(FAMILIES), p=np.array(list(FAMILIES.values()))))
    make = {"icosahedral": _icosahedral, "decahedral": _decahedral}.get(family)
    while True:
        sites = _piece(family, generator) if make is None else make(generator)
        if FEWEST <= len(sites) <= 2 * ATOMS[1]:
            return family, _strained(unit_positions(sites), generator)


def _strained(sites: Floats, generator: Generator) -> Floats:
    axes = Rotation.random(random_state=generator).as_matrix()
    stretch = np.diag(1.0 + generator.normal(0.0, STRAIN, 3))
    strained: Floats = sites @ (axes.T @ stretch @ axes)
    return strained


def _piece(family: str, generator: Generator) -> Floats:
    """Of a lattice."""
    atoms = math.exp(generator.uniform(*np.log(ATOMS)))
    radius = (3.0 * atoms * volume_per_atom(family) / (4.0 * math.pi)) ** (1 / 3)
    reach = WIDEST * radius + 1.0
    sites = _stacked(reach, generator) if family == "faulted" else _lattice(family, math.ceil(reach / 4.0))
    sites = sites + generator.uniform(-0.5, 0.5, 3)
    gauge = (_ellipsoid, _polyhedron, _block)[int(generator.integers(3))](family, generator)(sites)
    # The gauge orders the sites from the inside out, so that the first are the shape of the wanted size.
    limit = np.partition(gauge, min(round(atoms), len(gauge) - 1))[min(round(atoms), len(gauge) - 1)]
    chosen: Floats = sites[gauge <= limit * (1.0 + 1e-6)]
    return chosen


@cache
def _lattice(family: str, reach: int) -> Floats:
    return lattice_sphere(family, 4.0 * reach)


def _stacked(reach: float, generator: Generator) -> Floats:
    """Close-packed layers, every step reversed with the probability of a fault."""
    fault = generator.uniform(0.15, 0.85)

    def steps(layers: NDArray[np.int64]) -> NDArray[np.int64]:
        turned = np.cumsum(generator.random(len(layers)) < fault)
        return np.where(turned % 2 == 0, 1, -1).astype(np.int64)

    return stacked_sphere(reach, steps)


def _ellipsoid(family: str, generator: Generator) -> Callable[[Floats], Floats]:
    del family
    axes = Rotation.random(random_state=generator).as_matrix()
    lengths = np.exp(generator.normal(0.0, ELONGATION, 3) * (generator.random() < 0.5))

    def gauge(sites: Floats) -> Floats:
        return np.asarray(np.linalg.norm(sites @ axes / lengths, axis=1))

    return gauge


def _polyhedron(family: str, generator: Generator) -> Callable[[Floats], Floats]:
    """Faces of low index, each kind at a distance of its own and each face a little off it."""
    kinds = _hexagonal() if family in ("hcp", "faulted") else _cubic()
    chosen = generator.permutation(len(kinds))[: int(generator.integers(1, len(kinds) + 1))]
    normals = np.vstack([kinds[k] for k in chosen])
    common = np.concatenate(
        [
            np.full(len(kinds[k]), d)
            for k, d in zip(chosen, generator.uniform(1.0, 1.5, len(chosen)), strict=True)
        ]
    )
    own = np.exp(generator.normal(0.0, ELONGATION, len(normals)) * (generator.random() < 0.6))
    return _bounded(normals / (common * own)[:, None])


def _block(family: str, generator: Generator) -> Callable[[Floats], Floats]:
    """A parallelepiped along the axes of the usual cell."""
    root = math.sqrt(0.75)
    cell = np.array([[1.0, 0.0, 0.0], [-0.5, root, 0.0], [0.0, 0.0, 1.0]])
    faces = np.linalg.inv(cell).T if family in ("hcp", "faulted") else np.eye(3)
    half = np.exp(generator.normal(0.0, FLATNESS, 3))
    faces = faces / np.linalg.norm(faces, axis=1, keepdims=True) / half[:, None]
    return _bounded(np.vstack([faces, -faces]))


def _bounded(faces: Floats) -> Callable[[Floats], Floats]:
    """Faces that leave a direction open are closed by a sphere about the farthest of them."""
    far = 1.5 / np.linalg.norm(faces, axis=1).min()

    def gauge(sites: Floats) -> Floats:
        return np.asarray(np.maximum((sites @ faces.T).max(axis=1), np.linalg.norm(sites, axis=1) / far))

    return gauge


@cache
def _cubic() -> tuple[Floats, ...]:
    signs = np.array(list(product((-1.0, 0.0, 1.0), repeat=3)))
    order = np.abs(signs).sum(axis=1)
    return tuple(signs[order == k] / math.sqrt(k) for k in (1, 2, 3))


@cache
def _hexagonal() -> tuple[Floats, ...]:
    angles = np.radians(30.0 + 60.0 * np.arange(6))
    around = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    slope = math.cos(math.radians(30.0)) / math.sqrt(8.0 / 3.0)
    tilted = np.vstack([around + np.array([0.0, 0.0, s * slope]) for s in (1, -1)])
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    return np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]), around, tilted


def _icosahedral(generator: Generator) -> Floats:
    shells = int(generator.integers(*SHELLS))
    inner = len(_icosahedron(shells - 1)) if shells > SHELLS[0] else 1
    return _outer_in_part(_icosahedron(shells), inner, generator)


@cache
def _icosahedron(shells: int) -> Floats:
    return np.array(Icosahedron("Au", shells).positions)  # type: ignore[no-untyped-call]


def _decahedral(generator: Generator) -> Floats:
    p, q, r = int(generator.integers(2, 7)), int(generator.integers(1, 9)), int(generator.integers(0, 3))
    sites = np.array(Decahedron("Au", p, q, r).positions)  # type: ignore[no-untyped-call]
    return _outer_in_part(sites, round(0.6 * len(sites)), generator)


def _outer_in_part(sites: Floats, inner: int, generator: Generator) -> Floats:
    """The ``inner`` nearest to the centre, and of the others those on one side."""
    if generator.random() < WHOLE:
        return sites
    centred = sites - sites.mean(axis=0)
    order = np.argsort(np.linalg.norm(centred, axis=1), kind="stable")
    direction = Rotation.random(random_state=generator).apply([0.0, 0.0, 1.0])
    outer = order[inner:]
    kept = outer[
        np.argsort(centred[outer] @ direction, kind="stable")[: round(generator.random() * len(outer))]
    ]
    return np.asarray(centred[np.concatenate([order[:inner], kept])])
