"""What the data allow at best: clusters told apart by someone who knows everything about a pattern but the structure.

The oracle is told the conditions of each draw (ranges of Q, damping, displacement, correlated motion, expansion) and
compares the pattern with the exact curve of each candidate, by the plain pair sum that the test patterns come from:

    log p = - n/2 ln R_w^2,        n = (r_max - r_min) (Qmax - Qmin) / pi,

with the best scale. Candidates are the ``CANDIDATES`` that a matched filter finds nearest, and the true one, so that
none is missed. Displaced atoms and sizes beside the cluster's own it does not know; where a test has those, it is no
bound. Crystals it does not take. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.metal_groups import group_of
from solvus.models.recognition.screening import screen
from solvus.models.recognition.signatures import Signatures, signatures_of
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition import pair_sum
from solvus.simulations.benchmarks.recognition.answer import Answer
from solvus.simulations.benchmarks.recognition.draws import Draw
from solvus.simulations.benchmarks.recognition.metal_clusters import B_PER_U

Floats = NDArray[np.float64]

CANDIDATES = 60
R_FIRST = 1.2
"""angstrom: below it there are no distances, only what the noise has there."""
NAMED = 20
NOTHING_LEFT = 1e-6
"""R_w of a curve that is met; draws are kept in single precision."""


class Oracle:
    """See the module."""

    name = "oracle"

    def __init__(self) -> None:
        self._draws: tuple[Draw, ...] = ()
        self._kept: tuple[object, Signatures, dict[str, Record]] | None = None

    def takes(self, library: Sequence[Record] | None) -> bool:
        """Whether these are clusters that a test brings along."""
        return library is not None and not any(record.periodic for record in library)

    def told(self, draws: Sequence[Draw]) -> None:
        """What the next patterns are."""
        self._draws = tuple(draws)

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]:
        signatures, records = self._library(library or ())
        for draw, pattern in zip(self._draws, patterns, strict=True):
            start = time.perf_counter()
            names = [*_nearest(signatures, pattern, draw), draw.truth]
            chosen = [records[name] for name in dict.fromkeys(names)]
            p = _probabilities([_misfit(record, pattern, draw) for record in chosen], pattern)
            yield _answer(p, chosen, time.perf_counter() - start)

    def _library(self, library: Sequence[Record]) -> tuple[Signatures, dict[str, Record]]:
        if self._kept is None or self._kept[0] is not library:
            self._kept = library, signatures_of(library, "xray"), {r.name: r for r in library}
        return self._kept[1], self._kept[2]


def _nearest(signatures: Signatures, pattern: Pattern, draw: Draw) -> list[str]:
    """The matched filter at the true expansion."""
    known = draw.conditions
    data = Data(pattern.x, pattern.y, known["qmin"], known["qmax"])
    stretch = np.array([1.0 + known.get("expansion", 0.0)])
    hits = screen(signatures, data, (R_FIRST, float(pattern.x[-1])), qdamp=known["qdamp"], stretches=stretch)
    return [hit.name for hit in hits[:CANDIDATES]]


def _misfit(record: Record, pattern: Pattern, draw: Draw) -> float:
    """R_w of the exact curve with its best scale."""
    known = draw.conditions
    counted = pattern.x >= R_FIRST
    curve = pair_sum.cluster_pdf(
        list(record.species),
        record.positions * (1.0 + known.get("expansion", 0.0)),
        pattern.x[counted],
        qmin=known["qmin"],
        qmax=known["qmax"],
        qdamp=known["qdamp"],
        u_iso=known["b_iso"] / B_PER_U,
        delta2=known["delta2"],
    )
    observed = pattern.y[counted]
    cosine = float(curve @ observed / (np.linalg.norm(curve) * np.linalg.norm(observed) + 1e-300))
    return math.sqrt(max(1.0 - max(cosine, 0.0) ** 2, NOTHING_LEFT**2))


def _probabilities(misfits: Sequence[float], pattern: Pattern) -> Floats:
    conditions = pattern.conditions
    points = (
        (float(pattern.x[-1]) - R_FIRST) * ((conditions.qmax or 0.0) - (conditions.qmin or 0.0)) / math.pi
    )
    logs = -points * np.log(np.array(misfits))
    weight = np.exp(logs - logs.max())
    return np.asarray(weight / weight.sum())


def _answer(p: Floats, chosen: Sequence[Record], seconds: float) -> Answer:
    order = np.argsort(-p, kind="stable").tolist()
    types: dict[str, float] = {}
    for k in order:
        types[chosen[k].type] = types.get(chosen[k].type, 0.0) + float(p[k])
    ranked = sorted(types.items(), key=lambda pair: -pair[1])[:NAMED]
    structures = tuple((chosen[k].name, float(p[k])) for k in order[:NAMED])
    metals = {group_of(element) for element in chosen[order[0]].elements} - {None}
    return Answer(
        tuple(ranked), structures, frozenset(str(m) for m in metals), 0.0, True, 1.0 - float(p.max()), seconds
    )
