"""Which description of the results the surrogate learns from, chosen by what it can be seen to predict.

From the top: *descriptors* of the identified structure, aimed at the target's; *patterns*, principal components of the
measured curve, aimed at the target's curve; *misfit*, the R_w against the target's curve, alone. A step carries no more
than it can predict: its skill is the share of the variance of its own merit that leave-one-out predictions explain. The
planner goes down from the descriptors only where they predict next to nothing and a lower step does better, or where
most patterns have no trusted identification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from solvus.agent.planner.aims import Aim, LeastMisfit, NearTarget
from solvus.agent.planner.known import Reading, Table, table_of
from solvus.agent.planner.modelling import Fitted, model_of
from solvus.agent.planner.observations import Level, Observation
from solvus.agent.planner.outputs import Output
from solvus.agent.planner.search_space import SearchSpace
from solvus.agent.scoring import Goal

JUDGED_FROM = 8
"""Experiments below which skills say nothing."""
SKILLED = 0.15
"""Skill from which on a step is kept."""
BETTER = 0.1
"""By how much a lower step has to predict better."""
LEAST_TRUSTED = 0.4
"""Share of the measured patterns with a trusted identification below which descriptors are left."""
COMPONENTS = 6
"""Principal components at most; further ones are mostly noise of 40 patterns."""
EXPLAINED = 0.99
"""Share of the variance of the curves after which no further component is taken."""
PATTERN_TOLERANCE = 0.05
"""R_w that counts as one tolerance of the pattern."""
MISFIT_TOLERANCE = 0.02
"""Unit of a misfit, and a tenth of what it may be known to."""
MISFIT_SD = 0.002
"""Of an R_w, from counting noise."""
DRAWS = 64
"""Quantiles behind expected merits of left-out experiments."""


@dataclass(frozen=True)
class Step:
    """One step of the ladder, fitted."""

    level: Level
    fitted: Fitted
    aim: Aim
    skill: float


Items = Sequence[tuple[int, Observation]]


def misfit_step(space: SearchSpace, items: Items, seed: int) -> Step | None:
    """The lowest step; ``None`` with fewer than two misfits."""
    measured = [(c, o) for c, o in items if o.misfit is not None]
    if len(measured) < 2:
        return None
    output = Output("misfit", Goal(value=0.0, tolerance=MISFIT_TOLERANCE))
    rows = [(c, o, (Reading(1.0, _vector([o.misfit or 0.0]), _vector([MISFIT_SD**2])),)) for c, o in measured]
    table = table_of(space, (output,), rows)
    spread = float(np.std([o.misfit or 0.0 for _, o in measured]))
    return step_of("misfit", table, LeastMisfit(max(spread, MISFIT_TOLERANCE)), seed)


def pattern_step(
    space: SearchSpace, items: Items, target_curve: Sequence[float] | None, seed: int
) -> Step | None:
    """The middle step; ``None`` without a target's curve or with fewer than four curves of its length."""
    measured = [(c, o) for c, o in items if o.curve is not None]
    if target_curve is None or len(measured) < 4:
        return None
    target = np.array(target_curve)
    curves = np.array([o.curve for _, o in measured if o.curve is not None])
    if curves.ndim != 2 or curves.shape[1] != len(target):
        return None
    mean = curves.mean(0)
    _, s, components = np.linalg.svd(curves - mean, full_matrices=False)
    explained = np.cumsum(s**2) / max(float((s**2).sum()), 1e-300)
    kept = min(COMPONENTS, int(np.searchsorted(explained, EXPLAINED)) + 1)
    goal = components[:kept] @ (target - mean)
    tolerance = PATTERN_TOLERANCE * float(np.linalg.norm(target)) / np.sqrt(kept)
    outputs = tuple(
        Output(f"pattern:{k + 1}", Goal(value=float(goal[k]), tolerance=tolerance)) for k in range(kept)
    )
    places = (curves - mean) @ components[:kept].T
    variance = _vector([(0.05 * tolerance) ** 2] * kept)
    rows = [
        (c, o, (Reading(1.0, torch.as_tensor(place.copy()), variance),))
        for (c, o), place in zip(measured, places, strict=True)
    ]
    return step_of("patterns", table_of(space, outputs, rows), NearTarget(outputs), seed)


def step_of(level: Level, table: Table, aim: Aim, seed: int) -> Step | None:
    """Fit a table; ``None`` when it has fewer than two rows."""
    if len(table.rows) < 2:
        return None
    fitted = model_of(table, aim, seed)
    return Step(level, fitted, aim, skill_of(fitted, aim))


def skill_of(fitted: Fitted, aim: Aim) -> float:
    """1 - sum of squared errors of left-out expected merits over those of their mean; at least -1."""
    model = fitted.model
    p = (torch.arange(DRAWS, dtype=torch.float64) + 0.5) / DRAWS
    # One permutation per output, so that quantiles of different outputs are not tied to one another.
    normals = torch.special.ndtri(p)
    m = len(model.left_mean)
    order = [torch.as_tensor(np.random.default_rng(j).permutation(DRAWS)) for j in range(m)]
    draws = torch.stack([normals[o] for o in order], -1)
    spread = (model.left_sd * model.inflation[:, None]).T
    expected = aim.merit(model.left_mean.T + spread * draws[:, None]).mean(0)
    actual = aim.merit(fitted.values)
    total = float(((actual - actual.mean()) ** 2).sum())
    return max(-1.0, 1.0 - float(((actual - expected) ** 2).sum()) / total) if total > 0 else 0.0


def choose(
    descriptors: Step | None, lower: Sequence[Step], trusted: int, measured: int
) -> tuple[Step | None, str]:
    """The step to stand on, and why it is not the top one; the latter is empty where it is.

    Parameters
    ----------
    lower : other steps, highest first. trusted, measured : experiments with a trusted identification, and with any.
    """
    best = max(lower, key=lambda step: step.skill, default=None)
    if best is None or measured < JUDGED_FROM:
        return descriptors, ""
    if descriptors is None or trusted < LEAST_TRUSTED * measured:
        return best, f"only {trusted} of {measured} patterns have a trusted identification"
    if descriptors.skill < SKILLED and best.skill > descriptors.skill + BETTER:
        return best, (
            f"descriptors predict left-out results with skill {descriptors.skill:.2f}, "
            f"{best.level} with {best.skill:.2f}"
        )
    return descriptors, ""


def _vector(numbers: Sequence[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
