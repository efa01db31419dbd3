from __future__ import annotations

import math

import gpytorch
import pytest
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.kernels import CategoricalKernel
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from torch import Tensor

from solvus.agent.planner.surrogate import BOTORCH_NOISE, JITTER, NOISE, VectorGP, fit

torch.set_num_threads(1)


def data(n: int = 30, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Two outputs over three ordered parameters and one of three choices."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.rand(n, 4, generator=generator, dtype=torch.float64)
    X[:, 3] = torch.randint(3, (n,), generator=generator).to(X)
    shift = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)[X[:, 3].long()]
    Z = torch.stack((torch.sin(4 * X[:, 0]) + shift, X[:, 1] ** 2 - X[:, 2]), -1)
    return X, Z + 0.05 * torch.randn(n, 2, generator=generator, dtype=torch.float64), torch.full_like(Z, 1e-3)


def fitted(n: int = 30) -> VectorGP:
    X, Z, variances = data(n)
    return fit(X, Z, variances, torch.full((2,), 1e-3, dtype=torch.float64), [0, 1, 2], [3])


def test_the_posterior_equals_botorch_at_equal_hyperparameters() -> None:
    X, Z, variances = data()
    ours = fitted()
    new = data(9, seed=5)[0]
    for j in range(2):
        ordered = gpytorch.kernels.RBFKernel(ard_num_dims=3, active_dims=[0, 1, 2])
        choice = CategoricalKernel(ard_num_dims=1, active_dims=[3])
        ordered.lengthscale, choice.lengthscale = ours.lengths[j], ours.choices[j]
        standard = (Z[:, [j]] - ours.offset[j]) / ours.scale[j]
        noise = variances[:, [j]] / ours.scale[j] ** 2 + ours.noise[j] + JITTER
        local, straight = gpytorch.kernels.ScaleKernel(ordered * choice), gpytorch.kernels.LinearKernel()
        straight.active_dims = torch.tensor([0, 1, 2])
        local.outputscale, straight.variance = ours.amplitude[j], ours.trend[j]
        centre = torch.tensor([0.5, 0.5, 0.5, 0.0], dtype=torch.float64)
        theirs = SingleTaskGP(
            X - centre, standard, noise, covar_module=local + straight, outcome_transform=None
        )
        theirs.mean_module.constant = ours.constant[j]
        posterior = theirs.double().posterior(new - centre)
        mean = ours.offset[j] + ours.scale[j] * posterior.mean[:, 0]
        torch.testing.assert_close(ours.mean(new)[j], mean, rtol=1e-5, atol=1e-6)
        variance = posterior.variance[:, 0] * ours.spread[j] ** 2
        torch.testing.assert_close(ours.variance(new)[j], variance, rtol=1e-4, atol=1e-5)


def test_the_fit_is_as_good_as_botorch_by_botorchs_own_measure() -> None:
    """Without categories and known noise the model is SingleTaskGP, so its optimum must be ours."""
    X, Z, _ = data()
    X, Z = X[:, :3], Z[:, [1]]
    ours = fit(
        X,
        Z,
        torch.zeros_like(Z),
        torch.full((1,), 1e-3, dtype=torch.float64),
        [0, 1, 2],
        [],
        prior=BOTORCH_NOISE,
        trended=False,
    )
    standard = (Z - Z.mean(0)) / Z.std(0)
    theirs = SingleTaskGP(X, standard, outcome_transform=None)
    assert type(theirs.covar_module) is type(get_covar_module_with_dim_scaled_prior(ard_num_dims=3))
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(theirs.likelihood, theirs)

    def value() -> float:
        theirs.train()
        return float(mll(theirs(X), standard[:, 0]).detach())

    fit_gpytorch_mll(mll)
    reached = value()
    theirs.covar_module.lengthscale = ours.lengths[0]
    theirs.likelihood.noise = ours.noise
    theirs.mean_module.constant = ours.constant[0]
    assert value() == pytest.approx(reached, abs=1e-3)


def test_variance_is_the_diagonal_of_the_covariance_and_grows_away_from_the_data() -> None:
    model = fitted()
    new = data(7, seed=3)[0]
    diagonal = model.covariance(new, new).diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(model.variance(new), diagonal, rtol=1e-6, atol=1e-9)
    far = torch.tensor([[9.0, 9.0, 9.0, 1.0]], dtype=torch.float64)
    assert bool((model.variance(far) > model.variance(model.X).max(-1).values[:, None]).all())


def test_codes_of_choices_carry_no_order() -> None:
    X, Z, variances = data()
    renamed = X.clone()
    renamed[:, 3] = (X[:, 3] + 1) % 3
    scale = torch.full((2,), 1e-3, dtype=torch.float64)
    one, other = (fit(x, Z, variances, scale, [0, 1, 2], [3]) for x in (X, renamed))
    torch.testing.assert_close(one.mean(X), other.mean(renamed))


def test_the_model_learns_what_matters() -> None:
    model = fitted(60)
    assert float(model.lengths[0, 0]) < float(model.lengths[0, 1:].min())
    assert bool((model.noise >= NOISE.floor * (1 - 1e-9)).all())
    X, Z, _ = data(200, seed=9)
    residual = (model.mean(X).T - Z).std(0) / Z.std(0)
    assert bool((residual < 0.35).all())


def test_data_that_agree_do_not_make_the_model_certain() -> None:
    X = data()[0][:5]
    Z = torch.full((5, 1), 3.0, dtype=torch.float64)
    model = fit(X, Z, torch.full_like(Z, 1e-4), torch.ones(1, dtype=torch.float64), [0, 1, 2], [3])
    far = torch.tensor([[9.0, 9.0, 9.0, 2.0]], dtype=torch.float64)
    assert float(model.mean(far)) == pytest.approx(3.0)
    assert math.sqrt(float(model.variance(far))) > 0.5


@pytest.mark.parametrize("sd", [0.002, 0.1])
def test_results_come_out_as_far_from_what_was_predicted_as_was_said(sd: float) -> None:
    generator = torch.Generator().manual_seed(7)
    X = torch.rand(120, 2, generator=generator, dtype=torch.float64)
    scatter = sd * torch.randn(120, 1, generator=generator, dtype=torch.float64)
    Z = (torch.sin(3.0 * X[:, 0]) + X[:, 1] ** 2)[:, None] + scatter
    variances = torch.full_like(Z, sd**2)
    model = fit(X[:40], Z[:40], variances[:40], torch.full((1,), 1e-3, dtype=torch.float64), [0, 1], [])
    z = model.ahead_scores(X[40:], Z[40:], variances[40:])
    assert 0.7 < float((z**2).mean().sqrt()) < 1.4


def test_repeats_of_one_recipe_are_no_numerical_problem() -> None:
    X, Z, variances = data(12)
    X[:6] = X[0]
    model = fit(X, Z, variances, torch.full((2,), 1e-3, dtype=torch.float64), [0, 1, 2], [3])
    assert bool(model.mean(X).isfinite().all())
