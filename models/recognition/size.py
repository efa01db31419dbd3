"""Particle size from the whole measured range, and the bond length.

Beyond the first shells G(r) falls off as the particle's own shape lets it, so the size is read where the
identification of the family no longer needs the data: up to 60 angstrom. Every member of every plausible
family is compared there with the bond length and peak widths of its family's best fit. Where the
instrument's damping is unknown, which looks like a smaller particle, it is marginalised over what
instruments have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvus.models.identification import Descriptor
from solvus.models.recognition.candidates import FULL_RANGE, Refined, Refinement

Floats = NDArray[np.float64]

PLAUSIBLE = 0.02
"""Families below this probability do not speak on the size."""
GRID_SPREAD = 0.015
"""Least relative standard uncertainty of the diameter: shapes of equal volume differ by as much in their scattering."""
CALIBRATION = 5e-4
"""Relative standard uncertainty of every length from the calibration of detector distance and wavelength."""
BEYOND = 0.95
"""A particle larger than this share of the measured range ends outside it."""


def diameter_descriptor(refinement: Refinement, weights: Floats, r_end: float) -> Descriptor:
    """Likelihood-weighted diameter over all members of the plausible families.

    Parameters
    ----------
    weights : probabilities of the refined candidates.
    r_end : where the data end, angstrom.
    """
    sizes: list[float] = []
    gaps: list[float] = []
    posterior: list[float] = []
    for family, profile in refinement.profiles.items():
        chosen = [c.entry.family == family for c in refinement.candidates]
        weight = float(weights[chosen].sum())
        if weight < PLAUSIBLE:
            continue
        logs = np.array([support.support for support in profile])
        share = np.exp(logs - logs.max())
        own = np.array([support.diameter for support in profile])
        sizes += own.tolist()
        gaps += _gaps(own).tolist()
        posterior += (weight * share / share.sum()).tolist()
    total = np.array(posterior)
    return _summary(np.array(sizes), np.array(gaps), total / total.sum(), min(FULL_RANGE, r_end))


def _gaps(sizes: Floats) -> Floats:
    """How far apart the library's sizes lie around each one: a true size may be anywhere between them."""
    ordered = np.unique(np.round(sizes, 6))
    if len(ordered) < 2:
        return np.zeros_like(sizes)
    found: Floats = np.interp(sizes, ordered, np.gradient(ordered))
    return found


def _summary(sizes: Floats, gaps: Floats, posterior: Floats, end: float) -> Descriptor:
    mean = float(posterior @ sizes)
    # A size that lies anywhere in a gap of the library is uniform in it: variance gap^2 / 12.
    grid = max(float(posterior @ gaps**2) / 12.0, (GRID_SPREAD * mean) ** 2)
    sd = math.sqrt(float(posterior @ (sizes - mean) ** 2) + grid)
    if float(posterior[sizes > BEYOND * end].sum()) > 0.5:
        # What the data exclude is only what lies below: the 5 % quantile, and no more than the range itself.
        order = np.argsort(sizes, kind="stable")
        quantile = float(sizes[order][np.searchsorted(np.cumsum(posterior[order]), 0.05)])
        return Descriptor(mean=min(quantile, end), sd=sd, lower_bound=True)
    return Descriptor(mean=mean, sd=sd)


def bond_descriptor(refined: Sequence[Refined], weights: Floats) -> Descriptor:
    """Probability-weighted bond length, angstrom."""
    bonds = np.array([c.bond for c in refined])
    sds = np.array([c.fit.uncertainties["bond_length"] for c in refined])
    mean = float(weights @ bonds)
    variance = float(weights @ (sds**2 + (bonds - mean) ** 2)) + (CALIBRATION * mean) ** 2
    return Descriptor(mean=mean, sd=math.sqrt(variance))
