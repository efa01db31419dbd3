"""What a cheap look at every sample saves: campaigns in the world ``gold`` that measure all of them, and campaigns that
measure what may help, on the same laboratories.

    python -m solvus.simulations.benchmarks.stages --first 21 --seeds 20

Each ends with the first measured sample that is a hit by the world's rule. No pattern is calculated: the identification
is the truth with the noise that an identification of this world has, so that a campaign takes seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from solvus.agent.planner.observations import Observation
from solvus.agent.planner.request import PlanRequest
from solvus.agent.planner.search_space import Categorical, Continuous, Recipe, SearchSpace
from solvus.agent.planner.stages import worth_measuring
from solvus.agent.planner.suggest import suggest
from solvus.agent.scoring import FRACTION, Goal, TargetDescriptors
from solvus.models.identification import Descriptor
from solvus.simulations.gold import TARGET, GoldWorld, is_hit
from solvus.simulations.world import NoProduct, Product

SIGNAL = ("plasmon_ratio", "absorbance")
BUDGET = 40
SHARE_NOISE, DIAMETER_NOISE, BOND_NOISE = 0.03, 0.01, 0.0015
"""Of a share; relative; angstrom."""
LOGARITHMIC = ("reductant_to_gold",)

Pairs = list[tuple[Observation, Mapping[str, float]]]


@dataclass(frozen=True)
class Course:
    """One campaign: samples made, measured, left unmeasured, and hits among the last; whether it ended with a hit."""

    made: int
    measured: int
    skipped: int
    hits_skipped: int
    found: bool


def space_of(world: GoldWorld) -> SearchSpace:
    """All that the robot takes, as the shipped campaign has it."""
    return SearchSpace(
        parameters=tuple(
            Categorical(name=p.name, choices=p.choices)
            if p.kind == "categorical"
            else Continuous(
                name=p.name,
                lower=p.lower,
                upper=p.upper,
                scale="log" if p.name in LOGARITHMIC else "linear",
            )
            for p in world.parameters
        )
    )


def target() -> TargetDescriptors:
    """What the world calls a hit."""
    diameter, bond = TARGET.diameter, TARGET.bond_length
    return TargetDescriptors(
        goals={
            FRACTION + TARGET.family: Goal(value=1.0, tolerance=1.0 - TARGET.least_fraction, at_least=True),
            "diameter": Goal(value=diameter, tolerance=TARGET.diameter_tolerance * diameter),
            "bond_length": Goal(value=bond, tolerance=TARGET.bond_tolerance * bond),
        },
        family=TARGET.family,
    )


def identified(product: Product, recipe: Recipe, seed: int, experiment: int) -> Observation:
    """The truth with noise of its own stream."""
    share, diameter, bond = np.random.default_rng([seed, experiment]).normal(size=3)
    fraction = product.fractions.get(TARGET.family, 0.0) + SHARE_NOISE * share
    return Observation(
        experiment=experiment,
        recipe=recipe,
        outcome="ok",
        descriptors={
            FRACTION + TARGET.family: Descriptor(mean=float(np.clip(fraction, 0.0, 1.0)), sd=SHARE_NOISE),
            "diameter": Descriptor(
                mean=product.diameter * (1.0 + DIAMETER_NOISE * diameter),
                sd=DIAMETER_NOISE * product.diameter,
            ),
            "bond_length": Descriptor(mean=product.bond_length + BOND_NOISE * bond, sd=BOND_NOISE),
        },
    )


def run(seed: int, *, staged: bool, budget: int = BUDGET) -> Course:
    """One campaign in the laboratory ``seed``; ``staged``: a sample that cannot help is not measured."""
    world, goal = GoldWorld(), target()
    space = space_of(world)
    known: list[Observation] = []
    pairs: Pairs = []
    skipped = hits_skipped = 0
    for n in range(1, budget + 1):
        request = PlanRequest(
            space=space, target=goal, observations=tuple(known), seed=seed, proposed=n - 1, budget=budget
        )
        recipe = suggest(request)[0].recipe
        try:
            product = world.make(recipe, seed=seed, experiment=n, replicate=0)
        except NoProduct:
            known.append(Observation(experiment=n, recipe=recipe, outcome="failed_chemistry"))
            continue
        looked = world.look(recipe, seed=seed, experiment=n, replicate=0)
        early = {name: looked[name].value for name in SIGNAL}
        if staged and not worth_measuring(space, goal, pairs, recipe, early).measure:
            skipped, hits_skipped = skipped + 1, hits_skipped + is_hit(product)
            known.append(Observation(experiment=n, recipe=recipe, outcome="not_measured"))
            continue
        observation = identified(product, recipe, seed, n)
        known.append(observation)
        pairs.append((observation, early))
        if is_hit(product):
            return Course(n, len(pairs), skipped, hits_skipped, found=True)
    return Course(budget, len(pairs), skipped, hits_skipped, found=False)


def summary(name: str, courses: Sequence[Course]) -> str:
    made, measured, skipped, hits = (
        sum(getattr(c, field) for c in courses) for field in ("made", "measured", "skipped", "hits_skipped")
    )
    return (
        f"{name}: {sum(c.found for c in courses)} of {len(courses)} found a hit, {made} samples made, {measured} "
        f"measured, {skipped} left unmeasured with {hits} hits among them"
    )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=21, help="first seed")
    parser.add_argument("--seeds", type=int, default=20, help="how many laboratories")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    for name, staged in (("all measured", False), ("with stages", True)):
        sys.stdout.write(summary(name, [run(seed, staged=staged) for seed in seeds]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
