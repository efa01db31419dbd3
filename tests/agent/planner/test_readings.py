"""What results can mean: repeats, ambiguous readings, contradictions, drift, and other campaigns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from solvus.agent.planner.aims import NearTarget
from solvus.agent.planner.known import Table, encoded, readings_of, table_of
from solvus.agent.planner.modelling import Fitted, model_of
from solvus.agent.planner.observations import Mode, Observation
from solvus.agent.planner.outputs import outputs_of
from solvus.agent.planner.request import EarlierCampaign, PlannerError, PlanRequest
from solvus.agent.planner.search_space import Categorical, Continuous, SearchSpace
from solvus.agent.planner.suggest import suggest
from solvus.agent.planner.surrogate import Noise, _Problem
from solvus.agent.scoring import Bound, Goal, TargetDescriptors
from solvus.models.identification import Descriptor

torch.set_num_threads(1)
SPACE = SearchSpace(
    parameters=(Continuous(name="x", lower=0.0, upper=1.0), Continuous(name="y", lower=0.0, upper=1.0))
)
TARGET = TargetDescriptors(goals={"bond_length": Goal(value=3.0, tolerance=0.02)})
OUTPUTS = outputs_of(TARGET)
AIM = NearTarget(OUTPUTS)


def length(x: float, y: float) -> float:
    return 2.8 + 0.4 * x + 0.1 * y**2


def observed(i: int, x: float, y: float, value: float | None = None, **changes: Any) -> Observation:
    mean = length(x, y) if value is None else value
    fields = {"descriptors": {"bond_length": Descriptor(mean=mean, sd=0.002)}} | changes
    return Observation(experiment=i, recipe={"x": x, "y": y}, outcome="ok", **fields)


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, 2)).round(4)


def table(observations: list[Observation], campaign: int = 0) -> Table:
    return table_of(SPACE, OUTPUTS, [(campaign, o, readings_of(o, OUTPUTS)) for o in observations])


def expected(fitted: Fitted, x: float, y: float) -> float:
    return float(fitted.model.mean(encoded(SPACE, [{"x": x, "y": y}])))


def test_the_gradient_of_the_fit_is_that_of_its_loss() -> None:
    generator = torch.Generator().manual_seed(1)
    X = torch.rand(12, 4, generator=generator, dtype=torch.float64)
    X[:, 3] = (X[:, 3] > 0.5).double()
    Z = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    problem = _Problem(X, Z, torch.full_like(Z, 0.01), torch.ones(12).double(), [0, 1, 2], [3], Noise())
    rows, distances = torch.arange(2), problem.distances()
    theta = 0.5 * torch.randn(2, 7, generator=generator, dtype=torch.float64) - 1.0
    loss, gradient = problem.loss_and_gradient(theta, rows, distances)
    for k in range(7):
        step = torch.zeros_like(theta)
        step[:, k] = 1e-6
        there = problem.loss_and_gradient(theta + step, rows, distances)[0]
        torch.testing.assert_close((there - loss) / 1e-6, gradient[:, k], rtol=1e-3, atol=1e-4)


def test_repeats_of_a_recipe_are_one_row_that_counts_for_as_many() -> None:
    repeats = [observed(i, 0.5, 0.5, 3.0 + 0.01 * (i - 2)) for i in (1, 2, 3)]
    made = table([*repeats, observed(4, 0.1, 0.2)])
    assert [row.count for row in made.rows] == [3, 1]
    merged = made.rows[0].readings[0]
    assert float(merged.values) == pytest.approx(3.0)
    assert float(merged.variances) == pytest.approx(float(made.rows[1].readings[0].variances) / 3.0)
    assert made.rows[0].experiments == (1, 2, 3)


def ambiguous(i: int, x: float, y: float, wrong: float, weight: float) -> Observation:
    modes = tuple(
        Mode.of({"bond_length": Descriptor(mean=mean, sd=0.002)}, w)
        for mean, w in ((wrong, weight), (length(x, y), 1.0 - weight))
    )
    return observed(i, x, y, descriptors={}, modes=modes)


def test_an_ambiguous_reading_stays_a_mixture_and_its_neighbours_weigh_it() -> None:
    clear = [observed(i, x, y) for i, (x, y) in enumerate(points(14), start=1)]
    # By itself the wrong reading is the more probable one; what is known around it says otherwise.
    doubtful = table([*clear, ambiguous(15, 0.5, 0.5, wrong=3.6, weight=0.6)])
    fitted = model_of(doubtful, AIM, seed=3)
    assert len(fitted.members) > 1
    first, others = fitted.members[0], fitted.members[1:]
    x = encoded(SPACE, [{"x": 0.5, "y": 0.5}])
    assert all(abs(float(m.mean(x)) - length(0.5, 0.5)) < 0.02 for m in others)
    assert abs(float(first.mean(x)) - length(0.5, 0.5)) > 0.02
    sure = model_of(table([*clear, ambiguous(15, 0.5, 0.5, wrong=3.6, weight=0.01)]), AIM, seed=3)
    assert len(sure.members) == 1


def test_a_contradiction_counts_less_unless_it_is_among_the_best() -> None:
    clear = [observed(i, x, y) for i, (x, y) in enumerate(points(20), start=1)]
    wrong = model_of(table([*clear, observed(21, 0.5, 0.5, 3.5)]), AIM, seed=0)
    assert [wrong.table.rows[i].experiments for i in wrong.outliers] == [(21,)]
    assert expected(wrong, 0.5, 0.5) == pytest.approx(length(0.5, 0.5), abs=0.03)
    lucky = model_of(table([*clear, observed(21, 0.9, 0.9, 3.0)]), AIM, seed=0)
    assert not any(21 in lucky.table.rows[i].experiments for i in lucky.outliers)


def test_a_laboratory_that_drifts_is_seen_as_it_is_now() -> None:
    drifting = [observed(i, x, y, length(x, y) + 0.006 * i) for i, (x, y) in enumerate(points(30), start=1)]
    fitted = model_of(table(drifting), AIM, seed=0)
    assert fitted.drift
    assert expected(fitted, 0.5, 0.5) == pytest.approx(length(0.5, 0.5) + 0.18, abs=0.03)
    steady = model_of(table([observed(i, x, y) for i, (x, y) in enumerate(points(30), start=1)]), AIM, seed=0)
    assert not steady.drift


def with_earlier(shift: float, wild: bool) -> Fitted:
    """Six experiments of this campaign beside thirty of an earlier one."""
    draw = np.random.default_rng(5)
    old = []
    for i, (x, y) in enumerate(points(30, 1), start=1):
        value = float(draw.uniform(2.8, 3.3)) if wild else length(x, y) + shift
        old.append((1, observed(i, x, y, value)))
    new = [(0, observed(i, x, y)) for i, (x, y) in enumerate(points(6, 2), start=1)]
    items = [(campaign, o, readings_of(o, OUTPUTS)) for campaign, o in [*new, *old]]
    return model_of(table_of(SPACE, OUTPUTS, items), AIM, seed=0)


def rms_error(fitted: Fitted) -> float:
    test = points(200, 9)
    mean = fitted.model.mean(torch.as_tensor(test))[0].numpy()
    return float(np.sqrt(np.mean((mean - np.array([length(x, y) for x, y in test])) ** 2)))


def test_a_similar_earlier_campaign_helps_and_a_dissimilar_one_does_no_harm() -> None:
    alone = rms_error(
        model_of(table([observed(i, x, y) for i, (x, y) in enumerate(points(6, 2), start=1)]), AIM, seed=0)
    )
    assert rms_error(with_earlier(0.0, wild=False)) < 0.7 * alone
    # Noise that has nothing to do with this campaign widens what is expected, within the tolerance of the goal.
    assert rms_error(with_earlier(0.0, wild=True)) < alone + 0.02


def test_earlier_campaigns_shorten_the_start_and_must_fit() -> None:
    old = tuple(observed(i, x, y) for i, (x, y) in enumerate(points(10, 1), start=1))
    earlier = (EarlierCampaign(name="spring", observations=old),)
    new = tuple(observed(i, x, y) for i, (x, y) in enumerate(points(3, 2), start=1))
    [proposal] = suggest(
        PlanRequest(space=SPACE, target=TARGET, observations=new, earlier=earlier, seed=1, proposed=3)
    )
    assert proposal.source == "surrogate" and "choice:campaign" in proposal.hyperparameters["bond_length"]
    with pytest.raises((PlannerError, ValidationError), match="earlier campaign spring: observation 1"):
        bad = old[0].model_copy(update={"descriptors": {}})
        PlanRequest(
            space=SPACE, target=TARGET, earlier=(EarlierCampaign(name="spring", observations=(bad,)),), seed=1
        )


def test_descriptors_of_choices_carry_over_to_a_choice_that_was_never_tried() -> None:
    """With the polarity known, a straight trend over it predicts the middle solvent from the others."""
    polarity = (0.0, 0.25, 0.5, 0.75, 1.0)
    names = tuple("abcde")
    errors = {}
    for described in ({}, {"polarity": polarity}):
        space = SearchSpace(
            parameters=(
                Continuous(name="x", lower=0.0, upper=1.0),
                Categorical(name="solvent", choices=names, descriptors=described),
            )
        )
        draw = np.random.default_rng(0)
        items = []
        for i in range(24):
            k = (0, 1, 3, 4)[i % 4]
            x = float(draw.uniform())
            value = Descriptor(mean=2.8 + 0.2 * x + 0.3 * polarity[k], sd=0.002)
            o = Observation(
                experiment=i + 1,
                recipe={"x": x, "solvent": names[k]},
                outcome="ok",
                descriptors={"bond_length": value},
            )
            items.append((0, o, readings_of(o, OUTPUTS)))
        fitted = model_of(table_of(space, OUTPUTS, items), AIM, seed=0)
        mean = float(fitted.model.mean(encoded(space, [{"x": 0.5, "solvent": "c"}])))
        errors[bool(described)] = abs(mean - 3.05)
    assert errors[True] < 0.02


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"covariance": ((1.0, 2.0), (2.0, 1.0))}, "not symmetric and non-negative"),
        ({"covariance": ((1.0,),)}, "need 2 numbers"),
        ({"names": ("a", "a")}, "twice"),
    ],
)
def test_modes_that_are_no_distributions_are_refused(changes: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {
        "weight": 0.5,
        "names": ("a", "b"),
        "mean": (1.0, 2.0),
        "covariance": ((1.0, 0.5), (0.5, 1.0)),
    }
    assert Mode(**good).descriptor("b") == Descriptor(mean=2.0, sd=1.0)
    with pytest.raises(ValidationError, match=words):
        Mode(**(good | changes))


def test_a_bound_is_kept_and_told() -> None:
    """The target lies where the purity is too low; the bound moves the choice to the nearest that is pure."""
    target = TargetDescriptors(
        goals={"bond_length": Goal(value=3.1, tolerance=0.02)}, bounds={"fraction:fcc": Bound(at_least=0.8)}
    )
    made = []
    for i, (x, y) in enumerate(points(24), start=1):
        pure = 1.0 / (1.0 + np.exp(25.0 * (x - 0.45)))
        descriptors = {
            "bond_length": Descriptor(mean=2.8 + 0.4 * x + 0.3 * y, sd=0.002),
            "fraction:fcc": Descriptor(mean=float(pure), sd=0.02),
        }
        made.append(Observation(experiment=i, recipe={"x": x, "y": y}, outcome="ok", descriptors=descriptors))
    [proposal] = suggest(
        PlanRequest(space=SPACE, target=target, observations=tuple(made), seed=2, proposed=24)
    )
    assert proposal.bounds_kept is not None and proposal.bounds_kept > 0.5
    assert float(proposal.recipe["x"]) < 0.46 and "keeps to the bounds" in proposal.explanation
