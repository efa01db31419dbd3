from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from solvus.agent.planner.observations import Observation, Outcome, Proposal
from solvus.agent.planner.planner import Planner
from solvus.agent.planner.request import PlannerError, PlanRequest
from solvus.agent.planner.search_space import Categorical, Continuous, Integer, Recipe, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.suggest import suggest
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.models.identification import Descriptor

SPACE = SearchSpace(
    parameters=(
        Continuous(name="temperature", lower=20.0, upper=95.0, unit="degC", step=0.5),
        Continuous(name="ratio", lower=0.3, upper=30.0, scale="log"),
        Integer(name="cycles", lower=1, upper=5),
        Categorical(name="agent", choices=("citrate", "PVP", "thiol")),
    )
)
TARGET = TargetDescriptors(
    goals={
        "fraction:fcc": Goal(value=0.9, tolerance=0.1, at_least=True),
        "diameter": Goal(value=24.0, tolerance=1.0),
    }
)
PROPOSALS = TypeAdapter(list[Proposal])


def observed(recipe: Recipe, experiment: int, outcome: Outcome = "ok") -> Observation:
    x = SPACE.encode(recipe)
    share = 1.0 / (1.0 + np.exp(8.0 * ((x[0] - 0.7) ** 2 + (x[1] - 0.3) ** 2 + (x[3] != 1)) - 2.0))
    diameter = 15.0 * np.exp(0.6 * x[2] + 0.4 * x[0])
    descriptors = {
        "fraction:fcc": Descriptor(mean=float(share), sd=0.03),
        "diameter": Descriptor(mean=float(diameter), sd=0.4),
    }
    return Observation(
        experiment=experiment,
        recipe=recipe,
        outcome=outcome,
        descriptors=descriptors if outcome == "ok" else {},
    )


def request(count: int = 12, **changes: Any) -> PlanRequest:
    """A campaign of ``count`` finished experiments, a failure of each kind among them."""
    outcomes: dict[int, Outcome] = {3: "failed_chemistry", 6: "untrusted", 8: "failed_equipment"}
    uniform = np.random.default_rng(7).uniform(size=(count, 4))
    observations = tuple(
        observed(SPACE.draw(u), i, outcomes.get(i, "ok")) for i, u in enumerate(uniform, start=1)
    )
    fields: dict[str, Any] = {
        "space": SPACE,
        "target": TARGET,
        "observations": observations,
        "proposed": count,
        "seed": 11,
    }
    return PlanRequest(**(fields | changes))


def test_the_same_request_gives_the_same_proposals_in_another_process() -> None:
    asked = request(n=2)
    here = PROPOSALS.dump_json(suggest(asked))
    program = (
        "import sys\n"
        "from pydantic import TypeAdapter\n"
        "from solvus.agent.planner.observations import Proposal\n"
        "from solvus.agent.planner.request import PlanRequest\n"
        "from solvus.agent.planner.suggest import suggest\n"
        "proposals = suggest(PlanRequest.model_validate_json(sys.stdin.read()))\n"
        "sys.stdout.buffer.write(TypeAdapter(list[Proposal]).dump_json(proposals))\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        input=asked.model_dump_json().encode(),
        capture_output=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )
    assert there.stdout == here
    assert suggest(asked) == PROPOSALS.validate_json(here)


def test_the_order_of_arrival_does_not_matter() -> None:
    asked = request()
    shuffled = asked.model_copy(update={"observations": asked.observations[::-1]})
    assert suggest(shuffled) == suggest(asked)


def test_two_at_once_are_one_and_another_with_the_first_pending() -> None:
    both = suggest(request(n=2))
    [first] = suggest(request())
    [second] = suggest(request(pending=(first.recipe,), proposed=13))
    assert both == [first, second]
    assert first.recipe != second.recipe


def test_what_is_pending_is_not_proposed_again() -> None:
    proposals = suggest(request(n=5))
    codes = np.array([SPACE.encode(p.recipe) for p in proposals])
    for i, code in enumerate(codes):
        for other in codes[:i]:
            assert code[3] != other[3] or np.linalg.norm(code[:3] - other[:3]) > 0.02


def test_the_sobol_start_goes_on_where_it_stopped_and_fills_the_choices() -> None:
    at_once = [p.recipe for p in suggest(PlanRequest(space=SPACE, target=TARGET, seed=5, n=8))]
    one_by_one = [
        suggest(PlanRequest(space=SPACE, target=TARGET, seed=5, proposed=i, pending=tuple(at_once[:i])))[
            0
        ].recipe
        for i in range(8)
    ]
    assert one_by_one == at_once
    assert {recipe["agent"] for recipe in at_once} == {"citrate", "PVP", "thiol"}
    other = suggest(PlanRequest(space=SPACE, target=TARGET, seed=6))[0].recipe
    assert other != at_once[0]


def test_the_control_arm_never_uses_a_model() -> None:
    [proposal] = suggest(request(settings=PlannerSettings(method="sobol")))
    assert proposal.source == "sobol" and proposal.predicted == {} and proposal.acquisition is None


def test_failed_equipment_teaches_nothing_and_an_untrusted_result_trains_nothing() -> None:
    asked = request()
    [full] = suggest(asked)
    without = [o for o in asked.observations if o.outcome != "failed_equipment"]
    [same] = suggest(asked.model_copy(update={"observations": tuple(without)}))
    assert same.recipe == full.recipe and same.hyperparameters == full.hyperparameters
    trusted = [o for o in asked.observations if o.outcome != "untrusted"]
    [other] = suggest(asked.model_copy(update={"observations": tuple(trusted)}))
    assert other.hyperparameters == full.hyperparameters


@pytest.mark.parametrize("outcome", ["untrusted", "failed_chemistry"])
def test_the_planner_does_not_go_back_for_what_it_tried_in_vain(outcome: Outcome) -> None:
    asked = request()
    tried: list[np.ndarray] = []
    for experiment in range(13, 17):
        [proposal] = suggest(asked)
        code = SPACE.encode(proposal.recipe)
        assert all(code[3] != other[3] or np.linalg.norm(code[:3] - other[:3]) > 0.02 for other in tried)
        tried.append(code)
        result = observed(proposal.recipe, experiment, outcome)
        asked = asked.model_copy(
            update={"observations": (*asked.observations, result), "proposed": experiment}
        )


def test_failures_of_the_chemistry_lower_the_probability_of_a_product() -> None:
    asked = request()
    [before] = suggest(asked)
    failed = observed(before.recipe, 13, "failed_chemistry")
    [after] = suggest(
        asked.model_copy(update={"observations": (*asked.observations, failed), "proposed": 13})
    )
    assert 0.0 < after.probability_feasible < 1.0
    assert "feasibility" in after.hyperparameters


def test_a_proposal_carries_its_reasons() -> None:
    [proposal] = suggest(request())
    assert proposal.source == "surrogate" and set(proposal.predicted) == set(TARGET.goals)
    assert proposal.predicted_distance is not None and proposal.predicted_distance.sd > 0.0
    assert 1 <= len(proposal.alternatives) <= 3 and len(proposal.nearest) == 3
    assert all(a.recipe != proposal.recipe and a.reason for a in proposal.alternatives)
    assert proposal.acquisition is not None
    assert all(a.acquisition <= proposal.acquisition for a in proposal.alternatives)
    assert [n.distance for n in proposal.nearest] == sorted(n.distance for n in proposal.nearest)
    assert "length:ratio" in proposal.hyperparameters["diameter"]
    assert "\n" not in proposal.explanation and "tolerances from the target" in proposal.explanation
    assert Proposal.model_validate_json(proposal.model_dump_json()) == proposal


def test_the_hash_changes_with_anything_the_planner_was_given() -> None:
    hashes = {
        suggest(asked)[0].data_sha256
        for asked in (
            request(settings=PlannerSettings(method="sobol")),
            request(settings=PlannerSettings(method="sobol"), seed=12),
            request(settings=PlannerSettings(method="sobol"), proposed=13),
            request(count=11, settings=PlannerSettings(method="sobol"), proposed=12),
        )
    }
    assert len(hashes) == 4


def test_too_few_results_are_filled_up_from_the_sobol_sequence() -> None:
    failures = tuple(
        observed(SPACE.draw(u), i, "failed_chemistry")
        for i, u in enumerate(np.random.default_rng(1).uniform(size=(12, 4)), start=1)
    )
    [proposal] = suggest(request(observations=failures))
    assert proposal.source == "sobol" and "too few" in proposal.fallback


def test_when_nothing_improves_every_fourth_proposal_is_drawn_without_the_model() -> None:
    asked = request(count=8)
    poor = SPACE.draw(np.array([0.02, 0.98, 0.1, 0.9]))
    repeats = tuple(observed(poor, i) for i in range(9, 21))
    sources = [
        suggest(asked.model_copy(update={"observations": asked.observations + repeats, "proposed": i}))[
            0
        ].source
        for i in range(20, 24)
    ]
    assert sources == ["surrogate", "surrogate", "surrogate", "space-filling"]


def test_a_space_that_was_tried_in_full_is_made_again_and_says_so() -> None:
    space = SearchSpace(
        parameters=(
            Integer(name="cycles", lower=1, upper=3),
            Categorical(name="agent", choices=("citrate", "PVP")),
        )
    )
    target = TargetDescriptors(goals={"bond_length": Goal(value=2.9, tolerance=0.01)})
    planner = Planner(space, target, seed=3)
    seen = set()
    for experiment in range(1, 10):
        [proposal] = planner.suggest()
        seen.add((proposal.recipe["cycles"], proposal.recipe["agent"]))
        length = 2.8 + 0.04 * float(proposal.recipe["cycles"]) + 0.02 * (proposal.recipe["agent"] == "PVP")
        descriptor = Descriptor(mean=length, sd=0.001)
        planner.ingest(
            [
                Observation(
                    experiment=experiment,
                    recipe=proposal.recipe,
                    outcome="ok",
                    descriptors={"bond_length": descriptor},
                )
            ]
        )
        assert (proposal.source == "replicate") == (experiment > 6)
    assert len(seen) == 6 and proposal.fallback


def test_a_space_of_choices_only_can_be_planned() -> None:
    space = SearchSpace(
        parameters=tuple(Categorical(name=n, choices=("a", "b", "c", "d")) for n in ("one", "two", "three"))
    )
    target = TargetDescriptors(goals={"bond_length": Goal(value=3.0, tolerance=0.1)})
    planner = Planner(space, target, seed=3)
    for experiment in range(1, 12):
        [proposal] = planner.suggest()
        length = 2.0 + sum(0.3 for value in proposal.recipe.values() if value == "c")
        descriptors = {"bond_length": Descriptor(mean=length, sd=0.01)}
        planner.ingest(
            [
                Observation(
                    experiment=experiment, recipe=proposal.recipe, outcome="ok", descriptors=descriptors
                )
            ]
        )
    assert proposal.source == "surrogate"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pending": ({"temperature": 1.0},)}, "pending: temperature: 1 is outside"),
        ({"n": 0}, "n"),
        ({"target": TargetDescriptors(goals={"colour": Goal(value=1, tolerance=1)})}, "colour is missing"),
        ({"target": TargetDescriptors(goals={"diameter": Goal(value=-1, tolerance=1)})}, "is no length"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        request(**change)


class TestPlanner:
    def test_it_gives_what_the_pure_function_gives(self) -> None:
        planner = Planner(SPACE, TARGET, seed=11)
        first = planner.suggest(2)
        assert first == suggest(PlanRequest(space=SPACE, target=TARGET, seed=11, n=2))
        assert planner.request.pending == tuple(p.recipe for p in first)
        planner.ingest([observed(first[0].recipe, 1)])
        assert planner.request.pending == (first[1].recipe,)
        assert planner.request.proposed == 2

    def test_a_result_is_taken_in_once_and_a_bad_batch_not_at_all(self) -> None:
        planner = Planner(SPACE, TARGET)
        recipe = planner.suggest()[0].recipe
        with pytest.raises(PlannerError, match="known already"):
            planner.ingest([observed(recipe, 1), observed(recipe, 1)])
        assert planner.request.observations == ()
        incomplete = Observation(experiment=1, recipe=recipe, outcome="ok")
        with pytest.raises(PlannerError, match="diameter is missing"):
            planner.ingest([incomplete])

    def test_pending_recipes_are_checked(self) -> None:
        planner = Planner(SPACE, TARGET)
        with pytest.raises(PlannerError, match="pending: temperature"):
            planner.pending([{"temperature": 0.0}])

    def test_not_a_number_is_refused_where_it_enters(self) -> None:
        with pytest.raises(ValidationError):
            Descriptor(mean=float("nan"), sd=0.1)
        with pytest.raises(PlannerError, match="ask for 1 or more"):
            Planner(SPACE, TARGET).suggest(0)
