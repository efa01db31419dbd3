"""A range of Q that no instrument reaches, or that the pattern itself contradicts, is refused on arrival."""

from __future__ import annotations

import numpy as np
import pytest

from solvus.agent.arrival import range_refusal
from solvus.models.pattern import Conditions, Pattern


def pattern(last: float, *, quantity: str = "F", qmax: float | None = None) -> Pattern:
    unit = "angstrom" if quantity == "G" else "1/angstrom"
    x = np.linspace(0.5, last, 40)
    return Pattern(quantity=quantity, x_unit=unit, x=x, y=np.ones(40), conditions=Conditions(qmax=qmax))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (pattern(24.0), None),
        (pattern(24.5, qmax=24.0), None),
        (pattern(240.0), "is it in 1/nm"),
        (pattern(24.0, qmax=2.4), "one is in another unit"),
        (pattern(60.0, quantity="G", qmax=20.0), None),
    ],
)
def test_the_range_of_q_is_checked(given: Pattern, says: str | None) -> None:
    refusal = range_refusal(given)
    assert refusal is None if says is None else says in str(refusal)
