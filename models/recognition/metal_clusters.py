"""Metal clusters as explanations of a pattern: the library matched, the best refined, and what speaks against them.

Lengths in angstrom, Q in 1/angstrom. The *bond length* is the mean distance of nearest neighbours; for a known element
it may differ from the element's crystal by ``EXPANSION``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.identification import Candidate
from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import Data, Refined, Refinement, refine
from solvus.models.recognition.matching import (
    FARTHEST,
    Setting,
    bond_indices,
    matcher,
)
from solvus.models.refinement.least_squares import QDAMP_PRIOR, calculated, r_weighted
from solvus.models.structures.clusters import metals
from solvus.models.structures.library import Library, require_metal

Floats = NDArray[np.float64]

EXPANSION = 0.06
"""Relative; small clusters contract by up to 3 %, heat and alloying expand by less."""
SAME_ELEMENT = 0.02
"""Metals whose crystal bond lies within this of the fitted one cannot be told apart in a one-metal
pattern."""
ANY_BOND = (2.2, 3.9)
"""Angstrom: from beryllium to the lanthanides, searched when no element is known."""
EXPLAINED = 0.6
"""R_w (freed of white noise) up to which a structure counts as explaining a pattern of known elements. Measured: the
noisiest true case, gold on a laboratory source with Qmax 10, has 0.55; oxides and selenides, held to the bond length of
their metal, 0.94 and above."""
EXPLAINED_FREELY = 0.5
"""The same without elements: the bond length is free to adapt, and the best wrong fits have 0.61 and above."""
FOREIGN_PEAK = 0.15
"""Share of the first metal-metal peak above which a peak below any metal bond shows another kind of bond."""
RIPPLES = (0.4, 1.5)
"""Angstrom: below every bond that X-rays see, so whatever stands there is the error of the reduction."""
SHORTEST_METAL = 0.85
"""In bond lengths: no two metal atoms of a cluster are nearer than this."""
WINDOW = 0.025
"""Least relative half width of the bond range searched about a bond length that the network sees."""
HINTED = 3.0
"""Standard uncertainties of a bond length that the network sees within which it is searched."""


@dataclass(frozen=True)
class Question:
    """A pattern with what the answer depends on; ``noise`` is the share of white noise in its energy, and ``expansion``
    the relative range of bond lengths that is declared."""

    pattern: Pattern
    data: Data
    noise: float
    r_range: tuple[float, float]
    qdamp: float | None
    library: Library
    remarks: tuple[str, ...]
    expansion: float | None = None


def limit_of(question: Question, elements: list[str] | None) -> float:
    """R_w up to which a structure counts as explaining the pattern. White noise alone gives R_w^2 = its share of the
    energy, whatever the structure."""
    limit = EXPLAINED_FREELY if elements is None else EXPLAINED
    return math.sqrt(limit**2 * (1.0 - question.noise) + question.noise)


def objections(question: Question, best: Refined, elements: list[str] | None) -> tuple[str, ...]:
    """Why the best candidate does not explain the pattern; empty when it does."""
    limit = limit_of(question, elements)
    if best.fit.r_w > limit:
        return (
            f"the best of the library, {best.entry.name} with a bond length of {best.bond:.2f} angstrom, "
            f"leaves R_w {best.fit.r_w:.2f}; at most {limit:.2f} would explain the pattern",
        )
    foreign = _foreign_peak(question, best)
    if foreign is not None:
        return (
            f"a peak at r = {foreign:.2f} angstrom is shorter than any bond of {best.entry.name} "
            f"({best.bond:.2f} angstrom): the pattern shows a compound, not a metal",
        )
    return ()


def _foreign_peak(question: Question, best: Refined) -> float | None:
    """Position of an unexplained peak below the bond length, or ``None``. It must stand above ``FOREIGN_PEAK`` of the
    first metal peak and above the ripples where no bond can be."""
    end = SHORTEST_METAL * best.bond
    window = question.data.window((RIPPLES[0], 1.1 * best.bond), best.entry.span * best.bond, thinning=None)
    residual = window.observed - calculated(
        question.library.scattering(best.entry), window, best.fit.parameters
    )
    short = (window.r >= question.r_range[0]) & (window.r <= end)
    ripples = window.r <= RIPPLES[1]
    if not short.any():
        return None
    height = float(residual[short].max())
    ripple = float(np.abs(residual[ripples]).max()) if ripples.any() else 0.0
    if height <= FOREIGN_PEAK * float(window.observed.max()) or height <= 2.0 * ripple:
        return None
    return float(window.r[short][residual[short].argmax()])


def search(
    question: Question, elements: list[str] | None, hint: tuple[float, float] | None = None
) -> Refinement:
    """Coarse match and refinement within the bond lengths of the elements, or of any metal.

    Parameters
    ----------
    hint : bond length (angstrom) that the network sees and its relative uncertainty, where no elements are known; only
        bond lengths about it are searched.
    """
    data = question.data
    setting = Setting(
        round(data.qmin, 3),
        round(data.qmax, 3),
        round(QDAMP_PRIOR[0] if question.qdamp is None else question.qdamp, 4),
        max(question.r_range[0], round(float(data.r[0]), 3)),
        round(min(FARTHEST, float(data.r[-1])), 2),
    )
    limits, window = ANY_BOND, ANY_BOND
    if elements is None and hint is not None:
        reach = max(WINDOW, HINTED * hint[1])
        window = hint[0] * (1 - reach), hint[0] * (1 + reach)
    elif elements is not None:
        bonds = [require_metal(element) for element in elements]
        reach = question.expansion or EXPANSION
        limits = window = min(bonds) * (1 - reach), max(bonds) * (1 + reach)
    match = matcher(question.library, setting)
    return refine(
        match.match(data.r, data.g, bond_indices(*window), question.library.entries),
        data,
        question.library,
        r_range=question.r_range,
        bond_limits=limits,
        qdamp=question.qdamp,
    )


def elements_of(bond: float, elements: list[str] | None) -> tuple[str, ...]:
    """The metals that the bond length allows, nearest first; of those asked for, at least the nearest."""
    allowed = metals() if elements is None else {e: metals()[e] for e in elements}
    near = sorted(allowed, key=lambda e: (abs(allowed[e] / bond - 1.0), e))
    within = [e for e in near if abs(allowed[e] / bond - 1.0) <= SAME_ELEMENT]
    return tuple(within or (near[:1] if elements is not None else []))


def candidates(
    refined: Sequence[Refined],
    share: Floats,
    elements: list[str] | None,
    question: Question,
    top: int,
) -> tuple[Candidate, ...]:
    ranked = sorted(zip(refined, share, strict=True), key=lambda pair: (-pair[1], pair[0].entry.name))[:top]
    shown = [candidate for candidate, _ in ranked]
    window = question.data.window(question.r_range, max(c.entry.span * c.bond for c in shown), thinning=None)
    found = []
    for candidate, probability in ranked:
        metal = elements_of(candidate.bond, elements)
        reference = metals()[metal[0]] if metal else candidate.bond
        curve = calculated(question.library.scattering(candidate.entry), window, candidate.fit.parameters)
        parameters = {
            **candidate.fit.parameters,
            "expansion": candidate.bond / reference,
            "diameter": candidate.diameter,
            "n_atoms": float(candidate.entry.n_atoms),
        }
        found.append(
            Candidate(
                structure=candidate.entry.name,
                family=candidate.entry.family,
                elements=metal,
                probability=min(1.0, float(probability)),
                r_w=r_weighted(window.observed, curve),
                parameters=parameters,
            )
        )
    return tuple(found)
