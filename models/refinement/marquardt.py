"""Bounded least squares by Levenberg and Marquardt's method.

Minimised is S(x) = |e(x)|^2 over lower <= x <= upper. With J the Jacobian, in units that make the trust region round,

    (J^T J + damping D) step = -J^T e,        D = diag(J^T J)

over the variables that are not held on a bound by the gradient; the step is cut at the bounds. The damping follows
the ratio of the achieved to the predicted decrease (Nielsen, IMM-REP-1999-05). It ends where the undamped step is
below a hundredth of a standard uncertainty in every direction, which is all that data can ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Evaluate = Callable[[Floats], tuple[Floats, Floats]]
Verdict = Literal["converged", "stuck", "limit"]

ENOUGH = 1e-2
"""Of a standard uncertainty (as if all points were independent): the step below which nothing is gained."""
EXACT = 1e-22
"""Share of the first S below which data without noise count as met."""
FIRST_DAMPING = 1e-3
FIRST_GROWTH = 4.0
"""Of the damping after a step that failed; twice that after the next."""
LEAST_DAMPING = 1e-5
"""A step is then Gauss and Newton's but for directions that the data hardly determine."""
MOST_DAMPING = 1e10
"""Steps are then 1e-10 of Gauss and Newton's: no decrease is to be found."""
FLAT = 1e-14
"""Share of the largest curvature that a variable without influence is given, so that the equations stay solvable."""


@dataclass(frozen=True)
class Solution:
    """Where it ended.

    Attributes
    ----------
    x : (p,); residual : (m,); jacobian : (m, p) there.
    verdict : ``"converged"``; ``"stuck"``, no step lowers S though the gradient asks for one; ``"limit"`` reached.
    """

    x: Floats
    residual: Floats
    jacobian: Floats
    verdict: Verdict
    evaluations: int

    @property
    def cost(self) -> float:
        return float(self.residual @ self.residual)


def minimise(
    evaluate: Evaluate, start: Floats, lower: Floats, upper: Floats, natural: Floats, *, most: int = 60
) -> Solution:
    """Find a minimum.

    Parameters
    ----------
    evaluate : gives residuals (m,) and Jacobian (m, p).
    start, lower, upper, natural : (p,); ``natural`` steps are comparable between variables.
    most : evaluations allowed.
    """
    x = np.clip(start, lower, upper)
    residual, jacobian = evaluate(x)
    first = cost = float(residual @ residual)
    damping, growth, count = FIRST_DAMPING, FIRST_GROWTH, 1
    verdict: Verdict = "limit"
    gram, slope = _normal(residual, jacobian, natural)
    while count < most:
        free = _free(x, slope, lower, upper)
        noise = cost / max(1, len(residual) - int(free.sum()))
        full = _step(gram, slope, free, 0.0)
        if cost <= EXACT * first or float(full @ gram @ full) <= ENOUGH**2 * noise:
            verdict = "converged"
            break
        if damping > MOST_DAMPING:
            verdict = "stuck"
            break
        trial = np.clip(x + natural * _step(gram, slope, free, damping), lower, upper)
        moved = (trial - x) / natural
        residual_there, jacobian_there = evaluate(trial)
        count += 1
        cost_there = float(residual_there @ residual_there)
        predicted = -float(moved @ (2.0 * slope + gram @ moved))
        gain = (cost - cost_there) / predicted if predicted > 0 else -1.0
        if np.isfinite(cost_there) and cost_there < cost:
            x, residual, jacobian, cost = trial, residual_there, jacobian_there, cost_there
            gram, slope = _normal(residual, jacobian, natural)
            damping = max(LEAST_DAMPING, damping * max(0.1, 1.0 - (2.0 * gain - 1.0) ** 3))
            growth = FIRST_GROWTH
        else:
            damping *= growth
            growth *= 2.0
    return Solution(x, residual, jacobian, verdict, count)


def _normal(residual: Floats, jacobian: Floats, natural: Floats) -> tuple[Floats, Floats]:
    scaled = jacobian * natural
    return scaled.T @ scaled, scaled.T @ residual


def _free(x: Floats, slope: Floats, lower: Floats, upper: Floats) -> NDArray[np.bool_]:
    """Variables that the gradient does not push over the bound they stand on."""
    held: NDArray[np.bool_] = ((x <= lower) & (slope > 0)) | ((x >= upper) & (slope < 0))
    return ~held


def _step(gram: Floats, slope: Floats, free: NDArray[np.bool_], damping: float) -> Floats:
    step = np.zeros(len(slope))
    if not free.any():
        return step
    part = gram[np.ix_(free, free)].copy()
    diagonal = np.diag(part)
    floor = FLAT * max(float(diagonal.max()), np.finfo(float).tiny)
    part[np.diag_indices_from(part)] += damping * np.maximum(diagonal, floor) + floor
    step[free] = -np.linalg.solve(part, slope[free])
    return step
