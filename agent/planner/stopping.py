"""When to stop: every rule with what it stands at, so that a person sees all of them and not only the one that is met.

- *reached*: the probability that the best recipe made so far is within all tolerances, by the surrogate's posterior
  (in the spirit of Wilson 2024, "Stopping Bayesian optimization with probabilistic regret bounds");
- *improvement*: what the best candidate is expected to gain per unit of cost (Xie et al. 2025, arXiv:2507.12453);
- *budget*: experiments left.

Within the first 3 d + 5 experiments the first two are shown and not met: a surrogate of few data is over-confident.
"""

from __future__ import annotations

import math

import torch
from botorch.sampling.qmc import NormalQMCEngine
from torch import Tensor

from solvus.agent.planner.acquisition import Acquisition, ranked
from solvus.agent.planner.observations import Rule
from solvus.agent.planner.outputs import Output, natural
from solvus.agent.planner.settings import PlannerSettings

DRAWS, SEED = 512, 20130527


def least_experiments(freedom: int) -> int:
    """Experiments before which no model may stop a campaign."""
    return 3 * freedom + 5


def probability_reached(acquisition: Acquisition) -> float:
    """Probability that the best recipe made is within all tolerances and bounds, over all readings."""
    best = ranked(acquisition.model, acquisition.aim)[:1]
    engine = NormalQMCEngine(len(acquisition.outputs), seed=SEED, inv_transform=True)
    normals = engine.draw(DRAWS, dtype=torch.float64)
    assert normals is not None  # noqa: S101 -- it is None only when a tensor to fill is passed
    shares = []
    for member in acquisition.members:
        model = member.model
        values = model.mean(best)[:, 0] + model.variance(best)[:, 0].sqrt() * normals
        shares.append(float(within(acquisition.outputs, values).double().mean()))
    return sum(shares) / len(shares)


def within(outputs: tuple[Output, ...], values: Tensor) -> Tensor:
    """Whether outputs (..., m) are within all tolerances and bounds."""
    inside = torch.ones(values.shape[:-1], dtype=torch.bool)
    for column, output in zip(natural(outputs, values), outputs, strict=True):
        off = (column - output.goal.value) / output.goal.tolerance
        if output.aimed:
            inside &= output.goal.at_most | (off >= -1.0)
            inside &= output.goal.at_least | (off <= 1.0)
        if output.bound is not None:
            for room in output.bound.rooms(column):
                inside &= room >= 0.0
    return inside


def rules(
    acquisition: Acquisition,
    best: Tensor,
    settings: PlannerSettings,
    *,
    made: int,
    freedom: int,
    budget: int | None,
) -> tuple[Rule, ...]:
    """All rules.

    Parameters
    ----------
    best : the best candidate, encoded, (1, d). made : experiments so far. budget : of experiments, if there is one.
    """
    early = made < least_experiments(freedom)
    found = []
    if settings.mode == "target":
        p = probability_reached(acquisition)
        found.append(
            Rule(
                name="reached",
                value=p,
                limit=settings.stop_reached,
                met=p >= settings.stop_reached and not early,
                text=f"the target is reached with probability {p:.2f}",
            )
        )
    with torch.no_grad():
        log_gain = (
            acquisition.log_gain(best) + acquisition.probability(best).log() - acquisition.costs(best).log()
        )
    gain = math.exp(min(float(log_gain[0]), 50.0))
    limit = settings.stop_improvement
    found.append(
        Rule(
            name="improvement",
            value=gain,
            limit=limit,
            met=limit is not None and gain < limit and not early,
            text=f"the next experiment is expected to gain {gain:.2g} per unit of cost",
        )
    )
    if budget is not None:
        left = budget - made
        found.append(
            Rule(
                name="budget",
                value=left,
                limit=0.0,
                met=left <= 0,
                text=f"{left} of {budget} experiments left",
            )
        )
    return tuple(found)
