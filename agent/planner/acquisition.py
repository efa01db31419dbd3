"""What makes a recipe worth trying, and the search for the best one.

Notation: outputs f(x) of the surrogate, utility u(f) (:func:`solvus.agent.planner.outputs.utility`), B the
recipes that already count: the best experiments so far and all that is held (pending, or tried without
descriptors to show for it: of unknown outcome). Over joint draws s of the outputs at x and B

    a(x) = log mean_s ( u(f_s(x)) - max_{b in B} u(f_s(b)) )_+  +  log P(product | x)  +  log p(x),

the log noisy expected improvement for a single candidate (Ament et al. 2023, arXiv:2310.20708; composite as
in Astudillo and Frazier 2019), with BoTorch's smooth positive part. BoTorch's own
``qLogNoisyExpectedImprovement`` loses pending points after the first candidate of a batch; here each
candidate has an acquisition function of its own, and the ones chosen before it are held.

p(x) says where the best recipe is before anything is known (as in pi-BO, Hvarfner et al. 2022, arXiv:2204.11051):
people choose limits that hold what they look for, so it is seldom in a corner of them. A Gaussian process knows least
in the corners, of which d parameters have 2^d, and without p(x) most experiments go there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from botorch.optim.batched_lbfgs_b import fmin_l_bfgs_b_batched
from botorch.sampling.qmc import NormalQMCEngine
from botorch.utils.safe_math import log_fatplus, logmeanexp
from torch import Tensor
from torch.quasirandom import SobolEngine

from solvus.agent.planner.feasibility import Feasibility
from solvus.agent.planner.outputs import Output, utility
from solvus.agent.planner.search_space import Categorical, SearchSpace
from solvus.agent.planner.surrogate import JITTER, VectorGP
from solvus.models.pattern import FloatVector

DRAWS = 64
"""Sobol draws of the outputs; more changed no choice in trials and costs in proportion."""
SMOOTHING = 1e-6
"""Width of the smooth positive part, as BoTorch's TAU_RELU, for utilities of order 1."""
BASELINE = 8
"""Experiments that can still be the best; joint draws at all of them cost n^3."""
RAW = 256
"""Candidates from a Sobol sequence over the whole space ..."""
LOCAL_CENTRES, LOCAL_EACH, LOCAL_SPREADS = 4, 16, (0.03, 0.15)
"""... and, around each of the best experiments, normal steps of two sizes."""
RESTARTS = 8
"""Gradient ascents, side by side; every combination of choices among the candidates gets one as far as they
go."""
ASCENT_ITERATIONS = 40
"""Cap of an ascent; what is left to gain after it is below the noise of the draws."""


INTERIOR = 0.5
"""p(x) is proportional to the product of (4 c (1 - c) + EDGE)^INTERIOR over the ordered parameters' codes c: at an edge
a seventh of that in the middle, so a gain there has to be seven times as large."""
EDGE = 0.02


@dataclass(frozen=True)
class Acquisition:
    """a(x) of the module's formula, for one candidate at a time; make it with :func:`prepare`.

    ``held`` is B, (b, d); ``root`` (m, b, b) the Cholesky factor of its covariance; ``normals`` (DRAWS, m, b
    + 1); ``best`` (DRAWS,) the best utility in B in each draw.
    """

    model: VectorGP
    outputs: tuple[Output, ...]
    feasibility: Feasibility | None
    held: Tensor
    root: Tensor
    normals: Tensor
    best: Tensor

    def probability(self, A: Tensor) -> Tensor:
        """P(product), (a,)."""
        return A.new_ones(len(A)) if self.feasibility is None else self.feasibility.probability(A)

    def __call__(self, A: Tensor) -> Tensor:
        """a(x) for recipes (a, d), shape (a,)."""
        half = torch.linalg.solve_triangular(self.root, self.model.covariance(self.held, A), upper=False)
        floor = JITTER * self.model.spread[:, None] ** 2
        rest = torch.maximum(self.model.variance(A) - (half**2).sum(-2), floor).sqrt()
        draws = self.model.mean(A) + torch.einsum("mba,smb->sma", half, self.normals[..., :-1])
        draws = draws + rest * self.normals[..., -1:]
        gain = utility(self.outputs, draws.transpose(-1, -2)) - self.best[:, None]
        value: Tensor = logmeanexp(log_fatplus(gain, tau=SMOOTHING), dim=0)
        return value + self.probability(A).log() + log_prior(A[:, self.model.ordered])


def log_prior(codes: Tensor) -> Tensor:
    """log p(x) of the module's head, up to a constant, (a,), for codes (a, number ordered) of 0 to 1."""
    total: Tensor = INTERIOR * (4.0 * codes * (1.0 - codes) + EDGE).log().sum(-1)
    return total


def prepare(
    model: VectorGP,
    outputs: tuple[Output, ...],
    feasibility: Feasibility | None,
    unknown: Tensor,
    seed: int,
) -> Acquisition:
    """The acquisition function for the next candidate.

    Parameters
    ----------
    unknown : recipes whose outcome is not known, (k, d).
    seed : of the draws.
    """
    held = distinct(torch.cat((ranked(model, outputs)[:BASELINE], unknown)))
    floor = JITTER * model.spread[:, None, None] ** 2 * torch.eye(len(held)).to(held)
    root = torch.linalg.cholesky(model.covariance(held, held) + floor)
    count = len(outputs) * (len(held) + 1)
    normals = NormalQMCEngine(count, seed=seed, inv_transform=True).draw(DRAWS, dtype=torch.float64)
    assert normals is not None  # noqa: S101 -- it is None only when a tensor to fill is passed
    normals = normals.reshape(DRAWS, len(outputs), len(held) + 1)
    draws = model.mean(held) + torch.einsum("mbc,smc->smb", root, normals[..., :-1])
    best = utility(outputs, draws.transpose(-1, -2)).max(-1).values
    return Acquisition(model, outputs, feasibility, held, root, normals, best)


def distinct(recipes: Tensor) -> Tensor:
    """Rows of (a, d) without repeats, in an order that does not depend on theirs."""
    return torch.as_tensor(np.unique(recipes.numpy(), axis=0))


def ranked(model: VectorGP, outputs: tuple[Output, ...]) -> Tensor:
    """The experiments' recipes without repeats, best expected utility first, (at most n, d)."""
    recipes = distinct(model.X)
    order = utility(outputs, model.mean(recipes).T).argsort(descending=True, stable=True)
    ordered: Tensor = recipes[order]
    return ordered


def _raw_candidates(space: SearchSpace, centres: Tensor, seed: int) -> Tensor:
    """Starting points over the whole space and around ``centres`` (c, d), shape (k, d)."""
    engine = SobolEngine(space.dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    uniform = engine.draw(RAW, dtype=torch.float64).numpy()
    wide = np.stack([space.encode(space.draw(u)) for u in uniform])
    generator = np.random.default_rng(seed)
    near = np.repeat(centres.numpy(), LOCAL_EACH, axis=0)
    spreads = np.resize(LOCAL_SPREADS, len(near))[:, None]
    ordered = space.ordered
    steps = spreads * generator.standard_normal((len(near), len(ordered)))
    near[:, ordered] = np.clip(near[:, ordered] + steps, 0.0, 1.0)
    return torch.as_tensor(np.concatenate((wide, near)))


def _starts(candidates: Tensor, values: Tensor, categorical: list[int]) -> Tensor:
    """The best candidate of each combination of choices, best first, filled up with the next best to
    RESTARTS."""
    order = values.argsort(descending=True, stable=True).tolist()
    combinations: set[tuple[float, ...]] = set()
    first: list[int] = []
    others: list[int] = []
    for i in order:
        combination = tuple(candidates[i, categorical].tolist())
        (others if combination in combinations else first).append(i)
        combinations.add(combination)
    return candidates[(first + others)[:RESTARTS] if len(first) < RESTARTS else first[:RESTARTS]]


def _ascend(acquisition: Acquisition, starts: Tensor, space: SearchSpace) -> Tensor:
    """Local maxima from ``starts``, (r, d). The gradient in a categorical code is zero, so choices stay."""

    def value_and_gradient(x: FloatVector) -> tuple[FloatVector, FloatVector]:
        A = torch.as_tensor(x, dtype=torch.float64).requires_grad_(True)
        loss = -acquisition(A)
        (gradient,) = torch.autograd.grad(loss.sum(), A)
        return loss.detach().numpy(), gradient.numpy()

    top = [len(p.choices) - 1.0 if isinstance(p, Categorical) else 1.0 for p in space.parameters]
    found, _, _ = fmin_l_bfgs_b_batched(  # type: ignore[no-untyped-call]
        value_and_gradient, starts.numpy(), bounds=[(0.0, t) for t in top], maxiter=ASCENT_ITERATIONS
    )
    return torch.as_tensor(found, dtype=torch.float64)


def candidates(acquisition: Acquisition, space: SearchSpace, seed: int) -> tuple[Tensor, Tensor]:
    """Candidates that can be made, best first.

    Parameters
    ----------
    seed : of the starting points.

    Returns
    -------
    Encoded recipes on the robot's grid, (k, d), and a(x) of each, (k,): the local maxima and all starting
    points.
    """
    centres = ranked(acquisition.model, acquisition.outputs)[:LOCAL_CENTRES]
    raw = _raw_candidates(space, centres, seed)
    with torch.no_grad():
        values = acquisition(raw)
    maxima = _ascend(acquisition, _starts(raw, values, space.categorical), space)
    makeable = [space.encode(space.decode(vector)) for vector in torch.cat((maxima, raw)).numpy()]
    found = torch.as_tensor(np.stack(makeable))
    with torch.no_grad():
        values = acquisition(found)
    order = values.argsort(descending=True, stable=True)
    return found[order], values[order]
