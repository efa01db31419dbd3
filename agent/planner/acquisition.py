"""What makes a recipe worth trying, and the search for the best one.

Notation: outputs f(x) of the surrogate, the gain g of an aim (:mod:`solvus.agent.planner.aims`), B the recipes that
already count: the best experiments so far and all that is held (pending, or tried without descriptors to show for it:
of unknown outcome). Over joint draws s of the outputs at x and B, and over the models where readings are ambiguous,

    a(x) = log mean_s ( g(f_s(x), f_s(B)) )_+ P_s(bounds kept)  +  log P(product | x)  +  log p(x)  -  log cost(x),

for a target, with g = u(f(x)) - max_{b in B} u(f(b)), the log noisy expected improvement for a single candidate (Ament
et al. 2023, arXiv:2310.20708; composite as in Astudillo and Frazier 2019), with BoTorch's smooth positive part.
BoTorch's own ``qLogNoisyExpectedImprovement`` loses pending points after the first candidate of a batch; here each
candidate has an acquisition function of its own, and the ones chosen before it are held.

p(x) says where the best recipe is before anything is known (as in pi-BO, Hvarfner et al. 2022, arXiv:2204.11051):
people choose limits that hold what they look for, so it is seldom in a corner of them. A Gaussian process knows least
in the corners, of which d parameters have 2^d, and without p(x) most experiments go there. In a mixture the edges are
where a component is left out; more than an equal part of it is no extreme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from botorch.optim.batched_lbfgs_b import fmin_l_bfgs_b_batched
from botorch.sampling.qmc import NormalQMCEngine
from botorch.utils.safe_math import log_fatplus, logmeanexp
from torch import Tensor
from torch.quasirandom import SobolEngine

from solvus.agent.planner.aims import Aim
from solvus.agent.planner.expressions import evaluate
from solvus.agent.planner.feasibility import Feasibility
from solvus.agent.planner.limits import Within, scale_of
from solvus.agent.planner.outputs import Output, log_kept
from solvus.agent.planner.search_space import Categorical, Integer, Ordinal, SearchSpace
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
RAW_TRIES = 16
"""... of which constraints may take away all but a sixteenth ..."""
LOCAL_CENTRES, LOCAL_EACH, LOCAL_SPREADS = 4, 24, (0.003, 0.03, 0.15)
"""... and, around each of the best experiments, normal steps of three sizes."""
RESTARTS = 8
"""Gradient ascents, side by side; every combination of choices among the candidates gets one as far as they
go."""
ASCENT_ITERATIONS = 40
"""Cap of an ascent; what is left to gain after it is below the noise of the draws."""
POLISHED = 4
"""Best candidates whose neighbours on the grid of levels and choices are looked at: rounding may have missed one."""
EDGE = 0.02
"""p(x) is proportional to the product of (4 c (1 - c) + EDGE)^interior over the ordered parameters' codes c: with 0.5
at an edge a seventh of that in the middle, so a gain there has to be seven times as large."""
BREACH = 1e3
"""What breaking a constraint costs an ascent, over the share of its limits' scale."""
STEADIER = (1.0, 10.0, 100.0, 1e3, 1e4)
"""Factors on the jitter until a covariance of held recipes that nearly coincide has a Cholesky factor."""


@dataclass(frozen=True)
class Member:
    """One model with its draws at B: ``root`` (m, b, b) the Cholesky factor of their covariance, ``reference`` of the
    aim."""

    model: VectorGP
    root: Tensor
    reference: Tensor


@dataclass(frozen=True)
class Acquisition:
    """a(x) of the module's formula, for one candidate at a time; make it with :func:`prepare`.

    ``held`` is B, (b, d); ``normals`` (DRAWS, m, b + 1), common to all members.
    """

    space: SearchSpace
    members: tuple[Member, ...]
    outputs: tuple[Output, ...]
    aim: Aim
    feasibility: Feasibility | None
    held: Tensor
    normals: Tensor
    interior: float
    cost: str | None
    within: Within | None = None

    @property
    def model(self) -> VectorGP:
        """The model of the most probable readings."""
        return self.members[0].model

    def probability(self, A: Tensor) -> Tensor:
        """P(product), (a,)."""
        return A.new_ones(len(A)) if self.feasibility is None else self.feasibility.probability(A)

    def log_gain(self, A: Tensor) -> Tensor:
        """The first term of a(x), (a,)."""
        values = [self._log_gain(member, A) for member in self.members]
        mixed: Tensor = values[0] if len(values) == 1 else logmeanexp(torch.stack(values), dim=0)
        return mixed

    def _log_gain(self, member: Member, A: Tensor) -> Tensor:
        model = member.model
        mean, variance, across = model.moments(A, self.held)
        half = torch.linalg.solve_triangular(member.root, across, upper=False)
        floor = JITTER * model.spread[:, None] ** 2
        rest = torch.maximum(variance - (half**2).sum(-2), floor).sqrt()
        draws = mean + torch.einsum("mba,smb->sma", half, self.normals[..., :-1])
        draws = (draws + rest * self.normals[..., -1:]).transpose(-1, -2)
        gain = log_fatplus(self.aim.gain(draws, member.reference), tau=SMOOTHING)
        if any(output.bound is not None for output in self.outputs):
            gain = gain + log_kept(self.outputs, draws)
        value: Tensor = logmeanexp(gain, dim=0)
        return value

    def costs(self, A: Tensor) -> Tensor:
        """Cost of each recipe, (a,); 1 without any. What costs nothing is taken as costing very little."""
        if self.cost is None:
            return A.new_ones(len(A))
        values = self.space.values_of(A)
        amount = evaluate(self.cost, values, lambda name, choice: self.space.equals_in(A, name, choice))
        return torch.as_tensor(amount, dtype=A.dtype).expand(len(A)).clamp_min(1e-6)

    def breach(self, A: Tensor) -> Tensor:
        """How far recipes are beyond the constraints, in shares of the limits, (a,)."""
        total = A.new_zeros(len(A))
        if not self.space.constraints and self.within is None:
            return total

        def equals(name: str, choice: str) -> Tensor:
            return torch.as_tensor(self.space.equals_in(A, name, choice))

        values = self.space.values_of(A)
        for constraint in self.space.constraints:
            beyond = constraint.excess(constraint.amount(values, equals)) / scale_of(constraint)
            total = total + constraint.applies(equals) * beyond**2
        if self.within is not None:
            total = total + self.within.breach(A, values, equals)
        return total.nan_to_num(nan=1.0)

    def __call__(self, A: Tensor) -> Tensor:
        """a(x) for recipes (a, d), shape (a,)."""
        value: Tensor = self.log_gain(A) + self.probability(A).log() - self.costs(A).log()
        value = value + self.interior * log_prior(A[:, self.space.free])
        for _, places in self.space.mixtures:
            value = value + self.interior * log_mixed(A[:, places])
        return value


def log_prior(codes: Tensor) -> Tensor:
    """log p(x) of the module's head for an interior of 1, up to a constant, (a,), for codes (a, k) of 0 to 1."""
    total: Tensor = (4.0 * codes * (1.0 - codes) + EDGE).log().sum(-1)
    return total


def log_mixed(codes: Tensor) -> Tensor:
    """The same for the components of a mixture, (a,), for codes (a, k)."""
    total: Tensor = ((codes * codes.shape[-1]).clamp(0.0, 1.0) + EDGE).log().sum(-1)
    return total


def prepare(
    space: SearchSpace,
    models: Sequence[VectorGP],
    outputs: tuple[Output, ...],
    aim: Aim,
    feasibility: Feasibility | None,
    unknown: Tensor,
    seed: int,
    *,
    interior: float = 0.5,
    cost: str | None = None,
    within: Within | None = None,
) -> Acquisition:
    """The acquisition function for the next candidate.

    Parameters
    ----------
    models : of the same experiments, the most probable readings first.
    unknown : recipes whose outcome is not known, (k, d).
    seed : of the draws.
    within : what may be ordered now.
    """
    held = distinct(torch.cat((ranked(models[0], aim)[:BASELINE], unknown)))
    m = len(outputs)
    engine = NormalQMCEngine(m * (len(held) + 1), seed=seed, inv_transform=True)
    normals = engine.draw(DRAWS, dtype=torch.float64)
    assert normals is not None  # noqa: S101 -- it is None only when a tensor to fill is passed
    normals = normals.reshape(DRAWS, m, len(held) + 1)
    members = []
    for model in models:
        root = _root(model.covariance(held, held), model.spread)
        draws = model.mean(held) + torch.einsum("mbc,smc->smb", root, normals[..., :-1])
        members.append(Member(model, root, aim.reference(draws.transpose(-1, -2))))
    return Acquisition(
        space, tuple(members), outputs, aim, feasibility, held, normals, interior, cost, within
    )


def _root(covariance: Tensor, spread: Tensor) -> Tensor:
    eye = torch.eye(covariance.shape[-1]).to(covariance)
    for factor in STEADIER:
        root, info = torch.linalg.cholesky_ex(covariance + factor * JITTER * spread[:, None, None] ** 2 * eye)
        found: Tensor = root
        if not bool(info.any()):
            return found
    raise ArithmeticError("covariance of the held recipes has no Cholesky factor")


def distinct(recipes: Tensor) -> Tensor:
    """Rows of (a, d) without repeats, in an order that does not depend on theirs."""
    return torch.as_tensor(np.unique(recipes.numpy(), axis=0))


def ranked(model: VectorGP, aim: Aim) -> Tensor:
    """The experiments' recipes without repeats, best expected merit first, (at most n, d)."""
    recipes = distinct(model.recipes)
    order = aim.merit(model.mean(recipes).T).argsort(descending=True, stable=True)
    ordered: Tensor = recipes[order]
    return ordered


def makeable(space: SearchSpace, vectors: FloatVector, within: Within | None = None) -> FloatVector:
    """The nearest recipes that can be made and keep to all constraints, encoded: (k', d), k' at most k."""
    found = []
    for vector in vectors if within is None else within.pulled(vectors):
        recipe = space.decode(vector)
        if space.refusal(recipe) is None and (within is None or within.allows(recipe)):
            found.append(space.encode(recipe))
    return np.array(found).reshape(len(found), space.dimensions)


def _raw_candidates(space: SearchSpace, centres: Tensor, seed: int, within: Within | None = None) -> Tensor:
    """Starting points over the whole space and around ``centres`` (c, d), shape (k, d)."""
    engine = SobolEngine(space.dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    wide: list[FloatVector] = []
    for _ in range(RAW_TRIES):
        drawn = [space.draw(u) for u in engine.draw(RAW, dtype=torch.float64).numpy()]
        kept = [space.encode(recipe) for recipe in drawn if space.refusal(recipe) is None]
        if within is not None and kept:
            kept = list(makeable(space, within.spread(np.array(kept)), within))
        wide += kept
        if len(wide) >= RAW:
            break
    generator = np.random.default_rng(seed)
    near = np.repeat(centres.numpy(), LOCAL_EACH, axis=0)
    spreads = np.resize(LOCAL_SPREADS, len(near))[:, None]
    ordered = space.ordered
    steps = spreads * generator.standard_normal((len(near), len(ordered)))
    near[:, ordered] = np.clip(near[:, ordered] + steps, 0.0, 1.0)
    return torch.as_tensor(
        np.concatenate((np.array(wide[:RAW]).reshape(-1, space.dimensions), makeable(space, near, within)))
    )


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


def balanced(space: SearchSpace, A: Tensor) -> Tensor:
    """Vectors whose mixtures add up: what is above the least amounts is scaled. Differentiable."""
    for mixture, places in space.mixtures:
        lowers, widths = (torch.as_tensor(v) for v in (mixture.lowers, mixture.uppers - mixture.lowers))
        above = (A[:, places] * widths).clamp_min(1e-9)
        above = above * ((mixture.total - float(lowers.sum())) / above.sum(-1, keepdim=True))
        A = A.index_copy(1, torch.tensor(places), above / widths)
    return A


def _ascend(acquisition: Acquisition, starts: Tensor) -> Tensor:
    """Local maxima from ``starts``, (r, d). The gradient in a categorical code is zero, so choices stay."""
    space = acquisition.space

    def value_and_gradient(x: FloatVector) -> tuple[FloatVector, FloatVector]:
        raw = torch.as_tensor(x, dtype=torch.float64).requires_grad_(True)
        A = balanced(space, raw)
        loss = -acquisition(A) + BREACH * acquisition.breach(A)
        (gradient,) = torch.autograd.grad(loss.sum(), raw)
        return loss.detach().numpy(), gradient.numpy()

    top = [
        len(c.parameter.choices) - 1.0 if isinstance(c.parameter, Categorical) else 1.0
        for c in space.coordinates
    ]
    found, _, _ = fmin_l_bfgs_b_batched(  # type: ignore[no-untyped-call]
        value_and_gradient, starts.numpy(), bounds=[(0.0, t) for t in top], maxiter=ASCENT_ITERATIONS
    )
    return torch.as_tensor(found, dtype=torch.float64)


def _neighbours(space: SearchSpace, vectors: Tensor) -> FloatVector:
    """Each vector with one level one step away, or with another choice."""
    found = []
    for vector in vectors.numpy():
        for i, c in enumerate(space.coordinates):
            if isinstance(c.parameter, Categorical):
                codes = [float(k) for k in range(len(c.parameter.choices)) if k != vector[i]]
            elif isinstance(c.parameter, Integer | Ordinal):
                many = (
                    len(c.parameter.levels) - 1
                    if isinstance(c.parameter, Ordinal)
                    else c.parameter.upper - c.parameter.lower
                )
                codes = [
                    vector[i] + step / many
                    for step in (-1, 1)
                    if -1e-9 <= vector[i] + step / many <= 1 + 1e-9
                ]
            else:
                continue
            for code in codes:
                changed = vector.copy()
                changed[i] = code
                found.append(changed)
    return np.array(found).reshape(len(found), space.dimensions)


def candidates(acquisition: Acquisition, seed: int) -> tuple[Tensor, Tensor]:
    """Candidates that can be made, best first.

    Parameters
    ----------
    seed : of the starting points.

    Returns
    -------
    Encoded recipes on the robot's grid, (k, d), and a(x) of each, (k,): the local maxima, what is next to the best of
    them, and all starting points.
    """
    space, within = acquisition.space, acquisition.within
    centres = ranked(acquisition.model, acquisition.aim)[:LOCAL_CENTRES]
    raw = _raw_candidates(space, centres, seed, within)
    if not len(raw):
        return raw, raw.new_zeros(0)
    with torch.no_grad():
        raw_values = acquisition(raw)
    climbed = _ascend(acquisition, _starts(raw, raw_values, space.categorical))
    maxima = torch.as_tensor(makeable(space, balanced(space, climbed).numpy(), within))
    with torch.no_grad():
        values = acquisition(maxima)
        best = maxima[values.argsort(descending=True, stable=True)[:POLISHED]]
        beside = torch.as_tensor(makeable(space, _neighbours(space, best), within))
        found = torch.cat((maxima, beside, raw))
        values = torch.cat((values, acquisition(beside) if len(beside) else values[:0], raw_values))
    order = values.argsort(descending=True, stable=True)
    return found[order], values[order]
