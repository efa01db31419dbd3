"""How the atoms of a metal particle may be packed, and the faces that such a packing may be cut by.

A *packing* is an endless arrangement of sites with a nearest distance of about one: crystals (fcc, bcc, simple cubic),
close-packed layers in any stacking, five crystals about one axis (decahedral), twenty about one point (icosahedral; the
packing of A. L. Mackay, Acta Cryst. 15, 916 (1962)). Its *forms* are families of equivalent faces; the *height* of a
site in a form is the distance of the face of that form that passes through it. A particle is what lies below a limit in
every form, so that a few numbers make a structure of any number of atoms.

Lengths in units of the bond length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from ase.cluster import Icosahedron
from numpy.typing import NDArray

from solvus.models.structures.stacking import HEIGHT

Floats = NDArray[np.float64]

CUBIC_FORMS = ("sphere", "100", "010", "001", "110", "111")
LAYER_FORMS = ("sphere", "basal", "prism-1", "prism-2", "prism-3", "prism-11", "pyramid")
DECAHEDRAL_FORMS = ("sphere", "basal", "cap", "side", "notch")
ICOSAHEDRAL_FORMS = ("sphere", "face", "vertex")
MOST_FORMS = len(LAYER_FORMS)
ROOT2, ROOT3 = math.sqrt(2.0), math.sqrt(3.0)
FIFTH = 2.0 * math.pi / 5.0
RADIAL = math.sin(FIFTH)
"""Distance of neighbours along a radius of an icosahedron in units of that along an edge: 0.9511."""
INSIDE = math.sqrt(3.0) / 12.0 * (3.0 + math.sqrt(5.0))
"""Distance of the faces of an icosahedron from its centre, in edges."""
ELSEWHERE = "elsewhere"
"""The centre of a particle that is no special position of its packing."""
MOST_ECCENTRIC = 6.0
"""Radius, in bond lengths, up to which particles beside the axis of their twins are modelled; in larger ones a stacking
fault does as well."""


def lengths(vectors: Floats) -> Floats:
    """Of each row: (n,) from (n, k). Rows are short here, along which numpy's own ``norm`` and ``max`` are slow."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))


def largest(values: Floats) -> Floats:
    """Of each row: (n,) from (n, k)."""
    found = values[:, 0].copy()
    for column in values.T[1:]:
        np.maximum(found, column, out=found)
    return found


@dataclass(frozen=True)
class Packing:
    """One packing.

    Attributes
    ----------
    forms : names of the families of faces. centres : special positions, by name, where a particle may be centred.
    alike : forms that a rotation of the packing exchanges; their limits are kept in falling order.
    eccentric : a particle may lie anywhere about the one point or axis of the packing; otherwise in a cell.
    """

    name: str
    forms: tuple[str, ...]
    centres: dict[str, tuple[float, float, float]]
    alike: tuple[int, ...]
    eccentric: bool
    heights: Callable[[Floats], Floats]

    @property
    def layered(self) -> bool:
        return self.name == "layers"


def sites(name: str, centre: Floats, radius: float, letters: Callable[[int], str] | None = None) -> Floats:
    """Sites of a packing within ``radius`` of ``centre``: (n, 3) in the frame of the packing.

    Parameters
    ----------
    letters : of the packing ``layers``: h or c for each layer.
    """
    if name == "layers":
        if letters is None:
            raise ValueError("letters: the stacking of layers is needed")
        found = _layers(centre, radius, letters)
    elif name == "decahedral":
        found = _decahedral(math.ceil(radius + float(np.linalg.norm(centre))) + 1)
    elif name == "icosahedral":
        found = _icosahedral(math.ceil((radius + float(np.linalg.norm(centre))) / RADIAL) + 1)
    else:
        found = _crystal(name, centre, radius)
    chosen: Floats = found[lengths(found - centre) <= radius]
    return chosen


def _crystal(name: str, centre: Floats, radius: float) -> Floats:
    """Cubic crystals from the integer points of the right parity."""
    spacing = {"fcc": 1.0 / ROOT2, "bcc": 1.0 / ROOT3, "sc": 1.0}[name]
    low, high = np.floor((centre - radius) / spacing), np.ceil((centre + radius) / spacing)
    axes = [np.arange(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    if name == "fcc":
        points = points[points.sum(axis=1) % 2 == 0]
    elif name == "bcc":
        points = points[(points % 2 == points[:, :1] % 2).all(axis=1)]
    return np.asarray(points * spacing, dtype=np.float64)


def _layers(centre: Floats, radius: float, letters: Callable[[int], str]) -> Floats:
    """Layer 0 has a site at the origin; a layer h turns the direction of the stacking around, c keeps it."""
    first = math.floor((centre[2] - radius) / HEIGHT)
    last = math.ceil((centre[2] + radius) / HEIGHT)
    places = places_of(first, last, letters)
    reach = math.ceil(1.2 * (radius + float(np.linalg.norm(centre[:2])))) + 2
    i, j = (axis.ravel() for axis in np.meshgrid(*[np.arange(-reach, reach + 1)] * 2))
    plane = np.stack([i + 0.5 * j, math.sqrt(0.75) * j, np.zeros(len(i))], axis=1)
    plane = plane[lengths(plane[:, :2] - centre[:2]) <= radius + 1.0]
    shift = np.array([0.5, math.sqrt(0.75) / 3.0, 0.0])
    up = np.array([0.0, 0.0, HEIGHT])
    return np.vstack([plane + place * shift + k * up for k, place in places.items()])


def places_of(first: int, last: int, letters: Callable[[int], str]) -> dict[int, int]:
    """Which of the three places (0, 1, 2) each layer takes; layer 0 takes 0 and layer 1 takes 1."""
    places = {0: 0}
    step = 1
    for k in range(1, last + 1):
        if k > 1 and letters(k - 1) == "h":
            step = -step
        places[k] = (places[k - 1] + step) % 3
    step = -1 if letters(0) == "h" else 1
    for k in range(-1, first - 1, -1):
        places[k] = (places[k + 1] - step) % 3
        if letters(k) == "h":
            step = -step
    return {k: places[k] for k in range(first, last + 1)}


@cache
def _decahedral(rings: int) -> Floats:
    """Sites about the axis z: on ring n each of five domains has the columns (n - i, i), i < n, which begin half a step
    higher on each ring (ASE's ``Decahedron``)."""
    corners = 0.5 * ROOT3 * np.stack([np.cos(np.arange(5) * FIFTH), np.sin(np.arange(5) * FIFTH)], axis=1)
    columns = [(0.0, 0.0, 0.0)]
    for n in range(1, math.ceil(1.3 * rings) + 1):
        for domain in range(5):
            for i in range(n):
                x, y = (n - i) * corners[domain] + i * corners[domain - 1]
                columns.append((float(x), float(y), 0.5 * (n % 2)))
    height = np.arange(-rings - 1, rings + 1)
    spread = np.repeat(np.array(columns), len(height), axis=0)
    spread[:, 2] += np.tile(height, len(columns))
    return spread


@cache
def _icosahedral(shells: int) -> Floats:
    atoms = Icosahedron("Au", shells, latticeconstant=ROOT2)  # type: ignore[no-untyped-call]
    positions = np.array(atoms.positions) - atoms.positions.mean(axis=0)
    distances = np.linalg.norm(positions, axis=1)
    nearest = np.sort(distances)[1:13].mean() if len(positions) > 1 else 1.0
    return np.asarray(positions * (RADIAL / nearest))


def _cubic_heights(x: Floats) -> Floats:
    size = np.abs(x)
    ordered = np.sort(size, axis=1)
    return np.column_stack(
        [
            lengths(x),
            size,
            (ordered[:, 1] + ordered[:, 2]) / ROOT2,
            size.sum(axis=1) / ROOT3,
        ]
    )


PRISMS: Floats = np.stack([[math.cos(a), math.sin(a)] for a in np.radians([90.0, 210.0, 330.0])])
"""Normals of the faces along the rows of a layer."""
BETWEEN: Floats = np.stack([[math.cos(a), math.sin(a)] for a in np.radians([0.0, 60.0, 120.0])])
SLOPE = math.atan2(math.sqrt(8.0 / 3.0), math.sqrt(0.75))
"""Angle between the basal plane and the faces {10-11}."""


def _layer_heights(x: Floats) -> Floats:
    prisms = np.abs(x[:, :2] @ PRISMS.T)
    return np.column_stack(
        [
            lengths(x),
            np.abs(x[:, 2]),
            prisms,
            largest(np.abs(x[:, :2] @ BETWEEN.T)),
            largest(prisms) * math.sin(SLOPE) + np.abs(x[:, 2]) * math.cos(SLOPE),
        ]
    )


def _decahedral_heights(x: Floats) -> Floats:
    """Rings and columns are read off the place within the domain that a site lies in."""
    angle = np.arctan2(x[:, 1], x[:, 0])
    within = np.mod(angle, FIFTH)
    radius = lengths(x[:, :2]) / (0.5 * ROOT3)
    first = radius * np.sin(FIFTH - within) / math.sin(FIFTH)
    second = radius * np.sin(within) / math.sin(FIFTH)
    ring = first + second
    tall = np.abs(x[:, 2])
    return np.column_stack([lengths(x), tall, tall + 0.5 * ring, ring, np.maximum(first, second)])


@cache
def _icosahedral_directions() -> tuple[Floats, Floats]:
    """Of the twelve vertices and the twenty faces."""
    shell = _icosahedral(2)
    vertices = shell[np.linalg.norm(shell, axis=1) > 0.5]
    vertices = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    faces = [
        a + b + c
        for a, b, c in product(vertices, repeat=3)
        if a @ b > 0.4 and b @ c > 0.4 and a @ c > 0.4 and len({tuple(a), tuple(b), tuple(c)}) == 3
    ]
    normals = np.unique(np.round(np.array(faces) / np.linalg.norm(faces, axis=1, keepdims=True), 9), axis=0)
    return vertices, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _icosahedral_heights(x: Floats) -> Floats:
    vertices, faces = _icosahedral_directions()
    return np.column_stack(
        [
            lengths(x),
            largest(x @ faces.T) / INSIDE,
            largest(x @ vertices.T) / RADIAL,
        ]
    )


def _cell(edge: float, *points: tuple[float, float, float]) -> list[tuple[float, float, float]]:
    return [(edge * a, edge * b, edge * c) for a, b, c in points]


_FCC = _cell(ROOT2, (0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.25, 0.25, 0.25), (0.25, 0.25, 0.0))
_BCC = _cell(2.0 / ROOT3, (0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.25, 0.0), (0.25, 0.25, 0.25))
_SC = _cell(1.0, (0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.0), (0.5, 0.0, 0.0))


def _layer_centres() -> dict[str, tuple[float, float, float]]:
    """In the plane: the three places, the middle of a contact, and the centres of parallelepipeds of two places."""
    third, sixth = 1.0 / 3.0, 1.0 / 6.0
    plane = {
        "atom": (0.0, 0.0),
        "over": (third, third),
        "hollow": (2 * third, 2 * third),
        "bond": (0.5, 0.0),
        "block": (sixth, sixth),
        "block-2": (sixth, 2 * third),
        "block-3": (2 * third, sixth),
    }
    return {
        f"{name}{tail}": (a + 0.5 * b, math.sqrt(0.75) * b, z * HEIGHT)
        for name, (a, b) in plane.items()
        for tail, z in (("", 0.0), ("-between", 0.5))
    }


PACKINGS = {
    packing.name: packing
    for packing in (
        Packing(
            "fcc",
            CUBIC_FORMS,
            dict(zip(("atom", "octahedral", "tetrahedral", "bond"), _FCC, strict=True)),
            (1, 2, 3),
            False,
            _cubic_heights,
        ),
        Packing("layers", LAYER_FORMS, _layer_centres(), (2, 3, 4), False, _layer_heights),
        Packing(
            "bcc",
            CUBIC_FORMS,
            dict(zip(("atom", "octahedral", "tetrahedral", "bond"), _BCC, strict=True)),
            (1, 2, 3),
            False,
            _cubic_heights,
        ),
        Packing(
            "sc",
            CUBIC_FORMS,
            dict(zip(("atom", "cell", "face", "edge"), _SC, strict=True)),
            (1, 2, 3),
            False,
            _cubic_heights,
        ),
        Packing(
            "decahedral",
            DECAHEDRAL_FORMS,
            {"atom": (0.0, 0.0, 0.0), "bond": (0.0, 0.0, 0.5)},
            (),
            True,
            _decahedral_heights,
        ),
        Packing("icosahedral", ICOSAHEDRAL_FORMS, {"atom": (0.0, 0.0, 0.0)}, (), True, _icosahedral_heights),
    )
}
