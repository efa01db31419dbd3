"""Whether a person is asked before a recipe is made: the approval policy of a campaign, applied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from solvus.agent.approval import Approval
from solvus.agent.decide import Experiment
from solvus.agent.planner.search_space import Categorical, Recipe, SearchSpace
from solvus.agent.questions import Question, recipe_hash
from solvus.agent.states import EARLY_SIGNAL, ExperimentState

E = ExperimentState
DONE_SAFELY = frozenset({E.SYNTHESISED, E.MEASURING, E.MEASURED, E.IDENTIFIED, E.SCORED})
"""States of an experiment whose recipe the laboratory has carried out."""
ALLOWED = frozenset({E.APPROVED, E.SYNTHESISING})
"""States of an experiment that somebody has said yes to."""


def kind_of(recipe: Recipe, space: SearchSpace, kinds: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The choices of a recipe: recipes that differ only in numbers are of one kind."""
    names = kinds or [p.name for p in space.parameters if isinstance(p, Categorical)]
    return tuple((name, str(recipe.get(name, "absent"))) for name in names)


def distance(a: Recipe, b: Recipe, space: SearchSpace) -> float:
    """Euclidean distance of two recipes in the unit cube of the ordered parameters; a different choice counts 1."""
    apart = np.array(space.encode(a)) - np.array(space.encode(b))
    choices = list(space.categorical)
    apart[choices] = apart[choices] != 0.0
    return float(np.linalg.norm(apart))


def _why(
    approval: Approval,
    recipe: Recipe,
    space: SearchSpace,
    experiments: Sequence[Experiment],
    replicate: bool,
) -> str | None:
    """Why a person is asked, or ``None``."""
    if approval.policy == "automatic":
        return None
    if approval.policy == "always":
        return "every experiment of this campaign is approved by a person"
    if replicate:
        return None
    if approval.policy == "first-of-a-kind":
        kind = kind_of(recipe, space, approval.kinds)
        known = [e for e in experiments if _carried_out(e) or e.state in ALLOWED]
        if any(kind_of(e.recipe, space, approval.kinds) == kind for e in known):
            return None
        words = ", ".join(f"{name} {choice}" for name, choice in kind)
        return f"the first with {words}" if words else "the first experiment of the campaign"
    tried = [e for e in experiments if _carried_out(e)]
    if not tried:
        return "nothing has been made in this campaign yet"
    nearest = min(tried, key=lambda e: distance(recipe, e.recipe, space))
    away = distance(recipe, nearest.recipe, space)
    if away <= approval.radius:
        return None
    return (
        f"{away:.2g} away from experiment {nearest.number}, the nearest that was made; "
        f"{approval.radius:g} goes without asking"
    )


def question(
    approval: Approval,
    recipe: Recipe,
    space: SearchSpace,
    experiments: Sequence[Experiment],
    *,
    replicate: bool,
    at: datetime,
) -> Question | None:
    """What is asked before ``recipe`` is made, or ``None`` when it may be made at once.

    Parameters
    ----------
    experiments : of the campaign; those that were carried out make a recipe known.
    replicate : the recipe was made before and is made again to confirm it.
    """
    why = _why(approval, recipe, space, experiments, replicate)
    if why is None:
        return None
    return Question(
        subject="approval",
        why=why,
        people=approval.people,
        needed=2 if approval.two_persons else 1,
        expires_at=None if approval.expires is None else at + timedelta(seconds=approval.expires),
        recipe_sha256=recipe_hash(recipe),
    )


def _carried_out(experiment: Experiment) -> bool:
    return experiment.state in DONE_SAFELY or (
        experiment.state is E.FAILED and experiment.cause in ("chemistry", EARLY_SIGNAL)
    )
