"""The one door: a measured G(r) in, an :class:`Identification` out.

    quality gate -> coarse match with the whole library -> least-squares fits -> verdict, probabilities,
    descriptors

Everything is deterministic and runs in numpy on one thread. Lengths in angstrom, Q in 1/angstrom. The *bond
length* is the mean distance of nearest neighbours; for a known element it may differ from the element's
crystal by ``EXPANSION``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.identification import Candidate, Descriptor, Identification, Verdict
from solvus.models.pattern import Pattern, PatternError
from solvus.models.recognition.candidates import Data, Refined, Refinement, probabilities, refine
from solvus.models.recognition.matching import (
    FARTHEST,
    Match,
    Setting,
    bond_at,
    bond_indices,
    matcher,
    representatives,
)
from solvus.models.recognition.mixture import fraction_descriptors
from solvus.models.recognition.quality import Quality, assess
from solvus.models.recognition.size import bond_descriptor, diameter_descriptor
from solvus.models.refinement.least_squares import QDAMP_PRIOR, calculated, r_weighted
from solvus.models.scattering.simulate import pattern_of
from solvus.models.structures.clusters import metals
from solvus.models.structures.library import Library, require_metal

__all__ = ["curve_of", "identify", "pattern_of"]

Floats = NDArray[np.float64]

MODEL_VERSION = "clusters-1"
"""Version of this procedure; the library's own version is appended."""
R_RANGE = (1.6, 20.0)
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
LARGE_QBROAD = 0.02
"""1/angstrom; it widens peaks at 20 angstrom by 8 %, which a common width still describes."""
FOREIGN_PEAK = 0.15
"""Share of the first metal-metal peak above which a peak below any metal bond shows another kind of bond."""
RIPPLES = (0.4, 1.5)
"""Angstrom: below every bond that X-rays see, so whatever stands there is the error of the reduction."""
SHORTEST_METAL = 0.85
"""In bond lengths: no two metal atoms of a cluster are nearer than this."""
WINDOW = 0.025
"""Relative half width of the bond range searched around each peak of the scan without elements."""
SCAN_PEAKS = 2


@dataclass(frozen=True)
class _Question:
    pattern: Pattern
    data: Data
    noise: float
    r_range: tuple[float, float]
    qdamp: float | None
    library: Library
    remarks: tuple[str, ...]


def identify(
    pattern: Pattern,
    *,
    elements: Sequence[str] | None = None,
    r_range: tuple[float, float] = R_RANGE,
    top: int = 5,
    qdamp: float | None = None,
    qbroad: float | None = None,
    library: Library | None = None,
) -> Identification:
    """Say which structure a pattern shows.

    Parameters
    ----------
    pattern : a G(r).
    elements : metals the sample may hold; by default those of the composition in the pattern's conditions,
        and where there is none, any metal.
    r_range : angstrom, over which R_w is taken; the particle size uses all data up to 60 angstrom.
    top : number of candidates returned.
    qdamp : the instrument's damping, 1/angstrom; by default the pattern's own, and where that is unknown it
        is refined.

    Raises
    ------
    PatternError
        When the pattern is no G(r) or ``r_range`` is no range.
    LibraryError
        For an element that does not exist or has no known bond length.
    """
    if pattern.quantity != "G":
        raise PatternError(f"quantity: G(r) is needed, not {pattern.quantity}; transform it first")
    if not 0.0 < r_range[0] < r_range[1]:
        raise PatternError(f"r_range: {r_range[0]:g} to {r_range[1]:g} is no range of positive distances")
    library = library or Library.load()
    asked = None if elements is None else [element for element in elements if require_metal(element)]
    if asked is not None and not asked:
        raise PatternError("elements: name at least one metal, such as Pt")
    quality = assess(pattern, r_range)
    if quality.reasons:
        return _answer("poor_data", quality.reasons, pattern, r_range, library)
    chosen = asked or _composition_metals(pattern.conditions.composition)
    if chosen == []:
        reason = f"the composition {pattern.conditions.composition} names no metal of the library"
        return _answer("none", (reason,), pattern, r_range, library)
    question = _Question(
        pattern,
        Data(pattern.x, pattern.y, quality.qmin, quality.qmax),
        quality.noise,
        r_range,
        pattern.conditions.qdamp if qdamp is None else qdamp,
        library,
        _remarks(quality, pattern.conditions.qbroad if qbroad is None else qbroad),
    )
    refinement = _search(question, chosen)
    objections = _objections(question, refinement.candidates[0], chosen)
    if objections:
        return _none(question, refinement.candidates, chosen, objections, top)
    return _identified(question, refinement, chosen, top)


def curve_of(
    candidate: Candidate, pattern: Pattern, r_range: tuple[float, float], library: Library | None = None
) -> Floats:
    """The candidate's G(r) on the pattern's own points within ``r_range``."""
    shelf = library or Library.load()
    entry = shelf.entry(candidate.structure)
    quality = assess(pattern, r_range)
    data = Data(pattern.x, pattern.y, quality.qmin, quality.qmax)
    window = data.window(r_range, entry.span * candidate.parameters["bond_length"], thinning=None)
    return calculated(shelf.scattering(entry), window, candidate.parameters)


def _remarks(quality: Quality, qbroad: float | None) -> tuple[str, ...]:
    if qbroad is None or qbroad <= LARGE_QBROAD:
        return quality.remarks
    return (*quality.remarks, f"qbroad {qbroad:g} is large and not modelled; the size may come out too small")


def _composition_metals(composition: str | None) -> list[str] | None:
    """Metals named in a chemical formula; ``None`` without a formula, empty when it names none."""
    if not composition:
        return None
    symbols = re.findall(r"[A-Z][a-z]?", composition)
    return [symbol for symbol in dict.fromkeys(symbols) if symbol in metals()]


def _objections(question: _Question, best: Refined, elements: list[str] | None) -> tuple[str, ...]:
    """Why the best candidate does not explain the pattern; empty when it does."""
    limit = EXPLAINED_FREELY if elements is None else EXPLAINED
    # White noise alone gives R_w^2 = its share of the energy, whatever the structure.
    limit = math.sqrt(limit**2 * (1.0 - question.noise) + question.noise)
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


def _foreign_peak(question: _Question, best: Refined) -> float | None:
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


def _search(question: _Question, elements: list[str] | None) -> Refinement:
    """Coarse match and refinement within the bond lengths of the elements, or of any metal."""
    data = question.data
    setting = Setting(
        round(data.qmin, 3),
        round(data.qmax, 3),
        round(QDAMP_PRIOR[0] if question.qdamp is None else question.qdamp, 4),
        max(question.r_range[0], round(float(data.r[0]), 3)),
        round(min(FARTHEST, float(data.r[-1])), 2),
    )
    match = matcher(question.library, setting)
    entries = question.library.entries
    if elements is None:
        limits = ANY_BOND
        scan = bond_indices(*ANY_BOND)
        profile = match.profile(data.r, data.g, scan, representatives(question.library))
        windows = [bond_indices(b * (1 - WINDOW), b * (1 + WINDOW)) for b in _peaks(scan, profile)]
    else:
        bonds = [require_metal(element) for element in elements]
        limits = (min(bonds) * (1 - EXPANSION), max(bonds) * (1 + EXPANSION))
        windows = [bond_indices(*limits)]
    matches: list[Match] = []
    for window in windows:
        matches += match.match(data.r, data.g, window, entries)
    matches.sort(key=lambda m: (-m.correlation, m.entry.name))
    best_per_entry = list({m.entry.name: m for m in reversed(matches)}.values())[::-1]
    best_per_entry.sort(key=lambda m: (-m.correlation, m.entry.name))
    return refine(
        best_per_entry,
        data,
        question.library,
        r_range=question.r_range,
        bond_limits=limits,
        qdamp=question.qdamp,
    )


def _peaks(scan: range, profile: Floats) -> list[float]:
    """Bond lengths of the highest separate peaks of the scan."""
    found: list[float] = []
    for i in np.argsort(-profile, kind="stable"):
        bond = bond_at(scan[int(i)])
        if all(abs(bond / other - 1) > 2 * WINDOW for other in found):
            found.append(bond)
        if len(found) == SCAN_PEAKS:
            break
    return found


def _elements_of(bond: float, elements: list[str] | None) -> tuple[str, ...]:
    """The metals that the bond length allows, nearest first; of those asked for, at least the nearest."""
    allowed = metals() if elements is None else {e: metals()[e] for e in elements}
    near = sorted(allowed, key=lambda e: (abs(allowed[e] / bond - 1.0), e))
    within = [e for e in near if abs(allowed[e] / bond - 1.0) <= SAME_ELEMENT]
    return tuple(within or (near[:1] if elements is not None else []))


def _candidates(
    refined: Sequence[Refined],
    share: Floats,
    elements: list[str] | None,
    question: _Question,
    top: int,
) -> tuple[Candidate, ...]:
    ranked = sorted(zip(refined, share, strict=True), key=lambda pair: (-pair[1], pair[0].entry.name))[:top]
    shown = [candidate for candidate, _ in ranked]
    window = question.data.window(question.r_range, max(c.entry.span * c.bond for c in shown), thinning=None)
    found = []
    for candidate, probability in ranked:
        metal = _elements_of(candidate.bond, elements)
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


def _identified(
    question: _Question, refinement: Refinement, elements: list[str] | None, top: int
) -> Identification:
    data, library, r_range = question.data, question.library, question.r_range
    refined = refinement.candidates
    share = probabilities(refined, data, r_range)
    descriptors = {
        "diameter": diameter_descriptor(refinement, share, float(data.r[-1])),
        "bond_length": bond_descriptor(refined, share),
        **fraction_descriptors(refined, share, data, library, r_range),
    }
    candidates = _candidates(refined, share, elements, question, top)
    return _answer(
        "identified", question.remarks, question.pattern, r_range, library, candidates, descriptors
    )


def _none(
    question: _Question,
    refined: list[Refined],
    elements: list[str] | None,
    objections: tuple[str, ...],
    top: int,
) -> Identification:
    """Nothing explains the pattern; when elements were given, say whether another metal would."""
    reasons = list(objections)
    if elements is not None:
        free = _search(question, None).candidates[0]
        others = _elements_of(free.bond, None)[:6]
        if others and not _objections(question, free, None):
            reasons.append(
                f"{', '.join(elements)} does not fit within {EXPANSION:.0%} of its bond length, but "
                f"{free.entry.name} with {free.bond:.2f} angstrom does (R_w {free.fit.r_w:.2f}), "
                f"as in {', '.join(others)}"
            )
    share = probabilities(refined, question.data, question.r_range)
    candidates = _candidates(refined, share, elements, question, top)
    return _answer(
        "none",
        (*reasons, *question.remarks),
        question.pattern,
        question.r_range,
        question.library,
        candidates,
    )


def _answer(
    verdict: Verdict,
    reasons: tuple[str, ...],
    pattern: Pattern,
    r_range: tuple[float, float],
    library: Library,
    candidates: tuple[Candidate, ...] = (),
    descriptors: dict[str, Descriptor] | None = None,
) -> Identification:
    return Identification(
        verdict=verdict,
        reasons=reasons,
        candidates=candidates,
        descriptors=descriptors or {},
        r_range=r_range,
        pattern_sha256=pattern.sha256,
        model_version=f"{MODEL_VERSION}+library-{library.version}",
    )
