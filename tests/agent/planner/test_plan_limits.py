"""Nothing is proposed that the limits on combinations and steps would refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from solvus.agent.planner.constraints import LinearConstraint
from solvus.agent.planner.limits import DeviceLimits, PlanLimits
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.request import PlanRequest, fingerprints
from solvus.agent.planner.search_space import Categorical, Continuous, Integer, Recipe, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.suggest import suggest
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.models.identification import Descriptor

SPACE = SearchSpace(
    parameters=(
        Continuous(name="temperature", lower=20.0, upper=90.0, unit="degC"),
        Continuous(name="ratio", lower=0.1, upper=10.0, scale="log"),
        Continuous(name="time", lower=0.0, upper=60.0, step=5.0),
        Integer(name="cycles", lower=1, upper=9),
        Categorical(name="solvent", choices=("water", "ethanol")),
    )
)
TARGET = TargetDescriptors(goals={"length": Goal(value=3.0, tolerance=0.05)})
HEAT = LinearConstraint(coefficients={"temperature": 1.0, "time": 0.5}, upper=95.0)
BOILING = LinearConstraint(coefficients={"temperature": 1.0}, upper=60.0, when={"solvent": ("ethanol",)})
STEPS = {"temperature": 13.3, "ratio": 1.7, "time": 12.0, "cycles": 2.0}
START: Recipe = {"temperature": 31.7, "ratio": 2.0, "time": 20.0, "cycles": 4.0, "solvent": "ethanol"}


def observed(number: int, recipe: Recipe) -> Observation:
    """Longest where it is hottest, far from where the campaign begins."""
    length = 2.0 + 1.2 * (float(recipe["temperature"]) - 20.0) / 70.0 + 0.02 * float(recipe["cycles"])
    return Observation(
        experiment=number,
        recipe=recipe,
        outcome="ok",
        descriptors={"length": Descriptor(mean=length, sd=0.005)},
    )


def request(recipes: list[Recipe], limits: PlanLimits, n: int = 1) -> PlanRequest:
    return PlanRequest(
        space=SPACE,
        target=TARGET,
        observations=tuple(observed(i, r) for i, r in enumerate(recipes, start=1)),
        seed=3,
        proposed=len(recipes),
        n=n,
        settings=PlannerSettings(initial=4),
        limits=limits,
    )


def within(recipe: Recipe, before: Recipe) -> bool:
    near = all(abs(float(recipe[n]) - float(before[n])) <= step * (1 + 1e-9) for n, step in STEPS.items())
    t, time = float(recipe["temperature"]), float(recipe["time"])
    return near and t + 0.5 * time <= 95.0 + 1e-6 and (recipe["solvent"] == "water" or t <= 60.0 + 1e-6)


def test_a_campaign_walks_to_its_target_in_allowed_steps() -> None:
    made = [START]
    for _ in range(13):
        limits = PlanLimits(
            devices=(DeviceLimits(constraints=(HEAT, BOILING), steps=STEPS, before=made[-1]),)
        )
        [proposal] = suggest(request(made, limits))
        assert within(proposal.recipe, made[-1]), proposal.recipe
        assert "outside" not in proposal.fallback
        assert {c.constraint for c in proposal.checks} >= {"step of temperature", HEAT.text}
        made.append(proposal.recipe)
    lengths = [observed(1, r).descriptors["length"].mean for r in made]
    assert abs(lengths[0] - 3.0) > 0.5 and min(abs(length - 3.0) for length in lengths) < 0.1


def test_a_batch_keeps_its_steps_one_after_the_other() -> None:
    made = [START, *({**START, "temperature": 31.7 + k} for k in (3.0, 6.0, 9.0, 12.0))]
    limits = PlanLimits(devices=(DeviceLimits(constraints=(HEAT, BOILING), steps=STEPS, before=made[-1]),))
    batch = suggest(request(made, limits, n=3))
    chain = [made[-1], *(p.recipe for p in batch)]
    assert all(within(b, a) for a, b in itertools.combinations(chain, 2))
    whole = request(made, limits, n=3)
    assert fingerprints(whole, [p.recipe for p in batch]) == [p.data_sha256 for p in batch]
    [second] = suggest(
        whole.model_copy(
            update={
                "n": 1,
                "pending": (batch[0].recipe,),
                "proposed": whole.proposed + 1,
                "limits": limits.after([batch[0].recipe]),
            }
        )
    )
    assert second == batch[1]


def test_one_device_that_may_is_enough() -> None:
    far = {**START, "temperature": 70.0, "solvent": "water"}
    made = [START, far, *({**START, "temperature": 31.7 + k} for k in (3.0, 6.0, 9.0))]
    devices = tuple(DeviceLimits(steps={"temperature": 2.0}, before=r) for r in (START, far))
    for proposal in suggest(request(made, PlanLimits(devices=devices))):
        t = float(proposal.recipe["temperature"])
        assert abs(t - 31.7) <= 2.0 + 1e-6 or abs(t - 70.0) <= 2.0 + 1e-6


def test_limits_that_leave_nothing_are_said() -> None:
    nothing = LinearConstraint(coefficients={"temperature": 1.0}, lower=200.0)
    limits = PlanLimits(devices=(DeviceLimits(constraints=(nothing,)),))
    [proposal] = suggest(request([START] * 0, limits))
    assert "outside" in proposal.fallback and SPACE.refusal(proposal.recipe) is None


def test_a_ledger_keeps_no_order_of_keys() -> None:
    """Neither do the words that a proposal has for a constraint."""
    backwards = LinearConstraint(coefficients=dict(reversed(HEAT.coefficients.items())), upper=95.0)
    assert backwards.text == HEAT.text


def test_a_condition_on_a_constraint_names_a_choice() -> None:
    wrong = BOILING.model_copy(update={"when": {"solvent": ("oil",)}})
    with pytest.raises(ValidationError, match="solvent has no such choice"):
        SearchSpace(parameters=SPACE.parameters, constraints=(wrong,))
    space = SearchSpace(parameters=SPACE.parameters, constraints=(BOILING,))
    assert space.refusal({**START, "temperature": 61.0}) is not None
    assert space.refusal({**START, "temperature": 61.0, "solvent": "water"}) is None
    draws = [space.draw(u) for u in np.random.default_rng(0).uniform(size=(50, space.dimensions))]
    assert any(space.refusal(r) is None for r in draws)
