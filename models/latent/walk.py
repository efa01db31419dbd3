"""The way between two structures through the latent space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.latent.decode import decoded
from solvus.models.latent.particle import Particle
from solvus.models.latent.physical import Physical, physical
from solvus.models.latent.placing import invariants_of, places_of
from solvus.models.latent.weights import Weights
from solvus.models.structures.build import scattering_of
from solvus.models.structures.clusters import unit_positions

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """One place on the way: z (d,), the structure decoded there (``None``: none), and what was found wrong with it."""

    z: Floats
    particle: Particle | None
    check: Physical

    @property
    def sane(self) -> bool:
        return self.particle is not None and self.check.sane


def place_of(weights: Weights, positions: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation (d,) of a structure in the latent space.

    Parameters
    ----------
    positions : (n, 3), any unit of length.
    """
    unit = unit_positions(positions)
    mean, sd = places_of(weights.model, invariants_of([unit], [scattering_of(unit)[1]]))
    return mean[0], sd[0]


def walk(weights: Weights, start: Floats, end: Floats, steps: int) -> list[Step]:
    """``steps`` structures on the straight line between two places (d,), both ends among them."""
    line = np.linspace(0.0, 1.0, steps)[:, None]
    places: Floats = start * (1.0 - line) + end * line
    return [
        _step(z, None if construction is None else Particle.of(construction))
        for z, construction in zip(places, decoded(weights.model, places), strict=True)
    ]


def _step(z: Floats, particle: Particle | None) -> Step:
    if particle is None:
        return Step(z, None, Physical(("nothing could be decoded",), 0.0, 0.0))
    return Step(z, particle, physical(particle.positions))
