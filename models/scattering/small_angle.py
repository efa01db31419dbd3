"""Small-angle scattering: I(q) of spheres, of size distributions and of clusters of atoms.

q in 1/angstrom, lengths in angstrom. A homogeneous sphere of radius R and excess scattering density rho has

    I(q) = (rho V)^2 [3 (sin qR - qR cos qR) / (qR)^3]^2,      V = 4/3 pi R^3      (Rayleigh 1911),

and a cluster of N atoms in vacuum I(q) = sum_ij f_i f_j sin(q d_ij) / (q d_ij) (Debye 1915), which tends to
(sum f)^2 at
q = 0 and there to (sum f)^2 exp(-q^2 Rg^2 / 3) (Guinier 1939). Intensities are per particle, in electrons^2 (or fm^2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvus.models.scattering.debye import PairHistogram, sine_sums
from solvus.models.scattering.form_factors import Radiation, form_factors

Floats = NDArray[np.float64]
NODES = 201
"""Radii of a size distribution, over eight standard deviations: I(q) changes by under 1e-6 with twice as many while
q times the width stays below 20."""
SPREADS = 4.0
"""Standard deviations of ln R taken in on either side: what lies beyond is 6e-5 of the particles."""
SMALL = 1e-3
"""q R below which the sphere's amplitude is taken from its series, 1 - (qR)^2 / 10."""


def sphere(q: ArrayLike, radius: float, density: float = 1.0) -> Floats:
    """I(q) of a sphere: (m,), in (density volume)^2.

    Parameters
    ----------
    q : (m,) 1/angstrom. radius : angstrom. density : excess scattering density, electrons/angstrom^3.

    Raises
    ------
    ValueError
        For a radius that is not positive.
    """
    if not radius > 0:
        raise ValueError(f"radius: must be positive, not {radius:g}")
    x = np.asarray(q, dtype=np.float64) * radius
    safe = np.where(x < SMALL, 1.0, x)
    amplitude = np.where(x < SMALL, 1.0 - x**2 / 10.0, 3.0 * (np.sin(safe) - safe * np.cos(safe)) / safe**3)
    volume = 4.0 / 3.0 * math.pi * radius**3
    curve: Floats = (density * volume * amplitude) ** 2
    return curve


def lognormal_spheres(q: ArrayLike, radius: float, spread: float, density: float = 1.0) -> Floats:
    """Mean I(q) per particle of spheres whose ln R is normal: (m,).

    Parameters
    ----------
    radius : median radius, angstrom; spread : standard deviation of ln R, 0 to 1.
    """
    if not 0.0 <= spread <= 1.0:
        raise ValueError(f"spread: must lie between 0 and 1, not {spread:g}")
    if spread == 0.0:
        return sphere(q, radius, density)
    t = np.linspace(-SPREADS, SPREADS, NODES)
    weight = np.exp(-0.5 * t**2)
    weight /= weight.sum()
    total = np.zeros(len(np.atleast_1d(np.asarray(q))))
    for w, r in zip(weight, radius * np.exp(spread * t), strict=True):
        total += w * sphere(q, float(r), density)
    return total


def cluster(
    histogram: PairHistogram, q: ArrayLike, *, u_iso: float = 0.0, radiation: Radiation = "xray"
) -> Floats:
    """I(q) of a finite structure with its self term: (m,), per particle.

    Parameters
    ----------
    histogram : pair distances, from :func:`solvus.models.scattering.debye.pair_histogram`, with symbols.
    u_iso : angstrom^2.
    """
    import torch

    grid = np.asarray(q, dtype=np.float64)
    f = form_factors(histogram.elements, grid, radiation)
    positive = np.where(grid > 0, grid, 1.0)
    sums = sine_sums(histogram, torch.from_numpy(grid)).numpy() / positive
    # At q = 0 every sine quotient is one: the sum is the number of ordered pairs.
    sums = np.where(grid > 0, sums, histogram.weights.sum(axis=1)[:, None])
    pairs = np.triu_indices(len(f))
    coherent = np.einsum("pm,pm->m", f[pairs[0]] * f[pairs[1]], sums) * np.exp(-u_iso * grid**2)
    curve: Floats = np.asarray(histogram.counts, dtype=np.float64) @ f**2 + coherent
    return curve


def radius_of_gyration(q: ArrayLike, intensity: ArrayLike, qmax: float) -> float:
    """Rg from Guinier's law, by a straight line through ln I over q^2 up to ``qmax``; angstrom."""
    grid, curve = np.asarray(q, dtype=np.float64), np.asarray(intensity, dtype=np.float64)
    inside = (grid <= qmax) & (curve > 0)
    if int(inside.sum()) < 3:
        raise ValueError(
            f"qmax: only {int(inside.sum())} points up to {qmax:g} 1/angstrom; at least 3 are needed"
        )
    slope = float(np.polyfit(grid[inside] ** 2, np.log(curve[inside]), 1)[0])
    if slope >= 0:
        raise ValueError("intensity: rises with q, so Guinier's law does not hold")
    return math.sqrt(-3.0 * slope)
