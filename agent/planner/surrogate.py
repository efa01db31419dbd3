"""The surrogate: a Gaussian process from recipe to structure descriptors, exact and with independent outputs.

Notation: n experiments, d parameters, m outputs; X (n, d) encoded recipes, Z (n, m) outputs, standardised for
the fit. For each output the covariance of two recipes is

    k(x, x') = exp( -1/2 sum_i ((x_i - x'_i) / l_i)^2 - sum_c [x_c != x'_c] / h_c )

over ordered parameters i and categorical parameters c, plus the known variance of each observation and a
fitted noise variance on the diagonal: two executions of one recipe differ more than the identification says.
There is no free amplitude. The mean is a constant, set to its generalised least-squares value.

The hyper-parameters are at the maximum of the posterior with the dimension-scaled priors of Hvarfner,
Hellsten and Nardi (2024, arXiv:2402.02229) as in BoTorch's ``SingleTaskGP``, to which this is equal in value
(a test shows it); raw batched tensors make it several times faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from botorch.optim.batched_lbfgs_b import fmin_l_bfgs_b_batched
from torch import Tensor

from solvus.models.pattern import FloatVector

LENGTH_LOCATION, LENGTH_SCALE = math.sqrt(2.0), math.sqrt(3.0)
"""LogNormal(sqrt 2 + log(d)/2, sqrt 3) on length scales: the typical distance in a cube grows as sqrt d."""
CHOICE_LOCATION, CHOICE_SCALE = 0.0, 1.0
"""LogNormal(0, 1) on h: choices most likely share about a third of their behaviour, and may share all or
none."""
NOISE_LOCATION, NOISE_SCALE = -4.0, 1.0
"""LogNormal(-4, 1) on the noise variance, in units of the variance of the data."""
LENGTH_BOUNDS, CHOICE_BOUNDS, NOISE_BOUNDS = (0.025, 1e3), (0.05, 1e2), (1e-4, 1.0)
"""Limits of the fit: shorter lengths cannot be learnt, and less noise makes the matrix singular."""
STARTS = (1.0, 4.0)
"""The fit starts at the mode of the length prior and at four times it, because the posterior often has a
rough and a smooth optimum; the better one is taken."""
FIT_ITERATIONS = 100
"""Cap of the fit; it converges in 20 to 40."""
FIT_FACTOR, FIT_GRADIENT = 1e9, 1e-3
"""Stop of the fit, relative to the machine's precision and as a gradient: the log posterior is then within
1e-3 of its optimum, far less than a length scale can be told by."""
JITTER = 1e-6
"""On diagonals of noise-free covariances, in units of the data's variance."""
CALIBRATED_FROM = 10
"""Fewer experiments than this do not say whether the spread is right."""
INFLATION_LIMIT = 2.5
"""A spread that is off by more is a wrong model, which no factor mends."""


@dataclass(frozen=True)
class VectorGP:
    """A fitted model; make it with :func:`fit`.

    Attributes
    ----------
    X : encoded recipes, (n, d). ordered, categorical : positions of the two kinds of parameters in them.
    lengths (m, number ordered), choices (m, number categorical), noise (m,) : hyper-parameters of the
    formula.
    offset, scale : mean and standard deviation of the data, (m,). constant : the mean of the process, (m,).
    inflation : factor on the predicted standard deviation, from leave-one-out residuals, (m,), at least 1.
    root : Cholesky factor of the covariance of the data, (m, n, n). weights : its solution, (m, n).
    """

    X: Tensor
    ordered: list[int]
    categorical: list[int]
    lengths: Tensor
    choices: Tensor
    noise: Tensor
    offset: Tensor
    scale: Tensor
    constant: Tensor
    inflation: Tensor
    root: Tensor
    weights: Tensor

    def kernel(self, A: Tensor, B: Tensor) -> Tensor:
        """Covariance of standardised outputs, (m, a, b), for recipes (a, d) and (b, d)."""
        return covariance(A, B, self.ordered, self.categorical, self.lengths, self.choices)

    def _half(self, A: Tensor) -> Tensor:
        """root^-1 k(X, A), shape (m, n, a)."""
        half: Tensor = torch.linalg.solve_triangular(self.root, self.kernel(self.X, A), upper=False)
        return half

    @property
    def spread(self) -> Tensor:
        """Factor from standardised to model units of a predicted standard deviation, (m,)."""
        return self.scale * self.inflation

    def mean(self, A: Tensor) -> Tensor:
        """Posterior mean, (m, a)."""
        standard = self.constant[:, None] + (self.kernel(A, self.X) @ self.weights[..., None])[..., 0]
        mean: Tensor = self.offset[:, None] + self.scale[:, None] * standard
        return mean

    def variance(self, A: Tensor) -> Tensor:
        """Posterior variance without noise, (m, a)."""
        explained = (self._half(A) ** 2).sum(-2)
        variance: Tensor = (1.0 - explained).clamp_min(JITTER) * self.spread[:, None] ** 2
        return variance

    def covariance(self, A: Tensor, B: Tensor) -> Tensor:
        """Posterior covariance without noise, (m, a, b)."""
        reduced = self.kernel(A, B) - self._half(A).transpose(-1, -2) @ self._half(B)
        return reduced * self.spread[:, None, None] ** 2


def covariance(
    A: Tensor, B: Tensor, ordered: list[int], categorical: list[int], lengths: Tensor, choices: Tensor
) -> Tensor:
    """The kernel of the module's formula.

    Parameters
    ----------
    A, B : encoded recipes, (a, d) and (b, d).
    lengths, choices : (..., number ordered) and (..., number categorical).

    Returns
    -------
    Covariances of shape (..., a, b).
    """
    scaled_a = A[:, ordered] / lengths[..., None, :]
    scaled_b = B[:, ordered] / lengths[..., None, :]
    squares = (scaled_a**2).sum(-1)[..., :, None] + (scaled_b**2).sum(-1)[..., None, :]
    exponent = -0.5 * (squares - 2.0 * scaled_a @ scaled_b.transpose(-1, -2)).clamp_min(0.0)
    if categorical:
        differs = (A[:, None, categorical] != B[None, :, categorical]).to(A)
        exponent = exponent - (differs / choices[..., None, None, :]).sum(-1)
    return exponent.exp()


def _log_normal(log_value: Tensor, location: float, scale: float) -> Tensor:
    """Log density of LogNormal(location, scale) at exp(log_value), summed over the last axis, without its
    constant.

    A density in the value, not in its logarithm: hence the term -log_value, without which the mode moves.
    """
    return (-log_value - 0.5 * ((log_value - location) / scale) ** 2).sum(-1)


@dataclass(frozen=True)
class _Problem:
    """The fit of all outputs at once: standardised data, and where each hyper-parameter sits in a row of
    numbers."""

    X: Tensor
    Z: Tensor
    variances: Tensor
    ordered: list[int]
    categorical: list[int]

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log lengths, log h, log noise from rows (b, p)."""
        count = len(self.ordered)
        return theta[:, :count], theta[:, count:-1], theta[:, -1]

    def factor(self, theta: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cholesky root (b, n, n), constant mean (b,), and residual solved by the root (b, n)."""
        lengths, choices, noise = self.split(theta)
        K = covariance(self.X, self.X, self.ordered, self.categorical, lengths.exp(), choices.exp())
        K = K + torch.diag_embed(self.variances[rows] + noise.exp()[:, None] + JITTER)
        root = torch.linalg.cholesky(K)
        columns = torch.stack((torch.ones_like(self.Z[rows]), self.Z[rows]), -1)
        ones, values = torch.linalg.solve_triangular(root, columns, upper=False).unbind(-1)
        constant = (ones * values).sum(-1) / (ones**2).sum(-1)
        return root, constant, values - constant[:, None] * ones

    def loss(self, theta: Tensor, rows: Tensor) -> Tensor:
        """Negative log posterior of the hyper-parameters, (b,), up to a constant."""
        lengths, choices, noise = self.split(theta)
        root, _, residual = self.factor(theta, rows)
        location = LENGTH_LOCATION + 0.5 * math.log(max(len(self.ordered), 1))
        prior = _log_normal(lengths, location, LENGTH_SCALE) + _log_normal(
            choices, CHOICE_LOCATION, CHOICE_SCALE
        )
        prior = prior + _log_normal(noise[:, None], NOISE_LOCATION, NOISE_SCALE)
        determinant = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 0.5 * (residual**2).sum(-1) + determinant - prior

    def solve(self) -> Tensor:
        """Best hyper-parameters, (m, p), from all starts and outputs side by side."""
        outputs, ordered, categorical = len(self.Z), len(self.ordered), len(self.categorical)
        location = LENGTH_LOCATION + 0.5 * math.log(max(ordered, 1))
        mode = np.array(
            [location - LENGTH_SCALE**2] * ordered
            + [CHOICE_LOCATION] * categorical
            + [NOISE_LOCATION - NOISE_SCALE**2]
        )
        starts = np.stack([mode + np.log(s) * (np.arange(len(mode)) < ordered) for s in STARTS])
        limits = [LENGTH_BOUNDS] * ordered + [CHOICE_BOUNDS] * categorical + [NOISE_BOUNDS]
        rows = torch.arange(outputs).repeat(len(STARTS))

        def value_and_gradient(x: FloatVector, batch_indices: list[int]) -> tuple[FloatVector, FloatVector]:
            theta = torch.as_tensor(x, dtype=torch.float64).requires_grad_(True)
            loss = self.loss(theta, rows[batch_indices])
            (gradient,) = torch.autograd.grad(loss.sum(), theta)
            return loss.detach().numpy(), gradient.numpy()

        found, losses, _ = fmin_l_bfgs_b_batched(  # type: ignore[no-untyped-call]
            value_and_gradient,
            np.repeat(starts, outputs, axis=0),
            bounds=[(math.log(low), math.log(high)) for low, high in limits],
            maxiter=FIT_ITERATIONS,
            factr=FIT_FACTOR,
            pgtol=FIT_GRADIENT,
            pass_batch_indices=True,
        )
        best = np.argmin(np.reshape(losses, (len(STARTS), outputs)), axis=0)
        picked = np.reshape(found, (len(STARTS), outputs, -1))[best, np.arange(outputs)]
        return torch.as_tensor(picked, dtype=torch.float64)


def fit(
    X: Tensor,
    Z: Tensor,
    variances: Tensor,
    smallest_scale: Tensor,
    ordered: list[int],
    categorical: list[int],
) -> VectorGP:
    """Fit the model.

    Parameters
    ----------
    X : encoded recipes, (n, d), n >= 2.
    Z, variances : outputs and their known variances in model units, (n, m).
    smallest_scale : least unit of standardisation for each output, (m,): data that happen to agree so far
        must not make the model certain that everything is like them.
    ordered, categorical : positions of the two kinds of parameters.
    """
    offset, scale = Z.mean(0), torch.maximum(Z.std(0), smallest_scale)
    problem = _Problem(X, ((Z - offset) / scale).T, (variances / scale**2).T, ordered, categorical)
    theta = problem.solve()
    lengths, choices, noise = (part.exp() for part in problem.split(theta))
    root, constant, residual = problem.factor(theta, torch.arange(Z.shape[1]))
    inverse = torch.cholesky_inverse(root)
    weights = torch.linalg.solve_triangular(root.transpose(-1, -2), residual[..., None], upper=True)[..., 0]
    # Leave-one-out residuals in closed form (Rasmussen and Williams 2006, eq. 5.12), as z-scores.
    scores = weights / inverse.diagonal(dim1=-2, dim2=-1).sqrt()
    inflation = (scores**2).mean(-1).sqrt().clamp(1.0, INFLATION_LIMIT)
    if len(X) < CALIBRATED_FROM:
        inflation = torch.ones_like(inflation)
    return VectorGP(
        X, ordered, categorical, lengths, choices, noise, offset, scale, constant, inflation, root, weights
    )
