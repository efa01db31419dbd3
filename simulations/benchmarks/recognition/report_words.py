"""The report in words, whatever it is written in: figures with intervals, verdicts, the cells of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from solvus.simulations.benchmarks.recognition.results import Figure, Result, sign_of, written

VERDICTS = {
    "met": "met",
    "not met": "not met",
    "open": "not decided: the interval holds the goal",
    "not judged": "",
}


@dataclass(frozen=True)
class Evaluation:
    """All that the report tells.

    Attributes
    ----------
    results : of the rows that are done; left : keys of rows that were asked for and are not done.
    settings : name and value of everything that was chosen; recognisers : name and sentence.
    environment : see :func:`~solvus.simulations.benchmarks.recognition.environment.environment`.
    """

    results: Sequence[Result]
    left: Sequence[str]
    settings: Mapping[str, str]
    recognisers: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def state(self) -> str:
        """In one sentence."""
        done = sum(result.measured is not None for result in self.results)
        met = sum(result.met is True for result in self.results)
        judged = sum(result.met is not None for result in self.results)
        words = f"{done} of {len(self.results) + len(self.left)} rows measured, {met} of {judged} with a goal meet it"
        return f"{words}; not done: {', '.join(self.left)}." if self.left else f"{words}."


def amount(figure: Figure) -> str:
    """``96.1 % (95.0-97.0)`` with an en dash; the unit once."""
    e, unit = figure.estimate, figure.unit
    value = f"{written(e.value, unit)}{sign_of(unit)}"
    if e.low == e.high:
        return value
    return f"{value} ({written(e.low, unit)}–{written(e.high, unit)})"


def goal_of(figure: Figure) -> str:
    return "" if figure.goal is None else figure.goal.text(figure.unit)


def found(result: Result) -> list[str]:
    """The figures that the row is judged by, one line for each condition."""
    if result.measured is None:
        return [f"not measured: {result.problem}"]
    lines: dict[str, list[str]] = {}
    for figure in result.measured.figures:
        if figure.goal is not None:
            lines.setdefault(figure.condition, []).append(f"{figure.name} {amount(figure)}")
    return [f"{condition}: {', '.join(said)}" for condition, said in lines.items()] or [
        "nothing that has a goal"
    ]


def reached(result: Result) -> str:
    """The last cell of the row."""
    if result.met is None:
        return "–"
    figures = result.measured.figures if result.measured else ()
    opened = any(figure.verdict == "open" for figure in figures)
    words = "met" if result.met else "not met"
    return f"{words}, but the interval holds the goal" if opened else words
