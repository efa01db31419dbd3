"""Sets of metals: their size follows the certainty, their coverage the promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvus.models.recognition.metal_sets import conformal_threshold, left_out, smallest_set

PROBABILITIES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20).map(
    lambda values: np.array(sorted(values, reverse=True))
)


@given(PROBABILITIES)
def test_less_is_left_out_by_a_larger_set(p: np.ndarray) -> None:
    r = left_out(p)
    assert len(r) == len(p) + 1
    assert (np.diff(r) >= 0.0).all()
    assert r[-1] == 1.0
    assert r[0] == pytest.approx(float(np.prod(1.0 - p)), abs=1e-9)


@given(PROBABILITIES, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_higher_bar_makes_no_smaller_set(p: np.ndarray, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert smallest_set(p, low) <= smallest_set(p, high) <= len(p)


def test_a_clear_pattern_has_a_small_set_and_a_doubtful_one_a_large() -> None:
    clear = np.array([0.99, 0.01, 0.01, 0.005])
    doubtful = np.array([0.4, 0.3, 0.2, 0.1])
    assert smallest_set(clear, 0.95) == 1
    assert smallest_set(doubtful, 0.95) == 4


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_coverage_is_kept_though_the_probabilities_are_wrong(coverage: float) -> None:
    generator = np.random.default_rng(3)
    held, sizes = [], []
    for _ in range(40):
        true = generator.beta(0.3, 2.0, (400, 12))
        present = generator.random(true.shape) < true
        present[np.arange(400), true.argmax(axis=1)] = True
        boasted = true**2  # much surer of absence than is right
        t = conformal_threshold(boasted[:200], present[:200], coverage)
        for row, truth in zip(boasted[200:], present[200:], strict=True):
            order = np.argsort(-row, kind="stable")
            size = smallest_set(row[order], t)
            held.append(truth[order[size:]].sum() == 0)
            sizes.append(size)
    assert np.mean(held) == pytest.approx(coverage, abs=0.02)
    assert np.mean(sizes) < 12


def test_too_few_patterns_promise_nothing_but_everything() -> None:
    p, present = np.array([[0.9, 0.1]]), np.array([[True, False]])
    t = conformal_threshold(p, present, 0.95)
    assert smallest_set(p[0], t) == 2
