"""Every kind of parameter, alone and together: what goes in comes back, and what is wrong is said in one sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from solvus.agent.planner.constraints import LinearConstraint, NonlinearConstraint
from solvus.agent.planner.search_space import (
    Categorical,
    Component,
    Continuous,
    Fixed,
    Integer,
    Mixture,
    Ordinal,
    Parameter,
    SearchSpace,
    When,
)

NUMBERS = st.floats(-1e3, 1e3).map(lambda v: round(v, 3))
CHOICES = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=2, max_size=5, unique=True)


@st.composite
def continuous(draw: Any, name: str) -> Continuous:
    logarithmic = draw(st.booleans())
    lower = draw(st.floats(0.01, 10.0)) if logarithmic else draw(NUMBERS)
    upper = lower + draw(st.floats(0.5, 100.0))
    step = draw(st.none() | st.floats(0.01, 0.4))
    return Continuous(
        name=name, lower=lower, upper=upper, scale="log" if logarithmic else "linear", step=step
    )


@st.composite
def mixture(draw: Any, name: str) -> Mixture:
    count = draw(st.integers(2, 5))
    step = draw(st.none() | st.just(0.5))
    lowers = [0.5 * draw(st.integers(0, 4)) for _ in range(count)]
    uppers = [draw(st.none() | st.just(60.0)) for _ in range(count)]
    parts = tuple(
        Component(name=f"{name}{i}", lower=low, upper=up)
        for i, (low, up) in enumerate(zip(lowers, uppers, strict=True))
    )
    return Mixture(name=name, components=parts, total=100.0, step=step)


@st.composite
def spaces(draw: Any) -> SearchSpace:
    kinds = draw(st.lists(st.sampled_from("cionmfw"), min_size=1, max_size=5))
    parameters: list[Parameter] = [Categorical(name="parent", choices=("a", "b", "c"))]
    for i, kind in enumerate(kinds):
        name = f"p{i}"
        parameters.append(
            {
                "c": lambda name=name: draw(continuous(name)),
                "i": lambda name=name: Integer(name=name, lower=-3, upper=draw(st.integers(-2, 9))),
                "o": lambda name=name: Ordinal(name=name, levels=(0.1, 0.2, 0.5, 2.0)),
                "n": lambda name=name: Categorical(name=name, choices=tuple(draw(CHOICES))),
                "m": lambda name=name: draw(mixture(name)),
                "f": lambda name=name: Fixed(name=name, value=draw(st.sampled_from([300.0, "slow"]))),
                "w": lambda name=name: Ordinal(
                    name=name, levels=("low", "high"), when=When(parameter="parent", one_of=("a", "c"))
                ),
            }[kind]()
        )
    return SearchSpace(parameters=tuple(parameters))


@settings(max_examples=60, deadline=None)
@given(spaces(), st.integers(0, 2**31))
def test_recipes_go_to_vectors_and_back_and_spaces_to_json_and_back(space: SearchSpace, seed: int) -> None:
    assert SearchSpace.model_validate_json(space.model_dump_json()) == space
    recipe = space.draw(np.random.default_rng(seed).uniform(size=space.dimensions))
    assert space.refusal(recipe) is None
    vector = space.encode(recipe)
    assert np.isfinite(vector).all() and (vector[space.ordered] >= -1e-9).all()
    assert (vector[space.ordered] <= 1 + 1e-9).all()
    again = space.decode(vector)
    assert again.keys() == recipe.keys()
    for name, value in recipe.items():
        assert again[name] == value or again[name] == pytest.approx(value, rel=1e-5, abs=1e-4)
    values = space.values_of(torch.as_tensor(vector))
    for name, number in space.numbers(recipe).items():
        if name in recipe and not isinstance(recipe[name], str):
            assert float(values[name]) == pytest.approx(number, rel=1e-5, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(spaces(), st.integers(0, 2**31))
def test_any_vector_becomes_a_recipe_that_can_be_made(space: SearchSpace, seed: int) -> None:
    vector = np.random.default_rng(seed).uniform(-0.3, 1.3, size=space.dimensions)
    assert space.refusal(space.decode(vector)) is None


@settings(max_examples=60, deadline=None)
@given(mixture("m"), st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5))
def test_a_mixture_adds_up_on_the_robots_grid(m: Mixture, uniform: list[float]) -> None:
    amounts = m.draw(np.array(uniform[: len(m.components)]))
    assert m.refusal(amounts) is None
    assert sum(float(v) for v in amounts.values()) == pytest.approx(m.total, abs=1e-9)
    for c in m.components:
        steps = float(amounts[c.name]) / m.grid
        assert steps == pytest.approx(round(steps), abs=1e-6)


def test_draws_from_a_mixture_are_even_over_the_simplex() -> None:
    """Each share of three without limits has mean 1/3 and standard deviation sqrt(1/18)."""
    m = Mixture(name="m", components=tuple(Component(name=n) for n in "abc"))
    drawn = np.array([list(m.draw(u).values()) for u in np.random.default_rng(0).uniform(size=(4000, 3))])
    assert drawn.mean(0) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert drawn.std(0) == pytest.approx([math.sqrt(1 / 18)] * 3, abs=0.02)


def two(*components: Component) -> Mixture:
    return Mixture(name="m", components=components)


T, N = Continuous(name="T", lower=20, upper=90), Integer(name="n", lower=1, upper=5)
SOLVENT = Categorical(name="solvent", choices=("water", "ethanol"))


def test_constraints_and_conditions_are_told_in_one_sentence() -> None:
    space = SearchSpace(
        parameters=(T, SOLVENT, N.model_copy(update={"when": When(parameter="solvent", one_of=("water",))})),
        constraints=(
            LinearConstraint(coefficients={"T": 1.0, "n": 10.0}, upper=100.0),
            NonlinearConstraint(expression="T * (solvent == 'ethanol')", upper=70.0),
        ),
    )
    assert space.refusal({"T": 60.0, "solvent": "water", "n": 2}) is None
    assert space.refusal({"T": 60.0, "solvent": "ethanol"}) is None
    for recipe, words in (
        ({"T": 85.0, "solvent": "water", "n": 2}, "1 T + 10 n is 105, above 100"),
        ({"T": 75.0, "solvent": "ethanol"}, "is 75, above 70"),
        ({"T": 60.0, "solvent": "ethanol", "n": 2}, "n: is set although solvent is not water"),
        ({"T": 60.0, "solvent": "water"}, "n: is missing"),
    ):
        refusal = space.refusal(recipe)
        assert refusal is not None and words in refusal and "\n" not in refusal


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": (T, T)}, "T is there twice"),
        ({"parameters": (Fixed(name="x", value=1.0),)}, "all are fixed"),
        ({"parameters": (T.model_copy(update={"when": When(parameter="y", one_of=(1.0,))}),)}, "y is none"),
        (
            {
                "parameters": (
                    SOLVENT,
                    T.model_copy(update={"when": When(parameter="solvent", one_of=("oil",))}),
                )
            },
            "its condition cannot hold",
        ),
        ({"constraints": (LinearConstraint(coefficients={"q": 1.0}, upper=1.0),)}, "q is no number"),
        ({"constraints": (LinearConstraint(coefficients={"T": 1.0}, upper=1.0),)}, "none of 8192 recipes"),
        (
            {"constraints": (NonlinearConstraint(expression="T * (solvent == 'oil')", upper=1.0),)},
            "solvent has no such choice",
        ),
    ],
)
def test_bad_spaces_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SearchSpace(**({"parameters": (T, SOLVENT)} | changes))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Ordinal(name="o", levels=(1.0, 0.5)), "increase"),
        (lambda: Ordinal(name="o", levels=(1.0, "a")), "use one kind"),
        (lambda: Categorical(name="c", choices=("a", "b"), descriptors={"p": (1.0,)}), "give one for each"),
        (lambda: Categorical(name="c", choices=("a", "b"), descriptors={"p": (1.0, 1.0)}), "same for all"),
        (
            lambda: Mixture(
                name="m", components=(Component(name="a", lower=0.6), Component(name="b", lower=0.5))
            ),
            "nothing",
        ),
        (
            lambda: Mixture(
                name="m", components=(Component(name="a", upper=0.4), Component(name="b", upper=0.5))
            ),
            "do not add up",
        ),
        (
            lambda: Mixture(name="m", components=(Component(name="a"), Component(name="b")), step=0.3),
            "no multiple",
        ),
        (lambda: LinearConstraint(coefficients={"T": 1.0}, lower=1.0, upper=1.0), "are a mixture"),
        (lambda: LinearConstraint(coefficients={"T": 1.0}), "has no limit"),
        (lambda: NonlinearConstraint(expression="__import__('os')", upper=1.0), "no arithmetic"),
        (lambda: NonlinearConstraint(expression="T.real", upper=1.0), "no arithmetic"),
        (lambda: NonlinearConstraint(expression="T ** n", upper=1.0), "a power needs a number"),
        (lambda: NonlinearConstraint(expression="T *", upper=1.0), "is no arithmetic"),
    ],
)
def test_bad_parameters_and_constraints_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make()
