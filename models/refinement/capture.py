"""Where to start: the best of many uniform expansions, because least squares alone finds the nearest minimum.

A peak at distance r moves by r da / a; once that is more than the peak's width the fit slides into a false minimum. The
scan steps the size of each structure so finely that one step always lies in the right valley, with the best scale at
each, which is linear algebra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from solvus.models.refinement.engine import Problem
from solvus.models.refinement.phase import CELL_ROOM

STEP = 0.08
"""angstrom that the farthest peak may move per step: about its standard deviation."""


def capture(
    problem: Problem, cells: Sequence[Sequence[str]], start: Mapping[str, float], share: float
) -> dict[str, float]:
    """The start with the size of each structure set to the best within ``share`` of where it stood.

    Parameters
    ----------
    cells : for each structure the names of its lengths (or its expansion); an empty list leaves it alone.
    """
    values = {name: p.value for name, p in problem.parameters.items()} | dict(start)
    best = dict(values)
    farthest = max(float(part.x[-1]) for part in problem.parts)
    span = min(share, CELL_ROOM)
    count = 2 * int(np.ceil(span * farthest / STEP)) + 1
    for names in cells:
        if not names:
            continue
        agreements = []
        sizes = np.linspace(1.0 - span, 1.0 + span, count)
        for size in sizes:
            moved = {name: _within(problem, name, values[name] * size) for name in names}
            agreements.append(_misfit(problem, best | moved))
        size = float(sizes[int(np.argmin(agreements))])
        best |= {name: _within(problem, name, values[name] * size) for name in names}
    return {name: best[name] for name in problem.free}


def _within(problem: Problem, name: str, value: float) -> float:
    parameter = problem.parameters[name]
    return float(np.clip(value, parameter.lower, parameter.upper))


def _misfit(problem: Problem, values: Mapping[str, float]) -> float:
    """Sum of squares with the best scale of each pattern."""
    total = 0.0
    for part, weight in zip(problem.parts, problem.weights, strict=True):
        curve, observed = weight * part.model.curve(values, ())[0], weight * part.observed
        power = float(curve @ curve)
        scale = max(0.0, float(curve @ observed) / power) if power > 0 else 0.0
        off = observed - scale * curve
        total += float(off @ off)
    return total
