"""Crystals of the metals: cells as published, and the nearest-neighbour contacts that give clusters their bond length.

Most metals are fcc, hcp or bcc; their lattice constants are those of `ase.data.reference_states`. The others, and those
that `ase` does not know, are listed here as crystallographic facts at or near room temperature (mercury at 78 K):
J. Donohue, The Structures of the Elements (Wiley, 1974), in standard settings, origin choice 1 and hexagonal axes.

Lengths in angstrom. The *contact* of a crystal is the mean distance of neighbours nearer than ``CONTACT`` times the
smallest one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, reference_states
from ase.neighborlist import neighbor_list

from solvus.models.structures.record import Record

CONTACT = 1.1
"""Neighbours nearer than this many smallest distances touch: it takes in both edges of an icosahedron (which
differ by 5 %) and leaves out the second neighbours of bcc (15 % farther)."""
NO_METALS = frozenset({"H", "He", "Ne", "Ar", "Kr", "Xe", "Rn", "C", "N", "O", "P", "S", "Se", "Te"})
"""Elements to which reference data assign a close-packed lattice although they are no metals."""
DONOHUE = "J. Donohue, The Structures of the Elements (Wiley, 1974)"
REFERENCE = "reference state of the element in ase.data"
CLOSE = {
    "fcc": (225, [(0.0, 0.0, 0.0)]),
    "bcc": (229, [(0.0, 0.0, 0.0)]),
    "hcp": (194, [(1 / 3, 2 / 3, 0.25)]),
}
"""Space group and site of the simple structures."""

Cell = tuple[float, float, float, float, float, float]
Crystal = tuple[str, int, Cell, list[tuple[float, float, float]]]


def _box(a: float, b: float | None = None, c: float | None = None) -> Cell:
    return (a, b or a, c or a, 90.0, 90.0, 90.0)


def _hexagonal(a: float, c: float) -> Cell:
    return (a, a, c, 90.0, 90.0, 120.0)


DOUBLE_HCP = [(0.0, 0.0, 0.0), (1 / 3, 2 / 3, 0.25)]
OTHER: dict[str, Crystal] = {
    "Mn": (
        "alpha-manganese",
        217,
        _box(8.9125),
        [(0.0, 0.0, 0.0), (0.317, 0.317, 0.317), (0.357, 0.357, 0.034), (0.089, 0.089, 0.282)],
    ),
    "Ga": ("alpha-gallium", 64, _box(4.5192, 7.6586, 4.5258), [(0.0, 0.1539, 0.0810)]),
    "In": ("indium", 139, _box(3.2530, 3.2530, 4.9470), [(0.0, 0.0, 0.0)]),
    "Sn": ("white tin", 141, _box(5.8318, 5.8318, 3.1819), [(0.0, 0.0, 0.0)]),
    "Sb": ("arsenic type", 166, _hexagonal(4.3084, 11.274), [(0.0, 0.0, 0.23349)]),
    "Bi": ("arsenic type", 166, _hexagonal(4.546, 11.862), [(0.0, 0.0, 0.23389)]),
    "Hg": ("mercury", 166, _hexagonal(3.470, 6.719), [(0.0, 0.0, 0.0)]),
    "La": ("double hcp", 194, _hexagonal(3.774, 12.171), DOUBLE_HCP),
    "Pr": ("double hcp", 194, _hexagonal(3.672, 11.833), DOUBLE_HCP),
    "Nd": ("double hcp", 194, _hexagonal(3.658, 11.797), DOUBLE_HCP),
    "Pm": ("double hcp", 194, _hexagonal(3.65, 11.65), DOUBLE_HCP),
    "Sm": ("samarium", 166, _hexagonal(3.629, 26.207), [(0.0, 0.0, 0.0), (0.0, 0.0, 0.2222)]),
    "Po": ("simple cubic", 221, _box(3.359), [(0.0, 0.0, 0.0)]),
    "Ra": ("bcc", 229, _box(5.148), [(0.0, 0.0, 0.0)]),
    "Pa": ("protactinium", 139, _box(3.925, 3.925, 3.238), [(0.0, 0.0, 0.0)]),
    "U": ("alpha-uranium", 63, _box(2.8537, 5.8695, 4.9548), [(0.0, 0.1025, 0.25)]),
    "Np": (
        "alpha-neptunium",
        62,
        _box(6.663, 4.723, 4.887),
        [(0.036, 0.25, 0.208), (0.319, 0.25, 0.842)],
    ),
    "Pu": ("delta-plutonium, fcc", 225, _box(4.637), [(0.0, 0.0, 0.0)]),
    "Am": ("double hcp", 194, _hexagonal(3.468, 11.241), DOUBLE_HCP),
    "Cm": ("double hcp", 194, _hexagonal(3.496, 11.331), DOUBLE_HCP),
}


def metal_crystals() -> Iterator[Record]:
    """The crystal of every metal, by atomic number."""
    for element in chemical_symbols[1:]:
        record = crystal_of(element)
        if record is not None:
            yield record


@cache
def crystal_of(element: str) -> Record | None:
    """The crystal of a metal; ``None`` for what is none or has no known cell.

    Raises KeyError for a symbol that is no element.
    """
    state = reference_states[atomic_numbers[element]]
    if element in OTHER:
        kind, group, cell, sites = OTHER[element]
        return _record(element, kind, group, cell, sites, DONOHUE)
    if state is None or element in NO_METALS or state["symmetry"] not in CLOSE:
        return None
    kind = str(state["symmetry"])
    group, sites = CLOSE[kind]
    a = float(str(state["a"]))
    cell = _hexagonal(a, a * float(str(state["c/a"]))) if kind == "hcp" else _box(a)
    return _record(element, kind, group, cell, sites, REFERENCE)


def _record(
    element: str,
    kind: str,
    group: int,
    cell: Cell,
    sites: list[tuple[float, float, float]],
    source: str,
) -> Record:
    return Record(
        name=f"{element} {kind}",
        family="metal",
        type=kind,
        formula=element,
        species=(element,) * len(sites),
        positions=np.array(sites),
        source=source,
        space_group=group,
        cell=tuple(round(length, 6) for length in cell),  # type: ignore[arg-type]  # six of them
    )


@cache
def other_contact(element: str) -> float | None:
    """Contact of a metal that is listed here, from its own crystal; ``None`` for others."""
    record = crystal_of(element) if element in OTHER else None
    if record is None:
        return None
    atoms = record.atoms()
    farthest = 2.0 * (atoms.cell.volume / len(atoms)) ** (1 / 3)
    distances: np.ndarray[tuple[int], np.dtype[np.float64]] = neighbor_list("d", atoms, farthest)  # type: ignore[no-untyped-call]
    return float(distances[distances <= CONTACT * distances.min()].mean())


def close_contact(element: str) -> float | None:
    """Nearest-neighbour distance in a metal's fcc, hcp or bcc crystal of `ase.data.reference_states`; ``None`` for
    others.

    Raises KeyError for a symbol that is no element.
    """
    state = reference_states[atomic_numbers[element]]
    if state is None or element in NO_METALS or state["symmetry"] not in CLOSE:
        return None
    symmetry, a = state["symmetry"], float(str(state["a"]))
    if symmetry == "hcp":
        return min(a, a * math.sqrt(1.0 / 3.0 + float(str(state["c/a"])) ** 2 / 4.0))
    return a / math.sqrt(2.0) if symmetry == "fcc" else a * math.sqrt(3.0) / 2.0
