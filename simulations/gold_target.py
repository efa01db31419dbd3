"""How rare the target of the world ``gold`` is, by its noise-free rule: for tests and benchmarks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from solvus.simulations.gold import TARGET, GoldWorld, Target
from solvus.simulations.gold_chemistry import (
    AGENTS,
    LEAST_CONVERSION,
    Recipes,
    laboratory_of,
    outcome,
)
from solvus.simulations.gold_particles import FAMILIES


def sobol_recipes(n: int, *, seed: int) -> Recipes:
    """n scrambled Sobol recipes; the reductant on a logarithmic scale, the other numbers on linear ones."""
    power = max(0, math.ceil(math.log2(n)))
    unit = qmc.Sobol(5, scramble=True, rng=np.random.default_rng(seed)).random_base2(power)[:n]
    limits = [(spec.lower or 0.0, spec.upper or 0.0) for spec in GoldWorld.parameters[:4]]
    low, high = np.array(limits).T
    linear = low + (high - low) * unit[:, :4]
    return Recipes(
        temperature=linear[:, 0],
        ph=linear[:, 1],
        reductant=np.asarray(low[2] * (high[2] / low[2]) ** unit[:, 2]),
        time=linear[:, 3],
        agent=np.minimum((unit[:, 4] * len(AGENTS)).astype(np.int64), len(AGENTS) - 1),
    )


def hits(recipes: Recipes, seed: int, target: Target = TARGET) -> NDArray[np.bool_]:
    """Which recipes make the target by the noise-free rule, (n,)."""
    made = outcome(recipes, laboratory_of(seed))
    share = made.fractions[:, FAMILIES.index(target.family)]
    return np.asarray(
        (made.conversion >= LEAST_CONVERSION)
        & (share >= target.least_fraction)
        & (np.abs(made.diameter / target.diameter - 1.0) <= target.diameter_tolerance)
        & (np.abs(made.bond_length / target.bond_length - 1.0) <= target.bond_tolerance)
    )


def hit_volume(seed: int, n: int = 2**15) -> float:
    """Share of the space of recipes that makes the target in the laboratory ``seed``, from n Sobol points."""
    return float(hits(sobol_recipes(n, seed=0), seed).mean())
