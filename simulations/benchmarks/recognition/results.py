"""Rows of the table, what they ask for and what was measured: plain data that the report is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from solvus.simulations.benchmarks.recognition.estimates import Estimate

Unit = Literal["share", "error", "ms", "s", "patterns/s", "groups", "area"]
Verdict = Literal["met", "not met", "open", "not judged"]
DECIMALS: dict[Unit, int] = {"error": 3, "ms": 1, "s": 2, "patterns/s": 1, "groups": 2, "area": 3, "share": 1}


def written(value: float, unit: Unit) -> str:
    """A figure without its unit, shares in percent."""
    return f"{100.0 * value if unit == 'share' else value:.{DECIMALS[unit]}f}"


def sign_of(unit: Unit) -> str:
    """The unit as it follows a figure."""
    return {"share": " %", "error": "", "groups": "", "area": ""}.get(unit, f" {unit}")


@dataclass(frozen=True)
class Goal:
    """A figure to reach: at least ``low``, at most ``high``, or between."""

    low: float = -math.inf
    high: float = math.inf

    def met(self, value: float) -> bool:
        return self.low <= value <= self.high

    def text(self, unit: Unit) -> str:
        """Such as ``95 % or more``."""
        low, high = (f"{100.0 * v if unit == 'share' else v:g}" for v in (self.low, self.high))
        if math.isinf(self.high):
            return f"{low}{sign_of(unit)} or more"
        if math.isinf(self.low):
            return f"{high}{sign_of(unit)} or less"
        return f"{low} to {high}{sign_of(unit)}"


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes
    ----------
    name : what was measured, such as ``top-1``; condition : on which patterns; recogniser : by whom.
    estimate : in the unit's base: shares between 0 and 1.
    goal : ``None`` where nothing is asked of this figure; peer : the peer's figure, as published.
    """

    name: str
    condition: str
    recogniser: str
    estimate: Estimate
    unit: Unit = "share"
    goal: Goal | None = None
    peer: str = ""
    remark: str = ""

    @property
    def verdict(self) -> Verdict:
        """``open`` when the interval holds values on either side of the goal."""
        if self.goal is None:
            return "not judged"
        ends = {self.goal.met(v) for v in (self.estimate.low, self.estimate.value, self.estimate.high)}
        if len(ends) > 1:
            return "open"
        return "met" if ends == {True} else "not met"

    @property
    def met(self) -> bool | None:
        """By the figure alone, whatever its interval."""
        return None if self.goal is None else self.goal.met(self.estimate.value)

    def document(self) -> dict[str, Any]:
        """For programs."""
        e = self.estimate
        return {
            "name": self.name,
            "condition": self.condition,
            "recogniser": self.recogniser,
            "value": _finite(e.value),
            "low": _finite(e.low),
            "high": _finite(e.high),
            "n": e.n,
            "unit": self.unit,
            "goal": None if self.goal is None else self.goal.text(self.unit),
            "peer": self.peer,
            "met": self.met,
            "verdict": self.verdict,
            "remark": self.remark,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Picture:
    """A PNG with the sentence under it; ``name`` is unique within its row."""

    name: str
    caption: str
    png: bytes = field(repr=False)


@dataclass(frozen=True)
class Measured:
    """What a row found.

    Attributes
    ----------
    figures : in the order of the report; pictures : likewise.
    curves : what the pictures show, as JSON values, by name.
    remarks : sentences on what limits or explains the figures.
    """

    figures: tuple[Figure, ...]
    pictures: tuple[Picture, ...] = ()
    curves: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A row as it stands before anything is measured.

    Attributes
    ----------
    key : for ``--only``; test, peer, reach : the columns of the table in words.
    how : how the figures come about, in a sentence or two.
    """

    key: str
    test: str
    peer: str
    reach: str
    how: str


@dataclass(frozen=True)
class Result:
    """A row with what was measured, or with the one sentence why it was not."""

    claim: Claim
    measured: Measured | None
    problem: str
    seconds: float

    @property
    def met(self) -> bool | None:
        """Whether every figure that has a goal meets it; ``None`` when there is none."""
        verdicts = [f.met for f in (self.measured.figures if self.measured else ()) if f.met is not None]
        return all(verdicts) if verdicts else None

    def document(self) -> dict[str, Any]:
        """For programs."""
        found = self.measured
        return {
            "key": self.claim.key,
            "test": self.claim.test,
            "peer": self.claim.peer,
            "reach": self.claim.reach,
            "how": self.claim.how,
            "met": self.met,
            "problem": self.problem or None,
            "remarks": list(found.remarks) if found else [],
            "figures": [figure.document() for figure in found.figures] if found else [],
            "curves": dict(found.curves) if found else {},
            "pictures": [f"{self.claim.key}-{p.name}.png" for p in found.pictures] if found else [],
            "seconds": round(self.seconds, 2),
        }
