"""What is asked of a sample before it is measured, and what is answered: plain data that goes into the ledger.

Light, so that the campaign's own process does not load torch; the answer is worked out in
:mod:`solvus.agent.planner.stages`.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from solvus.agent.planner.observations import Observation
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.scoring import TargetDescriptors

LEAST_PAIRS = 8
"""Experiments with both measurements before anything is skipped."""


class Seen(BaseModel):
    """A measured experiment with the early signal of its sample, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    observation: Observation
    signal: dict[str, FiniteFloat]


class StageRequest(BaseModel):
    """All that one decision depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    space: SearchSpace
    target: TargetDescriptors
    finished: tuple[Seen, ...]
    recipe: Recipe
    early: dict[str, FiniteFloat]
    threshold: float
    least: int = LEAST_PAIRS

    @property
    def sha256(self) -> str:
        """Over all of it, as canonical JSON."""
        text = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        return hashlib.sha256(text.encode()).hexdigest()


class StageDecision(BaseModel):
    """The verdict on one sample, with the probabilities that it rests on and all that is needed to compute it again.

    Attributes
    ----------
    probability_better : that it is better than the best known one, at most. probability_within : that it is within all
        tolerances and bounds of the target, at most; that may be so for a sample that is no better: a hit has to be
        confirmed, and the best known one may owe its place to chance.
    signal : the early signal that was looked at. learned_from : the experiments that have both measurements.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    measure: bool
    probability_better: float | None = Field(default=None, ge=0.0, le=1.0)
    probability_within: float | None = Field(default=None, ge=0.0, le=1.0)
    reason: str
    signal: dict[str, float] = {}
    learned_from: tuple[int, ...] = ()
    data_sha256: str = ""
    versions: dict[str, str] = {}
