"""One planner in one laboratory, from the shared initial design to the first recipe that makes what is asked for.

With several workers experiments overlap: each takes a log-normal time, a planner is asked as soon as a worker is free,
and told of results as they come. Time is simulated; results depend on seeds alone.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass

import numpy as np

from solvus.agent.planner.search_space import Recipe
from solvus.simulations.benchmarks.planner.methods import Method, Solvus, design, method_of
from solvus.simulations.benchmarks.planner.worlds import PlannerWorld, Shown

HOURS, HOURS_SPREAD = 1.0, 0.5
"""Median duration of an experiment and the standard deviation of its logarithm, where workers share the work."""


@dataclass(frozen=True)
class Race:
    """What came of one seed.

    Attributes
    ----------
    experiments : until the target was made, confirmations included; ``None`` within the budget's end.
    best : least misfit after each experiment.
    ask_seconds : CPU seconds of each question after the initial design; wall_seconds : by the clock.
    failures : experiments without a product. hours : simulated, until the end.
    levels : what our surrogate modelled, by proposal; left_out : its last leave-one-out spread by output;
        ahead : by output, each result's z-score against what the surrogate expected of it before.
    """

    method: str
    seed: int
    experiments: int | None
    best: tuple[float, ...]
    ask_seconds: tuple[float, ...]
    wall_seconds: tuple[float, ...]
    failures: int
    hours: float
    levels: tuple[str, ...] = ()
    left_out: tuple[tuple[str, float], ...] = ()
    ahead: tuple[tuple[str, float], ...] = ()


@dataclass
class _Course:
    """A race under way."""

    world: PlannerWorld
    method: Method
    seed: int
    made: int = 0
    failures: int = 0
    hit: int | None = None

    def finish(self, recipe: Recipe, shown: Shown, number: int, best: list[float]) -> None:
        self.made += 1
        self.failures += shown.curve is None
        best.append(min(shown.misfit, best[-1] if best else np.inf))
        if self.hit is None and self.world.hit(recipe, self.seed):
            self.hit = self.made
            return
        self.method.tell(recipe, shown, number)


def race(world: PlannerWorld, name: str, seed: int, workers: int = 1) -> Race:
    """Run one planner on one seed.

    Raises
    ------
    MethodMissing : its program is not installed.
    """
    method = method_of(name, world, seed)
    ours = method if isinstance(method, Solvus) else None
    course, queue = _Course(world, method, seed), design(world.space, world.initial, seed)
    best: list[float] = []
    cpu: list[float] = []
    wall: list[float] = []
    levels: list[str] = []
    running: list[tuple[float, int, Recipe, Shown]] = []
    durations = np.random.default_rng([seed, 7])
    now, started = 0.0, 0
    while course.hit is None and course.made < world.budget:
        while len(running) < workers and started < world.budget:
            if started < world.initial:
                recipe = queue[started]
            else:
                clocks = time.process_time(), time.perf_counter()
                recipe = method.ask([r for _, _, r, _ in sorted(running, key=lambda run: run[1])])
                cpu.append(time.process_time() - clocks[0])
                wall.append(time.perf_counter() - clocks[1])
                if ours is not None and ours.last is not None:
                    levels.append(ours.last.level)
            started += 1
            shown = world.show(recipe, seed, started)
            length = HOURS * float(np.exp(HOURS_SPREAD * durations.normal())) if workers > 1 else HOURS
            heapq.heappush(running, (now + length, started, recipe, shown))
        now, number, recipe, shown = heapq.heappop(running)
        course.finish(recipe, shown, number, best)
    last = None if ours is None else ours.last
    return Race(
        method=name,
        seed=seed,
        experiments=None if course.hit is None else course.hit + world.confirmations,
        best=tuple(best),
        ask_seconds=tuple(cpu),
        wall_seconds=tuple(wall),
        failures=course.failures,
        hours=now,
        levels=tuple(levels),
        left_out=() if last is None else tuple(last.left_out.items()),
        ahead=() if ours is None else tuple(ours.ahead),
    )
