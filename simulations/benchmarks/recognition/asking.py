"""Recognisers asked in several processes: each keeps the recognisers that it has made, and the last library of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

from solvus.models.pattern import Pattern
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition.answer import Answer, Declaration, Declared, Recogniser

CHUNK = 5
"""Patterns sent to a process at once."""


@dataclass(frozen=True)
class Asked:
    """What a process needs besides the patterns.

    Attributes
    ----------
    name : of the recogniser, under which a process keeps it; make : makes it.
    key : of the library, under which a process keeps that.
    """

    name: str
    make: Callable[[], Recogniser]
    key: str
    library: Sequence[Record] | None
    prior: Declaration


def answers_of(pool: ProcessPoolExecutor, asked: Asked, patterns: Sequence[Pattern]) -> Iterator[Answer]:
    """One answer for each pattern, in their order."""
    parts = [patterns[k : k + CHUNK] for k in range(0, len(patterns), CHUNK)]
    for answers in pool.map(_answered, repeat(asked), parts):
        yield from answers


_MADE: dict[str, Recogniser] = {}
_LIBRARIES: dict[str, tuple[str, Sequence[Record] | None]] = {}


def _answered(asked: Asked, patterns: Sequence[Pattern]) -> list[Answer]:
    if asked.name not in _MADE:
        _MADE[asked.name] = asked.make()
    recogniser = _MADE[asked.name]
    if _LIBRARIES.get(asked.name, ("",))[0] != asked.key:
        _LIBRARIES[asked.name] = asked.key, asked.library
    if isinstance(recogniser, Declared):
        recogniser.expect(asked.prior)
    # The same object every time, by which a recogniser knows that it has seen a library before.
    return list(recogniser.answers(patterns, _LIBRARIES[asked.name][1]))
