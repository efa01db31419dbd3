"""The probability that a recipe gives a product: a Gaussian process classifier in Laplace's approximation.

Notation: y = 1 for an experiment with a product and 0 for a failure of the chemistry; latent f with mean b
(log-odds of a product before any data near by) and covariance a^2 k(x, x'), k as in
:mod:`solvus.agent.planner.surrogate` with a straight trend of variance b a^2 beside it, because failing often begins
beyond a plane (too little of one thing for another); P(y = 1 | f) = sigmoid(f). Newton iteration, evidence and
prediction follow Rasmussen and Williams (2006), algorithms 3.1 and 3.2; the average of the sigmoid over f is MacKay's
(1992) sigmoid(mu / sqrt(1 + pi v / 8)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from solvus.agent.planner.surrogate import JITTER, LENGTH_LOCATION, LENGTH_SCALE, Lift, covariance

AMPLITUDE = 3.0
"""Prior standard deviation of the log-odds: near many failures P falls to a few per cent."""
LENGTH_FACTORS = (0.5, 1.0, 2.0)
TRENDS = (0.0, 1.0, 10.0, 100.0)
"""Common length scales tried, in units of the mode of the length prior, and trends b; the best evidence wins. A handful
of failures says no more."""
CHOICE = 1.0
"""The h of the kernel: failures carry over to another choice by about a third."""
FLOOR = 0.02
"""P is never taken to be less, so that the boundary of the failures stays reachable."""
NEWTON_STEPS = 50
"""Cap; the log posterior is concave and Newton needs about ten."""


@dataclass(frozen=True)
class Feasibility:
    """A fitted classifier; ``None`` in place of it means that nothing has failed."""

    X: Tensor
    lift: Lift
    ordered: list[int]
    categorical: list[int]
    length: float
    trend: float
    offset: float
    gradient: Tensor
    root_weight: Tensor
    cholesky: Tensor
    evidence: float

    def probability(self, A: Tensor) -> Tensor:
        """P(product) for recipes (a, d), shape (a,), between FLOOR and 1; differentiable."""
        A = self.lift(A)
        K = _kernel(self.X, A, self.ordered, self.categorical, self.length, self.trend)
        mean = self.offset + self.gradient @ K
        half = torch.linalg.solve_triangular(self.cholesky, self.root_weight[:, None] * K, upper=False)
        alone = AMPLITUDE**2 * (1.0 + self.trend * ((A[:, self.ordered] - 0.5) ** 2).sum(-1))
        variance = (alone - (half**2).sum(0)).clamp_min(0.0)
        return FLOOR + (1.0 - FLOOR) * torch.sigmoid(mean / torch.sqrt(1.0 + math.pi * variance / 8.0))


def _kernel(
    A: Tensor, B: Tensor, ordered: list[int], categorical: list[int], length: float, trend: float
) -> Tensor:
    lengths, choices = A.new_full((len(ordered),), length), A.new_full((len(categorical),), CHOICE)
    straight = (A[:, ordered] - 0.5) @ (B[:, ordered] - 0.5).T
    return AMPLITUDE**2 * (covariance(A, B, ordered, categorical, lengths, choices) + trend * straight)


def _laplace(
    X: Tensor,
    y: Tensor,
    lift: Lift,
    ordered: list[int],
    categorical: list[int],
    length: float,
    trend: float,
    offset: float,
) -> Feasibility:
    K = _kernel(X, X, ordered, categorical, length, trend) + JITTER * torch.eye(len(X)).to(X)
    eye = torch.eye(len(X)).to(X)
    f = torch.full_like(y, offset)
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(f)
        root_weight = (p * (1.0 - p)).sqrt()
        cholesky = torch.linalg.cholesky(eye + root_weight[:, None] * K * root_weight)
        b = root_weight**2 * (f - offset) + y - p
        solved = torch.cholesky_solve((root_weight * (K @ b))[:, None], cholesky)[:, 0]
        a = b - root_weight * solved
        step = K @ a + offset - f
        f = f + step
        if float(step.abs().max()) < 1e-9:
            break
    likelihood = torch.nn.functional.logsigmoid((2.0 * y - 1.0) * f).sum()
    evidence = likelihood - 0.5 * a @ (f - offset) - cholesky.diagonal().log().sum()
    return Feasibility(
        X,
        lift,
        ordered,
        categorical,
        length,
        trend,
        offset,
        y - torch.sigmoid(f),
        root_weight,
        cholesky,
        float(evidence),
    )


def fit_feasibility(
    X: Tensor,
    products: Tensor,
    ordered: list[int],
    categorical: list[int],
    mixed: tuple[int, ...] = (),
) -> Feasibility | None:
    """Fit the classifier, or return ``None`` when nothing has failed yet.

    Parameters
    ----------
    mixed : positions of components of mixtures.
    X : encoded recipes, (n, d). products : 1 for a product, 0 for a failure of the chemistry, (n,).
    """
    failures = float((1.0 - products).sum())
    if failures == 0.0:
        return None
    # The base rate with one product more than seen: where nothing is known, a product is expected.
    offset = max(0.0, math.log((float(products.sum()) + 1.0) / failures))
    mode = math.exp(LENGTH_LOCATION + 0.5 * math.log(max(len(ordered), 1)) - LENGTH_SCALE**2)
    lift = Lift(X.shape[1], mixed)
    fits = [
        _laplace(lift(X), products, lift, ordered, categorical, mode * factor, trend, offset)
        for factor in LENGTH_FACTORS
        for trend in TRENDS
    ]
    return max(fits, key=lambda model: model.evidence)
