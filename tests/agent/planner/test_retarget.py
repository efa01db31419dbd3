"""Another target in the middle of a campaign: all that was learnt counts for it."""

from __future__ import annotations

import numpy as np
import pytest

from solvus.agent.planner.observations import Observation
from solvus.agent.planner.planner import Planner
from solvus.agent.planner.request import PlannerError
from solvus.agent.planner.search_space import Continuous, Recipe, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.scoring import Bound, Goal, TargetDescriptors
from solvus.models.identification import Descriptor

SPACE = SearchSpace(
    parameters=(
        Continuous(name="temperature", lower=0.0, upper=100.0),
        Continuous(name="ratio", lower=0.0, upper=1.0),
    )
)
SETTINGS = PlannerSettings(initial=6)


def wanted(diameter: float, bond: float) -> TargetDescriptors:
    return TargetDescriptors(
        goals={
            "diameter": Goal(value=diameter, tolerance=0.5),
            "bond_length": Goal(value=bond, tolerance=0.005),
        }
    )


LARGE, SMALL = wanted(45.0, 2.88), wanted(15.0, 2.84)


def made(number: int, recipe: Recipe) -> Observation:
    t, ratio = float(recipe["temperature"]) / 100.0, float(recipe["ratio"])
    noise = np.random.default_rng(number).normal(size=2)
    return Observation(
        experiment=number,
        recipe=recipe,
        outcome="ok",
        descriptors={
            "diameter": Descriptor(mean=10.0 + 40.0 * t**1.5 + 0.05 * noise[0], sd=0.05),
            "bond_length": Descriptor(mean=2.8 + 0.1 * ratio + 0.02 * t + 0.0005 * noise[1], sd=0.0005),
        },
    )


def distance(observation: Observation, target: TargetDescriptors) -> float:
    off = [(observation.descriptors[n].mean - g.value) / g.tolerance for n, g in target.goals.items()]
    return float(np.sqrt(np.mean(np.square(off))))


def run(planner: Planner, first: int, target: TargetDescriptors, most: int) -> int:
    """Experiments until one is within a tolerance."""
    for k in range(most):
        [proposal] = planner.suggest()
        observation = made(first + k, proposal.recipe)
        planner.ingest([observation])
        if distance(observation, target) < 1.0:
            return k + 1
    return most + 1


def test_what_was_learnt_for_one_target_serves_the_next() -> None:
    taught = Planner(SPACE, LARGE, SETTINGS, seed=2)
    spent = run(taught, 1, LARGE, 25)
    assert spent <= 25
    taught.retarget(SMALL)
    assert len(taught.request.observations) == spent
    assert run(taught, spent + 1, SMALL, 10) < run(Planner(SPACE, SMALL, SETTINGS, seed=2), 1, SMALL, 25)


def test_a_target_that_needs_what_nobody_measured_is_refused_and_the_old_one_stays() -> None:
    planner = Planner(SPACE, LARGE, SETTINGS, seed=1)
    planner.ingest([made(1, {"temperature": 50.0, "ratio": 0.5})])
    pure = LARGE.model_copy(update={"bounds": {"fraction:fcc": Bound(at_least=0.9)}})
    with pytest.raises(PlannerError, match="observation 1: fraction:fcc is missing"):
        planner.retarget(pure)
    assert planner.request.target == LARGE
