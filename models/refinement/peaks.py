"""F(Q) of one phase and its exact derivatives, from its shells: the forward model of a fit.

The curve is that of the exact convention of :mod:`solvus.models.scattering.exact`; what differs is the way there.
Each shell k (distance d, mean-square width s^2, W ordered pairs) is a Gaussian on a grid of r with the step h,

    y_c(r) = sum_k W_k taper(d_k) / d_k N(r - d_k; s_k^2),     c the channel of its two species,

and one fast sine transform per channel gives F_c(Q). Every derivative is a sum of the same Gaussians times 1, x = r - d
or x^2, so that it costs little more than the curve:

    dN/dd = x / s^2 N,      dN/d(s^2) = (x^2 / s^4 - 1 / s^2) / 2 N.

    F(Q) = sum_c f_a f_b F_c / (sum n f)^2 N   [- 4 pi n_a n_b / V transform of r taper(r)   within F_c of a crystal]
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len, rfft
from scipy.sparse import csc_array

from solvus.models.refinement.parameters import Slopes
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.shells import Ints, Shells, find_shells
from solvus.models.scattering.form_factors import Radiation, form_factors

Floats = NDArray[np.float64]

TAIL = 5.5
"""Standard deviations after which a Gaussian ends, at 3e-7 of its height."""
NARROWEST = 0.8
"""Least standard deviation in steps of the grid: sampled peaks narrower than that would fold back below Qmax."""
OVERSAMPLING = 2.5
"""pi / (Qmax h): a Gaussian as wide as a step then folds back with 4e-6 at Qmax."""
SHARE = 0.6
"""Steps of the grid in standard deviations of the narrowest pair without correlation."""
ROOM = 2.2
"""Length of the transforms over rmax plus the largest distance, as in the exact convention."""
MANY = 0.2
"""Share of the shells from which a change takes part in the products of matrices; coordinates of a cluster's atoms, of
which there may be hundreds, move a hundredth each."""
CHUNK = 2_000_000
"""Numbers in one temporary of the Gaussian sums: 16 MB."""
WIDTH_NAMES = ("delta1", "delta2", "qbroad")


@dataclass(frozen=True)
class Grid:
    """Steps and lengths: r = j h; Q = m dq with dq = pi / (n h); ``count`` of Q."""

    h: float
    n: int
    count: int

    @property
    def dq(self) -> float:
        return math.pi / (self.n * self.h)

    @classmethod
    def of(cls, qmax: float, longest: float, step: float | None, narrowest: float) -> Grid:
        """A grid for ``longest`` = rmax plus the largest distance that shares its transform with points ``step``
        apart (``None``: the points lie anyhow); ``narrowest`` is the least u_i + u_j expected, angstrom^2."""
        target = min(math.pi / (OVERSAMPLING * qmax), SHARE * math.sqrt(narrowest))
        unit = step or target
        h = unit * math.floor(target / unit + 1e-9) if target >= unit else unit / math.ceil(unit / target)
        coarse = max(h, unit)
        n = round(next_fast_len(math.ceil(ROOM * longest / coarse), real=True) * coarse / h)
        count = min(n, math.ceil(qmax * n * h / math.pi) + 6)
        return cls(h, n, count)


def starting(phase: Phase) -> dict[str, float]:
    """The values at which a phase starts."""
    return {name: parameter.value for name, parameter in phase.parameters.items()}


class PhaseScattering:
    """F(Q) of one phase on a grid of Q.

    Parameters
    ----------
    reach : of a crystal's pairs, angstrom; they fade out from ``fade`` on. A cluster's are all taken.
    free : parameters that will change.
    """

    def __init__(
        self,
        phase: Phase,
        grid: Grid,
        radiation: Radiation,
        *,
        fade: float,
        reach: float,
        free: Collection[str],
        shells: Shells | None = None,
    ) -> None:
        self.phase, self.grid = phase, grid
        self.shells = shells or find_shells(phase, reach, free)
        self.fade, self.reach = fade, reach
        q = np.arange(grid.count) * grid.dq
        species = sorted({kind.species for kind in phase.kinds})
        self.number = np.array([species.index(kind.species) for kind in phase.kinds])
        self.f = form_factors(species, q, radiation)
        self.pairs = [(a, b) for a in range(len(species)) for b in range(a, len(species))]
        table = np.zeros((len(species), len(species)), dtype=np.int64)
        for c, (a, b) in enumerate(self.pairs):
            table[a, b] = table[b, a] = c
        self.channel = table[self.number[self.shells.first], self.number[self.shells.second]]
        self.products = np.stack([self.f[a] * self.f[b] for a, b in self.pairs])
        self.shortest = float(self.shells.distances(starting(phase), ())[0].min())
        self.amounts = np.array([kind.amount for kind in phase.kinds], dtype=np.float64)
        self.ramp = self._ramp() if phase.periodic else np.zeros(grid.count)

    def _taper(self, d: Floats) -> tuple[Floats, Floats]:
        """Taper of a crystal and its derivative."""
        if not self.phase.periodic:
            return np.ones_like(d), np.zeros_like(d)
        length = self.reach - self.fade
        x = np.clip((d - self.fade) / length, 0.0, 1.0)
        slope = -0.5 * math.pi / length * np.sin(math.pi * x)
        return np.cos(0.5 * math.pi * x) ** 2, slope

    def _ramp(self) -> Floats:
        """Transform of 4 pi r taper(r)."""
        r = np.arange(math.ceil(self.reach / self.grid.h) + 2, dtype=np.float64) * self.grid.h
        rows = (4.0 * math.pi * r * self._taper(r)[0])[None]
        return np.asarray(self._sines(rows)[0])

    def _sines(self, rows: Floats) -> Floats:
        """h sum_j y_j sin(Q r_j): (rows, count)."""
        spectrum = rfft(rows, n=2 * self.grid.n, axis=1)
        result: Floats = -self.grid.h * spectrum.imag[:, : self.grid.count]
        return result

    def factor(self, values: Mapping[str, float], wanted: Collection[str]) -> tuple[Floats, Slopes]:
        """F(Q) (m,) in 1/angstrom and its derivatives by the wanted parameters."""
        u, occupancy = self.phase.site_values(values)
        d, moves = self.shells.distances(values, wanted)
        first, second = self.shells.first, self.shells.second
        taper, taper_slope = self._taper(d)
        weight = self.shells.weight * occupancy[first] * occupancy[second]
        amplitude = weight * taper / d
        delta1, delta2, qbroad = (values.get(name, 0.0) for name in WIDTH_NAMES)
        bracket = 1.0 - delta1 / d - delta2 / d**2 + (qbroad * d) ** 2
        both = u[first] + u[second]
        least = (NARROWEST * self.grid.h) ** 2
        variance = both * bracket
        thin = variance < least
        variance = np.where(thin, least, variance)
        by_d = np.where(thin, 0.0, both * (delta1 / d**2 + 2.0 * delta2 / d**3 + 2.0 * qbroad**2 * d))
        by_u = np.where(thin, 0.0, bracket)
        changes: dict[str, _Change] = {}
        for name, (moved, dd) in moves.items():
            at = slice(None) if moved is None else moved
            by_amplitude = (weight[at] / d[at]) * (taper_slope[at] - taper[at] / d[at]) * dd
            changes[name] = _Change(moved, by_amplitude, dd, by_d[at] * dd)
        for name, slope in (
            ("delta1", -both / d),
            ("delta2", -both / d**2),
            ("qbroad", 2.0 * both * qbroad * d**2),
        ):
            if name in wanted:
                changes[name] = _Change(None, None, None, np.where(thin, 0.0, slope))
        changes |= self._site_changes(wanted, occupancy, taper / d, by_u)
        y, slopes = _densities(
            d,
            amplitude,
            variance,
            self.channel,
            changes,
            len(self.pairs),
            self.grid.h,
            self._points(d, variance),
        )
        return self._combined(y, slopes, values, occupancy, wanted)

    def _points(self, d: Floats, variance: Floats) -> int:
        return math.ceil((float(d.max()) + TAIL * math.sqrt(float(variance.max()))) / self.grid.h) + 3

    def _site_changes(
        self, wanted: Collection[str], occupancy: Floats, fall: Floats, by_u: Floats
    ) -> dict[str, _Change]:
        """By displacements and occupancies: the shells that hold such a site."""
        first, second = self.shells.first, self.shells.second
        changes = {}
        for name in {kind.u for kind in self.phase.kinds}.intersection(wanted):
            has = np.array([kind.u == name for kind in self.phase.kinds], dtype=np.float64)
            share = has[first] + has[second]
            moved = np.flatnonzero(share)
            changes[name] = _Change(moved, None, None, (share * by_u)[moved])
        for name in {kind.occupancy for kind in self.phase.kinds}.intersection(wanted):
            has = np.array([kind.occupancy == name for kind in self.phase.kinds], dtype=np.float64)
            share = has[first] * occupancy[second] + occupancy[first] * has[second]
            moved = np.flatnonzero(share)
            changes[name] = _Change(moved, (self.shells.weight * share * fall)[moved], None, None)
        return changes

    def _combined(
        self,
        y: Floats,
        slopes: dict[str, Floats],
        values: Mapping[str, float],
        occupancy: Floats,
        wanted: Collection[str],
    ) -> tuple[Floats, Slopes]:
        size = len(self.pairs)
        used = {name: np.flatnonzero(rows.any(axis=1)) for name, rows in slopes.items()}
        stack = np.concatenate([y, *(rows[used[name]] for name, rows in slopes.items())])
        waves = self._sines(stack)
        species = len(self.f)
        amounts = np.bincount(self.number, weights=self.amounts * occupancy, minlength=species).astype(
            np.float64
        )
        total = amounts.sum()
        mean = amounts @ self.f
        norm = total / mean**2
        couples = np.array([amounts[a] * amounts[b] * (1.0 if a == b else 2.0) for a, b in self.pairs])
        volume, by_cell = self.phase.volume(values) if self.phase.periodic else (math.inf, {})
        bare = waves[:size] - np.outer(couples / volume, self.ramp)
        whole = (self.products * bare).sum(axis=0)
        result: Slopes = {}
        at = size
        for name in slopes:
            rows = used[name]
            part = waves[at : at + len(rows)]
            at += len(rows)
            change = (self.products[rows] * part).sum(axis=0)
            if name in by_cell:
                background = (couples @ self.products) * self.ramp / volume**2
                change = change + by_cell[name] * background
            result[name] = change * norm
        for kind, number, amount in zip(self.phase.kinds, self.number, self.amounts, strict=True):
            if kind.occupancy in wanted:
                result[kind.occupancy] = (
                    result[kind.occupancy]
                    + self._by_amount(int(number), amounts, volume, whole, mean, total) * amount
                )
        return whole * norm, result

    def _by_amount(
        self, species: int, amounts: Floats, volume: float, whole: Floats, mean: Floats, total: float
    ) -> Floats:
        """dF by the amount of a species, at fixed pairs: through the background, the mean and the number of atoms."""
        grown = np.array(
            [
                (1.0 if a == b else 2.0) * ((a == species) * amounts[b] + (b == species) * amounts[a])
                for a, b in self.pairs
            ]
        )
        background = -(grown @ self.products) * self.ramp / volume
        norm = total / mean**2
        by_norm = 1.0 / mean**2 - 2.0 * total * self.f[species] / mean**3
        change: Floats = background * norm + whole * by_norm
        return change


@dataclass(frozen=True)
class _Change:
    """How a parameter changes the shells ``moved`` (``None``: all): amplitude, distance and variance."""

    moved: Ints | None
    amplitude: Floats | None
    distance: Floats | None
    variance: Floats | None


def _densities(
    d: Floats,
    amplitude: Floats,
    variance: Floats,
    channel: Ints,
    changes: dict[str, _Change],
    channels: int,
    h: float,
    points: int,
) -> tuple[Floats, dict[str, Floats]]:
    """Sums of Gaussians (channels, points), and their derivatives by each parameter.

    With N the Gaussian of each shell as a column of a sparse matrix, the sums are those of N, x N and x^2 N times the
    factors that amplitude, distance and variance contribute. A change that moves few shells takes only theirs.
    """
    half = math.ceil(TAIL * math.sqrt(float(variance.max())) / h)
    offsets = np.arange(-half, half + 1)
    size = channels * points
    many = {k: c for k, c in changes.items() if c.moved is None or len(c.moved) > MANY * len(d)}
    inverse = 1.0 / variance
    factors = _factors(amplitude, inverse, many)
    wanted = [np.flatnonzero(rows.any(axis=0)) for rows in factors]
    total = np.zeros((size, factors.shape[2]))
    few = {name: np.zeros(size) for name in changes if name not in many}
    order = max(1, CHUNK // len(offsets))
    for start in range(0, len(d), order):
        part = slice(start, min(start + order, len(d)))
        base = np.round(d[part] / h).astype(np.int64)
        x = (base * h - d[part])[:, None] + offsets * h
        peak = np.exp(x * x * (-0.5 * inverse[part])[:, None])
        peak *= np.sqrt(inverse[part] / (2.0 * math.pi))[:, None]
        # The sine of r = 0 is zero, so that what would lie below counts for nothing there.
        place = np.maximum(base[:, None] + offsets, 0) + (channel[part] * points)[:, None]
        for name, slope in few.items():
            moved, own = _alone(changes[name], part, amplitude, inverse)
            value = own[0][:, None] + x[moved] * (own[1][:, None] + x[moved] * own[2][:, None])
            value *= peak[moved]
            slope += np.bincount(place[moved].ravel(), weights=value.ravel(), minlength=size)
        ends = np.arange(len(base) + 1, dtype=np.int64) * len(offsets)
        for power, held in enumerate(wanted):
            if len(held):
                columns = csc_array((peak.ravel(), place.ravel(), ends), shape=(size, len(base)))
                total[:, held] += columns @ factors[power, part][:, held]
            peak *= x
    rows = total.T.reshape(-1, channels, points)
    found = dict(zip(many, rows[1:], strict=True)) | {
        name: slope.reshape(channels, points) for name, slope in few.items()
    }
    return rows[0], {name: found[name] for name in changes}


def _factors(amplitude: Floats, inverse: Floats, changes: dict[str, _Change]) -> Floats:
    """What the Gaussians times 1, x and x^2 are multiplied with, for their sum and each of its derivatives:
    (3, shells, 1 + changes)."""
    factors = np.zeros((3, len(amplitude), 1 + len(changes)))
    factors[0, :, 0] = amplitude
    for k, change in enumerate(changes.values(), start=1):
        at = slice(None) if change.moved is None else change.moved
        factors[:, at, k] = _of_change(change, slice(None), amplitude[at], inverse[at])
    return factors


def _alone(change: _Change, part: slice, amplitude: Floats, inverse: Floats) -> tuple[Ints, Floats]:
    """The shells of a part that a change moves, counted from its start, and their factors (3, shells)."""
    moved = np.arange(len(amplitude)) if change.moved is None else change.moved
    low, high = np.searchsorted(moved, [part.start, part.stop])
    at = moved[low:high]
    return at - part.start, _of_change(change, slice(int(low), int(high)), amplitude[at], inverse[at])


def _of_change(change: _Change, at: slice, amplitude: Floats, inverse: Floats) -> Floats:
    """Factors (3, shells) of those of its shells that stand ``at`` these places in its own arrays."""
    factors = np.zeros((3, len(amplitude)))
    if change.amplitude is not None:
        factors[0] += change.amplitude[at]
    if change.distance is not None:
        factors[1] = amplitude * inverse * change.distance[at]
    if change.variance is not None:
        widened = 0.5 * amplitude * inverse * change.variance[at]
        factors[0] -= widened
        factors[2] = widened * inverse
    return factors
