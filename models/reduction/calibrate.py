"""Calibrate an instrument: Qdamp and Qbroad from the G(r) of a measured standard.

The standard is a powder of large crystals of a close-packed or bcc element whose structure is known. With N(d) atoms
at distance d around each atom (per atom, from the lattice), rho0 atoms per angstrom^3,

    G(r) = s exp(-(qdamp r)^2 / 2) [ sum_d N(d) / (d sqrt(2 pi) sigma) exp(-(r - d)^2 / (2 sigma^2)) - 4 pi rho0 r ],
    sigma^2 = 2 u (1 - delta2 / d^2 + (qbroad d)^2),

transformed to F(Q), cut to Qmin .. Qmax and transformed back. Refined: s, lattice constant a (angstrom), u
(angstrom^2), delta2 (angstrom^2), qdamp and qbroad (1/angstrom). Notation of Proffen and Billinge, J. Appl.
Cryst. 32, 572
(1999).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ase.build import bulk
from ase.data import atomic_numbers, reference_states
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from solvus.models.pattern import Pattern
from solvus.models.reduction.settings import ReductionError

Floats = NDArray[np.float64]
LATTICES = {"fcc", "bcc", "diamond"}
R_RANGE = (1.5, 60.0)
"""angstrom, at most: the damping shows at long distances, and below 1.5 stands only noise."""
R_LEAST = 20.0
"""angstrom; over less, exp(-(0.03 r)^2 / 2) falls by a sixth and cannot be told from the scale."""
STEP = 0.02
"""angstrom between the points fitted."""
NAMES = ("scale", "a", "u_iso", "delta2", "qdamp", "qbroad")
LOWER = np.array([1e-3, 0.0, 5e-4, 0.0, 0.0, 0.0])
UPPER = np.array([1e3, 1e2, 0.05, 4.0, 0.5, 0.3])
CAPTURE = 0.03
"""Share by which the lattice constant may differ from the tabulated one: more is another phase or a wrong unit."""


@dataclass(frozen=True)
class CalibrationFit:
    """The instrument as a standard shows it.

    Attributes
    ----------
    parameters, uncertainties : by name: ``scale``, ``a``, ``u_iso``, ``delta2``, ``qdamp``, ``qbroad``.
    r_w : agreement over the fitted points. r, observed, calculated : (k,) the fitted curves.
    qmin, qmax : of the standard's transform.
    """

    parameters: dict[str, float]
    uncertainties: dict[str, float]
    r_w: float
    r: Floats
    observed: Floats
    calculated: Floats
    qmin: float
    qmax: float


def calibrate(pattern: Pattern, element: str) -> CalibrationFit:
    """Refine Qdamp and Qbroad.

    Parameters
    ----------
    pattern : G(r) of the standard to at least 20 angstrom, with Qmin and Qmax in its conditions.
    element : such as ``"Ni"`` (fcc) or ``"Si"`` (diamond).

    Raises
    ------
    ReductionError
        When the pattern or the element is not fit for it.
    """
    qmin, qmax = _range(pattern)
    shells = _shells(element, min(float(pattern.x[-1]), R_RANGE[1]))
    end = min(float(pattern.x[-1]), R_RANGE[1])
    r = np.arange(R_RANGE[0], end, STEP)
    observed = np.interp(r, pattern.x, pattern.y)
    model = _Standard(shells, r, qmin, qmax)
    norm = float(np.linalg.norm(observed))
    start = np.array([1.0, shells.a, 0.006, 1.0, 0.04, 0.01])
    curve = model.curve(start)
    start[0] = max(float(curve @ observed) / float(curve @ curve), 2 * LOWER[0])
    lower, upper = LOWER.copy(), UPPER.copy()
    lower[1], upper[1] = shells.a * (1 - CAPTURE), shells.a * (1 + CAPTURE)
    solution = least_squares(
        lambda x: (model.curve(x) - observed) / norm,
        start,
        bounds=(lower, upper),
        x_scale=[start[0], 0.01, 0.002, 1.0, 0.01, 0.01],
        max_nfev=60,
    )
    calculated = model.curve(solution.x)
    misfit = calculated - observed
    r_w = float(np.linalg.norm(misfit)) / norm
    if r_w > 0.6:
        raise ReductionError(
            f"{element}: does not explain the standard (R_w = {r_w:.2f}); is it the right one?"
        )
    # A range of length L in r holds L (Qmax - Qmin) / pi independent values.
    independent = max((end - R_RANGE[0]) * (qmax - qmin) / math.pi, len(NAMES) + 1.0)
    share = len(r) / independent
    curvature = solution.jac.T @ solution.jac * norm**2
    variance = float(misfit @ misfit) / len(r) * share * independent / (independent - len(NAMES))
    sds = np.sqrt(np.maximum(np.diag(np.linalg.pinv(curvature)), 0.0) * variance)
    return CalibrationFit(
        dict(zip(NAMES, (float(v) for v in solution.x), strict=True)),
        dict(zip(NAMES, (float(v) for v in sds), strict=True)),
        r_w,
        r,
        observed,
        calculated,
        qmin,
        qmax,
    )


def _range(pattern: Pattern) -> tuple[float, float]:
    if pattern.quantity != "G":
        raise ReductionError(f"standard: G(r) is needed, not {pattern.quantity}; reduce it first")
    qmin, qmax = pattern.conditions.qmin or 0.0, pattern.conditions.qmax
    if qmax is None:
        raise ReductionError("standard: its header has no qmax; give --qmax")
    if pattern.x[-1] < R_LEAST:
        raise ReductionError(
            f"standard: G(r) ends at {pattern.x[-1]:.3g} angstrom; the damping needs at least {R_LEAST:g}"
        )
    return qmin, qmax


@dataclass(frozen=True)
class _Shells:
    """Distances for a lattice constant of one, atoms on each, atoms per a^3, and the tabulated a."""

    distance: Floats
    count: Floats
    density: float
    a: float


def _shells(element: str, reach: float) -> _Shells:
    number = atomic_numbers.get(element, 0)
    state = reference_states[number] if 0 < number < len(reference_states) else None
    if state is None or state.get("symmetry") not in LATTICES:
        raise ReductionError(
            f"--structure: {element!r} is no fcc, bcc or diamond element; Ni, Au, Pt, W, Si are. For other standards "
            "refine them: solvus refine --range 1.5 60 --free scale,lattice,u,delta2,qdamp,qbroad"
        )
    cell = bulk(element, cubic=True)
    a = float(cell.cell.lengths()[0])
    limit = (reach + 3.0) / (a * (1 - CAPTURE))
    repeats = math.ceil(limit) + 1
    shifts = np.arange(-repeats, repeats + 1)
    grid = np.stack(np.meshgrid(shifts, shifts, shifts, indexing="ij"), axis=-1).reshape(-1, 3)
    fractional = cell.positions / a
    # Every atom of these lattices sees the same distances, so one origin will do.
    tree = cKDTree((grid[:, None, :] + fractional[None, :, :] - fractional[0]).reshape(-1, 3))
    near = tree.data[tree.query_ball_point(np.zeros(3), limit)]
    squares = np.round((near**2).sum(axis=1) * 16).astype(np.int64)
    values, counts = np.unique(squares[squares > 0], return_counts=True)
    return _Shells(np.sqrt(values / 16.0), counts.astype(np.float64), float(len(cell)), a)


class _Standard:
    """G(r) of the standard on fixed points; everything that does not change is made once."""

    def __init__(self, shells: _Shells, r: Floats, qmin: float, qmax: float) -> None:
        self.shells, self.r = shells, r
        self.fine = np.arange(0.0, float(r[-1]) + 3.0, STEP)
        dq = math.pi / (2.0 * float(self.fine[-1]))
        q = np.arange(max(qmin, dq), qmax + 0.5 * dq, dq)
        # Forward and back: a projection of G onto what Qmin .. Qmax can carry.
        self.forward = np.sin(np.outer(q, self.fine)) * STEP
        self.back = np.sin(np.outer(r, q)) * (2.0 / math.pi * dq)

    def curve(self, x: Floats) -> Floats:
        """(k,) for scale, a, u, delta2, qdamp, qbroad."""
        scale, a, u, delta2, qdamp, qbroad = x
        d = self.shells.distance * a
        inside = d < self.fine[-1] + 1.0
        d, count = d[inside], self.shells.count[inside]
        sigma = np.sqrt(2.0 * u * np.maximum(1.0 - delta2 / d**2 + (qbroad * d) ** 2, 0.05))
        g = -4.0 * math.pi * self.shells.density / a**3 * self.fine
        for distance, height, width in zip(
            d, count / (d * math.sqrt(2.0 * math.pi) * sigma), sigma, strict=True
        ):
            low = int(max((distance - 6.0 * width) / STEP, 0))
            high = int((distance + 6.0 * width) / STEP) + 2
            near = self.fine[low:high]
            g[low:high] += height * np.exp(-0.5 * ((near - distance) / width) ** 2)
        g *= scale * np.exp(-0.5 * (qdamp * self.fine) ** 2)
        curve: Floats = self.back @ (self.forward @ g)
        return curve
