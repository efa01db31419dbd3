"""Answers beside the truth: ranks, probabilities, sets.

*Strict*: a name counts when it is the draw's own. *Merged*: when both stand for one thing by
:mod:`solvus.simulations.benchmarks.recognition.merging`; the probabilities of merged names are added first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.metal_groups import group_of
from solvus.simulations.benchmarks.recognition.answer import Answer
from solvus.simulations.benchmarks.recognition.draws import Draw

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Level = Literal["type", "structure"]

NOTHING = "no answer"
"""In place of a type, where an answer names none."""


@dataclass(frozen=True)
class Judged:
    """One pattern's truth and the answer to it."""

    draw: Draw
    answer: Answer


@dataclass(frozen=True)
class View:
    """Answers at one level of naming.

    Attributes
    ----------
    truth : (n,) the right name of each pattern.
    ranked : (n,) names with probabilities, most probable first.
    """

    truth: tuple[str, ...]
    ranked: tuple[tuple[tuple[str, float], ...], ...]

    def within(self, k: int) -> Flags:
        """Whether the right name is among the first ``k``: (n,)."""
        rows = zip(self.truth, self.ranked, strict=True)
        return np.array([truth in [name for name, _ in row[:k]] for truth, row in rows], dtype=bool)

    @property
    def probability(self) -> Floats:
        """Of each first name: (n,); 0 where there is none."""
        return np.array([row[0][1] if row else 0.0 for row in self.ranked])

    @property
    def first(self) -> tuple[str, ...]:
        return tuple(row[0][0] if row else NOTHING for row in self.ranked)

    @property
    def given(self) -> list[dict[str, float]]:
        return [dict(row) for row in self.ranked]


def view(judged: Sequence[Judged], level: Level, merging: Mapping[str, str] | None = None) -> View:
    """The answers by type or by structure; strict without ``merging``, where each name stands for itself."""
    known = merging or {}

    def label(name: str) -> str:
        return known.get(name, name)

    truth = tuple(label(row.draw.type if level == "type" else row.draw.truth) for row in judged)
    answers = [row.answer.types if level == "type" else row.answer.structures for row in judged]
    return View(truth, tuple(_collapsed(ranked, label) for ranked in answers))


def _collapsed(
    ranked: Sequence[tuple[str, float]], label: Callable[[str], str]
) -> tuple[tuple[str, float], ...]:
    total: dict[str, float] = {}
    for name, p in ranked:
        total[label(name)] = total.get(label(name), 0.0) + p
    # Of equals the one that the recogniser put first stays first.
    return tuple(sorted(total.items(), key=lambda pair: -pair[1]))


def groups_of(draw: Draw) -> frozenset[str]:
    """The groups of metals that a draw holds."""
    return frozenset(group for element in draw.elements if (group := group_of(element)) is not None)


def covered(judged: Sequence[Judged]) -> Flags:
    """Whether every metal of the sample is in the set: (n,)."""
    return np.array([groups_of(row.draw) <= row.answer.metals for row in judged], dtype=bool)


def set_sizes(judged: Sequence[Judged]) -> Floats:
    """Groups in each set: (n,)."""
    return np.array([len(row.answer.metals) for row in judged], dtype=np.float64)


def strangeness(judged: Sequence[Judged]) -> Floats:
    return np.array([row.answer.strangeness for row in judged])


@dataclass(frozen=True)
class Confusion:
    """How often ``truth`` was taken for ``given``, of so many patterns of the truth."""

    truth: str
    given: str
    count: int
    of: int


def confusions(seen: View) -> list[Confusion]:
    """Every wrong first name, the most frequent first."""
    of = Counter(seen.truth)
    pairs = Counter((t, g) for t, g in zip(seen.truth, seen.first, strict=True) if t != g)
    found = [Confusion(t, g, count, of[t]) for (t, g), count in pairs.items()]
    return sorted(found, key=lambda c: (-c.count, c.truth, c.given))
