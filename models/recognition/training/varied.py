"""One structure as nature makes it: cell, coordinates, motion and composition a little off what the library states.

A *variant* is the record with its cell lengths strained one by one, the free coordinates of its sites moved, a
displacement of its own for each element, correlated motion, and sometimes other metals on its sites. Lengths in
angstrom, u in angstrom^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.metal_groups import METALS, radius
from solvus.models.refinement.symmetry import SAME_SITE, Orbit, free_cell, operations, orbit
from solvus.models.scattering.form_factors import element_of
from solvus.models.scattering.structure import Structure, cluster, crystal
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

STRAIN = 0.008
"""Standard deviation of each free cell length beside the common expansion: what a predicted cell errs by, and what
composition and size do to one axis."""
WIDE_STRAIN = 0.04
ANGLE = 0.4
"""Degrees, of each free angle."""
SHIFT = 0.04
"""angstrom, standard deviation of each free coordinate: what publications of one structure differ by."""
JITTER = 0.02
"""angstrom, of every atom of an ion, which no symmetry holds."""
HEAVY_U = (0.0015, 0.012)
LIGHT_RATIO = (0.8, 3.5)
"""Displacement of light atoms over that of metals."""
DELTA2 = (0.0, 3.5)
LIKE = 0.12
"""Relative difference in radius up to which one metal takes the place of another."""
SUBSTITUTED = 0.2
"""Share of variants in which a metal is replaced, wholly or in part."""


@dataclass(frozen=True)
class Variant:
    """What was drawn.

    Attributes
    ----------
    structure : to be calculated.
    delta2 : of correlated motion, angstrom^2.
    elements : that it holds.
    faithful : whether it still is the record, with the record's own metals.
    spacing : cube root of the volume for each atom of a crystal, angstrom; NaN for a cluster.
    """

    structure: Structure
    delta2: float
    elements: frozenset[str]
    faithful: bool
    spacing: float


def variant_of(record: Record, generator: np.random.Generator, *, wide: bool = False) -> Variant:
    """Draw a variant.

    Parameters
    ----------
    wide : whether each free cell length is strained by up to ``WIDE_STRAIN``, as of a compound whose cell nobody knows.

    Raises
    ------
    RefinementError, ElementError, StructureError
        For a record that is no structure.
    """
    exchange = _exchange(record, generator) if generator.random() < SUBSTITUTED else {}
    heavy = float(np.exp(generator.uniform(*np.log(HEAVY_U))))
    light = heavy * generator.uniform(*LIGHT_RATIO)
    delta2 = float(generator.uniform(*DELTA2))
    species, filled, owner = _sites(record, exchange)
    u = np.array([heavy if element_of(name) in METALS else light for name in species])
    elements = frozenset(element_of(name) for name in species)
    if record.cell is None:
        moved = record.positions + generator.normal(0.0, JITTER, record.positions.shape)
        made = cluster(species, moved[owner], u_iso=u, occupancy=filled)
        return Variant(made, delta2, elements, not exchange, np.nan)
    cell = _strained(record, generator, wide)
    group = operations(record.space_group or 1, record.setting)
    orbits = [orbit(group, place) for place in record.positions]
    shifted: list[Floats] = []
    for k, o in enumerate(orbits):
        first = _first_there(record.positions, k)
        # Species that share a site move together.
        shifted.append(shifted[first] if first < k else _moved(o, cell, generator))
    repeats = [len(shifted[k]) for k in owner]
    made = crystal(
        np.repeat(species, repeats).tolist(),
        np.concatenate([shifted[k] for k in owner]),
        cell,
        u_iso=np.repeat(u, repeats),
        occupancy=np.repeat(filled, repeats),
    )
    atoms = float(np.repeat(filled, repeats).sum())
    return Variant(made, delta2, elements, not exchange, float((float(made.volume()) / atoms) ** (1 / 3)))


def _sites(record: Record, exchange: Mapping[str, dict[str, float]]) -> tuple[list[str], Floats, list[int]]:
    """Species, occupancies and the record's own site of each, with metals exchanged."""
    occupancy = record.occupancy or (1.0,) * len(record.species)
    rows = [
        (name, share * part, k)
        for k, (species, share) in enumerate(zip(record.species, occupancy, strict=True))
        for name, part in exchange.get(element_of(species), {species: 1.0}).items()
    ]
    owner = [k for _, _, k in rows]
    return [name for name, _, _ in rows], np.array([s for _, s, _ in rows]), owner


def _exchange(record: Record, generator: np.random.Generator) -> dict[str, dict[str, float]]:
    """For one or each metal what takes its place."""
    present = sorted(element for element in record.elements if element in METALS)
    found = {}
    for element in present:
        if len(present) > 1 and generator.random() < 0.5:
            continue
        near = [m for m in _alike(element) if m not in present]
        if not near:
            continue
        other = str(generator.choice(near))
        # Half of the exchanges are whole ones, the others solid solutions.
        share = 1.0 if generator.random() < 0.5 else float(generator.uniform(0.2, 0.8))
        found[element] = {other: share} | ({element: 1.0 - share} if share < 1.0 else {})
    return found


@cache
def _alike(element: str) -> tuple[str, ...]:
    own = radius(element)
    return tuple(m for m in METALS if m != element and abs(radius(m) / own - 1.0) < LIKE)


def _strained(record: Record, generator: np.random.Generator, wide: bool) -> tuple[float, ...]:
    if record.cell is None:
        raise ValueError("a cluster has no cell")
    cell = np.array(record.cell)
    for places in free_cell(record.space_group or 1, record.cell).values():
        for_lengths = [k for k in places if k < 3]
        for_angles = [k for k in places if k >= 3]
        strain = generator.uniform(-WIDE_STRAIN, WIDE_STRAIN) if wide else generator.normal(0.0, STRAIN)
        cell[for_lengths] *= 1.0 + strain
        cell[for_angles] += generator.normal(0.0, ANGLE)
    return tuple(cell.tolist())


def _first_there(positions: Floats, k: int) -> int:
    """The first of the sites that lie where site k does."""
    apart = positions[: k + 1] - positions[k]
    return int((np.abs(apart - np.round(apart)) < SAME_SITE).all(axis=1).argmax())


def _moved(site: Orbit, cell: tuple[float, ...], generator: np.random.Generator) -> Floats:
    """The images of one site, moved along the directions that its symmetry leaves free."""
    if not len(site.directions):
        return site.positions
    lengths = np.array(cell[:3])
    steps = generator.normal(0.0, SHIFT, len(site.directions))
    unit = site.directions / np.linalg.norm(site.directions * lengths, axis=1, keepdims=True)
    moved: Floats = site.positions + site.rotations @ (steps @ unit)
    return moved
