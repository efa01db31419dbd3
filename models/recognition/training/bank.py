"""The structures that training draws from, as short curves of F(Q): every record in several variants.

A *shelf* holds rows of one kind: F at the odd multiples of pi / (2 reach) up to a largest Q, with distances fading out
before ``reach``, as in :mod:`solvus.models.recognition.signatures`; the same sine transform then gives G(r) for any
range of Q, stretch and additional displacement (:mod:`solvus.models.recognition.training.stream`). The scattering
engine makes each row once; drawing from it costs microseconds. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.identification import NONE
from solvus.models.recognition.geometry_curves import (
    GEOMETRY_REACH,
    REFERENCE_BOND,
    fading,
    geometry_row,
)
from solvus.models.recognition.labels import Labels
from solvus.models.recognition.signatures import FADING, Q_LIMIT, R_STEP, REACH, SHORT, SPARE, Radiation
from solvus.models.recognition.training.shapes import drawn_shape
from solvus.models.recognition.training.varied import DELTA2, HEAVY_U, Variant, variant_of
from solvus.models.recognition.training.workers import Mapping
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.form_factors import ElementError
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.sine_transforms import to_half_steps
from solvus.models.scattering.size_distribution import sphere_diameter
from solvus.models.structures.build import scattering_of
from solvus.models.structures.clusters import diameter
from solvus.models.structures.library import Library
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]

SHELVES = ("xray", "wide", "neutron", "geometry", "shape", "foreign")


@dataclass(frozen=True)
class Shelf:
    """Rows of one reach and radiation.

    Attributes
    ----------
    f : (n, m); reach : angstrom.
    entry : (n,) number of the library entry in the labels, -1 for none.
    kind : (n,) number of the structure type, that of "none of these" for other chemistry.
    metals : (n, groups) whether each group of metals is there; known : (n,) whether the pattern can say.
    crystalline : (n,) whether a size can limit it.
    spacing : (n,) cube root of the volume for each atom of a crystal, or bond length of a geometry; NaN if neither.
    diameter : (n,) of a cluster; NaN for a crystal.
    """

    f: Singles
    reach: float
    entry: NDArray[np.int64]
    kind: NDArray[np.int64]
    metals: NDArray[np.bool_]
    known: NDArray[np.bool_]
    crystalline: NDArray[np.bool_]
    spacing: Singles
    diameter: Singles

    @property
    def q(self) -> Singles:
        """(m,) 1/angstrom."""
        return np.asarray(math.pi / self.reach * (np.arange(self.f.shape[1]) + 0.5), dtype=np.float32)

    def save(self, path: Path) -> None:
        """Written whole or not at all."""
        part = path.with_suffix(".part.npz")
        np.savez(
            part, allow_pickle=False, **{field.name: getattr(self, field.name) for field in fields(self)}
        )
        part.replace(path)

    @staticmethod
    def load(path: Path) -> Shelf:
        with np.load(path) as data:
            columns = {field.name: data[field.name] for field in fields(Shelf)}
        return Shelf(**(columns | {"reach": float(columns["reach"])}))


@dataclass(frozen=True)
class Bank:
    """``xray`` and ``neutron``: the catalogue; ``wide``: those of its crystals that have several cell lengths, each
    strained widely; ``geometry``: metal clusters; ``shape``: those of any shape; ``foreign``: other chemistry."""

    xray: Shelf
    wide: Shelf
    neutron: Shelf
    geometry: Shelf
    shape: Shelf
    foreign: Shelf

    @staticmethod
    def load(folder: Path) -> Bank:
        return Bank(**{name: Shelf.load(folder / f"{name}.npz") for name in SHELVES})


@dataclass(frozen=True)
class _Job:
    """Variants of one record, as they travel to a worker."""

    record: Record
    radiation: Radiation
    count: int
    key: tuple[int, ...]
    wide: bool


@dataclass(frozen=True)
class _Row:
    f: Singles
    elements: frozenset[str]
    faithful: bool
    spacing: float
    diameter: float


def shelf_of(
    records: Sequence[Record],
    labels: Labels,
    radiation: Radiation,
    *,
    count: int,
    seed: int,
    foreign: bool = False,
    wide: bool = False,
    mapping: Mapping,
    progress: Progress = lambda rows, total: rows,
) -> Shelf:
    """``count`` variants of each record; those that the radiation has no data for are left out.

    Parameters
    ----------
    foreign : the records belong to no structure type that is to be recognised.
    wide : each cell length is strained widely.
    """
    jobs = [_Job(r, radiation, count, (seed, int(foreign), k), wide) for k, r in enumerate(records)]
    rows: list[_Row] = []
    owners: list[Record] = []
    for record, made in zip(records, progress(mapping(_rows, jobs), len(jobs)), strict=True):
        rows += made
        owners += [record] * len(made)
    entry = [
        labels.entry(o.name) if r.faithful and not foreign else -1 for o, r in zip(owners, rows, strict=True)
    ]
    kind = [labels.kind(NONE if foreign else o.type) for o in owners]
    return Shelf(
        np.stack([r.f for r in rows]),
        REACH,
        np.array(entry, dtype=np.int64),
        np.array(kind, dtype=np.int64),
        np.stack([labels.metals(r.elements) for r in rows]),
        np.array([len(r.elements) > 1 and not foreign for r in rows]),
        np.array([o.periodic for o in owners]),
        np.array([r.spacing for r in rows], dtype=np.float32),
        np.array([r.diameter for r in rows], dtype=np.float32),
    )


def _rows(job: _Job) -> list[_Row]:
    generator = np.random.default_rng(job.key)
    try:
        return [
            _row(variant_of(job.record, generator, wide=job.wide), job.radiation) for _ in range(job.count)
        ]
    except ElementError:
        return []


def _row(variant: Variant, radiation: Radiation) -> _Row:
    wide = Settings(
        rmax=REACH,
        rstep=R_STEP,
        qmax=Q_LIMIT + SPARE,
        extension=SHORT,
        radiation=radiation,
        delta2=variant.delta2,
    )
    curves = calculate(variant.structure, wide)
    faded = curves.g * torch.from_numpy(fading(curves.r.numpy(), REACH, FADING))
    f = to_half_steps(faded, round(REACH / R_STEP), round(Q_LIMIT * REACH / math.pi)).numpy() * R_STEP
    finite = variant.structure.lattice is None
    diameter = sphere_diameter(variant.structure) if finite else math.nan
    return _Row(f.astype(np.float32), variant.elements, variant.faithful, variant.spacing, diameter)


def geometry_shelf(library: Library, labels: Labels, *, count: int, seed: int) -> Shelf:
    """``count`` variants of every metal geometry at the reference bond length, with displacements and correlated motion
    of their own."""
    rows = []
    for entry in library.entries:
        generator = np.random.default_rng((seed, 2, entry.index))
        for _ in range(count):
            u = float(np.exp(generator.uniform(*np.log(HEAVY_U))))
            rows.append(geometry_row(library.scattering(entry), u, float(generator.uniform(*DELTA2))))
    owners = [entry for entry in library.entries for _ in range(count)]
    numbers = [labels.entry(e.name) for e in owners]
    sizes = [e.diameter * REFERENCE_BOND for e in owners]
    return _of_metals(rows, labels, numbers, [e.family for e in owners], sizes)


def shape_shelf(
    labels: Labels,
    *,
    count: int,
    seed: int,
    mapping: Mapping,
    progress: Progress = lambda rows, total: rows,
) -> Shelf:
    """``count`` metal clusters of any shape, none of which is an entry of the library."""
    keys = [(seed, 3, k) for k in range(count)]
    made = list(progress(mapping(_shape_row, keys), count))
    rows, families, sizes = (list(column) for column in zip(*made, strict=True))
    return _of_metals(rows, labels, [-1] * count, families, sizes)


def _shape_row(key: tuple[int, ...]) -> tuple[Singles, str, float]:
    """F, family and diameter (angstrom) of one."""
    generator = np.random.default_rng(key)
    family, sites = drawn_shape(generator)
    u = float(np.exp(generator.uniform(*np.log(HEAVY_U))))
    row = geometry_row(scattering_of(sites)[1], u, float(generator.uniform(*DELTA2)))
    return row, family, diameter(family, len(sites), REFERENCE_BOND)


def _of_metals(
    rows: Sequence[Singles],
    labels: Labels,
    entry: Sequence[int],
    families: Sequence[str],
    diameters: Sequence[float],
) -> Shelf:
    n = len(rows)
    return Shelf(
        np.stack(rows),
        GEOMETRY_REACH,
        np.array(entry, dtype=np.int64),
        np.array([labels.kind(family) for family in families], dtype=np.int64),
        np.zeros((n, len(labels.groups)), dtype=bool),
        np.zeros(n, dtype=bool),
        np.zeros(n, dtype=bool),
        np.full(n, REFERENCE_BOND, dtype=np.float32),
        np.array(diameters, dtype=np.float32),
    )
