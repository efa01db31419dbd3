"""Nothing is proposed beside an experiment that is under way, in whatever state a laboratory is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from solvus.agent.planner.known import encoded
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.request import PlanRequest
from solvus.agent.planner.search_space import Categorical, Continuous, SearchSpace
from solvus.agent.planner.separation import SEPARATION, separation
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.suggest import suggest
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.models.identification import Descriptor

SPACE = SearchSpace(
    parameters=(
        Continuous(name="x", lower=0.0, upper=1.0),
        Continuous(name="y", lower=0.0, upper=1.0),
        Categorical(name="c", choices=("a", "b")),
    )
)


def nearest_in_a_random_state(seed: int) -> float:
    """Distance of a batch of proposals from what is under way and from one another, at its least."""
    draw = np.random.default_rng(seed)
    optimum = draw.uniform(0.2, 0.8, 2)
    target = TargetDescriptors(goals={"bond_length": Goal(value=3.0, tolerance=0.01)})
    made = []
    for i in range(1, int(draw.integers(6, 25))):
        recipe = SPACE.draw(draw.uniform(size=3))
        x = SPACE.encode(recipe)
        value = 3.0 + float(((x[:2] - optimum) ** 2).sum()) + 0.1 * x[2] + 0.002 * draw.normal()
        descriptor = Descriptor(mean=value, sd=0.002)
        made.append(
            Observation(experiment=i, recipe=recipe, outcome="ok", descriptors={"bond_length": descriptor})
        )
    settings = PlannerSettings(initial=4)
    state = PlanRequest(
        space=SPACE, target=target, observations=tuple(made), seed=seed, proposed=len(made), settings=settings
    )
    # What is under way is what the planner itself would have had made, and so near what it wants next.
    running = [p.recipe for p in suggest(state.model_copy(update={"n": int(draw.integers(1, 4))}))]
    asked = state.model_copy(update={"pending": tuple(running), "proposed": len(made) + len(running), "n": 1})
    found = [p.recipe for p in suggest(asked)]
    recipes = encoded(SPACE, [*running, *found])
    least = 1.0
    for i in range(1, len(recipes)):
        least = min(least, float(separation(SPACE, recipes[:i].clone(), recipes[i][None]).min()))
    return least


def test_nothing_is_proposed_beside_what_is_under_way() -> None:
    torch.set_num_threads(1)
    assert min(nearest_in_a_random_state(seed) for seed in range(4)) >= SEPARATION


@pytest.mark.slow
def test_nothing_is_proposed_beside_what_is_under_way_in_two_hundred_states() -> None:
    torch.set_num_threads(1)
    assert min(nearest_in_a_random_state(seed) for seed in range(200)) >= SEPARATION
