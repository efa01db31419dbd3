"""The plain matched filter as a recogniser: what the learned one has to beat.

Every structure at its best stretch, width and diameter (:mod:`solvus.models.recognition.screening`), weighed as
refinements are: log p = log L(R_w) - (stretch / sd)^2 / 2 with R_w^2 = 1 - cosine^2. "None of these" is a structure
that leaves R_w = 0.5. The sum over the structures of a type is the type's; metals are those of the most probable
structures that make up 95 % together. Nothing is calibrated. Metal clusters other than close-packed spheres are
known to it only where a test brings them along.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import Data, log_likelihood
from solvus.models.recognition.compounds import HYPOTHETICAL, KNOWN_SD, PREDICTED_SD
from solvus.models.recognition.metal_groups import group_of
from solvus.models.recognition.quality import assess
from solvus.models.recognition.screening import screen
from solvus.models.recognition.signatures import Radiation, Signatures, shipped, signatures_of
from solvus.models.refinement.least_squares import QDAMP_PRIOR
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition.answer import Answer

Floats = NDArray[np.float64]

R_RANGE = (1.6, 20.0)
"""angstrom, as identification compares."""
NONE_R_W = 0.5
"""What identification takes for no explanation."""
MEMBERS = 0.95
"""Probability that the structures make up whose metals are named."""
NAMED = 20
"""Types and structures in an answer."""
REFUSED = 2.0
"""Strangeness of a pattern that cannot be judged; others have at most 1."""


@dataclass(frozen=True)
class _Shelf:
    """What is compared, in the order of the signatures."""

    signatures: Signatures
    types: tuple[str, ...]
    elements: tuple[frozenset[str], ...]
    predicted: NDArray[np.bool_]

    @staticmethod
    def of(records: Sequence[Record], signatures: Signatures) -> _Shelf:
        known = {record.name: record for record in records}
        kept = [known[name] for name in signatures.names]
        return _Shelf(
            signatures,
            tuple(record.type for record in kept),
            tuple(record.elements for record in kept),
            np.array([record.hypothetical for record in kept], dtype=bool),
        )

    @cached_property
    def place(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.signatures.names)}


class MatchedFilter:
    """A recogniser without training or calibration, by the rule at the head of this module."""

    name = "matched filter"

    def __init__(self) -> None:
        self._shelves: dict[tuple[Radiation, int | None], tuple[object, _Shelf]] = {}

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]:
        for pattern in patterns:
            start = time.perf_counter()
            answer = self._answer(pattern, library)
            yield Answer(*answer, time.perf_counter() - start)

    def _shelf(self, radiation: Radiation, library: Sequence[Record] | None) -> _Shelf:
        key = radiation, None if library is None else id(library)
        if key not in self._shelves:
            if library is None:
                records = [item.record for item in Catalogue.load(own_too=False).items]
                signatures = shipped(radiation)
            else:
                records, signatures = list(library), signatures_of(library, radiation)
            # The library is kept beside its shelf, so that no other object is given its id meanwhile.
            self._shelves[key] = library, _Shelf.of(records, signatures)
        return self._shelves[key][1]

    def _answer(
        self, pattern: Pattern, library: Sequence[Record] | None
    ) -> tuple[
        tuple[tuple[str, float], ...], tuple[tuple[str, float], ...], frozenset[str], float, bool, float
    ]:
        quality = assess(pattern, R_RANGE)
        if quality.reasons:
            return (), (), frozenset(), 1.0, False, REFUSED
        shelf = self._shelf(pattern.conditions.radiation, library)
        data = Data(pattern.x, pattern.y, quality.qmin, quality.qmax)
        qdamp = pattern.conditions.qdamp
        hits = screen(shelf.signatures, data, R_RANGE, qdamp=QDAMP_PRIOR[0] if qdamp is None else qdamp)
        place = np.array([shelf.place[hit.name] for hit in hits])
        r_w = np.sqrt(np.maximum(0.0, 1.0 - np.array([max(0.0, hit.cosine) for hit in hits]) ** 2))
        stretch = np.array([hit.stretch - 1.0 for hit in hits])
        predicted = shelf.predicted[place]
        logs = log_likelihood(r_w, data, R_RANGE) - np.where(predicted, HYPOTHETICAL, 0.0)
        logs -= 0.5 * np.square(stretch / np.where(predicted, PREDICTED_SD, KNOWN_SD))
        together = np.append(logs, log_likelihood(np.array([NONE_R_W]), data, R_RANGE))
        weight = np.exp(together - together.max())
        probability = weight / weight.sum()
        p, none = probability[:-1], float(probability[-1])
        order = np.argsort(-p, kind="stable")
        structures = tuple((hits[k].name, float(p[k])) for k in order[:NAMED])
        types: dict[str, float] = {}
        for k in order:
            name = shelf.types[place[k]]
            types[name] = types.get(name, 0.0) + float(p[k])
        ranked = sorted(types.items(), key=lambda pair: (-pair[1], pair[0]))[:NAMED]
        needed = int(np.searchsorted(np.cumsum(p[order]), MEMBERS * p.sum())) + 1
        metals = {group_of(e) for k in order[:needed] for e in shelf.elements[place[k]]}
        found = frozenset(group for group in metals if group is not None)
        accepted = bool(r_w.min() <= NONE_R_W)
        return tuple(ranked), structures, found, none, accepted, float(1.0 - hits[0].cosine)
