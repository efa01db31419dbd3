"""The coarse match: how well every geometry of the library correlates with a pattern, at every bond length.

All curves are computed under the pattern's own Qmin and Qmax, on a common r grid near Nyquist, for a typical
peak width; the match is the cosine between curve and data. They come from short curves of F(Q)
(:mod:`solvus.models.recognition.geometry_curves`), depend on the conditions and not on the data, and are kept for the
patterns that follow from the same instrument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.geometry_curves import (
    GEOMETRY_REACH,
    REFERENCE_BOND,
    half_steps,
    still_rows,
)
from solvus.models.refinement.least_squares import U_START
from solvus.models.structures.library import Entry, Library

Floats = NDArray[np.float64]

BOND_START, BOND_RATIO = 2.0, 1.004
"""Bond lengths tried are 2 * 1.004^k angstrom: 0.4 % shifts a peak at 25 angstrom by its own width."""
FARTHEST = 30.0
"""angstrom; matching beyond adds sizes, which the full-range comparison settles better."""
POINTS_PER_NYQUIST = 1.5
CACHED_BONDS, CACHED_SETTINGS = 300, 3
"""Curves of the whole library at one bond length take up to half a megabyte, all metals need 170 bond lengths, and each
instrument has a setting of its own: at most 450 MB, however many patterns of however many instruments come by."""


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

    def _curves(self, k: int, entries: tuple[Entry, ...]) -> NDArray[np.float32]:
        """Normalised curves at bond length k, one matrix product for all: (entries, points)."""
        setting, stretch = self.setting, bond_at(k) / REFERENCE_BOND
        step = math.pi / GEOMETRY_REACH
        inside = half_steps() < setting.qmax * stretch + step
        q = half_steps()[inside] / stretch
        # Each sample stands for a bin, which a limit of Q may cut.
        low, high = ((limit - q) * stretch / step + 0.5 for limit in (setting.qmin, setting.qmax))
        share = (np.clip(high, 0.0, 1.0) - np.clip(low, 0.0, 1.0)) * np.exp(-self.u * q**2)
        waves = np.sin(np.outer(q, setting.r).astype(np.float32))
        rows = still_rows(self.library)[[entry.index for entry in entries]][:, inside]
        curves: NDArray[np.float32] = (rows * share.astype(np.float32)) @ waves
        curves *= np.exp(-0.5 * (setting.qdamp * setting.r) ** 2).astype(np.float32)
        norm = np.linalg.norm(curves, axis=1, keepdims=True)
        return np.asarray(curves / np.where(norm > 0, norm, 1.0), dtype=np.float32)


def bond_at(k: int) -> float:
    """Bond length with index k, angstrom."""
    return float(BOND_START * BOND_RATIO**k)


def bond_indices(shortest: float, longest: float) -> range:
    """Indices of the bond lengths that cover a range (angstrom), both ends included."""
    first = math.floor(math.log(shortest / BOND_START) / math.log(BOND_RATIO))
    last = math.ceil(math.log(longest / BOND_START) / math.log(BOND_RATIO))
    return range(first, last + 1)


@lru_cache(maxsize=CACHED_SETTINGS)
def matcher(library: Library, setting: Setting) -> Matcher:
    """The matcher of this process for a library and setting; kept, so that its curves are."""
    return Matcher(library, setting)
