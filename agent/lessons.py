"""What a measured pattern teaches the planner beside its identification: its curve, and its misfit to the target's.

Both serve where descriptors teach nothing (:mod:`solvus.agent.planner.ladder`). Curves are G(r) on one grid over the
campaign's ``r_range``, divided by their root mean square, because what one sample scatters more than another is its
amount. The misfit is that of :func:`solvus.agent.report_figures.compare`, with a scale of its own,

    R_w = sqrt( sum (G_m - s G_t)^2 / sum G_m^2 ),   s >= 0 by least squares.

They are computed from the patterns in the ledger whenever the planner is asked, so that nothing of them has to be kept,
and a new target has its own misfits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from solvus.models.pattern import FloatVector, Pattern

STEP = 0.155
"""angstrom; about pi / Qmax of a good instrument, between which G(r) holds nothing new."""
LARGEST = 400
"""Points; a longer range is looked at more coarsely."""
DIGITS = 6
"""Significant, of every number: the last digits of a sum depend on the processor, and the same pattern has to give the
same numbers everywhere."""


@dataclass(frozen=True)
class Lesson:
    """Of one pattern: its curve on the grid, and its misfit; ``None`` where it does not reach over the grid, or there
    is no target."""

    curve: tuple[float, ...] | None = None
    misfit: float | None = None


NOTHING = Lesson()


@dataclass
class Lessons:
    """Lessons of patterns by their hash, for one target.

    Attributes
    ----------
    target : its pattern; ``None`` to explore.
    r_range : angstrom.
    """

    target: Pattern | None
    r_range: tuple[float, float]
    _kept: dict[str, Lesson] = field(default_factory=dict)

    @property
    def grid(self) -> FloatVector:
        low, high = self.r_range
        return np.linspace(low, high, min(LARGEST, max(2, round((high - low) / STEP) + 1)))

    @property
    def target_curve(self) -> tuple[float, ...] | None:
        """On the grid."""
        on_grid = None if self.target is None else self._on_grid(self.target)
        return None if on_grid is None else _rounded(on_grid)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._kept

    def take(self, pattern: Pattern) -> None:
        """Learn from a pattern."""
        measured = self._on_grid(pattern)
        if measured is None:
            self._kept[pattern.sha256] = NOTHING
            return
        wanted = None if self.target is None else self._on_grid(self.target)
        misfit = None if wanted is None else _significant(misfit_of(measured, wanted))
        self._kept[pattern.sha256] = Lesson(_rounded(measured), misfit)

    def take_all(self, patterns: Mapping[str, Pattern], wanted: set[str]) -> None:
        """Learn from those that are wanted and not known yet."""
        for sha256 in sorted(wanted):
            if sha256 in patterns and sha256 not in self:
                self.take(patterns[sha256])

    def of(self, sha256: str | None) -> Lesson:
        return NOTHING if sha256 is None else self._kept.get(sha256, NOTHING)

    def _on_grid(self, pattern: Pattern) -> FloatVector | None:
        """The curve with a root mean square of 1; ``None`` for what is no G(r) or does not reach over the grid."""
        grid = self.grid
        if pattern.quantity != "G" or pattern.x[0] > grid[0] + STEP or pattern.x[-1] < grid[-1] - STEP:
            return None
        curve = np.interp(grid, pattern.x, pattern.y)
        size = float(np.sqrt((curve**2).mean()))
        return None if size == 0.0 else curve / size


def misfit_of(measured: FloatVector, wanted: FloatVector) -> float:
    """R_w of the module's formula; 1 for a pattern that has nothing of the target's."""
    scale = max(0.0, float((measured * wanted).sum() / (wanted**2).sum()))
    return float(np.sqrt(((measured - scale * wanted) ** 2).sum() / (measured**2).sum()))


def _significant(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _rounded(curve: FloatVector) -> tuple[float, ...]:
    """To the same absolute digits everywhere: a value near a zero of the curve has none of its own."""
    return tuple(np.round(curve, DIGITS - 1).tolist())
