"""The sine transforms against their defining sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solvus.models.scattering.sine_transforms import _by_fourier, _transformed, from_half_steps, to_half_steps


def matrix(n: int) -> torch.Tensor:
    """sin(pi (2 j + 1) k / 2 n), rows j, columns k."""
    odd = 2.0 * torch.arange(n, dtype=torch.float64) + 1.0
    return torch.sin(torch.pi / (2 * n) * odd[:, None] * torch.arange(n, dtype=torch.float64))


@given(n=st.integers(2, 40), given_share=st.floats(0.1, 1.0), seed=st.integers(0, 10**6))
def test_both_are_the_sums_that_define_them(n: int, given_share: float, seed: int) -> None:
    m = max(2, round(n * given_share))
    v = torch.randn(3, m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sines = matrix(n)
    np.testing.assert_allclose(to_half_steps(v, n, n), v @ sines[:, :m].T, atol=1e-11)
    np.testing.assert_allclose(from_half_steps(v, n, n), v @ sines[:m], atol=1e-11)


@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("size", [5, 12])
def test_the_way_of_other_devices_agrees(kind: int, size: int) -> None:
    v = torch.randn(2, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    np.testing.assert_allclose(_by_fourier(v, 12, kind), _transformed(v, 12, kind, 12), atol=1e-12)


def test_gradients_and_precision() -> None:
    v = torch.randn(2, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: to_half_steps(x, 12, 7), v)
    assert torch.autograd.gradcheck(lambda x: from_half_steps(x, 12, 7), v)
    assert torch.autograd.gradgradcheck(lambda x: from_half_steps(x, 12, 7), v)
    assert to_half_steps(v.detach().float(), 12, 12).dtype == torch.float32
