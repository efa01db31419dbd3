"""A small-angle curve as a model to refine: spheres whose diameters are log-normal.

With D the median diameter by number, s the standard deviation of ln D and x = q D / 2, a sphere scatters as
V^2 Phi^2(x) with Phi = 3 (sin x - x cos x) / x^3, and

    I(q) = scale <Phi^2(x exp(6 s^2 + s t))> + background

over the standard normal t: weighting by V^2 ~ D^6 leaves a log-normal distribution log-normal and moves its median by
exp(6 s^2). ``scale`` is I(0) less the background. q in 1/angstrom, D in angstrom.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.refinement.engine import Part, Problem, solve
from solvus.models.refinement.parameters import Parameter, RefinementError, Slopes
from solvus.models.refinement.refinement import Refinement

Floats = NDArray[np.float64]

NODES = 201
"""Sizes of the distribution, over ten standard deviations."""
SPREADS = 5.0
SMALL = 1e-2
"""x below which Phi is taken from its series."""
SIZES = (8.0, 5000.0)
"""angstrom: diameters between which the first size is looked for."""
TRIED = 60
FIRST_SPREADS = (0.05, 0.15, 0.3)
LEAST_WEIGHT = 1e-6
"""Share of the greatest intensity that counts as the least for relative weights."""
USUAL = ("scale", "diameter", "spread", "background")


@dataclass(frozen=True)
class SmallAngleOptions:
    """``free`` parameters, ``start`` values and ``window`` of q in 1/angstrom (``None`` for the whole curve)."""

    free: tuple[str, ...] = USUAL
    start: Mapping[str, float] | None = None
    window: tuple[float, float] | None = None
    most: int = 80


class SmallAngleModel:
    """See the module. ``q`` : (k,) 1/angstrom; ``height`` : of the curve, for natural steps."""

    def __init__(self, q: Floats, height: float) -> None:
        self.q = q
        t = np.linspace(-SPREADS, SPREADS, NODES)
        weight = np.exp(-0.5 * t**2)
        self.t, self.weight = t, weight / weight.sum()
        self.parameters = (
            Parameter("scale", height, 1e-9 * height, 1e9 * height, 0.05 * height),
            Parameter("diameter", 50.0, SIZES[0] / 2, SIZES[1] * 2, 1.0, "angstrom"),
            Parameter("spread", 0.1, 1e-3, 0.8, 0.02),
            Parameter("background", 0.0, -height, height, 0.001 * height),
        )

    def curve(self, values: Mapping[str, float], wanted: Collection[str]) -> tuple[Floats, Slopes]:
        """I (k,) and its derivatives."""
        diameter, spread = values["diameter"], values["spread"]
        x = np.multiply.outer(self.q, 0.5 * diameter * np.exp(6.0 * spread**2 + spread * self.t))
        phi, change = _sphere(x)
        form = (phi**2) @ self.weight
        scale = values["scale"]
        slopes: Slopes = {}
        if "scale" in wanted:
            slopes["scale"] = form
        if "diameter" in wanted:
            slopes["diameter"] = scale / diameter * (change @ self.weight)
        if "spread" in wanted:
            slopes["spread"] = scale * (change @ (self.weight * (12.0 * spread + self.t)))
        if "background" in wanted:
            slopes["background"] = np.ones_like(self.q)
        return scale * form + values["background"], slopes


def _sphere(x: Floats) -> tuple[Floats, Floats]:
    """Phi and d(Phi^2) / d(ln x)."""
    safe = np.where(x < SMALL, 1.0, x)
    phi = np.where(x < SMALL, 1.0 - x**2 / 10.0, 3.0 * (np.sin(safe) - safe * np.cos(safe)) / safe**3)
    slope = np.where(x < SMALL, -(x**2) / 5.0, 3.0 * np.sin(safe) / safe - 3.0 * phi)
    return phi, 2.0 * phi * slope


def refine_small_angle(pattern: Pattern, options: SmallAngleOptions | None = None) -> Refinement:
    """Refine a distribution of spheres against I(q).

    Raises
    ------
    RefinementError
        When the pattern is no I, or too little of it lies in the window.
    """
    chosen = options or SmallAngleOptions()
    if pattern.quantity != "I":
        raise RefinementError(f"pattern: holds {pattern.quantity}, but a small-angle curve is I")
    low, high = chosen.window or (0.0, float(pattern.x[-1]))
    inside = (pattern.x >= low) & (pattern.x <= high) & (pattern.x > 0)
    q, observed = np.asarray(pattern.x[inside]), np.asarray(pattern.y[inside])
    if len(q) == 0 or float(observed.max()) <= 0:
        raise RefinementError(f"range: no positive intensity between {low:g} and {high:g} 1/angstrom")
    stated = pattern.dy is not None and bool((pattern.dy[inside] > 0).all())
    least = LEAST_WEIGHT * float(observed.max())
    dy = np.asarray(pattern.dy[inside]) if stated and pattern.dy is not None else np.maximum(observed, least)
    model = SmallAngleModel(q, float(observed.max()))
    problem = Problem([Part("", q, observed, model, dy, None, relative=not stated)], list(chosen.free))
    unknown = [name for name in chosen.start or {} if name not in problem.parameters]
    if unknown:
        raise RefinementError(f"start: {unknown[0]!r} is no parameter of this model")
    for name, value in _scanned(model, problem, observed, chosen).items():
        problem.parameters[name] = problem.parameters[name].started(value)
    return solve(problem, noise="independent", most=chosen.most)


def _scanned(
    model: SmallAngleModel, problem: Problem, observed: Floats, options: SmallAngleOptions
) -> dict[str, float]:
    """The best of many sizes, each with its best scale and background."""
    given = dict(options.start or {})
    weight = problem.weights[0]
    diameters = [given["diameter"]] if "diameter" in given else np.geomspace(*SIZES, TRIED).tolist()
    spreads = (given["spread"],) if "spread" in given else FIRST_SPREADS
    best, found = np.inf, dict(given)
    for diameter in diameters:
        for spread in spreads:
            trial = {"scale": 1.0, "diameter": diameter, "spread": spread, "background": 0.0}
            design = np.column_stack([model.curve(trial, ())[0], np.ones_like(model.q)]) * weight[:, None]
            terms = np.linalg.lstsq(design, weight * observed, rcond=None)[0]
            off = weight * observed - design @ terms
            if terms[0] > 0 and float(off @ off) < best:
                best = float(off @ off)
                found = trial | {"scale": float(terms[0]), "background": float(terms[1])} | given
    return {
        name: float(np.clip(value, problem.parameters[name].lower, problem.parameters[name].upper))
        for name, value in found.items()
    }
