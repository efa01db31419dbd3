from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solvus.agent.planner.outputs import Output, OutputError, utility
from solvus.agent.scoring import Goal
from solvus.models.identification import Descriptor

SHARE = Output("fraction:fcc", Goal(value=0.9, tolerance=0.1))
LENGTH = Output("diameter", Goal(value=24.0, tolerance=2.0))


@given(st.floats(0.0, 1.0), st.floats(1.0, 100.0))
def test_a_descriptor_comes_back_as_it_went_in(share: float, length: float) -> None:
    for output, value in ((SHARE, share), (LENGTH, length)):
        model, variance = output.to_model(Descriptor(mean=value, sd=0.01))
        assert variance > 0.0
        assert float(output.to_natural(torch.tensor(model))) == pytest.approx(value, abs=1e-5 * (1 + value))


def test_a_lower_bound_is_known_less_well() -> None:
    bound = Descriptor(mean=24.0, sd=0.5, lower_bound=True)
    assert (
        LENGTH.to_model(bound)[1] > 20 * LENGTH.to_model(bound.model_copy(update={"lower_bound": False}))[1]
    )


@pytest.mark.parametrize(("output", "value"), [(SHARE, 1.5), (SHARE, -0.1), (LENGTH, 0.0), (LENGTH, -3.0)])
def test_impossible_values_are_refused(output: Output, value: float) -> None:
    with pytest.raises(OutputError, match=output.name):
        output.to_model(Descriptor(mean=value, sd=0.1))


@given(st.floats(0.0, 1.0), st.floats(5.0, 80.0))
def test_utility_is_greatest_at_the_goal(share: float, length: float) -> None:
    outputs = (SHARE, LENGTH)
    at = [o.to_model(Descriptor(mean=o.goal.value, sd=0.0))[0] for o in outputs]
    off = [o.to_model(Descriptor(mean=v, sd=0.0))[0] for o, v in zip(outputs, (share, length), strict=True)]
    there, elsewhere = utility(outputs, torch.tensor([at, off], dtype=torch.float64)).tolist()
    assert elsewhere <= there + 1e-12 and abs(there) < 1e-12
