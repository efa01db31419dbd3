"""A structure as something to refine: which of its numbers are free to change, and its distances when they do.

A crystal comes as a space group, a cell and an asymmetric unit; a cluster as its atoms. Names of parameters:

    a b c alpha beta gamma   cell, those that the space group leaves free (angstrom, degrees)
    x_Ti, y_O2, ...          fractional coordinates that the site's symmetry leaves free
    x1 y1 z1 ...             cartesian coordinates of a cluster's atoms (angstrom), restrained
    expansion                of all distances of a cluster
    u_Ce, occ_O1             displacement (angstrom^2) of an element, occupancy of a site
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.parameters import Parameter, RefinementError
from solvus.models.refinement.symmetry import (
    SAME_SITE,
    Operations,
    Orbit,
    free_cell,
    metric,
    metric_slope,
    operations,
    orbit,
)
from solvus.models.scattering.form_factors import element_of
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

CELL_ROOM = 0.05
"""Share by which a cell or a cluster may grow or shrink: pairs are looked for that much farther out."""
ANGLE_ROOM = 4.0
"""Degrees."""
SHIFT_ROOM = 0.4
"""angstrom that a site may move: more is another structure."""
FREE_SHIFT_ROOM = 0.8
"""angstrom for the atoms of a cluster."""
U_BOUNDS = (0.0002, 0.15)
"""angstrom^2: below zero-point motion, and above anything that still has peaks."""
U_START = {"O": 0.010}
"""angstrom^2 where the source gives none; light atoms move more."""
U_METAL = 0.005
SITE_START = 1e-4
"""Least occupancy: a site that is empty has no derivative by its displacement."""


@dataclass(frozen=True)
class Kind:
    """Sites that share species, displacement and occupancy; ``amount`` of them in a cell or cluster."""

    species: str
    label: str
    u: str
    occupancy: str
    amount: int


@dataclass(frozen=True)
class Phase:
    """One structure with its parameters, by name.

    Attributes
    ----------
    record : what it was made from.
    group : operations of a crystal, ``None`` for a cluster.
    kinds : one for each site of the asymmetric unit, or each species of a cluster.
    parameters : all structural ones; see the module.
    orbits : images of each site of a crystal's asymmetric unit.
    coordinates : for each coordinate, the site and the direction in which it moves it.
    """

    record: Record
    group: Operations | None
    kinds: tuple[Kind, ...]
    parameters: dict[str, Parameter]
    orbits: tuple[Orbit, ...] = ()
    coordinates: dict[str, tuple[int, Floats]] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Record, group: Operations | None = None) -> Phase:
        """Prepare a structure.

        Parameters
        ----------
        group : operations that take the place of those of the record's space group, for unusual settings.

        Raises
        ------
        RefinementError
            For a space group that does not exist.
        """
        if record.cell is None:
            return _cluster(record)
        found = group or operations(record.space_group or 1, record.setting)
        return _crystal(record, found)

    @property
    def periodic(self) -> bool:
        return self.group is not None

    @cached_property
    def cell_names(self) -> dict[str, tuple[int, ...]]:
        """Free cell parameters and the places that each sets."""
        if self.group is None or self.record.cell is None:
            return {}
        return free_cell(self.group.number, self.record.cell)

    def cell(self, values: Mapping[str, float]) -> Floats:
        """a, b, c, alpha, beta, gamma: (6,)."""
        if self.record.cell is None:
            raise RefinementError(f"{self.record.name}: a cluster has no cell")
        cell = np.array(self.record.cell, dtype=np.float64)
        for name, places in self.cell_names.items():
            cell[list(places)] = values.get(name, self.parameters[name].value)
        return cell

    def volume(self, values: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """Of the cell in angstrom^3, and its derivatives by the free cell parameters."""
        cell = self.cell(values)
        g = metric(cell)
        volume = float(np.sqrt(np.linalg.det(g)))
        inverse = np.linalg.inv(g)
        slopes = {
            name: 0.5 * volume * float(np.trace(inverse @ metric_slope(cell, places)))
            for name, places in self.cell_names.items()
        }
        return volume, slopes

    def site_values(self, values: Mapping[str, float]) -> tuple[Floats, Floats]:
        """Displacement and occupancy of each kind."""
        u = np.array([values[k.u] for k in self.kinds])
        return u, np.array([values[k.occupancy] for k in self.kinds])

    def refined(self, values: Mapping[str, float]) -> Record:
        """The record with refined cell, coordinates, occupancies and displacements, as an asymmetric unit."""
        record = self.record
        u, occupancy = self.site_values(values)
        if not self.periodic:
            places = self.cluster_places(values)
            of = [self._kind_of(name) for name in record.species]
            return replace(
                record,
                positions=places,
                occupancy=tuple(float(occupancy[k]) for k in of),
                u_iso=tuple(float(u[k]) for k in of),
            )
        a, b, c, alpha, beta, gamma = (float(v) for v in self.cell(values))
        return replace(
            record,
            cell=(a, b, c, alpha, beta, gamma),
            positions=np.stack([self.site(k, values) for k in range(len(self.kinds))]),
            occupancy=tuple(float(v) for v in occupancy),
            u_iso=tuple(float(v) for v in u),
        )

    def site(self, k: int, values: Mapping[str, float]) -> Floats:
        """Fractional coordinates of a site of the asymmetric unit: (3,)."""
        place: Floats = self.orbits[k].positions[0].copy()
        for name, (site, direction) in self.coordinates.items():
            if site in self._together(k):
                place += direction * (values[name] - self.parameters[name].value)
        return place

    def moves_of(self, k: int) -> dict[str, Floats]:
        """Coordinates that move site ``k``, each with its direction."""
        mates = self._together(k)
        return {name: direction for name, (site, direction) in self.coordinates.items() if site in mates}

    def _together(self, k: int) -> list[int]:
        """Sites at the place of site ``k``, which move with it."""
        off = [self.orbits[m].positions[0] - self.orbits[k].positions[0] for m in range(len(self.orbits))]
        return [m for m, v in enumerate(off) if (np.abs(v - np.round(v)) < SAME_SITE).all()]

    def _kind_of(self, species: str) -> int:
        return next(k for k, kind in enumerate(self.kinds) if kind.species == species)

    def cluster_places(self, values: Mapping[str, float]) -> Floats:
        """Cartesian coordinates of a cluster's atoms: (n, 3), angstrom."""
        places = np.array(self.record.positions, dtype=np.float64)
        for name, (atom, direction) in self.coordinates.items():
            places[atom] += direction * (values[name] - self.parameters[name].value)
        scaled: Floats = places * values["expansion"]
        return scaled


def _displacements(record: Record) -> dict[str, Parameter]:
    """One for each element: the mean of what the source gives, or a usual value."""
    given: dict[str, list[float]] = {}
    for k, name in enumerate(record.species):
        element = element_of(name)
        usual = U_START.get(element, U_METAL)
        value = record.u_iso[k] if k < len(record.u_iso) and record.u_iso[k] > 0 else usual
        given.setdefault(element, []).append(value)
    return {
        f"u_{element}": Parameter(
            f"u_{element}",
            float(np.clip(np.mean(values), U_BOUNDS[0] * 2, U_BOUNDS[1] / 2)),
            *U_BOUNDS,
            0.002,
            "angstrom^2",
        )
        for element, values in given.items()
    }


def _crystal(record: Record, group: Operations) -> Phase:
    elements = [element_of(name) for name in record.species]
    many = Counter(elements)
    seen: Counter[str] = Counter()
    labels: list[str] = []
    for element in elements:
        seen[element] += 1
        labels.append(f"{element}{seen[element]}" if many[element] > 1 else element)
    parameters = _cell_parameters(record, group) | _displacements(record)
    orbits = tuple(orbit(group, place) for place in record.positions)
    occupancies = record.occupancy or (1.0,) * len(labels)
    kinds = []
    for k, label in enumerate(labels):
        name = f"occ_{label}"
        parameters[name] = Parameter(name, max(SITE_START, float(occupancies[k])), SITE_START, 1.0, 0.05)
        kinds.append(Kind(record.species[k], label, f"u_{elements[k]}", name, len(orbits[k].positions)))
    phase = Phase(record, group, tuple(kinds), parameters, orbits)
    coordinates = _site_coordinates(phase)
    for name, (site, direction) in coordinates.items():
        axis = int(np.flatnonzero(direction)[0])
        value = float(phase.orbits[site].positions[0][axis])
        length = float(np.sqrt(direction @ metric(phase.cell({})) @ direction))
        room = SHIFT_ROOM / length
        parameters[name] = Parameter(name, value, value - room, value + room, 0.03 / length)
    return replace(phase, parameters=parameters, coordinates=coordinates)


def _cell_parameters(record: Record, group: Operations) -> dict[str, Parameter]:
    if record.cell is None:
        return {}
    result = {}
    for name, places in free_cell(group.number, record.cell).items():
        value = float(record.cell[places[0]])
        if places[0] < 3:
            room, natural, unit = CELL_ROOM * value, 0.003 * value, "angstrom"
        else:
            room, natural, unit = ANGLE_ROOM, 0.2, "degree"
        result[name] = Parameter(name, value, value - room, value + room, natural, unit)
    return result


def _site_coordinates(phase: Phase) -> dict[str, tuple[int, Floats]]:
    """Each free coordinate once; where the space group has no origin along an axis, one site stays."""
    if phase.group is None:
        return {}
    mean = phase.group.rotations.mean(axis=0)
    polar = {axis for axis in range(3) if np.abs(mean[axis]).max() > 1e-6}
    found: dict[str, tuple[int, Floats]] = {}
    for k, own in enumerate(phase.orbits):
        if min(phase._together(k)) < k:
            continue
        for direction in own.directions:
            axis = int(np.flatnonzero(direction)[0])
            if axis in polar:
                polar.remove(axis)
                continue
            found[f"{'xyz'[axis]}_{phase.kinds[k].label}"] = (k, direction)
    return found


def _cluster(record: Record) -> Phase:
    parameters = {
        "expansion": Parameter("expansion", 1.0, 1.0 - CELL_ROOM, 1.0 + CELL_ROOM, 0.003)
    } | _displacements(record)
    amounts = Counter(record.species)
    kinds = []
    for name, amount in sorted(amounts.items()):
        element = element_of(name)
        parameters[f"occ_{name}"] = Parameter(f"occ_{name}", 1.0, SITE_START, 1.0, 0.05)
        kinds.append(Kind(name, name, f"u_{element}", f"occ_{name}", amount))
    coordinates: dict[str, tuple[int, Floats]] = {}
    for k in range(len(record.species)):
        for axis in range(3):
            name = f"{'xyz'[axis]}{k + 1}"
            value = float(record.positions[k][axis])
            coordinates[name] = (k, np.eye(3)[axis])
            parameters[name] = Parameter(
                name, value, value - FREE_SHIFT_ROOM, value + FREE_SHIFT_ROOM, 0.03, "angstrom"
            )
    return Phase(record, None, tuple(kinds), parameters, (), coordinates)
