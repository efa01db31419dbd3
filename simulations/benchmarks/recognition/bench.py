"""What a row needs to run: recognisers, how many patterns, seeds, folders; and answers given once for all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from solvus.models.pattern import Pattern
from solvus.models.structures.build import begin_worker
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition.answer import (
    Answer,
    Declaration,
    Declared,
    Equipped,
    Partial,
    Progress,
    Recogniser,
    Told,
)
from solvus.simulations.benchmarks.recognition.asking import Asked, answers_of
from solvus.simulations.benchmarks.recognition.draws import Draw
from solvus.simulations.benchmarks.recognition.merging import merged_structures, merged_types
from solvus.simulations.benchmarks.recognition.recognisers import Choice
from solvus.simulations.benchmarks.recognition.scoring import Judged

QUICK = 40
"""Patterns of a condition with ``--quick``: enough to see that everything runs, not for a figure."""


def silent(things: Iterable[Any], total: int, heading: str) -> Iterable[Any]:
    """No progress shown."""
    return things


@dataclass(frozen=True)
class Part:
    """A set of patterns as a row asks for it.

    Attributes
    ----------
    key : the same for the same patterns, whichever row asks.
    label : the condition in words.
    draws : the first ``count`` of them.
    library : records that the recogniser is to use in place of the shipped ones.
    default : how many patterns, where nothing else is asked for.
    prior : what is declared of the structures.
    """

    key: str
    label: str
    draws: Callable[[int], Iterator[Draw]]
    default: int
    library: Callable[[], Sequence[Record]] | None = None
    prior: Declaration = field(default_factory=Declaration)


@dataclass
class Bench:
    """One evaluation.

    Attributes
    ----------
    choices : recognisers by name; the goals are asked of the first.
    count : patterns of each condition; ``None`` for what each row and recogniser has by default.
    seed : of everything that is drawn.
    work : folder for curves that are kept.
    patterns : folder of measured patterns with ``truth.csv``, or ``None``.
    progress : shows how far it is.
    processes : in which recognisers answer; the answers do not depend on their number, the times that they state do.
    """

    choices: Mapping[str, Choice]
    seed: int
    work: Path
    count: int | None = None
    patterns: Path | None = None
    progress: Progress = silent
    processes: int = 1
    _pool: ProcessPoolExecutor | None = None
    _made: dict[str, Recogniser] = field(default_factory=dict)
    _judged: dict[tuple[str, str], list[Judged]] = field(default_factory=dict)
    _libraries: dict[str, Sequence[Record]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Recognisers that every row asks: all but partial ones."""
        return tuple(name for name, choice in self.choices.items() if not choice.partial)

    def names_for(self, part: Part) -> tuple[str, ...]:
        """Recognisers for a part, with the partial ones that take its library."""
        partial = (name for name, choice in self.choices.items() if choice.partial)
        return (*self.names, *(name for name in partial if self._takes(name, part)))

    def _takes(self, name: str, part: Part) -> bool:
        recogniser = self.recogniser(name)
        return isinstance(recogniser, Partial) and recogniser.takes(self.library(part))

    @property
    def first(self) -> str:
        """The recogniser that goals are asked of."""
        return self.names[0]

    @cached_property
    def types(self) -> dict[str, str]:
        """:func:`~solvus.simulations.benchmarks.recognition.merging.merged_types` of the shipped library."""
        return merged_types(Catalogue.load(own_too=False))

    @cached_property
    def structures(self) -> dict[str, str]:
        """:func:`~solvus.simulations.benchmarks.recognition.merging.merged_structures` likewise."""
        return merged_structures(Catalogue.load(own_too=False))

    def recogniser(self, name: str) -> Recogniser:
        """Made when it is first asked for."""
        if name not in self._made:
            self._made[name] = made = self.choices[name].make()
            if isinstance(made, Equipped):
                made.equip(self.work, self.progress)
        return self._made[name]

    def counted(self, name: str, default: int) -> int:
        """How many patterns a recogniser is given where a row has ``default``."""
        if self.count is not None:
            return self.count
        most = self.choices[name].most
        return default if most is None else min(default, most)

    def judged(self, name: str, part: Part) -> list[Judged]:
        """Patterns of a part with the answers of a recogniser, which is asked once."""
        key = name, part.key
        if key not in self._judged:
            count = self.counted(name, part.default)
            self._judged[key] = list(self._asked(name, part, count))
        return self._judged[key]

    def library(self, part: Part) -> Sequence[Record] | None:
        """The records that a part brings along, the same object every time."""
        if part.library is None:
            return None
        if part.key not in self._libraries:
            self._libraries[part.key] = part.library()
        return self._libraries[part.key]

    def _asked(self, name: str, part: Part, count: int) -> Iterator[Judged]:
        heading = f"{part.label}, {name}"
        drawn = list(islice(self.progress(part.draws(count), count, f"{part.label}, patterns"), count))
        recogniser = self.recogniser(name)
        if isinstance(recogniser, Told):
            recogniser.told(drawn)
        if isinstance(recogniser, Declared):
            recogniser.expect(part.prior)
        answers = self._answers(name, part, [draw.pattern for draw in drawn])
        for draw, answer in zip(drawn, self.progress(answers, len(drawn), heading), strict=True):
            yield Judged(draw, answer.checked())

    def _answers(self, name: str, part: Part, patterns: Sequence[Pattern]) -> Iterator[Answer]:
        recogniser, library = self.recogniser(name), self.library(part)
        if self.processes == 1 or isinstance(recogniser, Told | Equipped):
            return recogniser.answers(patterns, library)
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.processes, get_context("spawn"), begin_worker)
        asked = Asked(name, self.choices[name].make, part.key, library, part.prior)
        return answers_of(self._pool, asked, patterns)

    def close(self) -> None:
        """End the processes; what they still had to do is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
