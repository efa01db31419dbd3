"""G(r) of a record as the reference measurement of the classes sees it, with its cell stretched along x, y and z.

The measurement (:data:`REFERENCE`): X-rays, Qmin 0.8 and Qmax 25 1/angstrom, qdamp 0.03 1/angstrom, a powder of endless
crystals or of clusters, compared from 1.2 to 15 angstrom; amplitudes are those at Q = 0, the number of electrons.

    F(Q) = 1 / (N <b>^2)  sum_d w(d) sin(Q d) / d  exp(-u Q^2)
    G(r) = 2/pi int F(Q) sin(Q r) dQ  exp(-(qdamp r)^2 / 2)

with w(d) = sum of b_i b_j over ordered pairs at distance d, less the mean density in a crystal, whose sum fades out
between ``FADE`` (angstrom); the short cut costs what cancels in a comparison of two curves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from ase.cell import Cell
from ase.data import atomic_numbers
from ase.spacegroup import Spacegroup
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvus.models.scattering.form_factors import element_of
from solvus.models.structures.record import SAME_SITE, Record

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

REFERENCE = {"qmin": 0.8, "qmax": 25.0, "qdamp": 0.03, "rmin": 1.2, "rmax": 15.0, "u_iso": 0.005}
"""1/angstrom, angstrom and angstrom^2."""
FADE = (15.5, 18.0)
STEP = 0.01
"""Of the distances, angstrom; shared between two neighbouring nodes it widens a peak by under 0.002 angstrom."""
Q_STEP = 0.12
"""1/angstrom: below pi / 18 angstrom, so that nothing folds back."""
EQUAL_SQUARES = 4
"""Decimals, angstrom^2: below 1e-4 angstrom at any distance of a pair."""
CELLS = 60
"""Images of a cell along one direction at most; an edge of 1.2 angstrom would need as many."""


@dataclass(frozen=True)
class Pairs:
    """Every pair that a measurement to ``FADE`` sees.

    Attributes
    ----------
    squares : (n, 3) of the components of the vector from one atom to another, angstrom^2; x, y and z follow the cell
        as `ase` puts it. Vectors that differ in signs only are one row.
    weights : (n,) sum of b_i b_j / (N <b>^2) over the ordered pairs that each stands for.
    density : atoms per angstrom^3; 0 for a cluster.
    freedom : (3, k): which of k independent stretches acts along x, y and z.
    """

    squares: Floats
    weights: Floats
    density: float
    freedom: Floats


@dataclass(frozen=True)
class Geometry:
    """Every pair of a structure, whatever atoms its sites hold.

    Attributes
    ----------
    squares, freedom, density : as of :class:`Pairs`.
    row : (p,) which row of ``squares`` each ordered pair belongs to.
    one, two : (p,) its sites; ``count`` (m,) atoms that each site stands for.
    """

    squares: Floats
    freedom: Floats
    density: float
    row: Indices
    one: Indices
    two: Indices
    count: Floats

    def pairs(self, electrons: Floats) -> Pairs:
        """With so many electrons on each site, (m,)."""
        b, n = electrons, self.count
        mean = float(b @ n) / n.sum()
        strength = n[self.one] * b[self.one] * b[self.two] / (n.sum() * mean**2)
        weights = np.bincount(self.row, strength, len(self.squares)).astype(np.float64)
        return Pairs(self.squares, weights, self.density, self.freedom)


def pairs_of(record: Record) -> Pairs:
    """The pairs of a record."""
    return geometry_of(record).pairs(sites_of(record)[2])


def geometry_of(record: Record) -> Geometry:
    """The pairs of a record without its atoms; sites are those of :func:`sites_of`, in that order."""
    lattice, sites, _, count = sites_of(record)
    if record.cell is None:
        one, two = np.nonzero(~np.eye(len(sites), dtype=bool))
        squares, row = _merged(sites[two] - sites[one])
        return Geometry(squares, np.ones((3, 1)), 0.0, row, one, two, count)
    everything, site = _whole(record, lattice, sites)
    inverse = np.linalg.inv(lattice)
    reach = np.minimum(np.ceil(FADE[1] * np.linalg.norm(inverse, axis=0)).astype(int) + 1, CELLS)
    shifts = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1).reshape(-1, 3)
    images = (everything[None] + (shifts @ lattice)[:, None]).reshape(-1, 3)
    kinds = np.tile(site, len(shifts))
    near = cKDTree(images).query_ball_point(sites, FADE[1])
    one = np.repeat(np.arange(len(sites)), [len(found) for found in near])
    found = np.concatenate([np.asarray(indices, dtype=np.int64) for indices in near])
    away = images[found] - sites[one]
    apart = np.linalg.norm(away, axis=1) > SAME_SITE
    squares, row = _merged(away[apart])
    density = float(count.sum()) / float(abs(np.linalg.det(lattice)))
    return Geometry(squares, _freedom(record), density, row, one[apart], kinds[found][apart], count)


def _merged(vectors: Floats) -> tuple[Floats, Indices]:
    squares, row = np.unique(np.round(vectors**2, EQUAL_SQUARES), axis=0, return_inverse=True)
    return squares, row.ravel()


@cache
def _group(number: int, setting: int) -> Spacegroup:
    """`ase` reads its table of space groups anew for each one."""
    return Spacegroup(number, setting)


def sites_of(record: Record) -> tuple[Floats, Floats, Floats, Floats]:
    """Lattice, one place of each orbit (cartesian), its electrons and how many atoms it stands for."""
    share = np.array(record.occupancy or (1.0,) * len(record.species))
    electrons = share * [atomic_numbers[element_of(name)] for name in record.species]
    if record.cell is None:
        return np.eye(3), record.positions, electrons, np.ones(len(electrons))
    lattice = Cell.fromcellpar(record.cell).array  # type: ignore[no-untyped-call]
    group = _group(record.space_group or 1, record.setting)
    distinct: list[Floats] = []
    amplitude: list[float] = []
    count: list[float] = []
    for place, b in zip(record.positions, electrons, strict=True):
        known = next(
            (
                i
                for i, other in enumerate(distinct)
                if np.abs((place - other + 0.5) % 1.0 - 0.5).max() < SAME_SITE
            ),
            None,
        )
        if known is not None:  # a mixed site scatters with the sum of what shares it
            amplitude[known] += float(b)
            continue
        distinct.append(place)
        amplitude.append(float(b))
        count.append(float(len(group.equivalent_sites([place], symprec=SAME_SITE)[0])))  # type: ignore[no-untyped-call]
    return lattice, np.array(distinct) @ lattice, np.array(amplitude), np.array(count)


def _whole(record: Record, lattice: Floats, sites: Floats) -> tuple[Floats, Indices]:
    """Every place of the cell (cartesian), and which of the sites it is."""
    group = _group(record.space_group or 1, record.setting)
    fractional = sites @ np.linalg.inv(lattice)
    orbits = [group.equivalent_sites([place], symprec=SAME_SITE)[0] for place in fractional]  # type: ignore[no-untyped-call]
    return np.vstack(orbits) @ lattice, np.repeat(np.arange(len(sites)), [len(orbit) for orbit in orbits])


def _freedom(record: Record) -> Floats:
    """Cubic cells stretch in one way, those with one unique axis in two, others along each axis."""
    number = record.space_group or 1
    if number >= 195:
        return np.ones((3, 1))
    if number >= 75:
        return np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    return np.eye(3)


class Measurement:
    """The reference measurement: matrices that turn a histogram of distances into G(r)."""

    def __init__(self) -> None:
        qmin, qmax = REFERENCE["qmin"], REFERENCE["qmax"]
        self.q = np.arange(qmin, qmax, Q_STEP)
        self.d = np.arange(1, round(FADE[1] / STEP) + 2) * STEP
        self.r = np.arange(REFERENCE["rmin"], REFERENCE["rmax"], np.pi / qmax / 1.5)
        damping = np.exp(-0.5 * (REFERENCE["qdamp"] * self.r) ** 2)
        self._back = np.sin(np.outer(self.r, self.q)) * damping[:, None] * (2.0 / np.pi * Q_STEP)
        position = np.clip((self.d - FADE[0]) / (FADE[1] - FADE[0]), 0.0, 1.0)
        fading = 0.5 * (1.0 + np.cos(np.pi * position))
        self._forth = np.sin(np.outer(self.q, self.d)) / self.d
        self._fading_forth = self._forth * fading

    def curve(self, pairs: Pairs, stretch: Floats, u: float) -> Floats:
        """G(r) on ``r``; ``stretch`` (k,) are relative changes, one for each freedom."""
        axes = 1.0 + pairs.freedom @ stretch
        distance = np.sqrt(pairs.squares @ axes**2)
        position = distance / STEP - 1.0
        below = position.astype(np.int64)
        inside = (below >= 0) & (below < len(self.d) - 1)
        below, part, weights = below[inside], (position - below)[inside], pairs.weights[inside]
        n = len(self.d)
        nodes = np.bincount(below, weights * (1.0 - part), n) + np.bincount(below + 1, weights * part, n)
        if not pairs.density:
            return self._transformed(self._forth @ nodes, u)
        mean = 4.0 * np.pi * pairs.density / float(np.prod(axes)) * self.d**2 * STEP
        return self._transformed(self._fading_forth @ (nodes - mean), u)

    def _transformed(self, f: Floats, u: float) -> Floats:
        curve: Floats = self._back @ (f * np.exp(-u * self.q**2))
        return curve
