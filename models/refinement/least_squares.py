"""Least-squares fit of one library geometry to a measured G(r).

Model, for one kind of atom or a random alloy:

    G(r) = scale * 2/pi integral_{Qmin}^{Qmax} F(Q; b, u, delta2) sin(Q r) dQ * exp(-(qdamp r)^2 / 2)

Refined: ``scale``, ``bond_length`` b (angstrom), ``u_iso`` u (angstrom^2), ``delta2`` (angstrom^2,
correlated motion of near atoms) and, where the instrument's damping is unknown, ``qdamp`` (1/angstrom) under
a prior. The Jacobian is analytic. The agreement is R_w = sqrt(sum (obs - calc)^2 / sum obs^2) on the data's
own grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from solvus.models.scattering.transform import q_grid, sine_kernel
from solvus.models.scattering.unit_factor import UnitScattering, unit_factor, unit_factor_slope

Floats = NDArray[np.float64]

U_BOUNDS = (0.0005, 0.06)
"""angstrom^2: from zero-point motion of a heavy metal to a disordered cluster."""
U_START = 0.006
"""angstrom^2: heavy metals at room temperature, B = 0.47 angstrom^2."""
DELTA2_BOUNDS = (0.0, 6.0)
"""angstrom^2: nearest neighbours of metals have delta2 / b^2 of 0.2 to 0.6."""
DELTA2_START = 2.0
QDAMP_BOUNDS = (0.0, 0.12)
QDAMP_PRIOR = (0.03, 0.01)
"""1/angstrom, mean and standard deviation over area detectors at synchrotrons, which nearly all rapid PDFs
come from."""
PRIOR_WEIGHT = 0.02
"""Residual, as a share of the data's norm, that one standard deviation of ``qdamp`` costs: R_w differences
below it are model error, so they may not drag the damping away from what instruments have."""


@dataclass(frozen=True)
class Window:
    """The data of one fit and the transform that belongs to it.

    Attributes
    ----------
    r, observed : (k,) the fitted points.
    q : (m,) Q grid; kernel : (m, k) undamped sine transform.
    """

    r: Floats
    observed: Floats
    q: Floats
    kernel: Floats

    @classmethod
    def of(cls, r: Floats, observed: Floats, qmin: float, qmax: float, longest: float) -> Window:
        """``longest`` is the largest pair distance (angstrom) that any fitted structure has."""
        q = q_grid(qmin, qmax, float(r[-1]) + longest)
        return cls(r, observed, q, sine_kernel(q, r))


@dataclass(frozen=True)
class Fit:
    """Refined parameters with their standard uncertainties, by name, and the agreement over the fitted
    points."""

    parameters: dict[str, float]
    uncertainties: dict[str, float]
    r_w: float

    def __getitem__(self, name: str) -> float:
        return self.parameters[name]


def f_of(unit: UnitScattering, q: Floats, b: float, u: float, delta2: float) -> Floats:
    """F(Q) alone: (m,)."""
    f = unit_factor(unit, q * b) / b * np.exp(-u * q**2)
    d = unit.near_distance * b
    width = np.maximum(0.0, 1.0 - delta2 / d**2)
    change = np.exp(-u * np.outer(width, q**2)) - np.exp(-u * q**2)
    total: Floats = f + (unit.near_pairs / d) @ (change * np.sin(np.outer(d, q)))
    return total


def f_and_slopes(unit: UnitScattering, q: Floats, b: float, u: float, delta2: float) -> Floats:
    """F(Q) and its derivatives by b, u and delta2: (4, m)."""
    damping = np.exp(-u * q**2)
    x, slope = unit_factor(unit, q * b), unit_factor_slope(unit, q * b)
    f = x / b * damping
    result = np.stack([f, (q * slope / b - x / b**2) * damping, -(q**2) * f, np.zeros_like(f)])
    return result + _correlation(unit, q, b, u, delta2)


def _correlation(unit: UnitScattering, q: Floats, b: float, u: float, delta2: float) -> Floats:
    """What correlated motion changes in F and its derivatives: (4, m)."""
    d = unit.near_distance * b
    pairs = unit.near_pairs / d
    narrowing = delta2 / d**2
    free = narrowing < 1.0
    width = np.where(free, 1.0 - narrowing, 0.0)
    q2 = q**2
    wide = np.exp(-u * q2)
    narrow = np.exp(-u * np.outer(width, q2))
    phase = np.outer(d, q)
    sine, cosine = np.sin(phase), np.cos(phase)
    change = narrow - wide
    by_u = -q2 * (width[:, None] * narrow - wide)
    # The width itself depends on b through d: d(width)/db = 2 delta2 / (d^2 b) while it is free.
    narrow_by_width = -u * q2 * narrow * free[:, None]
    terms = np.stack(
        [
            pairs @ (change * sine),
            (pairs * d / b) @ (change * cosine) * q
            - pairs @ (change * sine) / b
            + (pairs * 2.0 * narrowing / b) @ (narrow_by_width * sine),
            pairs @ (by_u * sine),
            -(pairs / d**2) @ (narrow_by_width * sine),
        ]
    )
    return terms


def calculated(unit: UnitScattering, window: Window, parameters: dict[str, float]) -> Floats:
    """G(r) of the model on the window's points: (k,)."""
    f = f_of(unit, window.q, parameters["bond_length"], parameters["u_iso"], parameters["delta2"])
    damping = np.exp(-0.5 * (parameters["qdamp"] * window.r) ** 2)
    curve: Floats = parameters["scale"] * damping * (f @ window.kernel)
    return curve


def fit(
    unit: UnitScattering,
    window: Window,
    *,
    bond_range: tuple[float, float],
    bond_start: float,
    qdamp: float | None,
    max_evaluations: int = 30,
) -> Fit:
    """Refine one geometry.

    Parameters
    ----------
    bond_range : limits of the bond length, angstrom; ``bond_start`` must lie within the capture range of the
        minimum, about 1 % for data to 20 angstrom.
    qdamp : the instrument's damping (1/angstrom); ``None`` refines it under ``QDAMP_PRIOR``.
    max_evaluations : cap on evaluations, so that a fit's cost and result never depend on the clock.
    """
    norm = float(np.linalg.norm(window.observed)) or 1.0
    start = np.array([bond_start, U_START, DELTA2_START, QDAMP_PRIOR[0]])
    lower = np.array([bond_range[0], U_BOUNDS[0], DELTA2_BOUNDS[0], QDAMP_BOUNDS[0]])
    upper = np.array([bond_range[1], U_BOUNDS[1], DELTA2_BOUNDS[1], QDAMP_BOUNDS[1]])
    free = 4 if qdamp is None else 3
    # One natural unit of each parameter, so that the trust region is round.
    natural = np.array([0.01 * bond_start, 0.002, 1.0, QDAMP_PRIOR[1]])[:free]
    state = _Projected(unit, window, norm, qdamp)
    solution = least_squares(
        state.residuals,
        np.clip(start, lower + 1e-9, upper - 1e-9)[:free],
        jac=state.jacobian,
        bounds=(lower[:free], upper[:free]),
        x_scale=natural,
        xtol=1e-6,
        ftol=1e-6,
        max_nfev=max_evaluations,
    )
    return state.report(solution.x)


class _Projected:
    """Residuals with the scale projected out: for given shape parameters the best scale is linear algebra
    (Golub and Pereyra's variable projection, with Kaufman's simplified Jacobian)."""

    def __init__(self, unit: UnitScattering, window: Window, norm: float, qdamp: float | None) -> None:
        self.unit, self.window, self.norm, self.qdamp = unit, window, norm, qdamp
        self._at: Floats | None = None

    def _evaluate(self, x: Floats) -> None:
        if self._at is not None and np.array_equal(x, self._at):
            return
        qdamp = x[3] if self.qdamp is None else self.qdamp
        r = self.window.r
        shapes = f_and_slopes(self.unit, self.window.q, *x[:3]) @ self.window.kernel
        shapes *= np.exp(-0.5 * (qdamp * r) ** 2)
        self._curve = shapes[0]
        slopes = [*shapes[1:]]
        if self.qdamp is None:
            slopes.append(-qdamp * r**2 * shapes[0])
        self._slopes = np.stack(slopes, axis=1)
        power = float(self._curve @ self._curve)
        self._scale = max(0.0, float(self._curve @ self.window.observed) / power) if power > 0 else 0.0
        self._at = x.copy()

    def residuals(self, x: Floats) -> Floats:
        self._evaluate(x)
        misfit = (self._scale * self._curve - self.window.observed) / self.norm
        if self.qdamp is None:
            misfit = np.append(misfit, PRIOR_WEIGHT * (x[3] - QDAMP_PRIOR[0]) / QDAMP_PRIOR[1])
        return np.asarray(misfit, dtype=np.float64)

    def jacobian(self, x: Floats) -> Floats:
        self._evaluate(x)
        direction = self._curve / (np.linalg.norm(self._curve) or 1.0)
        slopes = self._scale * self._slopes / self.norm
        slopes = np.asarray(slopes - np.outer(direction, direction @ slopes), dtype=np.float64)
        if self.qdamp is not None:
            return slopes
        prior = np.zeros((1, 4))
        prior[0, 3] = PRIOR_WEIGHT / QDAMP_PRIOR[1]
        return np.vstack([slopes, prior])

    def report(self, x: Floats) -> Fit:
        self._evaluate(x)
        names = ["bond_length", "u_iso", "delta2", "qdamp"]
        values = dict(zip(names, [*x[:3], x[3] if self.qdamp is None else self.qdamp], strict=True))
        misfit = self._scale * self._curve - self.window.observed
        full = np.column_stack([self._curve, self._scale * self._slopes])
        sds = _standard_uncertainties(full, misfit, self.window)
        deviations = dict(zip(["scale", *names], [*sds, 0.0][:5], strict=True))
        return Fit(
            {"scale": self._scale, **{k: float(v) for k, v in values.items()}},
            deviations,
            float(np.linalg.norm(misfit)) / self.norm,
        )


def _standard_uncertainties(jacobian: Floats, misfit: Floats, window: Window) -> list[float]:
    """From the curvature, with the misfit's variance over the *independent* points: neighbouring r are
    correlated, and a range of length L in r holds L (Qmax - Qmin) / pi independent values."""
    length = float(window.r[-1] - window.r[0])
    independent = max(length * float(window.q[-1] - window.q[0]) / math.pi, jacobian.shape[1] + 1.0)
    variance = float(misfit @ misfit) / (independent - jacobian.shape[1])
    widths = np.linalg.norm(jacobian, axis=0)
    widths[widths == 0] = 1.0
    covariance = np.linalg.pinv((jacobian / widths).T @ (jacobian / widths))
    return [float(v) for v in np.sqrt(np.maximum(np.diag(covariance), 0.0) * variance) / widths]


def r_weighted(observed: Floats, calculated_curve: Floats) -> float:
    """R_w = sqrt(sum (obs - calc)^2 / sum obs^2)."""
    return float(np.linalg.norm(observed - calculated_curve) / (np.linalg.norm(observed) or 1.0))
