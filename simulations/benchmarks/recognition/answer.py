"""What an evaluation asks of a recogniser, and what it gets: patterns in, one :class:`Answer` for each out.

Anything that can answer is evaluated in the same way: the learned recogniser, the matched filter beside it, an oracle,
or somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from solvus.models.pattern import Pattern
from solvus.models.recognition.compounds import FormFactors
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition.draws import Draw

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Passes things on while it shows how many of so many there have been, under a heading."""
ROUNDING = 1e-6
"""By which probabilities in single precision may miss one."""


class AnswerError(ValueError):
    """An answer that contradicts itself; one sentence."""


@dataclass(frozen=True)
class Answer:
    """What a recogniser says of one pattern.

    Attributes
    ----------
    types : structure types, most probable first, with their probabilities; types left out have none.
    structures : records of the library likewise.
    metals : set of groups of metals (:func:`solvus.models.recognition.metal_groups.group_of`) that holds those of the
        sample with the stated coverage.
    none : probability of "none of these"; with the types it makes at most one.
    accepted : whether the recogniser takes the pattern for one of its own.
    strangeness : out-of-distribution score, larger is stranger.
    seconds : that the answer took.
    """

    types: tuple[tuple[str, float], ...]
    structures: tuple[tuple[str, float], ...]
    metals: frozenset[str]
    none: float
    accepted: bool
    strangeness: float
    seconds: float

    def checked(self) -> Answer:
        """Itself.

        Raises
        ------
        AnswerError
            When probabilities are none or types are not in their order.
        """
        for what, ranked in (("types", self.types), ("structures", self.structures)):
            values = [p for _, p in ranked]
            if any(not -ROUNDING <= p <= 1.0 + ROUNDING for p in values):
                raise AnswerError(f"{what}: a probability of {max(values, key=abs):g} is none")
            if any(a < b for a, b in pairwise(values)):
                raise AnswerError(f"{what}: not in the order of their probabilities")
            if len({name for name, _ in ranked}) < len(ranked):
                raise AnswerError(f"{what}: a name occurs twice")
        total = self.none + sum(p for _, p in self.types)
        if not 0.0 <= self.none <= 1.0 + ROUNDING or total > 1.0 + 1e3 * ROUNDING:
            raise AnswerError(f"none: probabilities of the types and of none add up to {total:g}")
        return self


@runtime_checkable
class Recogniser(Protocol):
    """Whatever answers.

    ``name`` stands in the report. ``answers`` yields one answer for each pattern in their order; ``library`` are the
    records a test brings along, as a user would add them, and the only ones then; ``None`` stands for the shipped
    library.
    """

    name: str

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]: ...


@runtime_checkable
class Told(Protocol):
    """A recogniser that is told what the patterns are before it is asked, as an oracle must be: one that knows
    everything but the structure shows what the data allow at best."""

    def told(self, draws: Sequence[Draw]) -> None: ...


@dataclass(frozen=True)
class Declaration:
    """What is declared of some patterns: the structure prior, and how their curves were calculated.

    Attributes
    ----------
    expansion : relative range of cells and bond lengths that is held possible; ``None`` for the usual one.
    form_factors : ``"constant"`` for curves of a program that weights pairs as at Q = 0.
    """

    expansion: float | None = None
    form_factors: FormFactors = "exact"


@runtime_checkable
class Declared(Protocol):
    """A recogniser that is told the structure prior of the patterns before it is asked."""

    def expect(self, prior: Declaration) -> None: ...


@runtime_checkable
class Partial(Protocol):
    """A recogniser that answers for some libraries only: it says which it takes."""

    def takes(self, library: Sequence[Record] | None) -> bool: ...


@runtime_checkable
class Equipped(Protocol):
    """A recogniser that is trained for the library that a test brings along: it is given a folder for what it has
    learned and what shows its progress."""

    def equip(self, work: Path, progress: Progress) -> None: ...
