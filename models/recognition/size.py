"""Particle size from the whole measured range, and how the families share the scattering.

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
from scipy.optimize import nnls

from solvus.models.identification import Descriptor
from solvus.models.recognition.candidates import (
    FLOOR,
    FULL_RANGE,
    INDEPENDENT_SHARE,
    Data,
    Refined,
    size_profile,
)
from solvus.models.refinement.least_squares import calculated
from solvus.models.structures.clusters import FAMILIES
from solvus.models.structures.library import Library

Floats = NDArray[np.float64]

PLAUSIBLE = 0.02
"""Families below this probability do not speak on the size."""
GRID_SPREAD = 0.015
"""Standard uncertainty of the diameter that the spacing of the library leaves, 3.5 % / sqrt 12 and rounded up."""
BEYOND = 0.95
"""A particle larger than this share of the measured range ends outside it."""


def diameter_descriptor(
    refined: Sequence[Refined],
    weights: Floats,
    data: Data,
    library: Library,
    *,
    r_first: float,
    qdamp: float | None,
) -> Descriptor:
    """Likelihood-weighted diameter over all members of the plausible families.

    Parameters
    ----------
    refined : candidates with their probabilities ``weights``.
    r_first : start of the range, angstrom; it ends at ``FULL_RANGE`` or with the data.
    """
    sizes, posterior = [], []
    for family in FAMILIES:
        members = [(c, w) for c, w in zip(refined, weights, strict=True) if c.entry.family == family]
        weight = float(sum(w for _, w in members))
        if weight < PLAUSIBLE:
            continue
        leader = max(members, key=lambda pair: float(pair[1]))[0]
        profile = size_profile(leader, data, library, r_first=r_first, qdamp=qdamp)
        logs = np.array([support.support for support in profile])
        share = np.exp(logs - logs.max())
        sizes += [support.diameter for support in profile]
        posterior += (weight * share / share.sum()).tolist()
    total = np.array(posterior)
    return _summary(np.array(sizes), total / total.sum(), min(FULL_RANGE, float(data.r[-1])))


def _summary(sizes: Floats, posterior: Floats, end: float) -> Descriptor:
    mean = float(posterior @ sizes)
    sd = math.sqrt(float(posterior @ (sizes - mean) ** 2) + (GRID_SPREAD * mean) ** 2)
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
    return Descriptor(mean=mean, sd=math.sqrt(float(weights @ (sds**2 + (bonds - mean) ** 2))))


def fraction_descriptors(
    refined: Sequence[Refined],
    weights: Floats,
    data: Data,
    library: Library,
    r_range: tuple[float, float],
) -> dict[str, Descriptor]:
    """Share of each family when the best member of each is mixed, by non-negative least squares over
    ``r_range``.

    The standard uncertainty is that of the unconstrained mixture, so it stays honest for a family at zero.
    """
    order = sorted(zip(refined, weights, strict=True), key=lambda pair: -float(pair[1]))
    best = {c.entry.family: c for c, _ in reversed(order)}
    present = [best[family] for family in FAMILIES if family in best]
    window = data.window(r_range, max(c.entry.span * c.bond for c in present))
    unit = [
        calculated(library.scattering(c.entry), window, {**c.fit.parameters, "scale": 1.0}) for c in present
    ]
    design = np.stack(unit, axis=1)
    leader = np.array([candidate is order[0][0] for candidate in present])
    amounts = _mixed(design, window.observed, leader)
    total = float(amounts.sum()) or 1.0
    misfit = float(np.linalg.norm(window.observed - design @ amounts))
    sds = _amount_uncertainties(design, misfit, INDEPENDENT_SHARE * data.independent_points(r_range)) / total
    found = {c.entry.family: (a / total, sd) for c, a, sd in zip(present, amounts, sds, strict=True)}
    return {
        f"fraction:{family}": Descriptor(mean=min(1.0, mean), sd=min(0.5, sd))
        for family, (mean, sd) in ((f, found.get(f, (0.0, 0.5))) for f in FAMILIES)
    }


def _mixed(design: Floats, observed: Floats, leader: NDArray[np.bool_]) -> Floats:
    """Non-negative amounts of each column that minimise

        |observed - design a|^2 / |observed|^2 + 2 FLOOR^2 sum_{others} a_i / a_total

    The penalty, with a_total the amount of the leader alone, keeps families whose curves differ by no more than the
    model error from sharing what the leader explains; curves that differ are hardly shifted by it.
    """
    alone = design[:, leader][:, 0]
    total = max(float(alone @ observed) / float(alone @ alone), 1e-12)
    penalty = np.where(leader, 0.0, FLOOR**2 * float(observed @ observed) / total)
    gram = design.T @ design
    # A ridge of 1e-9 keeps equal curves solvable; NNLS on the factor solves the quadratic problem.
    factor = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) * np.eye(len(gram)))
    amounts: Floats = nnls(factor.T, np.linalg.solve(factor, design.T @ observed - penalty))[0]
    return amounts


def _amount_uncertainties(design: Floats, misfit: float, independent: float) -> Floats:
    freedom = max(1.0, independent - design.shape[1])
    covariance = np.linalg.pinv(design.T @ design) * misfit**2 / freedom
    sds: Floats = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return sds
