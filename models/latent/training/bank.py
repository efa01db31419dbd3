"""The particles that the autoencoder is trained on: invariants, constructions as numbers, and short curves of F(Q).

Each particle has two curves (:mod:`solvus.models.recognition.geometry_curves`): one of the ideal structure, and one of
what a sample of it may be, strained, with a contracted surface and with displacements and correlated motion of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from solvus.models.latent.construction import DEEPEST, Construction, radius_of
from solvus.models.latent.invariants import local_order, standard_patterns
from solvus.models.latent.network import CENTRES, LETTERS, NAMES
from solvus.models.latent.packings import MOST_FORMS
from solvus.models.latent.training.drawn import drawn
from solvus.models.recognition.geometry_curves import geometry_row
from solvus.models.recognition.training.varied import DELTA2, HEAVY_U
from solvus.models.recognition.training.workers import Mapping
from solvus.models.structures.build import scattering_of
from solvus.models.structures.clusters import unit_positions
from solvus.models.structures.elements import CONTACT

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]

LEAST_HEIGHT = 0.25
"""Bond lengths: what a height of zero, of a single plane, is taken for under the logarithm."""
STRAIN = 0.008
"""Standard deviation of the strain along each of three directions."""
SURFACE, CONTRACTED = 0.03, 0.5
"""Largest contraction of the surface, and the share of particles that have any."""


@dataclass(frozen=True)
class Told:
    """Constructions of n particles as numbers.

    Attributes
    ----------
    packing, centre : (n,) numbers in ``NAMES`` and ``CENTRES``.
    height : (n, forms) logarithm of the tight heights over the radius, NaN where the packing has no such form.
    radius : (n,) logarithm, bond lengths.
    letters : (n, letters) 1 for h; inner : (n, letters) whether the letter matters.
    eccentricity : (n,) in radii, NaN where the centre is a special position or lies in a cell.
    """

    packing: NDArray[np.int64]
    centre: NDArray[np.int64]
    height: Singles
    radius: Singles
    letters: NDArray[np.bool_]
    inner: NDArray[np.bool_]
    eccentricity: Singles


@dataclass(frozen=True)
class Particles:
    """n particles: their invariants (n, COUNT), curves of the sample (n, m), and constructions."""

    invariants: Singles
    f: Singles
    told: Told

    def save(self, path: Path) -> None:
        """Written whole or not at all."""
        part = path.with_suffix(".part.npz")
        told = {field.name: getattr(self.told, field.name) for field in fields(Told)}
        np.savez(part, allow_pickle=False, invariants=self.invariants, f=self.f, **told)
        part.replace(path)

    @staticmethod
    def load(path: Path) -> Particles:
        with np.load(path) as data:
            told = Told(**{field.name: data[field.name] for field in fields(Told)})
            return Particles(data["invariants"], data["f"], told)


def particles(
    count: int, seed: int, mapping: Mapping, progress: Progress = lambda rows, total: rows
) -> Particles:
    """``count`` particles; the same for one seed, however they are made."""
    keys = [(seed, k) for k in range(count)]
    made = list(progress(mapping(_made, keys), count))
    orders, stills, curves, told = (list(column) for column in zip(*made, strict=True))
    invariants = np.hstack([standard_patterns(np.stack(stills)), np.stack(orders)])
    return Particles(invariants.astype(np.float32), np.stack(curves), told_of(told))


def _made(key: tuple[int, int]) -> tuple[Singles, Singles, Singles, Construction]:
    generator = np.random.default_rng(key)
    found = drawn(generator)
    positions = found.positions
    still = geometry_row(scattering_of(positions)[1], 0.0, 0.0)
    sample = scattering_of(sampled(positions, generator))[1]
    u = float(np.exp(generator.uniform(*np.log(HEAVY_U))))
    curve = geometry_row(sample, u, float(generator.uniform(*DELTA2)))
    # Kept without its atoms, which are many.
    plain = Construction(found.packing, found.centre, found.heights, found.offset, found.letters)
    return local_order(positions), still, curve, plain


def sampled(positions: Floats, generator: np.random.Generator) -> Floats:
    """A structure as a sample may have it: (n, 3), mean contact distance 1."""
    axes = Rotation.random(random_state=generator).as_matrix()
    stretch = np.diag(1.0 + generator.normal(0.0, STRAIN, 3))
    places = positions @ (axes.T @ stretch @ axes)
    contraction = SURFACE * generator.random() * (generator.random() < CONTRACTED)
    if contraction:
        pairs = cKDTree(positions).query_pairs(CONTACT, output_type="ndarray")
        neighbours = np.bincount(pairs.ravel(), minlength=len(positions))
        outside = neighbours < neighbours.max()
        places = places * np.where(outside, 1.0 - contraction, 1.0)[:, None]
    return unit_positions(places)


def told_of(constructions: list[Construction]) -> Told:
    """Constructions, which must be tight, as numbers."""
    n = len(constructions)
    height = np.full((n, MOST_FORMS), np.nan, dtype=np.float32)
    letters, inner = np.zeros((2, n, LETTERS), dtype=bool)
    radius, eccentricity = np.full((2, n), np.nan, dtype=np.float32)
    for k, c in enumerate(constructions):
        r = radius_of(c.packing, c.n_atoms)
        radius[k] = math.log(r)
        height[k, : len(c.heights)] = np.log(np.maximum(c.heights, LEAST_HEIGHT) / r)
        if c.letters:
            letters[k] = [letter == "h" for letter in c.letters]
            inner[k] = [place - DEEPEST in c.layers for place in range(LETTERS)]
        if c.kind.eccentric and c.centre not in c.kind.centres:
            eccentricity[k] = np.linalg.norm(c.offset) / r
    packing = np.array([NAMES.index(c.packing) for c in constructions], dtype=np.int64)
    centre = np.array([CENTRES[NAMES.index(c.packing)].index(c.centre) for c in constructions])
    return Told(packing, centre.astype(np.int64), height, radius, letters, inner, eccentricity)
