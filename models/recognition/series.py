"""A series of patterns of one experiment as shares of a few components, each a G(r) that can be identified.

    D = W C + noise,        W >= 0, rows of W sum to the scale of their pattern,

with D (n, k) the patterns on one grid, C (p, k) the components and W (n, p). G(r) takes both signs, but the density of
pairs does not: with 4 pi rho r added, rho dense enough for the whole series, every curve is non-negative.

1. *How many.* D on independent points (pi / Qmax apart). A singular value counts while it exceeds 99 % of those that
   the remaining matrix has after random changes of the signs of its elements, which destroy all structure and keep the
   noise (Hong, Sheng and Dobriban, Selecting the number of components in PCA via random signflips, 2020). How certain
   the number is follows from leaving out one pattern at a time.
2. *Which.* The patterns at the corners of the series (successive projections: Araujo et al., Chemom. Intell. Lab.
   Syst. 57, 65 (2001)) start a non-negative matrix factorisation of the shifted patterns, freed of the noise outside
   the p singular vectors. Nothing is drawn at random.
3. *Back.* Components are the least-squares G(r) of these weights, without the shift, on the scale that brings the sums
   of the rows of W nearest to one.

Shares are of the scattering: of a phase with the share x of the atoms x <f_p>^2 / <f>^2. A series without pure patterns
has no unique answer: its components are then its own extremes. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import nnls

from solvus.models.pattern import Conditions, Pattern, PatternError

Floats = NDArray[np.float64]

FEWEST = 3
"""Patterns; of two every mixture is a corner."""
SHORTEST = 6.0
"""angstrom of r that all patterns share."""
SAME_QMAX = 0.02
"""Relative difference of Qmax from which on termination alone makes a component."""
USUAL_QMAX = 25.0
"""1/angstrom where no pattern states one: more points than are independent then."""
FIRST_R = 1.2
"""angstrom: nearer no atoms are, and the error of the reduction would count."""
FLIPS, SEED = 200, 20261123
QUANTILE = 0.99
LEAST = 0.01
"""Share of the data's norm below which a component is none: no measurement repeats better, and the curves of two phases
of other elements do not add up more exactly, because the mean amplitude of the sample changes with their shares."""
MOST = 8
"""Components looked for."""
LEFT_OUT = 40
"""Patterns that are left out in turn, spread over a longer series."""
ITERATIONS, TOLERANCE = 500, 1e-6
ROUNDS = 3
"""Of weights and curves in turn after the factorisation."""


@dataclass(frozen=True)
class Components:
    """A series taken apart.

    Attributes
    ----------
    patterns : one G(r) for each component, strongest first appearance first.
    shares, sds : (n, p) share of the scattering of each pattern in each component, rows summing to one, and standard
        uncertainties from the misfit.
    scales : (n,) of the patterns relative to their mean.
    support : for each number of components, the share of the series with one pattern left out that has it.
    singular, limits : singular values relative to the norm of the data, and what each had to exceed.
    r_w : (n,) misfit of each pattern.
    """

    patterns: tuple[Pattern, ...]
    shares: Floats
    sds: Floats
    scales: Floats
    support: dict[int, float]
    singular: Floats
    limits: Floats
    r_w: Floats

    @property
    def count(self) -> int:
        return len(self.patterns)


def decompose(patterns: Sequence[Pattern], components: int | None = None) -> Components:
    """Take a series apart.

    Parameters
    ----------
    patterns : G(r) in the order of the experiment, of one radiation and one Qmax.
    components : how many; ``None`` to find out.

    Raises
    ------
    PatternError
        When the patterns are too few, cannot be compared, or do not hold that many components.
    """
    r, data, conditions = common_grid(patterns)
    independent = _independent(r, data, conditions.qmax or USUAL_QMAX)
    singular, limits = _significance(independent)
    count = _count(singular, limits) if components is None else components
    if not 1 <= count <= min(MOST, len(patterns) - 1):
        raise PatternError(
            f"components: {count} cannot be found in {len(patterns)} patterns; ask for 1 to "
            f"{min(MOST, len(patterns) - 1)}"
        )
    weights = _weights(r, data, count)
    weights, curves = _refined(weights, data, r >= FIRST_R)
    scales = weights.sum(axis=1)
    shares = weights / scales[:, None]
    order = np.argsort([float(np.argmax(column)) for column in shares.T], kind="stable")
    shares, curves = shares[:, order], curves[order]
    calculated = (shares * scales[:, None]) @ curves
    r_w = np.linalg.norm(data - calculated, axis=1) / np.linalg.norm(data, axis=1)
    made = tuple(Pattern(x=r, y=curve, conditions=conditions) for curve in curves)
    sds = _uncertainties(r, data - calculated, curves, conditions.qmax or USUAL_QMAX) / scales[:, None]
    support = {count: 1.0} if components is not None else _support(independent)
    return Components(made, shares, sds, scales / scales.mean(), support, singular, limits, r_w)


def common_grid(patterns: Sequence[Pattern]) -> tuple[Floats, Floats, Conditions]:
    """The patterns on one grid: r (k,), G (n, k), and the conditions that they share.

    Raises
    ------
    PatternError
        See :func:`decompose`.
    """
    if len(patterns) < FEWEST:
        raise PatternError(f"patterns: {len(patterns)} are no series; at least {FEWEST} are needed")
    for number, pattern in enumerate(patterns, start=1):
        if pattern.quantity != "G":
            raise PatternError(
                f"pattern {number}: holds {pattern.quantity}, but G(r) is needed; transform it first"
            )
    radiations = {pattern.conditions.radiation for pattern in patterns}
    if len(radiations) > 1:
        raise PatternError("radiation: X-ray and neutron patterns cannot be one series; give each its own")
    stated = [p.conditions.qmax for p in patterns if p.conditions.qmax is not None]
    if stated and max(stated) > (1.0 + SAME_QMAX) * min(stated):
        raise PatternError(
            f"qmax: {min(stated):g} to {max(stated):g} 1/angstrom in one series; transform all with the same Qmax"
        )
    low = max(float(p.x[0]) for p in patterns)
    high = min(float(p.x[-1]) for p in patterns)
    if high - max(low, FIRST_R) < SHORTEST:
        raise PatternError(
            f"r: the patterns have only {max(0.0, high - max(low, FIRST_R)):.1f} angstrom in common; "
            f"at least {SHORTEST:g} beyond {FIRST_R:g} are needed"
        )
    step = max(float(np.median(np.diff(p.x))) for p in patterns)
    count = math.floor((high - low) / step + 1e-6) + 1
    r = np.minimum(low + step * np.arange(count), high)
    rows = [
        p.y if len(p.x) == len(r) and np.allclose(p.x, r, rtol=0.0, atol=1e-9) else CubicSpline(p.x, p.y)(r)
        for p in patterns
    ]
    return r, np.array(rows, dtype=np.float64), _shared_conditions(patterns)


def _shared_conditions(patterns: Sequence[Pattern]) -> Conditions:
    """What all patterns agree on; the smallest Qmax and the largest Qmin, which all of them hold."""
    kept: dict[str, object] = {"radiation": patterns[0].conditions.radiation}
    for name in ("qdamp", "qbroad", "wavelength", "composition"):
        values = {getattr(p.conditions, name) for p in patterns}
        kept[name] = values.pop() if len(values) == 1 else None
    for name, chosen in (("qmin", max), ("qmax", min)):
        values = {getattr(p.conditions, name) for p in patterns} - {None}
        kept[name] = chosen(values) if values else None
    return Conditions.model_validate(kept)


def _independent(r: Floats, data: Floats, qmax: float) -> Floats:
    """The patterns on points pi / Qmax apart, on which the noise of a transform is independent."""
    points = np.arange(max(FIRST_R, r[0]), r[-1], max(math.pi / qmax, r[1] - r[0]))
    return np.asarray(CubicSpline(r, data, axis=1)(points), dtype=np.float64)


def _significance(data: Floats) -> tuple[Floats, Floats]:
    """Singular values and the limit of each, relative to the norm of the data."""
    norm = float(np.linalg.norm(data)) or 1.0
    u, s, v = np.linalg.svd(data, full_matrices=False)
    draw = np.random.default_rng(SEED)
    limits: list[float] = []
    rest = data.copy()
    for k in range(min(MOST, len(s) - 1) + 1):
        if k and s[k - 1] <= limits[k - 1]:
            break
        # What is left has k dimensions less to spread its energy over than a matrix of changed signs.
        fuller = math.sqrt(data.size / ((data.shape[0] - k) * (data.shape[1] - k)))
        flipped = [
            fuller * float(np.linalg.norm(rest * draw.choice([-1.0, 1.0], size=rest.shape), ord=2))
            for _ in range(FLIPS if k else 1)
        ]
        # That there is one component at all is not in question.
        limits.append(max(float(np.quantile(flipped, QUANTILE)), LEAST * norm) if k else 0.0)
        rest = rest - s[k] * np.outer(u[:, k], v[k])
    return s[: len(limits)] / norm, np.array(limits) / norm


def _count(singular: Floats, limits: Floats) -> int:
    above = singular > limits
    return len(above) if above.all() else int(np.argmin(above))


def _support(data: Floats) -> dict[int, float]:
    """Numbers of components with one pattern left out, as shares of all such series."""
    chosen = np.unique(np.linspace(0, len(data) - 1, min(LEFT_OUT, len(data))).astype(int))
    if len(data) <= FEWEST:
        return {_count(*_significance(data)): 1.0}
    counts = Counter(_count(*_significance(np.delete(data, int(k), axis=0))) for k in chosen)
    return {number: times / len(chosen) for number, times in sorted(counts.items())}


def _weights(r: Floats, data: Floats, count: int) -> Floats:
    """Non-negative weights (n, p) by factorisation of the shifted patterns, rows summing to about one."""
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    inside = r >= FIRST_R
    u, s, v = np.linalg.svd(data[:, inside], full_matrices=False)
    x = (u[:, :count] * s[:count]) @ v[:count]
    density = max(0.0, float((-x / r[inside]).max()))
    shifted = np.maximum(x + density * r[inside], 0.0)
    corners = shifted[_corners(x, count)]
    first = np.array([nnls(corners.T, row)[0] for row in shifted])
    model = NMF(n_components=count, init="custom", max_iter=ITERATIONS, tol=TOLERANCE)
    with warnings.catch_warnings():
        # A flat bottom is usual where a series has no pure pattern; the misfit is reported.
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights = model.fit_transform(shifted, W=np.maximum(first, 1e-9), H=np.maximum(corners, 1e-9))
    return _closed(weights)


def _closed(weights: Floats) -> Floats:
    """Each column on the scale that brings the sums of the rows nearest to one."""
    factor = nnls(weights, np.ones(len(weights)))[0]
    typical = float(factor[factor > 0].mean()) if factor.any() else 1.0
    return np.asarray(weights * np.where(factor > 0, factor, typical))


def _corners(x: Floats, count: int) -> list[int]:
    """Patterns that lie farthest from one another: successive projections."""
    chosen: list[int] = []
    rest = x - x.mean(axis=0)
    chosen.append(int(np.linalg.norm(rest, axis=1).argmax()))
    rest = x - x[chosen[0]]
    while len(chosen) < count:
        far = int(np.linalg.norm(rest, axis=1).argmax())
        chosen.append(far)
        axis = rest[far] / (float(np.linalg.norm(rest[far])) or 1.0)
        rest = rest - np.outer(rest @ axis, axis)
    return chosen


def _refined(weights: Floats, data: Floats, inside: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Components as least squares of the weights, and the weights of these in turn, without the shift."""
    for _ in range(ROUNDS):
        curves = np.linalg.lstsq(weights, data, rcond=None)[0]
        weights = _closed(np.array([nnls(curves[:, inside].T, row[inside])[0] for row in data]))
    return weights, np.asarray(np.linalg.lstsq(weights, data, rcond=None)[0], dtype=np.float64)


def _uncertainties(r: Floats, residual: Floats, curves: Floats, qmax: float) -> Floats:
    """Of the weights (n, p): points pi / Qmax apart err independently."""
    inside = r >= FIRST_R
    repeats = max(1.0, math.pi / qmax / float(r[1] - r[0]))
    inverse = np.linalg.pinv(curves[:, inside] @ curves[:, inside].T)
    free = max(1.0, inside.sum() / repeats - len(curves))
    variance = np.sum(residual[:, inside] ** 2, axis=1) / repeats / free
    return np.sqrt(np.outer(variance, np.maximum(np.diag(inverse), 0.0)) * repeats)
