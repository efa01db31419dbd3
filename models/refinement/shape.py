"""How the finite size of a particle damps G(r): the share of pairs at distance r that lie within it.

For a sphere of diameter D and x = r / D (Howell, Porcar and Glover, Phys. Rev. B 73, 094107 (2006))

    gamma0(x) = 1 - 3/2 x + 1/2 x^3   for x < 1, else 0.

A spheroid of equatorial diameter D and polar diameter e D is a sphere in stretched coordinates, so that its function
is the mean of gamma0 over directions mu = cos(angle to the axis) at x = (r / D) sqrt(1 - mu^2 + mu^2 / e^2). Spheres
whose ln D is normal (median D, standard deviation s), each counting by its volume, are again log-normal, with the
median D exp(3 s^2): the mean of gamma0 at x = (r / D) exp(-3 s^2 - s t) over the standard normal t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.parameters import Parameter, Slopes

Floats = NDArray[np.float64]

DIAMETER = Parameter("diameter", 50.0, 5.0, 1000.0, 5.0, "angstrom", reciprocal=True)
"""Above 1000 angstrom no G(r) shows a size."""
ELONGATION = Parameter("elongation", 1.0, 0.1, 10.0, 0.1)
SPREAD = Parameter("spread", 0.0, 0.0, 0.6, 0.05)
"""Standard deviation of ln D; wider ones are several populations."""
DIRECTIONS = 24
"""Nodes of Gauss and Legendre: right to 1e-6 for elongations to 5."""
SIZES = 41
"""Nodes of Gauss and Hermite."""


def characteristic(
    r: Floats, curvature: float | None, elongation: float = 1.0, spread: float = 0.0
) -> tuple[Floats, Slopes]:
    """gamma(r) and its derivatives by ``diameter`` (as 1 / D), ``elongation`` and ``spread``: (k,) each.

    Parameters
    ----------
    curvature : 1 / D in 1/angstrom; ``None`` for an endless crystal.
    """
    if curvature is None:
        return np.ones_like(r), {}
    if elongation == 1.0 and spread == 0.0:
        return _sphere(r, curvature)
    mu, direction = _directions() if elongation != 1.0 else (np.full(1, math.sqrt(1.0 / 3.0)), np.ones(1))
    t, size = _sizes() if spread != 0.0 else (np.zeros(1), np.ones(1))
    stretch = np.sqrt(1.0 - mu**2 + (mu / elongation) ** 2)
    by_elongation = -(mu**2) / (elongation**3 * stretch)
    narrow = np.exp(-3.0 * spread**2 - spread * t)
    by_spread = (-6.0 * spread - t) * narrow
    weight = np.outer(direction, size).ravel()
    factor = np.outer(stretch, narrow).ravel()
    value, slope = _gamma(np.multiply.outer(r, curvature * factor))
    changes = {
        "diameter": factor,
        "elongation": curvature * np.outer(by_elongation, narrow).ravel(),
        "spread": curvature * np.outer(stretch, by_spread).ravel(),
    }
    return value @ weight, {name: r * (slope @ (change * weight)) for name, change in changes.items()}


def _sphere(r: Floats, curvature: float) -> tuple[Floats, Slopes]:
    """The same for one sphere; to first order its elongation counts by the mean of mu^2, and a spread not at all."""
    value, slope = _gamma(curvature * r)
    return value, {
        "diameter": slope * r,
        "elongation": slope * (-curvature * r / 3.0),
        "spread": np.zeros_like(r),
    }


def _gamma(x: Floats) -> tuple[Floats, Floats]:
    """gamma0 and its derivative."""
    inside = x < 1.0
    return np.where(inside, 1.0 - 1.5 * x + 0.5 * x**3, 0.0), np.where(inside, 1.5 * x**2 - 1.5, 0.0)


@cache
def _directions() -> tuple[Floats, Floats]:
    mu, weight = np.polynomial.legendre.leggauss(DIRECTIONS)
    return 0.5 * (mu + 1.0), 0.5 * weight


@cache
def _sizes() -> tuple[Floats, Floats]:
    t, weight = np.polynomial.hermite_e.hermegauss(SIZES)
    return t, weight / weight.sum()


def shape_values(values: Mapping[str, float]) -> tuple[float | None, float, float]:
    """Curvature, elongation and spread from parameter values; an endless crystal has no diameter."""
    diameter = values.get("diameter")
    return (
        None if diameter is None else 1.0 / diameter,
        values.get("elongation", 1.0),
        values.get("spread", 0.0),
    )
