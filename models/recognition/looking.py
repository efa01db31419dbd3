"""A first look at one pattern by the network: what it may be, and which structures are worth refining.

Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from solvus.models.identification import NONE
from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.compounds import BULK, CLOSE_PACKED, Chosen, Terms
from solvus.models.recognition.evidence import EvidenceWeights, posterior
from solvus.models.recognition.recogniser import (
    UNTRAINED,
    Recogniser,
    Recognition,
    canonical,
    strangeness_of_fit,
)
from solvus.models.recognition.references import SHARPNESS
from solvus.models.recognition.screening import worth_refining
from solvus.models.recognition.short_list import Fitted, evidence_of, short_list
from solvus.models.structures.catalogue import Catalogue, Item
from solvus.models.structures.clusters import ALL_FAMILIES
from solvus.models.structures.library import Library

MOST, EACH = 10, 3
"""Structures refined, and of one type."""
FAR_BEHIND = 9.0
"""Logarithm of the posterior by which a quick fit may lie behind the best one and still be refined."""
FIRST = 3
"""Structures that are refined however far they lie behind, unless the pattern is taken for a metal's."""
EXPANSION = 0.02
"""Standard deviation expected of the stretch of a cell, when candidates for refinement are chosen."""


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes
    ----------
    seen : what the network says.
    chosen : compounds worth a refinement, the most promising first.
    relatives : every compound that may be there with the logarithm of how near the network finds it.
    far : whether the pattern lies farther from every entry than those for which the sets of metals are promised.
    strangeness : how unlike anything in the library the pattern is, by network and quick fits; ``strange`` beyond the
        calibrated threshold.
    weights : of the evidence, as calibrated; coverage : that the set of metals promises.
    word : how much it counts, among compounds of one type, how near the network finds each; nothing where curves were
        calculated with constant form factors, which training never saw.
    """

    seen: Recognition
    chosen: tuple[Chosen, ...]
    relatives: Mapping[str, float]
    far: bool
    strangeness: float
    strange: bool
    weights: EvidenceWeights
    coverage: float
    word: float

    @property
    def metal(self) -> float:
        """Probability that the pattern shows a metal that the cluster library covers."""
        return sum(p for kind, p in self.seen.kinds if kind in ALL_FAMILIES or kind in CLOSE_PACKED)

    def probability(self, kind: str) -> float:
        """Of a structure type, for the evidence."""
        known = dict(self.seen.kinds)
        return known.get(kind, UNTRAINED)


def look(
    pattern: Pattern,
    data: Data,
    r_range: tuple[float, float],
    *,
    noise: float,
    terms: Terms,
    items: Collection[Item],
    catalogue: Catalogue,
) -> Look:
    """Encode, retrieve and fit quickly.

    Parameters
    ----------
    data : the pattern's curve, with the range of Q that it shows. noise : share of white noise in its energy.
    terms : under which structures are compared.
    items : compounds that may be there; ``catalogue`` : that they are of, with a user's own structures.

    Raises
    ------
    WeightsError
        When the network's files cannot be used.
    """
    recogniser = _recogniser(catalogue)
    neutron = pattern.conditions.radiation == "neutron"
    values = canonical(pattern, data.qmin, data.qmax)
    seen = recogniser.answers(values, np.array([neutron]), count=len(recogniser.names))[0]
    by_name = {item.name: item for item in items}
    # Geometries of metals set the mark that compounds must come near; they are refined elsewhere.
    geometries = {entry.name for entry in Library.load().entries}
    fitted = short_list(
        recogniser,
        seen,
        data,
        r_range,
        qdamp=terms.qdamp,
        radiation=pattern.conditions.radiation,
        allowed=by_name.keys() | geometries,
        expansion=terms.expansion,
    )
    fixed = recogniser.weights.metadata.calibration
    far = seen.nearness < fixed.nearness
    # Far from all entries, which of them is nearest says nothing of the metals.
    weight = 0.0 if far else SHARPNESS
    near = {n.name: weight * n.cosine for n in seen.neighbours if n.name in by_name}
    misfit = min((f.r_w for f in fitted), default=1.0)
    strangeness = strangeness_of_fit(seen.probability(NONE), misfit, noise, fixed.strange_misfit)
    strange = strangeness > fixed.strangeness_fitted
    word = fixed.evidence.network if terms.form_factors == "exact" else 0.0
    found = Look(seen, (), near, far, strangeness, strange, fixed.evidence, fixed.coverage, word)
    points = data.independent_points(r_range)
    expansion = max(EXPANSION, terms.expansion or 0.0)
    ranked = _worth_refining(found, fitted, points, noise, expansion)
    chosen = tuple(Chosen(by_name[f.name], f.stretch, min(f.diameter, BULK), f.r_w) for f in ranked)
    return replace(found, chosen=chosen)


def _worth_refining(
    found: Look, fitted: list[Fitted], points: float, noise: float, expansion: float
) -> list[Fitted]:
    """The best by misfit and network together, few of one type."""
    if not fitted:
        return []
    evidence = evidence_of(found.seen, fitted, points, noise, expansion=expansion)
    p = np.log(posterior(evidence, found.weights)[:-1] + 1e-300)
    first = FIRST if found.metal < 0.5 else 1
    order = [k for k in np.argsort(-p, kind="stable").tolist() if not fitted[k].geometry]
    kept = worth_refining(order, [fitted[k].kind for k in order], MOST, EACH)
    return [fitted[k] for n, k in enumerate(kept) if n < first or p[k] >= p.max() - FAR_BEHIND]


@lru_cache(maxsize=2)
def _recogniser(catalogue: Catalogue) -> Recogniser:
    """For the own structures of one catalogue, whose places take a while to find."""
    return Recogniser.load([item.record for item in catalogue.items if item.origin == "own"])
