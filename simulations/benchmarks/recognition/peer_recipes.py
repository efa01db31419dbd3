"""How MetalFinder and POMFinder are trained, as published: patterns, features, trees.

    a cluster -> G(r) under drawn conditions -> divided by its maximum, with Qmin, Qmax, Qdamp beside it
              -> boosted trees that give each cluster a probability (multi:softprob)

MetalFinder: 100 training patterns of each cluster with Qmin U(0, 2), Qmax U(12, 25), Qdamp U(0.01, 0.04), B U(0.1, 1)
and delta2 = 2 angstrom^2, r from 0 to 29.9 in steps of 0.1; depth 3, learning rate 0.15, 500 rounds. POMFinder: 100
patterns of each cluster, r to 10 with the first ten points nought, 137 rounds; its ranges are not published, and
MetalFinder's, by the same authors, stand for them. Neither adds noise or strain. Two things are not as published, since
the version of xgboost is not: splits are looked for in histograms of 256 values of each feature ("hist"), and nothing
stops the rounds early. Lengths in angstrom, Q in 1/angstrom, B in angstrom^2.

A. S. Anker et al., repository MetalFinder (2023); A. S. Anker et al., J. Appl. Cryst. 57, 34 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.structures.record import Family, Record
from solvus.simulations.benchmarks.recognition.draws import Range
from solvus.simulations.benchmarks.recognition.fast_curves import Measurements, cluster_pdfs
from solvus.simulations.benchmarks.recognition.metal_clusters import B_PER_U

Floats = NDArray[np.float64]
Features = NDArray[np.float32]

SEED = 37
"""Of the training patterns; the one that MetalFinder states."""
TRAINING = 4
"""Stream of random numbers of the seed; those of test patterns are 1 to 3, so the two differ even with equal seeds."""
POINTS_PER_ANGSTROM = 10
RANGES: Mapping[str, Range] = MappingProxyType(
    {"qmin": (0.0, 2.0), "qmax": (12.0, 25.0), "qdamp": (0.01, 0.04), "b_iso": (0.1, 1.0)}
)
DELTA2 = 2.0
"""angstrom^2."""


@dataclass(frozen=True)
class Recipe:
    """What is published of a peer.

    Attributes
    ----------
    name : of the peer, for files and sentences.
    points : of G(r), from r = 0 in steps of 0.1 angstrom; the first ``zeroed`` are nought.
    patterns : of each cluster.
    rounds : of boosting; in each one tree for each cluster, of at most ``depth`` decisions, weighted by ``rate``.
    """

    name: str
    points: int
    zeroed: int
    rounds: int
    patterns: int = 100
    depth: int = 3
    rate: float = 0.15

    @property
    def r(self) -> Floats:
        """(points,)."""
        return np.asarray(np.arange(self.points) / POINTS_PER_ANGSTROM, dtype=np.float64)


RECIPES: Mapping[Family, Recipe] = MappingProxyType(
    {
        "metal": Recipe("MetalFinder", points=300, zeroed=0, rounds=500),
        "polyoxometalate": Recipe("POMFinder", points=101, zeroed=10, rounds=137),
    }
)
"""By the family of the clusters that a test brings along."""


def training_set(recipe: Recipe, record: Record, index: int) -> Features:
    """Features of all patterns of one cluster, the ``index``-th: (patterns, points + 3)."""
    generator = np.random.default_rng([SEED, TRAINING, index])
    drawn = {name: generator.uniform(*limits, recipe.patterns) for name, limits in RANGES.items()}
    under = Measurements(drawn["qmin"], drawn["qmax"], drawn["qdamp"], drawn["b_iso"] / B_PER_U)
    species = [atom.symbol for atom in record.atoms()]
    g = cluster_pdfs(species, record.positions, recipe.r, under, delta2=DELTA2)
    return _features(recipe, g, np.stack([under.qmin, under.qmax, under.qdamp], axis=1))


def features_of(recipe: Recipe, patterns: Sequence[Pattern]) -> Features:
    """Features of measured patterns; conditions that are not stated are missing values: (n, points + 3)."""
    g = np.stack([np.interp(recipe.r, pattern.x, pattern.y) for pattern in patterns])
    stated = [(p.conditions.qmin, p.conditions.qmax, p.conditions.qdamp) for p in patterns]
    known = [[math.nan if value is None else value for value in row] for row in stated]
    return _features(recipe, g, np.array(known))


def _features(recipe: Recipe, g: Floats, stated: Floats) -> Features:
    shown = np.where(np.arange(recipe.points) < recipe.zeroed, 0.0, g)
    scaled = shown / shown.max(axis=1, keepdims=True)
    return np.concatenate([scaled, stated], axis=1).astype(np.float32)
