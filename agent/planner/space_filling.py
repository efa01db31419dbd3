"""Recipes that fill the search space evenly, without a model: a scrambled Sobol sequence."""

from __future__ import annotations

import torch
from torch.quasirandom import SobolEngine

from solvus.agent.planner.known import encoded
from solvus.agent.planner.limits import Within
from solvus.agent.planner.request import PlannerError
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.separation import apart

SOBOL_TRIES = 256
"""Points of the Sobol sequence looked at before a small space counts as tried in full; more where constraints take
some away."""
CONSTRAINED_TRIES = 8192


def sobol_recipe(
    space: SearchSpace,
    seed: int,
    index: int,
    made: list[Recipe],
    running: list[Recipe],
    within: Within | None,
) -> tuple[Recipe, bool]:
    """Point ``index`` of the campaign's Sobol sequence or the first after it that keeps to the constraints, was not
    made before and lies apart from what is under way, and whether it does; else one that was made before, and only then
    one beside what is under way. With limits, each point is first moved as near as may be ordered now."""
    engine = SobolEngine(space.dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    engine.fast_forward(index)  # type: ignore[no-untyped-call]
    beside = encoded(space, running)
    again: Recipe | None = None
    near: Recipe | None = None
    limited = bool(space.constraints) or within is not None
    for _ in range(0, CONSTRAINED_TRIES if limited else SOBOL_TRIES, SOBOL_TRIES):
        for u in engine.draw(SOBOL_TRIES, dtype=torch.float64).numpy():
            recipe = space.draw(u)
            if space.refusal(recipe) is not None:
                continue
            if within is not None:
                recipe = space.decode(within.pulled(space.encode(recipe)[None])[0])
                if space.refusal(recipe) is not None or not within.allows(recipe):
                    continue
            if not bool(apart(space, encoded(space, [recipe]), beside)[0]):
                near = near or recipe
            elif recipe in made:
                again = again or recipe
            else:
                return recipe, True
    second_best = again or near
    if second_best is None:
        raise PlannerError(
            f"constraints: none of {CONSTRAINED_TRIES} recipes drawn keeps to them; narrow the limits of the parameters"
        )
    return second_best, False
