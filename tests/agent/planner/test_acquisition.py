from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from solvus.agent.planner import acquisition as module
from solvus.agent.planner.acquisition import Acquisition, candidates, log_prior, prepare
from solvus.agent.planner.aims import NearTarget
from solvus.agent.planner.outputs import Output, utility
from solvus.agent.planner.search_space import Categorical, Continuous, SearchSpace
from solvus.agent.planner.surrogate import fit
from solvus.agent.scoring import Goal

torch.set_num_threads(1)
SPACE = SearchSpace(
    parameters=(
        Continuous(name="x", lower=0.0, upper=1.0),
        Continuous(name="y", lower=0.0, upper=1.0),
        Categorical(name="c", choices=("a", "b")),
    )
)
OUTPUTS = (
    Output("bond_length", Goal(value=1.0, tolerance=0.2)),
    Output("fraction:fcc", Goal(value=0.9, tolerance=0.2, at_least=True)),
)


def prepared(unknown: list[list[float]]) -> Acquisition:
    generator = np.random.default_rng(2)
    X = torch.as_tensor(np.column_stack((generator.uniform(size=(14, 2)), generator.integers(2, size=14))))
    Z = torch.stack((X[:, 0] + X[:, 1] + 0.3 * X[:, 2], 3 * torch.sin(3 * X[:, 0])), -1)
    model = fit(X, Z, torch.full_like(Z, 1e-3), torch.full((2,), 0.1, dtype=torch.float64), [0, 1], [2])
    held = torch.tensor(unknown, dtype=torch.float64).reshape(-1, 3)
    return prepare(SPACE, [model], OUTPUTS, NearTarget(OUTPUTS), None, held, seed=1)


def test_it_is_the_expected_improvement_over_all_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWS", 4096)
    acquisition = prepared([[0.5, 0.5, 1.0]])
    points = torch.tensor([[0.6, 0.4, 1.0], [0.2, 0.9, 0.0], [0.9, 0.1, 0.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for point in points:
        joint = torch.cat((acquisition.held, point[None]))
        covariance = acquisition.model.covariance(joint, joint) + 1e-9 * torch.eye(len(joint)).double()
        normals = torch.randn(20000, 2, len(joint), 1, generator=generator, dtype=torch.float64)
        draws = acquisition.model.mean(joint) + (torch.linalg.cholesky(covariance) @ normals)[..., 0]
        u = utility(OUTPUTS, draws.transpose(-1, -2))
        improvement = (u[:, -1] - u[:, :-1].max(-1).values).clamp_min(0.0).mean()
        gain = acquisition(point[None]) - 0.5 * log_prior(point[None][:, acquisition.model.ordered])
        assert float(gain.exp()) == pytest.approx(float(improvement), rel=0.15, abs=1e-3)


def test_what_is_pending_is_not_worth_trying_again() -> None:
    free = prepared([])
    [best] = candidates(free, seed=3)[0][:1]
    held = prepared([best.tolist()])
    assert float(held(best[None])) < float(free(best[None])) - 1.0
    other = candidates(held, seed=3)[0][0]
    assert bool(other[2] != best[2]) or float((other - best).norm()) > 0.05


def test_candidates_can_be_made_and_come_best_first() -> None:
    acquisition = prepared([])
    found, values = candidates(acquisition, seed=3)
    assert bool((values[:-1] >= values[1:]).all())
    for vector in found[:20].numpy():
        assert SPACE.refusal(SPACE.decode(vector)) is None


def test_the_search_comes_close_to_the_best_of_a_fine_grid() -> None:
    acquisition = prepared([])
    side = torch.linspace(0.0, 1.0, 60, dtype=torch.float64)
    code = torch.tensor([0.0, 1.0], dtype=torch.float64)
    grid: Tensor = torch.cartesian_prod(side, side, code)
    assert float(candidates(acquisition, seed=3)[1][0]) > float(acquisition(grid).max()) - 0.05


def test_an_edge_has_to_promise_more_than_the_middle() -> None:
    places = torch.tensor([[0.5, 0.5], [0.0, 0.5], [1.0, 0.5], [0.0, 1.0]], dtype=torch.float64)
    middle, left, right, corner = (0.5 * log_prior(places)).exp().tolist()
    assert left == pytest.approx(right)
    assert middle / left == pytest.approx(7.1, rel=0.02)
    assert middle / corner == pytest.approx((middle / left) ** 2)
