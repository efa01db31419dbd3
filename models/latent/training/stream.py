"""Patterns of the particles under drawn conditions, without end: each batch from its number and the seed alone.

Conditions and errors are those of the recogniser's training (:mod:`solvus.models.recognition.training.stream`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.latent.training.bank import Particles, Told
from solvus.models.latent.training.recipe import Recipe
from solvus.models.recognition.canonical import inputs
from solvus.models.recognition.curves import curves, damping, sphere
from solvus.models.recognition.encoder import Encoder
from solvus.models.recognition.geometry_curves import GEOMETRY_REACH, REFERENCE_BOND
from solvus.models.recognition.training.stream import (
    BONDS,
    EXTRA_U,
    drawn_conditions,
    drawn_errors,
    log_uniform,
    scaled,
    slow_error,
)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

UNKNOWN = 0.35
"""Share of patterns whose damping is not told."""
SPREAD, MOST_SMALLER, SMALLER = 0.5, 0.8, (0.35, 0.9)
"""Share of samples of more than one size, the largest share of the smaller particles in one, and their size over that
of the others."""


@dataclass(frozen=True)
class Batch:
    """n particles with a pattern each.

    Attributes
    ----------
    invariants : (n, COUNT). values : (n, 308) canonical inputs. features : (n, width) of the recogniser.
    bond : (n,) logarithm of the bond length, angstrom. told : their constructions.
    """

    invariants: Singles
    values: Singles
    features: Singles
    bond: Singles
    told: Told


class Stream:
    """Batches by number; ``encoder`` is that of the recogniser."""

    def __init__(self, particles: Particles, recipe: Recipe, encoder: Encoder) -> None:
        self._particles, self._recipe, self._encoder = particles, recipe, encoder

    def batch(self, number: int, *, key: int = 11) -> Batch:
        """The batch with this number; ``key`` sets apart the draws of one purpose from those of another."""
        generator = np.random.default_rng((self._recipe.seed, key, number))
        held, n = self._particles, self._recipe.batch
        rows = generator.integers(len(held.f), size=n)
        conditions = drawn_conditions(n, generator, 0.0)
        bond = log_uniform(BONDS, n, generator)
        extra = generator.exponential(EXTRA_U, n)
        g = curves(held.f[rows], GEOMETRY_REACH, bond / REFERENCE_BOND, extra, conditions)
        radius = np.exp(held.told.radius[rows].astype(np.float64)) * bond
        g = g * _of_sizes(radius, generator) * damping(conditions.qdamp)
        _, errors = drawn_errors(conditions, generator)
        unknown = generator.random(n) < UNKNOWN
        stated = replace(conditions, qdamp=np.where(unknown, np.nan, conditions.qdamp))
        values = inputs(slow_error(scaled(g), generator) + errors, stated)
        told = Told(**{f.name: getattr(held.told, f.name)[rows] for f in fields(Told)})
        return Batch(
            held.invariants[rows],
            values,
            features_of(self._encoder, values),
            np.log(bond).astype(np.float32),
            told,
        )


def _of_sizes(radius: Floats, generator: np.random.Generator) -> Floats:
    """What smaller particles of the same structure beside those of the given radii (n,) do to G: (n, 300).

    A smaller particle is taken for a sphere cut out of the larger one.
    """
    n = len(radius)
    share = MOST_SMALLER * generator.random(n) * (generator.random(n) < SPREAD)
    smaller = sphere(2.0 * radius * generator.uniform(*SMALLER, n))
    return np.asarray(1.0 - share[:, None] * (1.0 - smaller))


def features_of(encoder: Encoder, values: Singles) -> Singles:
    """What the recogniser's heads read of canonical inputs (n, 308): (n, width)."""
    with torch.inference_mode():
        found: Singles = encoder.features(torch.from_numpy(values)).numpy()
    return found
