"""The surrogate: a Gaussian process from recipe to structure descriptors, exact and with independent outputs.

Notation: n experiments, d parameters, m outputs; X (n, d) encoded recipes, Z (n, m) outputs, standardised for
the fit. For each output the covariance of two recipes is

    k(x, x') = a exp( -1/2 sum_i ((x_i - x'_i) / l_i)^2 - sum_c [x_c != x'_c] / h_c )
               + b sum_i (x_i - 1/2) (x'_i - 1/2)

over ordered parameters i and categorical parameters c, plus the known variance of each observation and a
fitted noise variance on the diagonal: two executions of one recipe differ more than the identification says.
A row that stands for k repeats of one recipe has a k-th of both. The second term is the straight trend that many
descriptors follow over most of the space, which a few experiments then suffice to see. The mean is a constant, set to
its generalised least-squares value.

The hyper-parameters are at the maximum of the posterior with the dimension-scaled priors of Hvarfner,
Hellsten and Nardi (2024, arXiv:2402.02229) as in BoTorch's ``SingleTaskGP``, to which this is equal in value where
a = 1 and b = 0 (a test shows it); raw batched tensors and the gradient in closed form (Rasmussen and Williams 2006,
eq. 5.9) make it several times faster. The prior of the noise is another (:class:`Noise`): BoTorch's floor of 1e-4 of
the variance of the data is by itself coarser than the tolerance of a bond length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

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
AMPLITUDE_SCALE, TREND_LOCATION, TREND_SCALE = 1.5, -1.0, 2.0
"""log a is N(0, 1.5^2), log b is N(-1, 2^2): the trend explains anything from hardly any of the data to all of them."""
LENGTH_BOUNDS, CHOICE_BOUNDS = (0.025, 1e3), (0.05, 1e2)
"""Limits of the fit: shorter lengths cannot be learnt."""
AMPLITUDE_BOUNDS, TREND_BOUNDS = (1e-4, 1e2), (1e-4, 1e2)
NO_TREND = 1e-16
STARTS = (1.0, 4.0)
"""The fit starts at the mode of the length prior and at four times it, because the posterior often has a
rough and a smooth optimum; the better one is taken."""
FIT_ITERATIONS = 100
"""Cap of the fit; it converges in 20 to 40."""
FIT_FACTOR, FIT_GRADIENT = 1e9, 1e-3
"""Stop of the fit, relative to the machine's precision and as a gradient: the log posterior is then within
1e-3 of its optimum, far less than a length scale can be told by."""
FIT_POINTS = 100
"""Hyper-parameters are fitted to at most so many experiments, half of them the latest; the posterior is of all. A few
dozen numbers are known well enough from these, and the cost grows with the cube."""
TRACE = 0.02
"""Share of a mixture below which amounts count linearly and above which by their logarithm."""
JITTER = 1e-8
"""On diagonals of noise-free covariances, in units of the data's variance."""
CALIBRATED_FROM = 10
"""Fewer experiments than this do not say whether the spread is right."""
INFLATION_LIMIT = 2.5
"""A spread that is off by more is a wrong model, which no factor mends."""


@dataclass(frozen=True)
class Noise:
    """Prior of the fitted noise variance, in units of the variance of the data: log-normal, and a floor.

    ``jacobian``: whether the density is one of the variance, as BoTorch's, or of its logarithm.
    """

    location: float = -7.0
    scale: float = 2.5
    floor: float = 1e-8
    jacobian: bool = False


NOISE = Noise()
"""Runs of one recipe differ by a few per cent of the spread of the data, or by a hundredth of that, or hardly."""
BOTORCH_NOISE = Noise(-4.0, 1.0, 1e-4, jacobian=True)
LARGEST_NOISE = 1.0


@dataclass(frozen=True)
class Lift:
    """From a recipe's coordinates to what the model sees: the descriptors of its choices, and hidden coordinates.

    Attributes
    ----------
    mixed : positions of components of mixtures. What a mixture makes depends on ratios, and a trace of a stock may do
        as much as a third of the pot, so their codes c are stretched to log(1 + c / TRACE) / log(1 + 1 / TRACE).
    tables : for each categorical position the descriptors of its choices, (choices, number of descriptors).
    hidden : values of coordinates that no recipe has (which campaign, when), for a recipe made next, (h,).
    width : coordinates of a recipe.
    """

    width: int
    mixed: tuple[int, ...] = ()
    tables: tuple[tuple[int, Tensor], ...] = ()
    hidden: Tensor | None = None

    def described(self, A: Tensor) -> Tensor:
        """Recipes (..., d), stretched, with the descriptors of their choices."""
        recipes = A
        if self.mixed:
            places = torch.tensor(self.mixed)
            stretched = (A[..., places] / TRACE).log1p() / math.log1p(1.0 / TRACE)
            recipes = A.index_copy(-1, places, stretched)
        return torch.cat((recipes, *(table[A[..., i].detach().long()] for i, table in self.tables)), -1)

    def __call__(self, A: Tensor) -> Tensor:
        """Recipes (..., d) as if made next."""
        A = self.described(A)
        if self.hidden is None:
            return A
        return torch.cat((A, self.hidden.expand(*A.shape[:-1], -1)), -1)


@dataclass(frozen=True)
class VectorGP:
    """A fitted model; make it with :func:`fit`.

    Attributes
    ----------
    recipes : encoded, (n, d). X : the same, lifted. ordered, categorical : positions of the two kinds of coordinates
        in X.
    lengths (m, number ordered), choices (m, number categorical), amplitude, trend, noise (m,) : hyper-parameters of
    the formula: l, h, a, b and the noise variance.
    offset, scale : mean and standard deviation of the data, (m,). constant : the mean of the process, (m,).
    inflation : factor on the predicted standard deviation, from leave-one-out residuals, (m,), at least 1.
    root : Cholesky factor of the covariance of the data, (m, n, n). weights : its solution, (m, n).
    left_mean, left_sd : what the others predict of each experiment, with its noise, in model units, (m, n).
    lift : of recipes to the model's coordinates.
    """

    recipes: Tensor
    X: Tensor
    ordered: list[int]
    categorical: list[int]
    lengths: Tensor
    choices: Tensor
    amplitude: Tensor
    trend: Tensor
    noise: Tensor
    offset: Tensor
    scale: Tensor
    constant: Tensor
    inflation: Tensor
    root: Tensor
    weights: Tensor
    left_mean: Tensor
    left_sd: Tensor
    lift: Lift

    def kernel(self, A: Tensor, B: Tensor) -> Tensor:
        """Covariance of standardised outputs, (m, a, b), for lifted recipes (a, D) and (b, D)."""
        local = covariance(A, B, self.ordered, self.categorical, self.lengths, self.choices)
        straight = (A[:, self.ordered] - 0.5) @ (B[:, self.ordered] - 0.5).T
        return self.amplitude[:, None, None] * local + self.trend[:, None, None] * straight

    def _alone(self, A: Tensor) -> Tensor:
        """Variance before any data, (m, a), for lifted recipes."""
        squares = ((A[:, self.ordered] - 0.5) ** 2).sum(-1)
        return self.amplitude[:, None] + self.trend[:, None] * squares

    def _half(self, A: Tensor) -> Tensor:
        """root^-1 k(X, A), shape (m, n, a), for lifted recipes."""
        half: Tensor = torch.linalg.solve_triangular(self.root, self.kernel(self.X, A), upper=False)
        return half

    @property
    def spread(self) -> Tensor:
        """Factor from standardised to model units of a predicted standard deviation, (m,)."""
        return self.scale * self.inflation

    def mean(self, A: Tensor) -> Tensor:
        """Posterior mean, (m, a)."""
        standard = (
            self.constant[:, None] + (self.kernel(self.lift(A), self.X) @ self.weights[..., None])[..., 0]
        )
        mean: Tensor = self.offset[:, None] + self.scale[:, None] * standard
        return mean

    def variance(self, A: Tensor) -> Tensor:
        """Posterior variance without noise, (m, a)."""
        A = self.lift(A)
        explained = (self._half(A) ** 2).sum(-2)
        variance: Tensor = (self._alone(A) - explained).clamp_min(JITTER) * self.spread[:, None] ** 2
        return variance

    def covariance(self, A: Tensor, B: Tensor) -> Tensor:
        """Posterior covariance without noise, (m, a, b)."""
        A, B = self.lift(A), self.lift(B)
        reduced = self.kernel(A, B) - self._half(A).transpose(-1, -2) @ self._half(B)
        return reduced * self.spread[:, None, None] ** 2

    def moments(self, A: Tensor, held: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (m, a) and variance (m, a) for A, and covariance (m, b, a) of held (b, d) with A; as the three above, at
        the cost of one."""
        A, held = self.lift(A), self.lift(held)
        k = self.kernel(self.X, A)
        half = torch.linalg.solve_triangular(self.root, k, upper=False)
        standard = self.constant[:, None] + (k * self.weights[..., None]).sum(-2)
        mean = self.offset[:, None] + self.scale[:, None] * standard
        variance = (self._alone(A) - (half**2).sum(-2)).clamp_min(JITTER) * self.spread[:, None] ** 2
        across = self.kernel(held, A) - self._half(held).transpose(-1, -2) @ half
        return mean, variance, across * self.spread[:, None, None] ** 2

    def left_out_scores(self, Z: Tensor) -> Tensor:
        """z-scores of the experiments' outputs Z (n, m) against what the others predict, (m, n)."""
        return (Z.T - self.left_mean) / (self.left_sd * self.inflation[:, None])

    def ahead_scores(self, A: Tensor, Z: Tensor, variances: Tensor) -> Tensor:
        """z-scores of results Z (a, m), with known variances (a, m), of recipes A (a, d) that the model has not seen
        against what it predicts of them, (m, a)."""
        noise = (self.noise * self.scale**2)[:, None] + variances.T
        return (Z.T - self.mean(A)) / (self.variance(A) + noise * self.inflation[:, None] ** 2).sqrt()


def covariance(
    A: Tensor, B: Tensor, ordered: list[int], categorical: list[int], lengths: Tensor, choices: Tensor
) -> Tensor:
    """The first term of the module's formula, with a = 1.

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


@dataclass(frozen=True)
class _Problem:
    """The fit of all outputs at once: standardised data, and where each hyper-parameter sits in a row of
    numbers. ``variances`` (m, n); ``counts`` (n,) repeats behind each row."""

    X: Tensor
    Z: Tensor
    variances: Tensor
    counts: Tensor
    ordered: list[int]
    categorical: list[int]
    prior: Noise
    trended: bool = True

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Log lengths, log h, log a, log b and log noise from rows (b, p)."""
        count = len(self.ordered)
        return theta[:, :count], theta[:, count:-3], theta[:, -3], theta[:, -2], theta[:, -1]

    def part(self, rows: list[int]) -> _Problem:
        """Some of the experiments."""
        return replace(
            self,
            X=self.X[rows],
            Z=self.Z[:, rows],
            variances=self.variances[:, rows],
            counts=self.counts[rows],
        )

    def factor(self, theta: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cholesky root (b, n, n), constant mean (b,), and residual solved by the root (b, n)."""
        lengths, choices, amplitude, trend, noise = self.split(theta)
        K = covariance(self.X, self.X, self.ordered, self.categorical, lengths.exp(), choices.exp())
        K = amplitude.exp()[:, None, None] * K + trend.exp()[:, None, None] * self.straight()
        return self._factor(K, noise, rows)

    def straight(self) -> Tensor:
        """What b multiplies, (n, n)."""
        centred = self.X[:, self.ordered] - 0.5
        return centred @ centred.T

    def _factor(self, K: Tensor, noise: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        diagonal = self.variances[rows] + noise.exp()[:, None] / self.counts + JITTER
        root = torch.linalg.cholesky(K + torch.diag_embed(diagonal))
        columns = torch.stack((torch.ones_like(self.Z[rows]), self.Z[rows]), -1)
        ones, values = torch.linalg.solve_triangular(root, columns, upper=False).unbind(-1)
        constant = (ones * values).sum(-1) / (ones**2).sum(-1)
        return root, constant, values - constant[:, None] * ones

    def distances(self) -> Tensor:
        """What each hyper-parameter acts on, (p - 1, n n): squared steps, and which choices differ."""
        steps = (self.X[:, None, self.ordered] - self.X[None, :, self.ordered]) ** 2
        differs = (self.X[:, None, self.categorical] != self.X[None, :, self.categorical]).to(self.X)
        return torch.cat((steps, differs), -1).reshape(len(self.X) ** 2, -1).T.contiguous()

    def loss_and_gradient(self, theta: Tensor, rows: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log posterior of the hyper-parameters up to a constant, (b,), and its gradient, (b, p)."""
        n, ordered = len(self.X), len(self.ordered)
        lengths, choices, amplitude, trend, noise = self.split(theta)
        rates = torch.cat((0.5 * (-2.0 * lengths).exp(), (-choices).exp()), -1)
        K = (amplitude[:, None] - rates @ distances).exp().reshape(-1, n, n)
        straight = self.straight()
        root, _, residual = self._factor(K + trend.exp()[:, None, None] * straight, noise, rows)
        alpha = torch.linalg.solve_triangular(root.transpose(-1, -2), residual[..., None], upper=True)
        # d loss / dK, one half of inverse minus outer product; the mean is at its optimum and adds nothing.
        slope = 0.5 * (torch.cholesky_inverse(root) - alpha @ alpha.transpose(-1, -2))
        weighted = (slope * K).reshape(len(theta), -1)
        by_rate, by_amplitude = -(weighted @ distances.T), weighted.sum(-1)
        by_trend = (slope * straight).sum((-1, -2)) * trend.exp()
        by_noise = (slope.diagonal(dim1=-2, dim2=-1) / self.counts).sum(-1) * noise.exp()
        chain = torch.cat((-2.0 * rates[:, :ordered], -rates[:, ordered:]), -1)
        loss = 0.5 * (residual**2).sum(-1) + root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        prior, by_prior = self._log_prior(theta)
        others = torch.stack((by_amplitude, by_trend, by_noise), -1)
        gradient = torch.cat((by_rate * chain, others), -1)
        return loss - prior, gradient - by_prior

    def _log_prior(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Log density of the hyper-parameters without its constant, (b,), and its gradient, (b, p).

        A log-normal density in the value, not in its logarithm, has a term -log(value), without which its mode moves.
        """
        ordered, categorical = len(self.ordered), len(self.categorical)
        location = LENGTH_LOCATION + 0.5 * math.log(max(ordered, 1))
        centre = theta.new_tensor(
            [location] * ordered
            + [CHOICE_LOCATION] * categorical
            + [0.0, TREND_LOCATION, self.prior.location]
        )
        width = theta.new_tensor(
            [LENGTH_SCALE] * ordered
            + [CHOICE_SCALE] * categorical
            + [AMPLITUDE_SCALE, TREND_SCALE, self.prior.scale]
        )
        jacobian = torch.ones_like(centre)
        jacobian[-3:-1] = 0.0
        jacobian[-1] = float(self.prior.jacobian)
        scaled = (theta - centre) / width
        return (-jacobian * theta - 0.5 * scaled**2).sum(-1), -jacobian - scaled / width

    def solve(self) -> Tensor:
        """Best hyper-parameters, (m, p), from all starts and outputs side by side."""
        outputs, ordered, categorical = len(self.Z), len(self.ordered), len(self.categorical)
        location = LENGTH_LOCATION + 0.5 * math.log(max(ordered, 1))
        noise = self.prior.location - self.prior.jacobian * self.prior.scale**2
        mode = np.array(
            [location - LENGTH_SCALE**2] * ordered
            + [CHOICE_LOCATION] * categorical
            + [0.0, TREND_LOCATION if self.trended else math.log(NO_TREND), noise]
        )
        starts = np.stack([mode + np.log(s) * (np.arange(len(mode)) < ordered) for s in STARTS])
        limits = (
            [LENGTH_BOUNDS] * ordered
            + [CHOICE_BOUNDS] * categorical
            + ([AMPLITUDE_BOUNDS, TREND_BOUNDS] if self.trended else [(1.0, 1.0), (NO_TREND, NO_TREND)])
            + [(self.prior.floor, LARGEST_NOISE)]
        )
        rows = torch.arange(outputs).repeat(len(STARTS))
        distances = self.distances()

        def value_and_gradient(x: FloatVector, batch_indices: list[int]) -> tuple[FloatVector, FloatVector]:
            theta = torch.as_tensor(x, dtype=torch.float64)
            loss, gradient = self.loss_and_gradient(theta, rows[batch_indices], distances)
            return loss.numpy(), gradient.numpy()

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


def _fitted_rows(n: int) -> list[int]:
    """Which experiments the hyper-parameters are fitted to: the latest half, and evenly of the others."""
    if n <= FIT_POINTS:
        return list(range(n))
    latest = FIT_POINTS // 2
    earlier = np.linspace(0, n - latest - 1, FIT_POINTS - latest).round().astype(int)
    return [*earlier.tolist(), *range(n - latest, n)]


def fit(
    X: Tensor,
    Z: Tensor,
    variances: Tensor,
    smallest_scale: Tensor,
    ordered: list[int],
    categorical: list[int],
    *,
    counts: Tensor | None = None,
    lift: Lift | None = None,
    recipes: Tensor | None = None,
    prior: Noise = NOISE,
    trended: bool = True,
) -> VectorGP:
    """Fit the model.

    Parameters
    ----------
    X : encoded recipes, lifted, (n, d), n >= 2, oldest first.
    Z, variances : outputs and their known variances in model units, (n, m).
    smallest_scale : least unit of standardisation for each output, (m,): data that happen to agree so far
        must not make the model certain that everything is like them.
    ordered, categorical : positions of the two kinds of coordinates.
    counts : repeats behind each row, (n,); ``variances`` are those of their means.
    lift : how a recipe becomes a row of X. recipes : before they were lifted, (n, d); X itself without a lift.
    trended : whether a and b of the formula are free; else they are 1 and 0.
    """
    offset, scale = Z.mean(0), torch.maximum(Z.std(0), smallest_scale)
    problem = _Problem(
        X,
        ((Z - offset) / scale).T,
        (variances / scale**2).T,
        torch.ones(len(X)).to(X) if counts is None else counts,
        ordered,
        categorical,
        prior,
        trended,
    )
    theta = problem.part(_fitted_rows(len(X))).solve()
    return _conditioned(
        problem, theta, offset, scale, lift or Lift(X.shape[1]), X if recipes is None else recipes
    )


def _conditioned(
    problem: _Problem, theta: Tensor, offset: Tensor, scale: Tensor, lift: Lift, recipes: Tensor
) -> VectorGP:
    """The model of all data at given hyper-parameters."""
    lengths, choices, amplitude, trend, noise = (part.exp() for part in problem.split(theta))
    root, constant, residual = problem.factor(theta, torch.arange(len(theta)))
    diagonal = torch.cholesky_inverse(root).diagonal(dim1=-2, dim2=-1)
    weights = torch.linalg.solve_triangular(root.transpose(-1, -2), residual[..., None], upper=True)[..., 0]
    # Leave-one-out residuals in closed form (Rasmussen and Williams 2006, eq. 5.12), as z-scores.
    scores = weights / diagonal.sqrt()
    inflation = (scores**2).mean(-1).sqrt().clamp(1.0, INFLATION_LIMIT)
    if len(problem.X) < CALIBRATED_FROM:
        inflation = torch.ones_like(inflation)
    left = problem.Z - weights / diagonal
    return VectorGP(
        recipes,
        problem.X,
        problem.ordered,
        problem.categorical,
        lengths,
        choices,
        amplitude,
        trend,
        noise,
        offset,
        scale,
        constant,
        inflation,
        root,
        weights,
        offset[:, None] + scale[:, None] * left,
        scale[:, None] * diagonal.rsqrt(),
        lift,
    )


def refitted(model: VectorGP, Z: Tensor, variances: Tensor, counts: Tensor | None = None) -> VectorGP:
    """The model of other data at the same hyper-parameters and standardisation.

    Parameters
    ----------
    Z, variances : (n, m), as in :func:`fit`.
    """
    rows = model.X
    problem = _Problem(
        rows,
        ((Z - model.offset) / model.scale).T,
        (variances / model.scale**2).T,
        torch.ones(len(rows)).to(rows) if counts is None else counts,
        model.ordered,
        model.categorical,
        NOISE,
    )
    others = torch.stack((model.amplitude, model.trend, model.noise), -1).log()
    theta = torch.cat((model.lengths.log(), model.choices.log(), others), -1)
    return _conditioned(problem, theta, model.offset, model.scale, model.lift, model.recipes)
