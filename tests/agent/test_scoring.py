from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from solvus.agent.scoring import (
    Goal,
    ScoringError,
    TargetDescriptors,
    leading_family,
    score,
    squared_distance,
)
from solvus.models.identification import Candidate, Descriptor, Identification, Verdict

TARGET = TargetDescriptors(
    goals={
        "fraction:decahedral": Goal(value=0.9, tolerance=0.2, at_least=True),
        "diameter": Goal(value=24.0, tolerance=2.0),
    },
    family="decahedral",
)


def identification(
    fraction: Descriptor, diameter: Descriptor, family: str = "decahedral", verdict: Verdict = "identified"
) -> Identification:
    candidates = tuple(
        Candidate(structure=s, family=f, elements=("Au",), probability=p, r_w=0.2, parameters={})
        for s, f, p in [("a", "fcc", 0.4), ("b", family, 0.35), ("c", family, 0.25)]
    )
    descriptors = {"fraction:decahedral": fraction, "diameter": diameter} if verdict == "identified" else {}
    return Identification(
        verdict=verdict,
        candidates=candidates,
        descriptors=descriptors,
        r_range=(2.0, 30.0),
        pattern_sha256="0" * 64,
        model_version="1",
    )


def test_moments_of_the_distance_agree_with_plain_sampling() -> None:
    s = score(identification(Descriptor(mean=0.6, sd=0.1), Descriptor(mean=25.0, sd=1.5)), TARGET)
    generator = np.random.default_rng(1)
    z = (
        np.minimum(0.0, generator.normal(0.6, 0.1, 10**6) - 0.9) / 0.2,
        generator.normal(1.0, 1.5, 10**6) / 2.0,
    )
    distance = np.sqrt((z[0] ** 2 + z[1] ** 2) / 2)
    assert s.distance_mean == pytest.approx(distance.mean(), rel=0.01)
    assert s.distance_sd == pytest.approx(distance.std(), rel=0.02)
    within = np.mean((z[0] > -1.0) & (np.abs(z[1]) < 1.0))
    assert s.probability_within == pytest.approx(within, abs=0.003)


def test_exact_descriptors_at_the_goal_are_a_sure_hit() -> None:
    s = score(identification(Descriptor(mean=1.0, sd=0.0), Descriptor(mean=24.0, sd=0.0)), TARGET)
    assert (s.distance_mean, s.distance_sd, s.probability_within, s.hit) == (0.0, 0.0, 1.0, True)


def test_the_family_with_the_largest_share_leads() -> None:
    """In a mixture the shares count, not which single structure fits best."""
    good = identification(Descriptor(mean=0.95, sd=0.01), Descriptor(mean=24.0, sd=0.2))
    other = Descriptor(mean=0.97, sd=0.01)
    led = good.model_copy(update={"descriptors": good.descriptors | {"fraction:icosahedral": other}})
    assert score(good, TARGET).family == "decahedral" and score(good, TARGET).hit
    assert score(led, TARGET).family == "icosahedral" and not score(led, TARGET).hit


def test_without_shares_the_probabilities_of_a_family_add_up() -> None:
    none = identification(Descriptor(mean=1, sd=0), Descriptor(mean=24, sd=0), verdict="none")
    assert leading_family(none) == "decahedral"


def test_the_threshold_decides_what_is_a_hit() -> None:
    half = identification(Descriptor(mean=0.7, sd=0.05), Descriptor(mean=24.0, sd=0.01))
    assert score(half, TARGET, threshold=0.45).hit
    assert not score(half, TARGET, threshold=0.55).hit


@pytest.mark.parametrize("verdict", ["none", "poor_data"])
def test_an_identification_that_cannot_be_trusted_has_no_score(verdict: Verdict) -> None:
    s = score(identification(Descriptor(mean=1, sd=0), Descriptor(mean=24, sd=0), verdict=verdict), TARGET)
    assert not s.trusted and not s.hit and s.distance_mean is None and s.probability_within is None


def test_a_lower_bound_cannot_be_within_limits_on_both_sides() -> None:
    bounded = Descriptor(mean=24.0, sd=0.1, lower_bound=True)
    assert not score(identification(Descriptor(mean=1.0, sd=0.01), bounded), TARGET).hit
    at_least = TargetDescriptors(goals={"diameter": Goal(value=24.0, tolerance=2.0, at_least=True)})
    assert score(identification(Descriptor(mean=1.0, sd=0.01), bounded), at_least).hit


@given(st.floats(-10, 10), st.floats(0.01, 5), st.floats(0.1, 10), st.floats(0.1, 10))
def test_weights_count_relative_to_each_other_only(z: float, t: float, w: float, factor: float) -> None:
    goals = [Goal(value=0.0, tolerance=t, weight=w), Goal(value=1.0, tolerance=t, weight=1.0)]
    scaled = [goal.model_copy(update={"weight": goal.weight * factor}) for goal in goals]
    assert squared_distance([z, z], scaled) == pytest.approx(squared_distance([z, z], goals))


@given(st.floats(0.0, 1.0), st.floats(0.0, 0.5), st.floats(10.0, 40.0), st.floats(0.0, 10.0))
def test_a_score_is_always_finite_and_a_pure_function(f: float, f_sd: float, d: float, d_sd: float) -> None:
    found = identification(Descriptor(mean=f, sd=f_sd), Descriptor(mean=d, sd=d_sd))
    first = score(found, TARGET)
    assert first == score(found, TARGET)
    assert first.distance_mean is not None and 0.0 <= first.distance_mean < 100.0


def test_a_missing_descriptor_is_named() -> None:
    target = TargetDescriptors(goals={"colour": Goal(value=1.0, tolerance=1.0)})
    with pytest.raises(ScoringError, match="colour is no descriptor of the identification"):
        score(identification(Descriptor(mean=1, sd=0), Descriptor(mean=24, sd=0)), target)


@pytest.mark.parametrize("goal", [{"tolerance": 0.0}, {"tolerance": -1.0}, {"tolerance": 1.0, "weight": 0.0}])
def test_a_goal_needs_a_positive_tolerance_and_weight(goal: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Goal(value=1.0, **goal)
