"""The planner behind the doors of others: points in and out, aims other than one target, and the early signal."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.agent.planner.front import front
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.orchestrators import SuggestIngest
from solvus.agent.planner.planner import Planner
from solvus.agent.planner.request import PlannerError, PlanRequest
from solvus.agent.planner.search_space import Continuous, SearchSpace
from solvus.agent.planner.separation import SEPARATION
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.stages import worth_measuring
from solvus.agent.planner.suggest import suggest
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.models.identification import Descriptor

SPACE = SearchSpace(
    parameters=(Continuous(name="x", lower=0.0, upper=1.0), Continuous(name="y", lower=0.0, upper=1.0))
)
TARGET = TargetDescriptors(
    goals={"bond_length": Goal(value=3.0, tolerance=0.02), "diameter": Goal(value=30.0, tolerance=2.0)}
)


def made(n: int) -> tuple[Observation, ...]:
    found = []
    for i, (x, y) in enumerate(np.random.default_rng(1).uniform(size=(n, 2)), start=1):
        descriptors = {
            "bond_length": Descriptor(mean=2.8 + 0.4 * x, sd=0.002),
            "diameter": Descriptor(mean=20.0 + 30.0 * y * x, sd=0.3),
        }
        found.append(
            Observation(
                experiment=i, recipe={"x": float(x), "y": float(y)}, outcome="ok", descriptors=descriptors
            )
        )
    return tuple(found)


def test_points_go_in_and_out() -> None:
    door = SuggestIngest(Planner(SPACE, TARGET, PlannerSettings(initial=4), seed=2))
    points = door.suggest(3)
    assert [p["_id"] for p in points] == [1, 2, 3] and set(points[0]) == {"_id", "x", "y"}
    done = [
        p | {"bond_length": 2.8 + 0.4 * p["x"], "diameter": {"mean": 25.0, "sd": 1.0}} for p in points[:2]
    ]
    door.ingest([*done, {"x": 0.5, "y": 0.5, "outcome": "failed_chemistry"}])
    assert door._planner.request.pending == ({"x": points[2]["x"], "y": points[2]["y"]},)
    door.abandon([3])
    assert door._planner.request.pending == ()
    assert door.suggest()[0]["_id"] == 5
    with pytest.raises(PlannerError, match="point 9"):
        door.ingest([{"_id": 9, "x": 0.1, "y": 0.2, "outcome": "exploded"}])


def test_the_planner_alone_on_the_command_line() -> None:
    request = PlanRequest(space=SPACE, target=TARGET, seed=1, n=2).model_dump_json()
    answer = CliRunner().invoke(app, ["plan", "-", "--json"], input=request)
    assert answer.exit_code == 0
    assert [set(p["recipe"]) for p in json.loads(answer.stdout)] == [{"x", "y"}] * 2
    bad = CliRunner().invoke(app, ["plan", "-"], input="{}")
    assert bad.exit_code != 0


def test_a_front_and_exploring_seek_other_things_than_the_target() -> None:
    observations = made(14)
    settled = {"space": SPACE, "observations": observations, "seed": 1, "proposed": 14}
    fronts = suggest(
        PlanRequest(target=TARGET, settings=PlannerSettings(initial=4, mode="front"), n=2, **settled)
    )
    assert fronts[0].recipe != fronts[1].recipe and fronts[0].source == "surrogate"
    best = front(observations, TARGET)
    assert 1 <= len(best) < 14
    [new] = suggest(PlanRequest(target=None, settings=PlannerSettings(initial=4, mode="explore"), **settled))
    assert set(new.predicted) == {"bond_length", "diameter"} and "differ" in new.explanation
    known = np.array([[o.descriptors[n].mean for n in sorted(o.descriptors)] for o in observations])
    place = np.array([new.predicted[n].mean for n in sorted(new.predicted)])
    away = np.abs((known - place) / known.std(0)).max(1).min()
    assert away > 0.2


def test_a_dear_recipe_has_to_promise_more() -> None:
    settled = {"space": SPACE, "observations": made(14), "seed": 1, "proposed": 14, "target": TARGET}
    [free] = suggest(PlanRequest(settings=PlannerSettings(initial=4), **settled))
    [priced] = suggest(PlanRequest(settings=PlannerSettings(initial=4, cost="1 + 50 * y"), **settled))
    assert priced.cost is not None and priced.cost <= 1.0 + 50.0 * float(free.recipe["y"])
    assert {rule.name for rule in priced.stopping} == {"reached", "improvement"}


def test_an_early_signal_spares_a_measurement_that_cannot_help() -> None:
    target = TargetDescriptors(goals={"bond_length": Goal(value=3.0, tolerance=0.02)})
    finished = [(o, {"peak": 500.0 + 100.0 * o.descriptors["bond_length"].mean}) for o in made(20)]
    recipe = {"x": 0.9, "y": 0.5}
    poor = worth_measuring(SPACE, target, finished, recipe, {"peak": 500.0 + 100.0 * 3.16})
    assert not poor.measure and "early signal" in poor.reason
    few = worth_measuring(SPACE, target, finished[:4], recipe, {"peak": 800.0})
    assert few.measure and few.probability_better is None
    with pytest.raises(ValueError, match="peak is missing"):
        worth_measuring(SPACE, target, [(finished[0][0], {})], recipe, {"peak": 800.0})


def test_a_likely_hit_is_measured_however_good_the_best_one_looks() -> None:
    target = TargetDescriptors(goals={"bond_length": Goal(value=3.0, tolerance=0.02)})
    finished = [(o, {"peak": 500.0 + 100.0 * o.descriptors["bond_length"].mean}) for o in made(20)]
    exact = {"bond_length": Descriptor(mean=3.0, sd=0.001)}
    lucky = finished[0][0].model_copy(update={"experiment": 21, "descriptors": exact})
    decision = worth_measuring(
        SPACE, target, [*finished, (lucky, {"peak": 800.0})], {"x": 0.9, "y": 0.5}, {"peak": 800.0}
    )
    assert decision.measure and decision.probability_better == 0.0
    assert decision.probability_within is not None and decision.probability_within > 0.02


def test_what_was_not_measured_is_not_made_again_at_once() -> None:
    settled = {"space": SPACE, "seed": 1, "target": TARGET, "settings": PlannerSettings(initial=4)}
    known = made(14)
    [first] = suggest(PlanRequest(observations=known, proposed=14, **settled))
    told = Observation(experiment=15, recipe=first.recipe, outcome="not_measured")
    [second] = suggest(PlanRequest(observations=(*known, told), proposed=15, **settled))
    assert np.linalg.norm(SPACE.encode(first.recipe) - SPACE.encode(second.recipe)) > SEPARATION
