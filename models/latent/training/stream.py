"""Patterns of the particles under drawn conditions, without end: each batch from its number and the seed alone.

Conditions and errors are those of the recogniser's training (:mod:`solvus.models.recognition.training.stream`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.latent.training.bank import Particles, Told
from solvus.models.latent.training.recipe import Recipe
from solvus.models.recognition.canonical import inputs
from solvus.models.recognition.curves import curves, damping
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

Singles = NDArray[np.float32]


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
        g = slow_error(scaled(g * damping(conditions.qdamp)), generator)
        _, errors = drawn_errors(conditions, generator)
        values = inputs(g + errors, conditions)
        told = Told(**{f.name: getattr(held.told, f.name)[rows] for f in fields(Told)})
        return Batch(
            held.invariants[rows],
            values,
            features_of(self._encoder, values),
            np.log(bond).astype(np.float32),
            told,
        )


def features_of(encoder: Encoder, values: Singles) -> Singles:
    """What the recogniser's heads read of canonical inputs (n, 308): (n, width)."""
    with torch.inference_mode():
        found: Singles = encoder.features(torch.from_numpy(values)).numpy()
    return found
