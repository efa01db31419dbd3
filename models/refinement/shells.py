"""Distances of a structure while its cell and coordinates change: found once, moved afterwards.

A *shell* is a set of pairs that keep one distance whatever the free parameters do: two pairs belong together when
their distances agree at several random settings of those parameters. CeO2 to 42 angstrom has 120,000 pairs and
430 shells, which is where the speed of the refinement comes from.

A crystal's shell has a difference vector v = v0 + sum_p D_p (p - p0) in fractional coordinates, d^2 = v g v with g the
metric tensor; a cluster's distance is its expansion times the distance of the places.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.phase import CELL_ROOM, Phase
from solvus.models.refinement.symmetry import metric, metric_slope

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Change = tuple[Ints | None, Floats]
"""Shells that a parameter moves (``None`` for all) and the derivatives of their distances."""

PROBES = 2
"""Random settings at which distances are compared, besides the start."""
ROUND = 1e-6
"""angstrom to which distances that agree are equal."""
COINCIDENT = 0.05
"""angstrom: nearer than this two sites are one mixed site and do not see each other."""
BIN = 0.001
"""angstrom: distances of a large cluster are put together that agree to this; beside peak widths of 0.05 angstrom
and more the change is below 1e-4 of a peak."""
MOST_FREE = 300
"""Atoms of a cluster whose places can be free: 900 coordinates."""
ROWS = 256
"""Rows of a distance matrix taken at once."""
SEED = 20240611


@dataclass(frozen=True)
class Shells:
    """Pairs of a structure, found out to ``reach`` (angstrom).

    Attributes
    ----------
    first, second : (k,) numbers of the two kinds; ``weight`` : (k,) ordered pairs of sites in one cell or cluster.
    vectors : (k, 3) at the start, fractional in a crystal and in angstrom in a cluster.
    moves : for each free coordinate the shells that it moves and (m, 3) how.
    """

    phase: Phase
    reach: float
    first: Ints
    second: Ints
    weight: Floats
    vectors: Floats
    moves: dict[str, tuple[Ints, Floats]]

    def __len__(self) -> int:
        return len(self.weight)

    def distances(
        self, values: Mapping[str, float], wanted: Collection[str]
    ) -> tuple[Floats, dict[str, Change]]:
        """d (k,) in angstrom and its derivatives by the wanted parameters that change it."""
        v = self._moved(values)
        if not self.phase.periodic:
            return self._of_cluster(v, values["expansion"], wanted)
        cell = self.phase.cell(values)
        g = metric(cell)
        vg = v @ g
        d = np.sqrt(np.einsum("ki,ki->k", vg, v))
        changes: dict[str, Change] = {}
        for name, places in self.phase.cell_names.items():
            if name in wanted:
                slope = metric_slope(cell, places)
                changes[name] = (None, np.einsum("ki,ij,kj->k", v, slope, v, optimize=True) / (2.0 * d))
        for name, (moved, how) in self.moves.items():
            if name in wanted:
                changes[name] = (moved, np.einsum("ki,ki->k", vg[moved], how) / d[moved])
        return d, changes

    def _moved(self, values: Mapping[str, float]) -> Floats:
        v = self.vectors
        if self.moves:
            v = v.copy()
            for name, (moved, how) in self.moves.items():
                v[moved] += how * (values[name] - self.phase.parameters[name].value)
        return v

    def _of_cluster(
        self, v: Floats, expansion: float, wanted: Collection[str]
    ) -> tuple[Floats, dict[str, Change]]:
        plain = np.sqrt(np.einsum("ki,ki->k", v, v))
        changes: dict[str, Change] = {}
        if "expansion" in wanted:
            changes["expansion"] = (None, plain)
        for name, (moved, how) in self.moves.items():
            if name in wanted:
                slope = expansion * np.einsum("ki,ki->k", v[moved], how) / plain[moved]
                changes[name] = (moved, slope)
        return expansion * plain, changes


def find_shells(phase: Phase, reach: float, free: Collection[str]) -> Shells:
    """All pairs of a crystal up to ``reach`` and of a cluster altogether.

    Parameters
    ----------
    reach : angstrom, for any cell that the bounds allow.
    free : parameters that will change; pairs are put together that these cannot tell apart.
    """
    if not phase.periodic:
        moving = [name for name in phase.coordinates if name in free]
        return _free_cluster(phase, moving) if moving else _rigid_cluster(phase)
    moving = [name for name in phase.coordinates if name in free]
    pairs = _pairs(phase, reach * (1.0 + CELL_ROOM))
    first, second, weight, vectors, shifts = _with_moves(phase, pairs, moving)
    kept, group = _together(phase, free, first, second, vectors, dict(zip(moving, shifts, strict=True)))
    total = np.bincount(group, weights=weight).astype(np.float64)
    moves = {}
    for name, shift in zip(moving, shifts, strict=True):
        moved = np.flatnonzero(np.abs(shift[kept]).max(axis=1) > 1e-9)
        moves[name] = (moved, shift[kept][moved])
    return Shells(phase, reach, first[kept], second[kept], total, vectors[kept], moves)


def _pairs(phase: Phase, far: float) -> tuple[Ints, Ints, Ints, Floats]:
    """First kind, second kind, image of the second kind, and difference vectors from the first site of each kind."""
    g = metric(phase.cell({}))
    spacing = np.sqrt(np.diag(np.linalg.inv(g)))
    counts = [int(np.ceil(far * s)) + 1 for s in spacing]
    axes = [np.arange(-n, n + 1, dtype=np.float64) for n in counts]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    diagonal = float(np.sqrt(3.0 * np.diag(g).max()))
    cells = cells[np.einsum("ki,ij,kj->k", cells, g, cells, optimize=True) <= (far + diagonal) ** 2]
    cells_g = cells @ g
    squares = np.einsum("ki,ki->k", cells_g, cells)
    found: list[tuple[Ints, Ints, Ints, Floats]] = []
    for i, own in enumerate(phase.orbits):
        for j, other in enumerate(phase.orbits):
            for image, place in enumerate(other.positions):
                off = place - own.positions[0]
                off -= np.round(off)
                d2 = squares + 2.0 * (cells_g @ off) + off @ g @ off
                near = cells[(d2 <= far**2) & (d2 > COINCIDENT**2)]
                size = len(near)
                found.append((np.full(size, i), np.full(size, j), np.full(size, image), near + off))
    columns = list(zip(*found, strict=True))
    ends = [np.concatenate([np.asarray(part, dtype=np.int64) for part in column]) for column in columns[:3]]
    return ends[0], ends[1], ends[2], np.concatenate([np.asarray(part) for part in columns[3]])


def _with_moves(
    phase: Phase, pairs: tuple[Ints, Ints, Ints, Floats], moving: list[str]
) -> tuple[Ints, Ints, Floats, Floats, list[Floats]]:
    first, second, image, vectors = pairs
    shifts = []
    for name in moving:
        site, direction = phase.coordinates[name]
        shift = np.zeros_like(vectors)
        for k in phase._together(site):
            turned = phase.orbits[k].rotations @ direction
            shift[second == k] += turned[image[second == k]]
            shift[first == k] -= turned[0]
        shifts.append(shift)
    amounts = np.array([kind.amount for kind in phase.kinds], dtype=np.float64)
    return first, second, amounts[first], vectors, shifts


def _together(
    phase: Phase,
    free: Collection[str],
    first: Ints,
    second: Ints,
    vectors: Floats,
    shifts: dict[str, Floats],
) -> tuple[Ints, Ints]:
    """One pair of each shell, and the shell of each pair: their kinds and distances agree at every probe."""
    random = np.random.default_rng(SEED)
    low, high = np.minimum(first, second), np.maximum(first, second)
    key = low * len(phase.kinds) + high
    for probe in range(1 + PROBES):
        values = {name: p.value for name, p in phase.parameters.items()}
        if probe:
            for name in (*phase.cell_names, *shifts):
                if name in free:
                    values[name] += phase.parameters[name].natural * random.uniform(-1.0, 1.0)
        v = vectors.copy()
        for name, shift in shifts.items():
            v += shift * (values[name] - phase.parameters[name].value)
        g = metric(phase.cell(values))
        d = np.sqrt(np.einsum("ki,ki->k", v @ g, v))
        # Any odd multiplier spreads the whole numbers over 64 bits; a chance collision has odds of 1e-9.
        key = key * np.int64(6364136223846793005) + np.round(d / ROUND).astype(np.int64)
    _, kept, group = np.unique(key, return_index=True, return_inverse=True)
    return kept, group


def _kind_numbers(phase: Phase) -> Ints:
    names = [kind.species for kind in phase.kinds]
    return np.array([names.index(name) for name in phase.record.species], dtype=np.int64)


def _rigid_cluster(phase: Phase) -> Shells:
    """Distances in bins of ``BIN``, each at the mean of its pairs; any number of atoms in the same memory."""
    places = np.array(phase.record.positions, dtype=np.float64)
    kind = _kind_numbers(phase)
    order = np.argsort(kind, kind="stable")
    places, kind = places[order], kind[order]
    size = len(phase.kinds)
    longest = float(np.linalg.norm(np.ptp(places, axis=0)))
    bins = int(longest / BIN) + 2
    counts, sums = np.zeros(size * size * bins), np.zeros(size * size * bins)
    for start in range(0, len(places), ROWS):
        block, rest = places[start : start + ROWS], places[start:]
        squared = (block**2).sum(1)[:, None] + (rest**2).sum(1) - 2.0 * block @ rest.T
        d = np.sqrt(np.maximum(squared, 0.0))
        apart = np.triu(np.ones(d.shape, dtype=bool), 1)
        row = (kind[start : start + ROWS, None] * size + kind[start:]) * bins
        place = (row + (d / BIN).astype(np.int64))[apart]
        counts += np.bincount(place, minlength=len(counts))
        sums += np.bincount(place, weights=d[apart], minlength=len(counts))
    used = np.flatnonzero(counts)
    mean = sums[used] / counts[used]
    if len(mean) and float(mean.min()) < COINCIDENT:
        raise RefinementError(f"{phase.record.name}: two atoms share one place")
    pair = used // bins
    vectors = np.zeros((len(used), 3))
    vectors[:, 0] = mean
    return Shells(phase, longest, pair // size, pair % size, 2.0 * counts[used], vectors, {})


def _free_cluster(phase: Phase, moving: list[str]) -> Shells:
    places = np.array(phase.record.positions, dtype=np.float64)
    if len(places) > MOST_FREE:
        raise RefinementError(
            f"positions: {len(places)} atoms are too many to move freely; at most {MOST_FREE} are taken"
        )
    kind = _kind_numbers(phase)
    i, j = np.triu_indices(len(places), 1)
    moves = {}
    for name in moving:
        atom, direction = phase.coordinates[name]
        moved = np.flatnonzero((i == atom) | (j == atom))
        sign = np.where(j[moved] == atom, 1.0, -1.0)
        moves[name] = (moved, sign[:, None] * direction)
    longest = float(np.linalg.norm(np.ptp(places, axis=0)))
    return Shells(phase, longest, kind[i], kind[j], np.full(len(i), 2.0), places[j] - places[i], moves)
