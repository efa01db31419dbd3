"""From coarse matches to refined candidates with probabilities.

The probability of a candidate is a tempered likelihood with the noise marginalised out,

    p ~ (R_w^2 + floor^2)^(-n / 2),        n = INDEPENDENT_SHARE * (r_max - r_min) (Qmax - Qmin) / pi.

R_w is dominated by model error (size spread, ligands, strain), which is correlated over many points and of
the same kind for neighbouring candidates: the floor and the reduced n keep neighbours in size sharing the
probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.matching import BOND_RATIO, Match
from solvus.models.refinement.least_squares import QDAMP_PRIOR, Fit, Window, f_of, fit
from solvus.models.structures.library import Entry, Library

Floats = NDArray[np.float64]

FLOOR = 0.06
"""R_w below which differences are no evidence: what an ideal model leaves on good data of a powder
standard."""
INDEPENDENT_SHARE = 0.2
"""Share of the independent points that counts: model errors extend over about one coordination shell, five
points."""
SIZE_SHARE = 0.05
"""The same for the size: a spread of sizes bends the whole envelope of G(r), an error of few freedoms."""
CONTENDER = 1.6
"""A family is refined further when its best R_w is within this factor of the best of all."""
PER_FAMILY = 4
"""Members of a contending family that are refined."""
FULL_RANGE = 60.0
"""angstrom: enough for every particle that G(r) of an area detector (qdamp 0.03) can still show."""
DAMPINGS = np.linspace(-2.0, 2.0, 9)
"""Where an unknown qdamp is evaluated, in standard deviations of its prior."""
MULTIPLY_TWINNED = frozenset({"icosahedral", "decahedral"})
TWINNING_LIMIT = 3000.0
"""Atoms at which the prior of a multiply twinned particle, a Gaussian in its size, has fallen by e. Calculated
crossovers to fcc lie between 500 (Au) and 6,500 (Pt, Pd) atoms and higher for Ag and Cu: Baletto et al., J. Chem.
Phys. 116, 3856 (2002). Without it the five fcc domains of a huge decahedron pass for any fcc particle with faults."""
POINTS_PER_NYQUIST = 2.0
"""Fitted points per pi / Qmax; denser data change no refined value by a tenth of its uncertainty."""


@dataclass(frozen=True)
class Data:
    """The measured curve and the range of the transform: r (angstrom), g, Qmin and Qmax (1/angstrom)."""

    r: Floats
    g: Floats
    qmin: float
    qmax: float

    def window(
        self, r_range: tuple[float, float], longest: float, *, thinning: float | None = POINTS_PER_NYQUIST
    ) -> Window:
        """The points in ``r_range``: ``thinning`` for each pi / Qmax, or all of them for ``None``. ``longest`` is the
        largest pair distance of the model (angstrom)."""
        inside = (self.r >= r_range[0]) & (self.r <= r_range[1])
        r, g = self.r[inside], self.g[inside]
        step = float(np.median(np.diff(r)))
        stride = 1 if thinning is None else max(1, int(math.pi / self.qmax / thinning / step))
        return Window.of(r[::stride], g[::stride], self.qmin, self.qmax, longest)

    def independent_points(self, r_range: tuple[float, float]) -> float:
        covered = min(r_range[1], float(self.r[-1])) - max(r_range[0], float(self.r[0]))
        return covered * (self.qmax - self.qmin) / math.pi


class Windows:
    """Windows on the same points for models of many sizes; reaches of 30 angstrom let a few kernels serve all."""

    def __init__(self, data: Data, r_range: tuple[float, float], *, thinning: float) -> None:
        self._data, self._r_range, self._thinning = data, r_range, thinning
        self._made: dict[int, Window] = {}

    def reaching(self, longest: float) -> Window:
        """A window for pair distances up to ``longest`` (angstrom)."""
        reach = math.ceil(longest / 30.0)
        if reach not in self._made:
            self._made[reach] = self._data.window(self._r_range, 30.0 * reach, thinning=self._thinning)
        return self._made[reach]


@dataclass(frozen=True)
class Refined:
    """One geometry with its fit."""

    entry: Entry
    fit: Fit

    @property
    def bond(self) -> float:
        return self.fit["bond_length"]

    @property
    def diameter(self) -> float:
        return self.entry.diameter * self.bond


@dataclass(frozen=True)
class SizeSupport:
    """How well one member of a family agrees with the whole measured range: ``support`` is the logarithm of
    likelihood and prior."""

    entry: Entry
    diameter: float
    support: float


@dataclass(frozen=True)
class Refinement:
    """Refined candidates by R_w, best first, and the size profile of each family that stayed in contention."""

    candidates: list[Refined]
    profiles: dict[str, list[SizeSupport]]


def refine(
    matches: Sequence[Match],
    data: Data,
    library: Library,
    *,
    r_range: tuple[float, float],
    bond_limits: tuple[float, float],
    qdamp: float | None,
) -> Refinement:
    """Refine the best match of each family; then, in the families that stay in contention, the members whose size
    agrees with the whole measured range.

    Parameters
    ----------
    matches : best first. bond_limits : angstrom.
    """
    leaders: dict[str, Match] = {}
    for match in matches:
        leaders.setdefault(match.entry.family, match)

    def refined(entry: Entry, bond: float) -> Refined:
        window = data.window(r_range, entry.span * bond)
        # The coarse grid may put the best bond one of its steps outside the limits.
        limits = (min(bond_limits[0], bond / BOND_RATIO), max(bond_limits[1], bond * BOND_RATIO))
        unit = library.scattering(entry)
        return Refined(entry, fit(unit, window, bond_range=limits, bond_start=bond, qdamp=qdamp))

    first = [refined(match.entry, match.bond) for match in leaders.values()]
    best = min(candidate.fit.r_w for candidate in first)
    found = {candidate.entry.name: candidate for candidate in first}
    profiles: dict[str, list[SizeSupport]] = {}
    for candidate in first:
        if candidate.fit.r_w <= CONTENDER * best:
            sizes = size_profile(candidate, data, library, r_first=r_range[0], qdamp=qdamp)
            profiles[candidate.entry.family] = sizes
            members = sorted(sizes, key=lambda s: (-s.support, s.entry.name))[:PER_FAMILY]
            if candidate.entry.name not in {member.entry.name for member in members}:
                # Its size contradicts the far range: it only led the way to the family's bond length.
                del found[candidate.entry.name]
            for member in members:
                if member.entry.name not in found:
                    found[member.entry.name] = refined(member.entry, candidate.bond)
    ranked = sorted(found.values(), key=lambda candidate: (candidate.fit.r_w, candidate.entry.name))
    return Refinement(ranked, profiles)


def size_profile(
    leader: Refined, data: Data, library: Library, *, r_first: float, qdamp: float | None
) -> list[SizeSupport]:
    """Compare every member of the leader's family with the data up to ``FULL_RANGE``, with the leader's bond length and
    peak widths, the best scale, and an unknown damping marginalised over its prior.

    Parameters
    ----------
    r_first : start of the range, angstrom.
    """
    r_range = (r_first, min(FULL_RANGE, float(data.r[-1])))
    sigmas = np.zeros(1) if qdamp is not None else DAMPINGS
    spread = np.array([qdamp]) if qdamp is not None else QDAMP_PRIOR[0] + QDAMP_PRIOR[1] * DAMPINGS
    members = library.subset(family=leader.entry.family)
    windows = Windows(data, r_range, thinning=1.0)
    found = []
    for entry in members:
        window = windows.reaching(entry.span * leader.bond)
        f = f_of(library.scattering(entry), window.q, leader.bond, leader.fit["u_iso"], leader.fit["delta2"])
        dampings = np.exp(-0.5 * np.outer(spread, window.r) ** 2)
        misfits = _scaled_misfits((f @ window.kernel) * dampings, window.observed)
        logs = log_likelihood(misfits, data, r_range, SIZE_SHARE)
        support = float(np.logaddexp.reduce(logs - 0.5 * sigmas**2)) + log_prior(entry)
        found.append(SizeSupport(entry, entry.diameter * leader.bond, support))
    return found


def _scaled_misfits(curves: Floats, observed: Floats) -> Floats:
    """R_w of each curve (n, k) with its best non-negative scale."""
    cosine = curves @ observed / (np.linalg.norm(curves, axis=1) * np.linalg.norm(observed) + 1e-300)
    misfits: Floats = np.sqrt(np.maximum(0.0, 1.0 - np.maximum(cosine, 0.0) ** 2))
    return misfits


def log_likelihood(
    r_w: Floats, data: Data, r_range: tuple[float, float], share: float = INDEPENDENT_SHARE
) -> Floats:
    """Tempered log likelihood of each R_w over ``r_range``; see the head of this module."""
    counted = share * data.independent_points(r_range)
    logs: Floats = -0.5 * counted * np.log(np.asarray(r_w) ** 2 + FLOOR**2)
    return logs


def complexity(parameters: int, data: Data, r_range: tuple[float, float]) -> float:
    """k/2 log n, the price of k free parameters (Schwarz, Ann. Stat. 6, 461 (1978))."""
    counted = max(INDEPENDENT_SHARE * data.independent_points(r_range), math.e)
    return 0.5 * parameters * math.log(counted)


def log_prior(entry: Entry) -> float:
    """Multiply twinned particles strain more the more atoms they have, and give way to fcc."""
    return -((entry.n_atoms / TWINNING_LIMIT) ** 2) if entry.family in MULTIPLY_TWINNED else 0.0


def probabilities(refined: Sequence[Refined], data: Data, r_range: tuple[float, float]) -> Floats:
    """Probability of each refined candidate; sums to one."""
    logs = log_likelihood(np.array([c.fit.r_w for c in refined]), data, r_range)
    logs = logs + np.array([log_prior(c.entry) for c in refined])
    weight = np.exp(logs - logs.max())
    share: Floats = weight / weight.sum()
    return share
