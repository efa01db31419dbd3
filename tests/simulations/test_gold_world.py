"""The gold world: deterministic, honest, learnable, and neither too easy nor impossible."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvus.simulations.gold import TARGET, GoldWorld, is_hit, size_weights
from solvus.simulations.gold_chemistry import AGENTS, LEAST_CONVERSION, laboratory_of, outcome
from solvus.simulations.gold_particles import DIAMETERS, FAMILIES
from solvus.simulations.gold_target import hit_volume, hits, sobol_recipes
from solvus.simulations.world import Instrument, NoProduct, World, WorldError, find_world

WORLD = GoldWorld()
INSTRUMENT = Instrument()
SEEDS = range(20)


def best_recipe(seed: int) -> dict[str, float | str]:
    best = laboratory_of(seed)
    return {
        "temperature": best.temperature,
        "pH": best.ph,
        "reductant_to_gold": best.reductant,
        "reaction_time": best.time,
        "capping_agent": best.best_agent,
    }


recipes = st.fixed_dictionaries(
    {
        "temperature": st.floats(20.0, 95.0),
        "pH": st.floats(3.0, 12.0),
        "reductant_to_gold": st.floats(0.5, 20.0),
        "reaction_time": st.floats(1.0, 240.0),
        "capping_agent": st.sampled_from(AGENTS),
    }
)


def test_is_a_registered_world() -> None:
    assert isinstance(find_world("gold"), World)
    with pytest.raises(WorldError, match="did you mean 'gold'"):
        find_world("golds")


@settings(max_examples=60, deadline=None)
@given(recipe=recipes, seed=st.integers(0, 1000), replicate=st.integers(0, 3))
def test_every_recipe_gives_a_possible_product_or_says_why_not(
    recipe: dict[str, float | str], seed: int, replicate: int
) -> None:
    try:
        made = WORLD.make(recipe, seed=seed, experiment=3, replicate=replicate)
    except NoProduct as nothing:
        assert str(nothing).startswith("No particles")
        return
    assert sum(made.fractions.values()) == pytest.approx(1.0)
    assert set(made.fractions) <= set(FAMILIES)
    assert 11.0 < made.diameter < 62.0
    assert 0.04 <= made.relative_width <= 0.15
    assert -0.0151 < made.bond_length / 2.884 - 1.0 < 0.0051
    assert made == WORLD.make(recipe, seed=seed, experiment=3, replicate=replicate)


@given(diameter=st.floats(12.0, 58.0), width=st.floats(0.04, 0.15))
def test_size_distribution_has_the_mean_and_width_asked_for(diameter: float, width: float) -> None:
    weights = size_weights(diameter, width)
    mean = float(weights @ DIAMETERS)
    spread = float(np.sqrt(weights @ (DIAMETERS - mean) ** 2)) / mean
    assert weights.sum() == pytest.approx(1.0)
    if diameter * (1.0 + 2.5 * width) < DIAMETERS[-1] and diameter * (1.0 - 2.5 * width) > DIAMETERS[0]:
        assert mean == pytest.approx(diameter, rel=0.015)
        assert spread == pytest.approx(width, rel=0.25)


def test_replicates_differ_a_little_and_measurements_of_one_sample_too() -> None:
    first, again = (WORLD.make(best_recipe(0), seed=0, experiment=1, replicate=r) for r in (0, 1))
    assert first != again
    assert again.diameter == pytest.approx(first.diameter, rel=0.10)
    one, two = (WORLD.measure(first, INSTRUMENT, seed=0, experiment=1, replicate=0, repeat=r) for r in (0, 1))
    assert not np.array_equal(one.y, two.y)


PROGRAM = """
import json, sys
from solvus.simulations.gold import GoldWorld
from solvus.simulations.world import Instrument
recipe, order = json.loads(sys.argv[1]), json.loads(sys.argv[2])
world, hashes = GoldWorld(), {}
for experiment in order:
    made = world.make(recipe, seed=7, experiment=experiment, replicate=0)
    pattern = world.measure(made, Instrument(), seed=7, experiment=experiment, replicate=0)
    hashes[experiment] = [made.model_dump_json(), pattern.sha256]
print(json.dumps(hashes, sort_keys=True))
"""


def test_same_bytes_in_another_process_and_order() -> None:
    def run(order: list[int]) -> dict[str, list[str]]:
        command = [sys.executable, "-c", PROGRAM, json.dumps(best_recipe(7)), json.dumps(order)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert run([1, 2, 3]) == run([3, 1, 2])


def test_the_truth_is_not_in_the_pattern() -> None:
    made = WORLD.make(best_recipe(0), seed=0, experiment=1, replicate=0)
    pattern = WORLD.measure(made, INSTRUMENT, seed=0, experiment=1, replicate=0).model_dump(mode="json")
    assert set(pattern) == {"quantity", "x_unit", "x", "y", "dy", "conditions"}
    assert pattern["conditions"]["composition"] == "Au"
    text = json.dumps(pattern["conditions"])
    assert not any(family in text for family in FAMILIES)
    assert 60_000 < len(json.dumps(pattern)) < 120_000


@pytest.mark.parametrize("seed", SEEDS)
def test_the_target_is_reachable_and_rare(seed: int) -> None:
    assert is_hit(WORLD.ideal(best_recipe(seed), seed=seed))
    assert 0.0015 < hit_volume(seed) < 0.006
    found = sobol_recipes(2**14, seed=1)
    agents = found.agent[hits(found, seed)]
    assert set(agents) == {AGENTS.index(laboratory_of(seed).best_agent)}


def test_hit_volume_is_two_to_five_in_a_thousand_on_average() -> None:
    assert 0.002 < np.mean([hit_volume(seed) for seed in SEEDS]) < 0.005


def test_forty_blind_experiments_seldom_find_it() -> None:
    found = [hits(sobol_recipes(40, seed=100 + draw), seed).any() for seed in SEEDS for draw in range(10)]
    assert 0.05 < float(np.mean(found)) < 0.20


def test_seeds_are_different_laboratories() -> None:
    optima = {laboratory_of(seed).best_agent for seed in SEEDS}
    assert optima == {"citrate", "pvp", "ctab"}
    assert np.std([laboratory_of(seed).ph for seed in SEEDS]) > 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_decoys_failures_and_unknown_structures_exist(seed: int) -> None:
    sample = sobol_recipes(2**13, seed=2)
    made, hidden = outcome(sample, laboratory_of(seed)), laboratory_of(seed)
    ok = made.conversion >= LEAST_CONVERSION
    right_size = np.abs(made.diameter / TARGET.diameter - 1.0) < 0.05
    share = dict(zip(FAMILIES, made.fractions.T, strict=True))
    right_size_wrong_family = ok & right_size & (share["icosahedral"] > 0.6)
    wrong_size_right_family = ok & (share["decahedral"] > 0.6) & (made.diameter > 44.0)
    assert (sample.agent[right_size_wrong_family] == AGENTS.index(hidden.wrong_family_agent)).any()
    assert (sample.agent[wrong_size_right_family] == AGENTS.index(hidden.wrong_size_agent)).any()
    assert 0.02 < 1.0 - ok.mean() < 0.20
    assert 0.01 < (ok & (share["disordered"] + share["hollow"] > 0.5)).mean() < 0.15


def test_too_cold_and_too_little_reductant_gives_nothing() -> None:
    recipe = best_recipe(0) | {"temperature": 20.0, "pH": 3.0, "reductant_to_gold": 0.6}
    with pytest.raises(NoProduct, match="of the gold was reduced"):
        WORLD.make(recipe, seed=0, experiment=1, replicate=0)


def test_a_wrong_recipe_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"temperature: 99 degC is outside 20 to 95"):
        WORLD.make(best_recipe(0) | {"temperature": 99.0}, seed=0, experiment=1, replicate=0)
    with pytest.raises(ValueError, match="temp missing or unknown"):
        WORLD.make(best_recipe(0) | {"temp": 50.0}, seed=0, experiment=1, replicate=0)
