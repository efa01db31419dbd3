"""G(r) of one or several phases as a model to refine.

    G(r) = scale exp(-(qdamp r)^2 / 2) sum_p w_p gamma_p(r) G_p(r),     w_p = x_p <f_p>^2 / sum_q x_q <f_q>^2

with x_p the share of all atoms that phase p holds (``fraction``; the first phase takes what the others leave), <f> the
mean amplitude of its atoms at Q = 0, gamma its shape and G_p the transform of its F(Q) between Qmin and Qmax.
Parameters of the pattern are ``scale``, ``qdamp``, ``qbroad``; of each phase its structure, ``delta1``, ``delta2``,
``diameter``, ``elongation``, ``spread`` and ``fraction``. With several phases a name ends in ``@`` and the phase's
label, with several patterns those of the pattern in ``@`` and the pattern's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import rfft

from solvus.models.refinement.parameters import Parameter, RefinementError, Slopes
from solvus.models.refinement.peaks import Grid, PhaseScattering
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.shape import DIAMETER, ELONGATION, SPREAD, characteristic, shape_values
from solvus.models.scattering.form_factors import Radiation
from solvus.models.scattering.window import step_weights

Floats = NDArray[np.float64]

EXTENSION = 12.0
"""angstrom over which a crystal fades out beyond the fitted range, as in the exact convention."""
ON_GRID = 1e-4
"""Of a step: points that lie on multiples of their step to this share the transform's grid."""
SCALE = Parameter("scale", 1.0, 1e-6, 1e4, 0.1)
QDAMP = Parameter("qdamp", 0.0, 0.0, 0.3, 0.01, "1/angstrom")
QBROAD = Parameter("qbroad", 0.0, 0.0, 0.3, 0.01, "1/angstrom")
DELTA1 = Parameter("delta1", 0.0, 0.0, 3.0, 0.3, "angstrom")
DELTA2 = Parameter("delta2", 0.0, 0.0, 12.0, 0.5, "angstrom^2")
NARROWED = 0.9
"""Share of its width that correlated motion may take from the nearest pair: all of it is no peak."""
SPREAD_START, SPREAD_LEAST = 0.1, 0.02
FRACTION = Parameter("fraction", 0.5, 0.0, 1.0, 0.05)
OF_PATTERN = ("scale", "qdamp", "qbroad")
OF_PHASE = ("delta1", "delta2", "diameter", "elongation", "spread", "fraction")


@dataclass(frozen=True)
class PdfConditions:
    """What is known of a measured G(r), besides its points."""

    qmax: float
    qmin: float = 0.0
    radiation: Radiation = "xray"
    qdamp: float = 0.0
    qbroad: float = 0.0


class PdfModel:
    """See the module.

    Parameters
    ----------
    r : (k,) the fitted points, angstrom.
    phases : each with its label (empty for a single one).
    free : parameters that will change, by their full names.
    pattern : label of the pattern; empty for a single one.
    shaped : labels of the phases that are particles cut from a crystal, with a ``diameter``.
    """

    def __init__(
        self,
        r: Floats,
        phases: Sequence[tuple[str, Phase]],
        conditions: PdfConditions,
        free: Collection[str],
        *,
        pattern: str = "",
        shaped: Collection[str] = (),
    ) -> None:
        if not phases:
            raise RefinementError("phases: at least one structure is needed")
        self.r, self.phases, self.pattern, self.shaped = r, list(phases), pattern, frozenset(shaped)
        self.conditions, self.free = conditions, frozenset(free)
        rmax = float(r[-1])
        spans = [EXTENSION if p.periodic else _span(p) - rmax for _, p in phases]
        longest = 2.0 * rmax + max(0.0, *spans)
        step = _uniform_step(r)
        narrowest = 2.0 * min(p.parameters[kind.u].value for _, p in phases for kind in p.kinds)
        self.grid = Grid.of(conditions.qmax, longest, step, narrowest)
        self.scattering = [
            PhaseScattering(
                phase,
                self.grid,
                conditions.radiation,
                fade=rmax,
                reach=rmax + EXTENSION,
                free=[short for short, full in self._names(label, phase).items() if full in free],
            )
            for label, phase in phases
        ]
        self.window = _window(conditions.qmin, conditions.qmax, self.grid)
        self.kernel = None if step is not None else _kernel(self.grid, r)
        self.step = step
        self._powers = [_mean_square(s) for s in self.scattering]
        self.parameters = tuple(self._parameters())

    def _names(self, label: str, phase: Phase) -> dict[str, str]:
        """Full name of each parameter that acts on a phase."""
        own = [*phase.parameters, *OF_PHASE]
        end = f"@{label}" if label else ""
        return {n: n + end for n in own} | {n: self._of_pattern(n) for n in OF_PATTERN}

    def _of_pattern(self, name: str) -> str:
        return f"{name}@{self.pattern}" if self.pattern else name

    def _parameters(self) -> list[Parameter]:
        given = self.conditions
        made = [
            _renamed(SCALE, self._of_pattern("scale")),
            _renamed(QDAMP.started(given.qdamp), self._of_pattern("qdamp")),
            _renamed(QBROAD.started(given.qbroad), self._of_pattern("qbroad")),
        ]
        for k, (label, phase) in enumerate(self.phases):
            names = self._names(label, phase)
            nearest = self.scattering[k].shortest
            delta1 = replace(DELTA1, upper=NARROWED * nearest)
            delta2 = replace(DELTA2, upper=NARROWED * nearest**2)
            own = [*phase.parameters.values(), delta1, delta2]
            if label in self.shaped:
                # Without any spread its derivative is zero, and it would never leave.
                free_spread = replace(SPREAD, value=SPREAD_START, lower=SPREAD_LEAST)
                spread = free_spread if names["spread"] in self.free else SPREAD
                own += [DIAMETER, ELONGATION, spread]
            if k > 0:
                own.append(FRACTION.started(1.0 / len(self.phases)))
            made += [_renamed(p, names[p.name]) for p in own]
        return made

    def curve(self, values: Mapping[str, float], wanted: Collection[str]) -> tuple[Floats, Slopes]:
        """G (k,) in 1/angstrom^2 and its derivatives by the wanted parameters."""
        scale, qdamp = values[self._of_pattern("scale")], values[self._of_pattern("qdamp")]
        envelope = np.exp(-0.5 * (qdamp * self.r) ** 2)
        shares, by_share = self._shares(values)
        total = np.zeros_like(self.r)
        parts: list[Floats] = []
        slopes: Slopes = {}
        for k, (label, phase) in enumerate(self.phases):
            names = self._names(label, phase)
            local = {short: values[full] for short, full in names.items() if full in values}
            asked = [short for short, full in names.items() if full in wanted]
            f, by = self.scattering[k].factor(local, asked)
            rows = self._transformed(np.stack([f, *by.values()]))
            shape, by_shape = characteristic(self.r, *shape_values(local))
            plain = rows[0] * shape
            for name, row in zip(by, rows[1:], strict=True):
                _add(slopes, names[name], row * shape * shares[k])
            for name, change in by_shape.items():
                if names[name] in wanted:
                    _add(slopes, names[name], rows[0] * change * shares[k])
            parts.append(plain)
            total += shares[k] * plain
        for k, (label, phase) in enumerate(self.phases[1:], start=1):
            name = self._names(label, phase)["fraction"]
            if name in wanted:
                slopes[name] = sum(
                    (by_share[k][m] * parts[m] for m in range(len(parts))), np.zeros_like(total)
                )
        damped = envelope * total
        slopes = {name: scale * envelope * row for name, row in slopes.items()}
        if self._of_pattern("scale") in wanted:
            slopes[self._of_pattern("scale")] = damped
        if self._of_pattern("qdamp") in wanted:
            slopes[self._of_pattern("qdamp")] = -qdamp * self.r**2 * scale * damped
        return scale * damped, slopes

    def _shares(self, values: Mapping[str, float]) -> tuple[Floats, Floats]:
        """Weight of each phase (p,), and its derivative by each fraction (p, p)."""
        size = len(self.phases)
        if size == 1:
            return np.ones(1), np.zeros((1, 1))
        x = np.array([0.0] + [values[self._names(*p)["fraction"]] for p in self.phases[1:]])
        x[0] = 1.0 - x.sum()
        power = np.array(self._powers)
        norm = float(x @ power)
        weights = x * power / norm
        by = np.zeros((size, size))
        for k in range(1, size):
            change = np.zeros(size)
            change[k], change[0] = 1.0, -1.0
            by[k] = (change * power - weights * float(change @ power)) / norm
        return weights, by

    def _transformed(self, f: Floats) -> Floats:
        """G of each row of F, at the points: (rows, k)."""
        weighted = f * self.window
        if self.kernel is not None:
            direct: Floats = weighted @ self.kernel
            return direct
        step = self.step or self.grid.h
        n = round(self.grid.n * self.grid.h / step)
        spectrum = rfft(weighted, n=2 * n, axis=1)
        first = round(float(self.r[0]) / step)
        g: Floats = (-2.0 / math.pi * self.grid.dq) * spectrum.imag[:, first : first + len(self.r)]
        return g


def _add(slopes: Slopes, name: str, row: Floats) -> None:
    slopes[name] = slopes[name] + row if name in slopes else row


def _renamed(parameter: Parameter, name: str) -> Parameter:
    return replace(parameter, name=name)


def _span(phase: Phase) -> float:
    return float(np.linalg.norm(np.ptp(phase.record.positions, axis=0))) * 1.05


def _mean_square(scattering: PhaseScattering) -> float:
    """<f>^2 of a phase at Q = 0."""
    amounts = scattering.amounts
    f = scattering.f[scattering.number, 0]
    return float((amounts @ f / amounts.sum()) ** 2)


def _uniform_step(r: Floats) -> float | None:
    """The step of points that are whole multiples of it, or ``None``."""
    if len(r) < 2:
        raise RefinementError("range: fewer than two points are left")
    step = float(r[-1] - r[0]) / (len(r) - 1)
    places = r / step
    return step if float(np.abs(places - np.round(places)).max()) < ON_GRID else None


def _window(qmin: float, qmax: float, grid: Grid) -> Floats:
    """Weights of the samples of F in the integral from Qmin to Qmax."""
    index = torch.arange(grid.count, dtype=torch.float64)
    low, high = (torch.tensor(v / grid.dq, dtype=torch.float64) for v in (qmin, qmax))
    # Samples at negative Q, where the integrand is the same, have a part in a Qmin near zero.
    weights = step_weights(high, index) - step_weights(low, index) + 1.0 - step_weights(low, -index)
    return weights.numpy().copy()


def _kernel(grid: Grid, r: Floats) -> Floats:
    q = np.arange(grid.count) * grid.dq
    kernel: Floats = (2.0 / math.pi * grid.dq) * np.sin(np.outer(q, r))
    return kernel
