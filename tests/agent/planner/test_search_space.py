from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from solvus.agent.planner.search_space import Categorical, Continuous, Integer, SearchSpace, SearchSpaceError

SPACE = SearchSpace(
    parameters=(
        Continuous(name="temperature", lower=20.0, upper=95.0, unit="degC", step=0.5),
        Continuous(name="ratio", lower=0.3, upper=30.0, scale="log"),
        Integer(name="cycles", lower=1, upper=4),
        Categorical(name="agent", choices=("citrate", "PVP", "thiol")),
    )
)
uniforms = st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=4, max_size=4).map(np.array)


@st.composite
def continuous(draw: st.DrawFn) -> Continuous:
    lower = draw(st.floats(-1e3, 1e3))
    upper = lower + draw(st.floats(1e-2, 1e3))
    scale = draw(st.sampled_from(["linear", "log"] if lower > 1e-3 else ["linear"]))
    step = draw(st.one_of(st.none(), st.floats(0.01, 1.0).map(lambda share: share * (upper - lower))))
    return Continuous(name="x", lower=lower, upper=upper, scale=scale, step=step)


@given(uniforms)
def test_every_drawn_recipe_is_accepted_and_survives_encoding(uniform: np.ndarray) -> None:
    recipe = SPACE.draw(uniform)
    assert SPACE.refusal(recipe) is None
    assert SPACE.snap(recipe) == recipe
    again = SPACE.decode(SPACE.encode(recipe))
    assert again["agent"] == recipe["agent"] and again["cycles"] == recipe["cycles"]
    for name in ("temperature", "ratio"):
        assert again[name] == pytest.approx(recipe[name], rel=1e-5)


@given(continuous(), st.floats(-1.0, 2.0))
def test_a_value_never_leaves_the_limits_and_snapping_twice_changes_nothing(
    parameter: Continuous, code: float
) -> None:
    value = parameter.value(code)
    assert parameter.refusal(value) is None
    assert parameter.snap(value) == pytest.approx(
        value, rel=1e-5, abs=1e-5 * (parameter.upper - parameter.lower)
    )


def test_the_space_round_trips_through_json() -> None:
    assert SearchSpace.model_validate_json(SPACE.model_dump_json()) == SPACE


def test_coordinates_are_fixed_by_the_limits() -> None:
    recipe = {"temperature": 57.5, "ratio": 3.0, "cycles": 2.0, "agent": "thiol"}
    np.testing.assert_allclose(SPACE.encode(recipe), [0.5, 0.5, 1 / 3, 2.0])
    assert (SPACE.ordered, SPACE.categorical, SPACE.dimensions) == ([0, 1, 2], [3], 4)


def test_whole_numbers_and_choices_have_equal_shares() -> None:
    recipes = [SPACE.draw(np.full(4, (i + 0.5) / 1200)) for i in range(1200)]
    assert np.unique([r["cycles"] for r in recipes], return_counts=True)[1].tolist() == [300] * 4
    assert np.unique([r["agent"] for r in recipes], return_counts=True)[1].tolist() == [400] * 3


def test_steps_count_from_the_lower_limit_and_stop_below_the_upper() -> None:
    parameter = Continuous(name="x", lower=0.1, upper=1.0, step=0.4)
    assert [parameter.value(code) for code in (0.0, 0.5, 1.0)] == [0.1, 0.5, 0.9]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"temperature": 200.0}, "temperature: 200 is outside 20 to 95 degC"),
        ({"temperature": "hot"}, "temperature: needs a finite number, not 'hot'"),
        ({"ratio": float("nan")}, "ratio: needs a finite number, not nan"),
        ({"cycles": 1.5}, "cycles: needs a whole number, not 1.5"),
        ({"cycles": 9}, "cycles: 9 is outside 1 to 4"),
        ({"agent": "soap"}, "agent: 'soap' is not one of citrate, PVP, thiol"),
        ({"colour": "red"}, "colour: is no parameter of this search space; remove it"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_sentence(change: dict[str, object], sentence: str) -> None:
    recipe = {"temperature": 50.0, "ratio": 1.0, "cycles": 2.0, "agent": "PVP"} | change
    assert SPACE.refusal(recipe) == sentence
    with pytest.raises(SearchSpaceError, match=sentence.split(":")[0]):
        SPACE.encode(recipe)


def test_a_missing_parameter_is_named() -> None:
    assert SPACE.refusal({"temperature": 50.0}) == "ratio: is missing from the recipe"


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Continuous(name="x", lower=0.0, upper=1.0, scale="log"), "a log scale needs lower > 0"),
        (lambda: Continuous(name="x", lower=2.0, upper=1.0), "must be below upper"),
        (lambda: Continuous(name="x", lower=0.0, upper=1.0, step=3.0), "larger than the range"),
        (lambda: Integer(name="x", lower=2, upper=2), "must be below upper"),
        (lambda: Categorical(name="x", choices=("a", "a")), "named twice"),
        (lambda: SearchSpace(parameters=SPACE.parameters * 2), "temperature is there twice"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(build: object, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        build()  # type: ignore[operator]
