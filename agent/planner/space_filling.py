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
    made before and lies apart from what is under way, and whether it does; else one that was made before. With limits,
    each point is first moved as near as may be ordered now."""
    engine = SobolEngine(space.dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    engine.fast_forward(index)  # type: ignore[no-untyped-call]
    beside = encoded(space, running)
    old: Recipe | None = None
    old_is_free = False
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
            free = bool(apart(space, encoded(space, [recipe]), beside)[0])
            if free and recipe not in made:
                return recipe, True
            if old is None or (free and not old_is_free):
                old, old_is_free = recipe, free
    if old is None:
        raise PlannerError(
            f"constraints: none of {CONSTRAINED_TRIES} recipes drawn keeps to them; narrow the limits of the parameters"
        )
    return old, False
