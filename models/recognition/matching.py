"""The coarse match: how well every geometry of the library correlates with a pattern, at every bond length.

All curves are computed under the pattern's own Qmin and Qmax, on a common r grid near Nyquist, for a typical
peak width; the match is the cosine between curve and data. Curves depend on the conditions and not on the
data, so they are kept for the patterns that follow from the same instrument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.least_squares import U_START
from solvus.models.scattering.transform import sine_kernel
from solvus.models.scattering.unit_factor import unit_factor
from solvus.models.structures.library import Entry, Library

Floats = NDArray[np.float64]

BOND_START, BOND_RATIO = 2.0, 1.004
"""Bond lengths tried are 2 * 1.004^k angstrom: 0.4 % shifts a peak at 25 angstrom by its own width."""
FARTHEST = 30.0
"""angstrom; matching beyond adds sizes, which the full-range comparison settles better."""
POINTS_PER_NYQUIST = 1.5
COARSE_OVERSAMPLING = 1.4
"""Q points relative to the least that keeps far distances from folding back; ranking needs no more."""
CACHED_BONDS = 600
"""Curves of the whole library at one bond length take 0.3 MB; this many cover several instruments."""


@dataclass(frozen=True)
class Setting:
    """What the curves depend on: Qmin, Qmax, qdamp (1/angstrom), first and last r (angstrom)."""

    qmin: float
    qmax: float
    qdamp: float
    r_first: float
    r_last: float

    @property
    def r(self) -> Floats:
        step = math.pi / self.qmax / POINTS_PER_NYQUIST
        return np.arange(self.r_first, self.r_last, step)


@dataclass(frozen=True)
class Match:
    """One geometry at its best bond length (angstrom), with the cosine between curve and data."""

    entry: Entry
    bond: float
    correlation: float


class Matcher:
    """Curves of one library under one setting and displacement ``u`` (angstrom^2), computed as they are asked for."""

    def __init__(self, library: Library, setting: Setting, u: float = U_START) -> None:
        self.library, self.setting, self.u = library, setting, u
        self._kernels: dict[int, tuple[Floats, Floats]] = {}
        self.curves = lru_cache(maxsize=CACHED_BONDS)(self._curves)

    def match(self, r: Floats, g: Floats, bonds: range, entries: tuple[Entry, ...]) -> list[Match]:
        """Best bond length of each geometry, best match first.

        Parameters
        ----------
        r, g : the pattern; bonds : indices k of the bond lengths to try; see :func:`bond_indices`.
        """
        data = np.interp(self.setting.r, r, g)
        data = data / (np.linalg.norm(data) or 1.0)
        scores = np.stack([self.curves(k, entries) @ data for k in bonds])
        best = scores.argmax(axis=0)
        found = [
            Match(entry, bond_at(bonds[int(k)]), float(scores[k, i]))
            for i, (entry, k) in enumerate(zip(entries, best, strict=True))
        ]
        return sorted(found, key=lambda m: (-m.correlation, m.entry.name))

    def profile(self, r: Floats, g: Floats, bonds: range, entries: tuple[Entry, ...]) -> Floats:
        """The best correlation of any of ``entries`` at each bond length."""
        data = np.interp(self.setting.r, r, g)
        data = data / (np.linalg.norm(data) or 1.0)
        return np.array([(self.curves(k, entries) @ data).max() for k in bonds])

    def _curves(self, k: int, entries: tuple[Entry, ...]) -> NDArray[np.float32]:
        """Normalised curves at bond length k: (entries, points)."""
        bond = bond_at(k)
        curves = np.empty((len(entries), len(self.setting.r)), dtype=np.float32)
        for i, entry in enumerate(entries):
            q, kernel = self._kernel(self.setting.r_last + entry.span * bond)
            f = unit_factor(self.library.scattering(entry), q * bond) * np.exp(-self.u * q**2)
            curve = f @ kernel
            curves[i] = curve / (np.linalg.norm(curve) or 1.0)
        return curves

    def _kernel(self, reach: float) -> tuple[Floats, Floats]:
        """Kernels come in reaches of 20 angstrom, so that a few serve the whole library."""
        step = math.ceil(reach / 20.0)
        if step not in self._kernels:
            setting = self.setting
            count = (setting.qmax - setting.qmin) * COARSE_OVERSAMPLING * 20.0 * step / (2.0 * math.pi)
            q = np.linspace(setting.qmin, setting.qmax, math.ceil(count) + 1)
            self._kernels[step] = q, sine_kernel(q, setting.r, setting.qdamp)
        return self._kernels[step]


def bond_at(k: int) -> float:
    """Bond length with index k, angstrom."""
    return float(BOND_START * BOND_RATIO**k)


def bond_indices(shortest: float, longest: float) -> range:
    """Indices of the bond lengths that cover a range (angstrom), both ends included."""
    first = math.floor(math.log(shortest / BOND_START) / math.log(BOND_RATIO))
    last = math.ceil(math.log(longest / BOND_START) / math.log(BOND_RATIO))
    return range(first, last + 1)


@lru_cache(maxsize=8)
def matcher(library: Library, setting: Setting) -> Matcher:
    """The matcher of this process for a library and setting; kept, so that its curves are."""
    return Matcher(library, setting)


def representatives(library: Library) -> tuple[Entry, ...]:
    """A small, a middle and a large member of each family, to find bond lengths when no element is known."""
    chosen = []
    for family in sorted({entry.family for entry in library.entries}):
        members = library.subset(family=family)
        for size in (60, 500, 3000):
            chosen.append(min(members, key=lambda e, size=size: abs(math.log(e.n_atoms / size))))  # type: ignore[misc]
    return tuple(dict.fromkeys(chosen))
