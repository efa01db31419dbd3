"""The engine: any models on any curves, together, to their least squares.

    S = sum over curves of |w (observed - calculated)|^2 + restraints

w = 1 / dy where every curve has uncertainties; else each curve is divided by its own norm, so that S is the sum of the
R_w^2 and no curve drowns another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.marquardt import Solution, minimise
from solvus.models.refinement.noise import Band, Noise, meat
from solvus.models.refinement.parameters import Model, Parameter, RefinementError
from solvus.models.refinement.refinement import Curve, Refinement, Value

Floats = NDArray[np.float64]

ON_BOUND = 1e-4
"""Natural steps within which a value stands on its bound."""
HIGH_CORRELATION = 0.95
RESTRAINT_SHARE = 0.02
"""R_w that all restraints together cost when each is one standard deviation off, where the data state no errors."""
FEW = 2.0
"""Independent values per parameter below which uncertainties mean little."""


@dataclass(frozen=True)
class Restraint:
    """A distance that two atoms should have: (d - ``target``) / ``sd`` is one more residual.

    Attributes
    ----------
    names : their coordinates, x1 y1 z1 x2 y2 z2 of the two. target, sd : angstrom.
    """

    names: tuple[str, ...]
    target: float
    sd: float

    def residual(self, values: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """The residual and its derivatives by ``names``."""
        x = np.array([values[name] for name in self.names])
        off = x[3:] - x[:3]
        d = float(np.linalg.norm(off))
        by = np.concatenate([-off, off]) / (d * self.sd)
        return (d - self.target) / self.sd, dict(zip(self.names, by.tolist(), strict=True))


@dataclass(frozen=True)
class Part:
    """One curve with its model.

    Attributes
    ----------
    label : to tell several curves apart.
    x, observed : (k,); dy : (k,) standard uncertainties, or ``None``.
    band : of a transformed curve; ``None`` when points err independently by nature.
    relative : ``dy`` says only how points err beside each other, as the root of intensities that are no counts.
    """

    label: str
    x: Floats
    observed: Floats
    model: Model
    dy: Floats | None = None
    band: Band | None = None
    relative: bool = False


@dataclass
class Problem:
    """What is minimised: parts, restraints and the free parameters, in their fitted form."""

    parts: Sequence[Part]
    free: Sequence[str]
    restraints: Sequence[Restraint] = ()
    parameters: dict[str, Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = {}
        for part in self.parts:
            for parameter in part.model.parameters:
                self.parameters.setdefault(parameter.name, parameter)
        unknown = [name for name in self.free if name not in self.parameters]
        if unknown:
            known = ", ".join(sorted(self.parameters)[:40])
            raise RefinementError(f"free: {unknown[0]!r} is no parameter of this model; there are {known}")
        if not self.free:
            raise RefinementError("free: no parameter is left to refine")
        points = sum(len(part.observed) for part in self.parts)
        if points <= len(self.free):
            raise RefinementError(
                f"range: {points} points for {len(self.free)} parameters; widen it or free fewer"
            )
        weighted = all(
            part.dy is not None and not part.relative and bool((part.dy > 0).all()) for part in self.parts
        )
        self.weights = [self._weights(part, weighted) for part in self.parts]
        self.weighted = weighted

    def _weights(self, part: Part, weighted: bool) -> Floats:
        if weighted and part.dy is not None:
            return np.asarray(1.0 / part.dy)
        own = np.ones_like(part.observed)
        if part.dy is not None and bool((part.dy > 0).all()):
            own = 1.0 / part.dy
        norm = float(np.linalg.norm(own * part.observed))
        if norm == 0.0:
            raise RefinementError(f"pattern: {part.label or 'it'} is zero throughout the range")
        return own / norm

    def bounds(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Start, bounds and natural steps of the fitted numbers: (f,) each."""
        rows = np.array([self.parameters[name].internal() for name in self.free])
        return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]

    def values(self, x: Floats) -> dict[str, float]:
        """Every parameter by name."""
        values = {name: p.value for name, p in self.parameters.items()}
        for name, number in zip(self.free, x, strict=True):
            values[name] = self.parameters[name].inside(float(number))
        return values

    def fitted(self, values: Mapping[str, float]) -> Floats:
        """The numbers that are fitted for stated values; what is not stated starts where it stands."""
        numbers = []
        for name in self.free:
            parameter = self.parameters[name]
            numbers.append(parameter.inside(values.get(name, parameter.value)))
        return np.array(numbers)

    def evaluate(self, x: Floats) -> tuple[Floats, Floats]:
        """Weighted residuals and Jacobian of all parts and restraints."""
        values = self.values(x)
        residuals, jacobians = [], []
        for part, weight in zip(self.parts, self.weights, strict=True):
            curve, slopes = part.model.curve(values, self.free)
            residuals.append(weight * (curve - part.observed))
            columns = np.zeros((len(curve), len(self.free)))
            for k, name in enumerate(self.free):
                if name in slopes:
                    columns[:, k] = weight * slopes[name]
            jacobians.append(columns)
        if self.restraints:
            more, rows = self._restrained(values)
            residuals.append(more)
            jacobians.append(rows)
        return np.concatenate(residuals), np.vstack(jacobians)

    def _restrained(self, values: Mapping[str, float]) -> tuple[Floats, Floats]:
        place = {name: k for k, name in enumerate(self.free)}
        weight = 1.0 if self.weighted else RESTRAINT_SHARE / math.sqrt(len(self.restraints))
        residual, rows = np.zeros(len(self.restraints)), np.zeros((len(self.restraints), len(self.free)))
        for k, restraint in enumerate(self.restraints):
            off, by = restraint.residual(values)
            residual[k] = weight * off
            for name, slope in by.items():
                if name in place:
                    rows[k, place[name]] = weight * slope
        return residual, rows


def solve(
    problem: Problem, *, start: Mapping[str, float] | None = None, noise: Noise, most: int
) -> Refinement:
    """Refine from one start."""
    first, lower, upper, natural = problem.bounds()
    if start is not None:
        first = problem.fitted(start)
    return report(problem, minimise(problem.evaluate, first, lower, upper, natural, most=most), noise)


def report(problem: Problem, solution: Solution, noise: Noise) -> Refinement:
    """Uncertainties, agreement and warnings of a solution."""
    _, lower, upper, natural = problem.bounds()
    x = solution.x
    held = (x - lower <= ON_BOUND * natural) | (upper - x <= ON_BOUND * natural)
    covariance = _covariance(problem, solution, held, noise)
    sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(covariance / np.outer(sd, sd))
    values = problem.values(x)
    warnings = _warnings(problem, held, correlation, solution)
    refined = {}
    for name, parameter in problem.parameters.items():
        k = problem.free.index(name) if name in problem.free else None
        slope = values[name] ** 2 if parameter.reciprocal else 1.0
        uncertainty = None if k is None or held[k] else float(sd[k] * slope)
        refined[name] = Value(values[name], uncertainty, k is not None, parameter.unit)
    curves = _curves(problem, values)
    return Refinement(
        values=refined,
        free=tuple(problem.free),
        correlation=correlation,
        curves=curves,
        r_w=math.sqrt(sum(c.r_w**2 for c in curves) / len(curves)),
        chi_square=solution.cost if problem.weighted else None,
        degrees=sum(len(p.observed) for p in problem.parts) - len(problem.free),
        verdict=solution.verdict,
        evaluations=solution.evaluations,
        noise=noise,
        warnings=tuple(warnings),
    )


def _covariance(problem: Problem, solution: Solution, held: NDArray[np.bool_], noise: Noise) -> Floats:
    free = np.flatnonzero(~held)
    covariance = np.zeros((len(held), len(held)))
    if len(free) == 0:
        return covariance
    jacobian = solution.jacobian[:, free]
    scale = np.linalg.norm(jacobian, axis=0)
    scale[scale == 0] = 1.0
    scaled = jacobian / scale
    inverse = np.linalg.pinv(scaled.T @ scaled, rcond=1e-12)
    middle = np.zeros_like(inverse)
    at = 0
    for part in problem.parts:
        rows = slice(at, at + len(part.observed))
        at = rows.stop
        middle += meat(scaled[rows], solution.residual[rows], part.band, noise, len(free))
    if problem.restraints:
        rest = scaled[at:]
        level = float(solution.residual[at:] @ solution.residual[at:]) / len(problem.restraints)
        middle += level * rest.T @ rest
    covariance[np.ix_(free, free)] = inverse @ middle @ inverse / np.outer(scale, scale)
    return covariance


def _curves(problem: Problem, values: Mapping[str, float]) -> tuple[Curve, ...]:
    result = []
    for part, weight in zip(problem.parts, problem.weights, strict=True):
        calculated, _ = part.model.curve(values, ())
        off = weight * (part.observed - calculated)
        r_w = float(np.linalg.norm(off) / np.linalg.norm(weight * part.observed))
        result.append(Curve(part.label, part.x, part.observed, calculated, r_w))
    return tuple(result)


def _warnings(
    problem: Problem, held: NDArray[np.bool_], correlation: Floats, solution: Solution
) -> list[str]:
    found = []
    for k, name in enumerate(problem.free):
        if held[k]:
            value = problem.values(solution.x)[name]
            found.append(f"{name} stands on its bound of {value:.6g}")
    for i in range(len(problem.free)):
        for j in range(i):
            if abs(correlation[i, j]) > HIGH_CORRELATION:
                found.append(
                    f"{problem.free[j]} and {problem.free[i]} are correlated ({correlation[i, j]:+.3f}): "
                    "the data determine little more than a combination"
                )
    values = sum(
        float(len(p.observed)) if p.band is None else p.band.independent(len(p.observed))
        for p in problem.parts
    )
    if values + len(problem.restraints) < FEW * len(problem.free):
        found.append(
            f"too few data: about {values:.0f} independent values for {len(problem.free)} parameters"
        )
    if solution.verdict == "limit":
        found.append(f"not converged after {solution.evaluations} evaluations")
    if solution.verdict == "stuck":
        found.append("stopped where no step improves the fit, short of a minimum")
    return found
