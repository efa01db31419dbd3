from __future__ import annotations

import torch

from solvus.agent.planner.feasibility import FLOOR, fit_feasibility

generator = torch.Generator().manual_seed(3)
X = torch.rand(40, 2, generator=generator, dtype=torch.float64)


def test_without_failures_there_is_no_model() -> None:
    assert fit_feasibility(X, torch.ones(40, dtype=torch.float64), [0, 1], []) is None


def test_the_boundary_is_found() -> None:
    products = (X[:, 0] > 0.4).to(X)
    model = fit_feasibility(X, products, [0, 1], [])
    assert model is not None
    new = torch.rand(500, 2, generator=generator, dtype=torch.float64)
    right = (model.probability(new) > 0.5) == (new[:, 0] > 0.4)
    assert float(right.to(X).mean()) > 0.9


def test_probability_stays_between_the_floor_and_one_and_has_a_gradient() -> None:
    model = fit_feasibility(X, torch.zeros(40, dtype=torch.float64), [0, 1], [])
    assert model is not None
    new = X.clone().requires_grad_(True)
    probability = model.probability(new)
    assert bool((probability >= FLOOR).all()) and bool((probability < 0.5).all())
    (gradient,) = torch.autograd.grad(probability.sum(), new)
    assert bool(gradient.isfinite().all())


def test_one_failure_warns_near_by_but_not_far_away_or_of_another_choice() -> None:
    recipes = torch.tensor([[0.1, 0.0], [0.9, 0.0], [0.6, 0.0], [0.9, 1.0]], dtype=torch.float64)
    model = fit_feasibility(recipes, torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=torch.float64), [0], [1])
    assert model is not None
    near, far, other = model.probability(
        torch.tensor([[0.1, 0.0], [0.9, 0.0], [0.1, 1.0]], dtype=torch.float64)
    ).tolist()
    assert near < 0.5 < far
    assert near < other
