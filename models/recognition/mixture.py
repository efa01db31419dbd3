"""How the families share the scattering of a sample.

The pattern is taken as a non-negative mixture of many sizes of every family,

    G_obs(r) = sum_k a_k G_k(r),        share of a family = sum of its a_k / sum of all a_k,

all with the bond length and the damping of the leading candidate. G(r) is per atom, so shares are shares of atoms. The
mixture minimises

    |G_obs - sum_k a_k G_k|^2 / |G_obs|^2  +  2 MIXING_FLOOR^2 sum_{k not of the leading family} a_k / a_typical,

with a_typical the amount of a typical member alone. The penalty keeps families whose curves differ by less than the
model error from sharing what the leader explains; families whose curves differ are hardly shifted by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from solvus.models.identification import Descriptor
from solvus.models.recognition.candidates import (
    INDEPENDENT_SHARE,
    POINTS_PER_NYQUIST,
    Data,
    Refined,
    Windows,
)
from solvus.models.refinement.least_squares import calculated
from solvus.models.structures.clusters import FAMILIES
from solvus.models.structures.library import Entry, Library

Floats = NDArray[np.float64]

MIXING_FLOOR = 0.015
"""R_w that a second family must explain before it is believed: a quarter of the model error of good data, because the
mixture of many sizes leaves less of it than one candidate does."""
SIZE_RATIO = 1.2
"""Ratio of neighbouring diameters of one shape in the mixture: finer sizes cannot be told apart within a mixture."""
SIZES = (0.5, 1.7)
"""Diameters taken into the mixture, relative to the leader's."""
TWINNED = frozenset({"twinned-sphere", "double-twinned-sphere"})
"""Left out: a particle with one twin plane scatters like a mixture of fcc with decahedra or icosahedra, and would hide
either. For the shares, its twinned part therefore counts as decahedral."""
WIDTHS = (0.65, 0.8, 1.0)
"""Factors on the leader's u: a leader that stands in for a mixture comes out too wide."""
RESOLUTION = 0.04
"""Least standard uncertainty of a share: what the spacing of the sizes leaves on simulated samples of known shares."""
RIDGE = 1e-9
"""Relative; keeps equal curves solvable."""


def fraction_descriptors(
    refined: Sequence[Refined],
    weights: Floats,
    data: Data,
    library: Library,
    r_range: tuple[float, float],
) -> dict[str, Descriptor]:
    """``fraction:<family>`` for every family, with the standard uncertainty of the tempered least squares.

    Parameters
    ----------
    refined : candidates with their probabilities ``weights``.
    """
    leader = refined[int(np.argmax(weights))]
    members = _members(library, leader, refined)
    windows = Windows(data, r_range, thinning=POINTS_PER_NYQUIST)
    observed = windows.reaching(0.0).observed
    penalised = np.array([entry.family != leader.entry.family for entry in members])
    solutions = []
    for factor in WIDTHS:
        parameters = {**leader.fit.parameters, "scale": 1.0, "u_iso": factor * leader.fit["u_iso"]}
        curves = [
            calculated(library.scattering(entry), windows.reaching(entry.span * leader.bond), parameters)
            for entry in members
        ]
        design = np.stack(curves, axis=1)
        amounts = _amounts(design, observed, penalised)
        solutions.append((float(np.linalg.norm(observed - design @ amounts)), design, amounts))
    misfit, design, amounts = min(solutions, key=lambda solution: solution[0])
    independent = INDEPENDENT_SHARE * data.independent_points(r_range)
    return _shares(members, design, amounts, observed, misfit, independent)


def _members(library: Library, leader: Refined, refined: Sequence[Refined]) -> list[Entry]:
    """The refined geometries, and sizes of every shape around the leader's, spaced by ``SIZE_RATIO``."""
    smallest, largest = (factor * leader.entry.diameter for factor in SIZES)
    chosen = [candidate.entry for candidate in refined if candidate.entry.shape not in TWINNED]
    last: dict[tuple[str, str], float] = {}
    for entry in library.entries:
        key = entry.family, entry.shape
        spaced = entry.diameter >= last.get(key, 0.0) * SIZE_RATIO
        if spaced and entry.shape not in TWINNED and smallest <= entry.diameter <= largest:
            last[key] = entry.diameter
            if entry not in chosen:
                chosen.append(entry)
    return chosen


def _amounts(design: Floats, observed: Floats, penalised: NDArray[np.bool_]) -> Floats:
    """The amounts a_k. The quadratic problem becomes non-negative least squares on the factor of its matrix."""
    total = float(np.median(design.T @ observed / np.einsum("ij,ij->j", design, design)))
    total = max(total, 1e-12)
    penalty = np.where(penalised, MIXING_FLOOR**2 * float(observed @ observed) / total, 0.0)
    gram = design.T @ design
    factor = np.linalg.cholesky(gram + RIDGE * np.trace(gram) * np.eye(len(gram)))
    amounts: Floats = nnls(factor.T, np.linalg.solve(factor, design.T @ observed - penalty))[0]
    return amounts


def _shares(
    members: Sequence[Entry],
    design: Floats,
    amounts: Floats,
    observed: Floats,
    misfit: float,
    independent: float,
) -> dict[str, Descriptor]:
    """Shares by family. Each family enters the covariance with the mean curve of its own members in the mixture, or,
    when it has none, with the member that the residual would take next."""
    total = float(amounts.sum()) or 1.0
    gradient = design.T @ (observed - design @ amounts) / np.linalg.norm(design, axis=0)
    columns, means = [], []
    for family in FAMILIES:
        own = np.array([entry.family == family for entry in members])
        share = np.where(own, amounts, 0.0)
        means.append(float(share.sum()) / total)
        if share.sum() > 0:
            columns.append(design @ share / share.sum())
        else:
            columns.append(design[:, int(np.where(own, gradient, -np.inf).argmax())])
    curves = np.stack(columns, axis=1)
    freedom = max(1.0, independent - len(FAMILIES))
    covariance = np.linalg.pinv(curves.T @ curves) * misfit**2 / freedom
    sds = np.sqrt(np.maximum(np.diag(covariance), 0.0)) / total
    return {
        f"fraction:{family}": Descriptor(mean=min(1.0, mean), sd=min(0.5, math.hypot(float(sd), RESOLUTION)))
        for family, mean, sd in zip(FAMILIES, means, sds, strict=True)
    }
