"""What the campaign does next, from the outside."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from solvus.agent.campaign import Campaign
from solvus.agent.decide import Confirm, Exhausted, Experiment, Found, Plan, Wait, next_step
from solvus.agent.scoring import Score
from solvus.agent.states import ExperimentState as E
from solvus.drivers.yaml_file import load_yaml

CAMPAIGN = load_yaml(Path(__file__).parents[2] / "configs/campaigns/gold-decahedron.yaml", Campaign)
HIT = Score(trusted=True, distance_mean=0.3, distance_sd=0.1, probability_within=0.9, hit=True)
MISS = Score(trusted=True, distance_mean=3.0, distance_sd=0.1, probability_within=0.0, hit=False)


def campaign(**changes: object) -> Campaign:
    return CAMPAIGN.model_copy(update=changes)


def scored(number: int, score: Score, **more: object) -> Experiment:
    return Experiment(number, E.SCORED, {"pH": 7.0}, score=score, **more)  # type: ignore[arg-type]


def test_an_empty_campaign_plans() -> None:
    assert next_step(CAMPAIGN, []) == Plan(1)


def test_one_at_a_time_waits_for_the_one_under_way() -> None:
    assert isinstance(next_step(CAMPAIGN, [Experiment(1, E.MEASURING, {})]), Wait)


def test_free_places_are_planned_for_together() -> None:
    assert next_step(campaign(parallel=4), [Experiment(1, E.MEASURING, {})]) == Plan(3)


def test_a_hit_is_confirmed_before_anything_new() -> None:
    step = next_step(campaign(parallel=3), [scored(1, MISS), scored(2, HIT)])
    assert isinstance(step, Confirm) and step.experiment.number == 2 and step.replicate == 1


def test_a_confirmed_hit_is_found() -> None:
    assert next_step(CAMPAIGN, [scored(1, HIT), scored(2, HIT, replicate_of=1, replicate=1)]) == Found((1, 2))


def test_two_confirmations_when_two_are_asked_for() -> None:
    strict = campaign(confirmations=2)
    done = [scored(1, HIT), scored(2, HIT, replicate_of=1, replicate=1)]
    step = next_step(strict, done)
    assert isinstance(step, Confirm) and step.replicate == 2
    done.append(scored(3, HIT, replicate_of=1, replicate=2))
    assert next_step(strict, done) == Found((1, 2, 3))


def test_a_replicate_that_misses_closes_its_recipe() -> None:
    assert next_step(CAMPAIGN, [scored(1, HIT), scored(2, MISS, replicate_of=1, replicate=1)]) == Plan(1)


def test_a_replicate_lost_to_the_equipment_is_made_again() -> None:
    lost = Experiment(2, E.FAILED, {}, replicate_of=1, replicate=1, cause="equipment")
    step = next_step(CAMPAIGN, [scored(1, HIT), lost])
    assert isinstance(step, Confirm) and step.replicate == 2


def test_a_replicate_that_gave_no_product_is_a_miss() -> None:
    none = Experiment(2, E.FAILED, {}, replicate_of=1, replicate=1, cause="chemistry")
    assert next_step(CAMPAIGN, [scored(1, HIT), none]) == Plan(1)


def test_found_waits_for_what_is_under_way() -> None:
    done = [scored(1, HIT), scored(2, HIT, replicate_of=1, replicate=1), Experiment(3, E.MEASURING, {})]
    assert isinstance(next_step(campaign(parallel=3), done), Wait)


def test_a_spent_budget_ends_the_campaign() -> None:
    small = campaign(budget=CAMPAIGN.budget.model_copy(update={"experiments": 2}))
    assert isinstance(next_step(small, [scored(1, MISS), scored(2, MISS)]), Exhausted)


states = st.sampled_from(list(E))


@given(st.lists(states, max_size=12), st.integers(1, 4))
def test_never_more_than_allowed_under_way(history: list[E], parallel: int) -> None:
    experiments = [
        Experiment(i + 1, s, {}, score=MISS if s is E.SCORED else None) for i, s in enumerate(history)
    ]
    step = next_step(campaign(parallel=parallel), experiments)
    if isinstance(step, Plan):
        under_way = sum(e.active for e in experiments)
        assert 1 <= step.count <= parallel - under_way
        assert len(experiments) + step.count <= CAMPAIGN.budget.experiments
