"""The recognisers that can be evaluated, by the name that ``--recogniser`` takes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from solvus.simulations.benchmarks.recognition.answer import Recogniser
from solvus.simulations.benchmarks.recognition.learned import NetworkAlone, QuickFits, Refined
from solvus.simulations.benchmarks.recognition.matched_filter import MatchedFilter
from solvus.simulations.benchmarks.recognition.oracle import Oracle
from solvus.simulations.benchmarks.recognition.retrained import Retrained


class ChoiceError(ValueError):
    """A recogniser or row that does not exist; the message names the nearest."""


@dataclass(frozen=True)
class Choice:
    """How a recogniser is made.

    Attributes
    ----------
    what : one sentence for the report.
    most : patterns of one condition that it is given unless a count is asked for; ``None`` for as many as the row has.
        The slow ones get the first of those that the quick ones get, so that they are compared on the same patterns.
    partial : whether it is asked only where it takes the library that a test brings along.
    """

    make: Callable[[], Recogniser]
    what: str
    most: int | None = None
    partial: bool = False


CHOICES: dict[str, Choice] = {
    "refined": Choice(
        Refined,
        "what identify answers: network, quick fits, the best refined in full; of a test's own library the best twelve",
        most=100,
    ),
    "quick": Choice(
        QuickFits,
        "the network weighed with a quick fit (stretch, displacement, diameter) of each structure of its short list",
        most=200,
    ),
    "network": Choice(NetworkAlone, "the network alone, without any fit", most=1000),
    "filter": Choice(
        MatchedFilter,
        "the matched filter: every structure of the library at its best stretch, width and diameter, without training",
        most=200,
    ),
    "retrained": Choice(
        Retrained,
        "the recipe that the peer published (POMFinder or MetalFinder), trained again on the clusters of the test",
        partial=True,
    ),
    "oracle": Choice(
        Oracle,
        "the exact pair sum under the exact settings of each draw, for clusters that a test brings along: the bound "
        "where clusters are perfect and made by the pair sum",
        most=100,
        partial=True,
    ),
}
"""The first is the one that the goals are asked of, unless another is named first."""


def chosen(names: Sequence[str]) -> Mapping[str, Choice]:
    """Those of ``names`` in their order, or all.

    Raises
    ------
    ChoiceError
        For a name that is none, and where all are partial, which most rows cannot ask.
    """
    for name in names:
        if name not in CHOICES:
            raise ChoiceError(f"--recogniser: {unknown(name, CHOICES)}")
    if names and all(CHOICES[name].partial for name in names):
        raise ChoiceError(
            f"--recogniser: {names[0]!r} answers in some rows only; name one more to compare it with"
        )
    return {name: CHOICES[name] for name in (names or CHOICES)}


def unknown(name: str, known: Mapping[str, object]) -> str:
    """The end of a sentence about a name that is none."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"{name!r} is none; {hint}"
