"""What to do next, as a pure function of the campaign and its experiments.

A hit is confirmed by replicates before it is called found; replicates come before new recipes; an equipment failure
says nothing of a recipe, so a replicate that met one is made again. One miss among the replicates closes a recipe, and
so does one that was rejected. Rejected proposals cost nothing of the budget. A campaign that seeks a front or explores
has nothing to confirm and goes on until its budget is spent or a rule of stopping ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solvus.agent.campaign import Campaign
from solvus.agent.planner.search_space import Recipe
from solvus.agent.scoring import Score
from solvus.agent.states import EXPERIMENT_ENDS, ExperimentState


@dataclass(frozen=True)
class Experiment:
    """What a decision needs to know of one experiment."""

    number: int
    state: ExperimentState
    recipe: Recipe
    replicate_of: int | None = None
    replicate: int = 0
    cause: str | None = None
    score: Score | None = None
    asks: bool = False
    """A person has been asked about it and has not answered."""

    @property
    def active(self) -> bool:
        """Under way, or waiting for a person to say what became of it."""
        return self.asks or self.state not in EXPERIMENT_ENDS

    @property
    def rejected(self) -> bool:
        return self.state is ExperimentState.REJECTED

    @property
    def hit(self) -> bool:
        return self.score is not None and self.score.hit

    @property
    def miss(self) -> bool:
        """Ended with an answer about the recipe, and the answer was no."""
        chemistry = self.state is ExperimentState.FAILED and self.cause == "chemistry"
        return chemistry or (self.state is ExperimentState.SCORED and not self.hit)


@dataclass(frozen=True)
class Found:
    experiments: tuple[int, ...]


@dataclass(frozen=True)
class Exhausted:
    reason: str


@dataclass(frozen=True)
class Wait:
    reason: str


@dataclass(frozen=True)
class Confirm:
    """Make the recipe of ``experiment`` again."""

    experiment: Experiment
    replicate: int


@dataclass(frozen=True)
class Plan:
    """Ask the planner for ``count`` recipes."""

    count: int


NextStep = Found | Exhausted | Wait | Confirm | Plan


def confirmed(experiments: Sequence[Experiment], confirmations: int) -> tuple[int, ...] | None:
    """Numbers of the hits that make a target found: an experiment and its replicates; else ``None``."""
    for first in experiments:
        if first.replicate_of is None and first.hit:
            repeats = [e for e in experiments if e.replicate_of == first.number]
            hits = [e.number for e in repeats if e.hit]
            if len(hits) >= confirmations and not any(e.miss for e in repeats):
                return (first.number, *hits)
    return None


def _to_confirm(experiments: Sequence[Experiment], confirmations: int) -> Confirm | None:
    for first in experiments:
        if first.replicate_of is not None or not first.hit:
            continue
        repeats = [e for e in experiments if e.replicate_of == first.number]
        under_way_or_hit = [e for e in repeats if e.active or e.hit]
        if len(under_way_or_hit) < confirmations and not any(e.miss or e.rejected for e in repeats):
            return Confirm(first, 1 + max((e.replicate for e in repeats), default=0))
    return None


def _spent(campaign: Campaign, experiments: Sequence[Experiment], hours: float) -> str | None:
    """Why the budget allows no further experiment, or ``None``."""
    budget = campaign.budget
    if sum(not e.rejected for e in experiments) >= budget.experiments:
        return f"the budget of {budget.experiments} experiments is spent"
    if budget.hours is not None and hours >= budget.hours:
        return f"the budget of {budget.hours:g} hours is spent"
    return None


def next_step(campaign: Campaign, experiments: Sequence[Experiment], hours: float = 0.0) -> NextStep:
    """Decide on the next step; experiments in order of their numbers, ``hours`` since the campaign began."""
    active = [e.number for e in experiments if e.active]
    ends_when_found = campaign.planner.mode == "target"
    found = confirmed(experiments, campaign.confirmations) if ends_when_found else None
    if found is not None:
        if active:
            return Wait("the target is found; waiting for the experiments under way to end")
        return Found(found)
    spent = _spent(campaign, experiments, hours)
    if spent is not None:
        if active:
            return Wait(f"{spent}; waiting for the experiments under way to end")
        return Exhausted(spent)
    left = campaign.budget.experiments - sum(not e.rejected for e in experiments)
    free = min(campaign.parallel - len(active), left)
    if free <= 0:
        return Wait(f"{len(active)} of {campaign.parallel} experiments under way")
    confirm = _to_confirm(experiments, campaign.confirmations) if ends_when_found else None
    return confirm if confirm is not None else Plan(free)
