"""What a map of the latent space shows: particles that outline it, posteriors of patterns, and campaigns as paths.

The map is the first two dimensions of the space, so an ellipse on it is the shadow of a normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvus.models.latent.network import MAP
from solvus.models.latent.posterior import LatentPosterior
from solvus.models.structures.clusters import ALL_FAMILIES

Floats = NDArray[np.float64]

HELD = 0.9
"""Share of each mode that its ellipse holds."""
COLOURS = {
    "icosahedral": "#aa3377",
    "decahedral": "#ee6677",
    "fcc": "#4477aa",
    "hcp": "#228833",
    "bcc": "#ccbb44",
    "sc": "#999999",
    "faulted": "#66ccee",
}
"""Of the families; distinguishable with the usual colour deficiencies (Paul Tol's bright set)."""
LEAST_MODE = 0.02


@dataclass(frozen=True)
class Ellipse:
    """One mode on the map: centre, half axes, direction of the first (radians), its weight and structure."""

    x: float
    y: float
    long: float
    short: float
    angle: float
    weight: float
    structure: str


@dataclass(frozen=True)
class Named:
    """The posterior of one pattern under its name."""

    name: str
    posterior: LatentPosterior

    def ellipses(self) -> list[Ellipse]:
        """Of the modes that matter."""
        return [
            ellipse_of(mode.mean, mode.covariance, mode.weight, mode.structure)
            for mode in self.posterior.modes
            if mode.weight >= LEAST_MODE
        ]

    @property
    def centre(self) -> tuple[float, float]:
        """Of the heaviest mode: several are never averaged to one."""
        mean = self.posterior.modes[0].mean
        return mean[0], mean[1]


@dataclass(frozen=True)
class Path:
    """A campaign: its experiments in order."""

    name: str
    experiments: tuple[Named, ...]


@dataclass(frozen=True)
class MapContent:
    """place (n, d), family (n,) names, atoms (n,) of the outline; patterns and paths."""

    place: Floats
    family: Sequence[str]
    atoms: NDArray[np.int64]
    patterns: Sequence[Named] = field(default=())
    paths: Sequence[Path] = field(default=())


def ellipse_of(
    mean: Sequence[float], covariance: Sequence[Sequence[float]], weight: float, structure: str
) -> Ellipse:
    """That holds ``HELD`` of a normal distribution on the map."""
    held = math.sqrt(-2.0 * math.log(1.0 - HELD))
    values, vectors = np.linalg.eigh(np.array(covariance)[:MAP, :MAP])
    angle = math.atan2(float(vectors[1, 1]), float(vectors[0, 1]))
    short, long = held * np.sqrt(np.maximum(values, 0.0))
    return Ellipse(mean[0], mean[1], float(long), float(short), angle, weight, structure)


def families_shown(content: MapContent) -> list[str]:
    """In the usual order."""
    held = set(content.family)
    return [family for family in ALL_FAMILIES if family in held]
