"""A background that does not fit its sample is refused in one sentence that says what to do."""

from __future__ import annotations

import numpy as np
import pytest

from solvus.models.pattern import Conditions, Pattern
from solvus.models.reduction.reduce import reduce
from solvus.models.reduction.settings import ReductionError, settings_of
from solvus.models.scattering.form_factors import form_factors

Q = np.arange(0.6, 21.0, 0.02)
SETTINGS = settings_of(composition="Au", qmin=0.8, qmax=20.0)


def intensity(x: np.ndarray, y: np.ndarray, quantity: str = "I") -> Pattern:
    return Pattern(quantity=quantity, x_unit="1/angstrom", x=x, y=y, conditions=Conditions())


def halo(q: np.ndarray) -> np.ndarray:
    """Something like water: a halo at 2 on Compton scattering."""
    return 800.0 + 4000.0 * np.exp(-0.5 * ((q - 2.0) / 0.4) ** 2)


@pytest.fixture
def raw() -> Pattern:
    sample = form_factors(["Au"], Q)[0] ** 2 * (1.0 + np.sin(2.88 * Q) / Q)
    return intensity(Q, sample + halo(Q))


def test_a_good_one_is_taken_off(raw: Pattern) -> None:
    done = reduce(raw, SETTINGS, intensity(Q, halo(Q)))
    assert done.below_background == 0.0 and 0.3 < done.background_share < 0.7
    assert abs(float(done.g.x[done.g.y.argmax()]) - 2.88) < 0.05


@pytest.mark.parametrize(
    ("background", "words"),
    [
        (intensity(Q[Q < 15.0], halo(Q[Q < 15.0])), "covers Q = 0.6 to 15"),
        (intensity(np.arange(0.6, 21.0, 0.3), halo(np.arange(0.6, 21.0, 0.3))), "steps of 0.1 or less"),
        (intensity(Q[(Q < 6) | (Q > 9)], halo(Q[(Q < 6) | (Q > 9)])), "up to 3 1/angstrom apart"),
        (intensity(Q, 30.0 * halo(Q)), "exceeds the sample at .* check its unit and exposure"),
        (intensity(np.arange(6.0, 210.0, 0.1), halo(np.arange(0.6, 21.0, 0.01)[:2040])), "covers Q = 6"),
        (intensity(Q, np.ones(len(Q)), "S"), r"I\(Q\) is needed, not S"),
    ],
    ids=["too short", "too coarse", "a gap", "too strong", "in 1/nm", "no intensity"],
)
def test_a_bad_one_is_one_sentence(raw: Pattern, background: Pattern, words: str) -> None:
    with pytest.raises(ReductionError, match=words) as caught:
        reduce(raw, SETTINGS, background)
    assert str(caught.value).startswith("background: ") and "\n" not in str(caught.value)
