"""The coarse match for many patterns of one instrument: every geometry at every bond length, by matrix products.

A match is the cosine between the pattern and the library's curve, as in :mod:`solvus.models.recognition.matching`,
whose curves it uses. Nothing is refined, and nothing is judged: for that each pattern goes through `identify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import PatternError
from solvus.models.recognition.matching import Matcher, Setting, bond_at
from solvus.models.structures.library import Entry, Library

Floats = NDArray[np.float64]
WIDTHS = (0.004, 0.007, 0.012)
"""Displacements tried, angstrom^2. With one alone, a particle that moves more is taken for a larger or smaller one."""


@dataclass(frozen=True)
class BulkMatches:
    """The best geometry of each of b patterns.

    Attributes
    ----------
    entry : (b,) its number among the entries tried; ``bond`` : (b,) angstrom; ``u`` : (b,) displacement of the curve,
        angstrom^2; ``correlation`` : (b,) cosine.
    """

    entry: NDArray[np.int64]
    bond: Floats
    u: Floats
    correlation: Floats


def matchers(library: Library, setting: Setting, widths: Sequence[float] = WIDTHS) -> tuple[Matcher, ...]:
    """One matcher for each displacement, angstrom^2."""
    return tuple(Matcher(library, setting, u) for u in widths)


def match_many(
    matchers: Sequence[Matcher], r: Floats, g: NDArray[np.floating], bonds: range, entries: tuple[Entry, ...]
) -> BulkMatches:
    """Match b patterns on one grid.

    Parameters
    ----------
    matchers : of the instrument's setting, for one displacement or several.
    r : (k,) uniform, angstrom, covering the setting's range; g : (b, k).
    bonds : indices of the bond lengths to try, see :func:`solvus.models.recognition.matching.bond_indices`.

    Raises
    ------
    PatternError
        When the grid does not cover the setting's range.
    """
    data = _on_grid(r, g, matchers[0].setting.r)
    norm = np.linalg.norm(data, axis=1, keepdims=True)
    data /= np.where(norm > 0, norm, 1.0)
    count = len(data)
    best = np.full(count, -np.inf, dtype=np.float32)
    entry, bond, u = np.zeros(count, dtype=np.int64), np.zeros(count), np.zeros(count)
    for matcher in matchers:
        for k in bonds:
            scores = data @ matcher.curves(k, entries).T
            winner = scores.argmax(axis=1)
            score = scores[np.arange(count), winner]
            better = score > best
            best[better], entry[better] = score[better], winner[better]
            bond[better], u[better] = bond_at(k), matcher.u
    return BulkMatches(entry, bond, u, best.astype(np.float64))


def _on_grid(r: Floats, g: NDArray[np.floating], wanted: Floats) -> NDArray[np.float32]:
    """Linear interpolation of every row: (b, len(wanted))."""
    if wanted[0] < r[0] or wanted[-1] > r[-1]:
        raise PatternError(
            f"r: {r[0]:g} to {r[-1]:g} angstrom, but the matcher needs {wanted[0]:g} to {wanted[-1]:.4g}"
        )
    low = np.clip(np.searchsorted(r, wanted, side="right") - 1, 0, len(r) - 2)
    t = ((wanted - r[low]) / (r[low + 1] - r[low])).astype(np.float32)
    values: NDArray[np.float32] = np.asarray(g[:, low] * (1.0 - t) + g[:, low + 1] * t, dtype=np.float32)
    return values
