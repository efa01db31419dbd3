"""How long the planner takes to answer, and how much memory it keeps, beside Ax in the same process.

A made-up world in the mixed space that planners find hard (three numbers, an integer of ten, choices of four and of
three) with eight smooth descriptors; nothing is learnt about planning here. Seconds are those of the processor, on one
thread: other work on the machine does not count.
"""

from __future__ import annotations

import importlib.util
import logging
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from solvus.agent.planner.observations import Observation
from solvus.agent.planner.parameters import Categorical, Continuous, Integer, Recipe
from solvus.agent.planner.request import PlanRequest
from solvus.agent.planner.search_space import SearchSpace
from solvus.agent.planner.suggest import suggest
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.models.identification import Descriptor
from solvus.simulations.benchmarks.planner.methods import ax_parameter

OUTPUTS = 8
NOISE = 0.01
EVERY = 25
"""Experiments between two looks at the memory."""
SPACE = SearchSpace(
    parameters=(
        Continuous(name="temperature", lower=20, upper=95, unit="degC"),
        Continuous(name="pH", lower=3, upper=12),
        Continuous(name="ratio", lower=0.5, upper=20, scale="log"),
        Integer(name="cycles", lower=1, upper=10),
        Categorical(name="agent", choices=("citrate", "pvp", "ctab", "thiol")),
        Categorical(name="solvent", choices=("water", "ethanol", "glycol")),
    )
)
TARGET = TargetDescriptors(goals={f"z{k}": Goal(value=0.3, tolerance=0.05) for k in range(OUTPUTS)})


@dataclass(frozen=True)
class Asked:
    """CPU seconds of one planner: median, least and most of ``repeats`` answers."""

    planner: str
    experiments: int
    recipes: int
    median: float
    least: float
    most: float
    repeats: int


def known(experiments: int, seed: int = 1) -> tuple[Observation, ...]:
    """So many experiments with even recipes and noisy descriptors."""
    generator = np.random.default_rng(seed)
    slopes = generator.normal(size=(OUTPUTS, SPACE.dimensions))
    found = []
    for number in range(1, experiments + 1):
        recipe = SPACE.draw(generator.uniform(size=SPACE.dimensions))
        values = np.sin(slopes @ SPACE.encode(recipe)) + NOISE * generator.normal(size=OUTPUTS)
        described = {f"z{k}": Descriptor(mean=float(v), sd=NOISE) for k, v in enumerate(values)}
        found.append(Observation(experiment=number, recipe=recipe, outcome="ok", descriptors=described))
    return tuple(found)


def misfit(observation: Observation) -> float:
    """What a planner of one number is told: the root mean square distance to the target."""
    off = [observation.descriptors[name].mean - goal.value for name, goal in TARGET.goals.items()]
    return float(np.sqrt(np.mean(np.square(off))))


def timed(planner: str, experiments: int, recipes: int, repeats: int, ask: Callable[[int], object]) -> Asked:
    """Ask once to warm up, then ``repeats`` times; ``ask`` is given the number of the answer."""
    ask(0)
    seconds = []
    for number in range(1, repeats + 1):
        begun = time.process_time()
        ask(number)
        seconds.append(time.process_time() - begun)
    return Asked(planner, experiments, recipes, median(seconds), min(seconds), max(seconds), repeats)


def solvus(experiments: int, recipes: int, repeats: int) -> Asked:
    """Ours, for so many recipes at once."""
    observations = known(experiments)

    def ask(number: int) -> object:
        request = PlanRequest(
            space=SPACE,
            target=TARGET,
            observations=observations,
            n=recipes,
            seed=number,
            proposed=experiments,
        )
        return suggest(request)

    return timed("solvus", experiments, recipes, repeats, ask)


def ax(experiments: int, repeats: int) -> Asked | None:
    """Ax with its defaults, on the misfit alone; ``None`` where it is not installed."""
    if importlib.util.find_spec("ax") is None:
        return None
    from ax.api.client import Client

    logging.disable(logging.INFO)  # it tells of every trial, through loggers of its own levels
    client = Client(random_seed=1)
    simple = (Categorical, Integer, Continuous)
    parameters = [ax_parameter(p) for p in SPACE.parameters if isinstance(p, simple)]
    client.configure_experiment(parameters=parameters)
    client.configure_optimization(objective="-misfit")
    client.configure_generation_strategy(initialization_budget=0, initialize_with_center=False)
    for observation in known(experiments):
        index = client.attach_trial(parameters=_plain(observation.recipe))
        client.complete_trial(trial_index=index, raw_data={"misfit": misfit(observation)})

    def ask(_: int) -> object:
        [(index, _parameters)] = client.get_next_trials(max_trials=1).items()
        client.mark_trial_abandoned(trial_index=index)
        return index

    return timed("ax", experiments, 1, repeats, ask)


def _plain(recipe: Recipe) -> dict[str, Any]:
    return {name: int(value) if name == "cycles" else value for name, value in recipe.items()}


def memory(experiments: int) -> Iterator[tuple[int, float]]:
    """The process's largest resident memory (MB) after asking with ever more experiments known."""
    observations = known(experiments)
    for n in range(EVERY, experiments + 1, EVERY):
        request = PlanRequest(space=SPACE, target=TARGET, observations=observations[:n], seed=1, proposed=n)
        suggest(request)
        unit = 1e6 if sys.platform == "darwin" else 1e3
        yield n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def bench_asking(
    experiments: int, repeats: int, *, beside: bool, remembered: int, told: Callable[[str], None]
) -> dict[str, Any]:
    """All of it, as one document.

    Parameters
    ----------
    beside : whether Ax is measured as well. remembered : experiments up to which the memory is looked at; 0 for none.
    told : called with a sentence as each part is done.
    """
    torch.set_num_threads(1)
    asked: list[Asked] = []

    def note(one: Asked) -> None:
        asked.append(one)
        told(f"{one.planner}, {one.recipes} at once: {one.median:.2f} CPU s")

    note(solvus(experiments, 1, repeats))
    note(solvus(experiments, 4, repeats))
    theirs = ax(experiments, max(1, repeats // 2)) if beside else None
    if theirs is not None:
        note(theirs)
    document: dict[str, Any] = {"asked": [asdict(one) for one in asked]}
    if theirs is not None:
        document["times_faster_than_ax"] = theirs.median / asked[0].median
    if remembered:
        document["memory_mb"] = {str(n): round(mb, 1) for n, mb in memory(remembered)}
        first, last = list(document["memory_mb"].values())[1], list(document["memory_mb"].values())[-1]
        told(f"memory: {first:.0f} MB early, {last:.0f} MB after {remembered} experiments")
    return document
