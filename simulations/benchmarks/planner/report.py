"""What a comparison of planners comes to: hit rates, medians with intervals, paired tests, survival curves.

A run that did not hit within the budget counts as more experiments than the budget wherever runs are ranked, never as a
number. Medians are over all runs so ranked; one that would lie beyond the budget is ``None``.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from solvus.simulations.benchmarks.planner.race import Race

RESAMPLES, RESAMPLE_SEED = 2000, 20130527
"""Of the bootstrap behind an interval; more change it by less than an experiment."""
OURS = "solvus"


@dataclass
class Report:
    """Runs of several planners on the same seeds of one world."""

    world: str
    objective: str
    budget: int
    workers: int
    seeds: int
    skipped: list[str] = field(default_factory=list)
    races: list[Race] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(r.method for r in self.races))

    def of(self, name: str) -> list[Race]:
        return sorted((r for r in self.races if r.method == name), key=lambda r: r.seed)

    def ranked(self, name: str) -> NDArray[np.float64]:
        """Experiments needed by seed; what did not hit counts one more than the budget and its confirmation."""
        return np.array([float(r.experiments or self.budget + 2) for r in self.of(name)])

    def method(self, name: str) -> dict[str, Any]:
        races = self.of(name)
        found = [r.experiments for r in races if r.experiments is not None]
        asks = [s for r in races for s in r.ask_seconds]
        walls = [s for r in races for s in r.wall_seconds]
        low, high = self._interval(name)
        left_out = [z for r in races for _, z in r.left_out]
        levels = [level for r in races for level in r.levels]
        return {
            "hit_rate": len(found) / len(races),
            "median": self._within(float(np.median(self.ranked(name)))),
            "median_interval": [self._within(low), self._within(high)],
            "worst": max(found) if len(found) == len(races) else None,
            "experiments": [r.experiments for r in races],
            "best_misfit": [r.best[-1] for r in races],
            "hours": [r.hours for r in races],
            "failures": [r.failures for r in races],
            "seconds_per_ask": statistics.median(asks) if asks else 0.0,
            "wall_seconds_per_ask": statistics.median(walls) if walls else 0.0,
            "left_out_sd": [min(left_out), statistics.median(left_out), max(left_out)] if left_out else None,
            "left_out_by_output": _spreads([pair for r in races for pair in r.left_out]),
            "ahead_by_output": _spreads([pair for r in races for pair in r.ahead]),
            "ahead_beyond_two": _beyond_two([pair for r in races for pair in r.ahead]),
            "levels": {level: levels.count(level) for level in sorted(set(levels))},
        }

    def _within(self, value: float) -> float | None:
        return value if value <= self.budget + 1 else None

    def _interval(self, name: str) -> tuple[float, float]:
        """95 % bootstrap interval of the median."""
        ranked = self.ranked(name)
        draws = np.random.default_rng(RESAMPLE_SEED).choice(ranked, (RESAMPLES, len(ranked)))
        low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
        return float(low), float(high)

    def pairs(self) -> dict[str, dict[str, Any]]:
        """Ours against each other planner over the seeds that both ran: wins, ties, Wilcoxon's signed-rank test on the
        experiments needed, and the ratio of the medians."""
        if OURS not in self.names:
            return {}
        found: dict[str, dict[str, Any]] = {}
        mine = {r.seed: float(r.experiments or self.budget + 2) for r in self.of(OURS)}
        for name in self.names:
            if name == OURS:
                continue
            other = {r.seed: float(r.experiments or self.budget + 2) for r in self.of(name)}
            seeds = sorted(mine.keys() & other.keys())
            a, b = np.array([mine[s] for s in seeds]), np.array([other[s] for s in seeds])
            p = float(wilcoxon(a, b).pvalue) if (a != b).any() else 1.0
            found[name] = {
                "seeds": len(seeds),
                "wins": int((a < b).sum()),
                "losses": int((a > b).sum()),
                "wilcoxon_p": p,
                "median_ratio": float(np.median(b) / np.median(a)),
                "ratio_is_a_bound": bool(np.median(b) > self.budget + 1),
            }
        return found

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "world": self.world,
            "objective": self.objective,
            "budget": self.budget,
            "workers": self.workers,
            "seeds": self.seeds,
            "methods": {name: self.method(name) for name in self.names},
            "against_solvus": self.pairs(),
            "skipped": self.skipped,
        }

    def races_document(self) -> list[dict[str, Any]]:
        return [asdict(r) for r in self.races]


def _by_output(scores: Sequence[tuple[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = sorted({output for output, _ in scores})
    found = {name: np.array([z for output, z in scores if output == name]) for name in names}
    return found | ({"all": np.array([z for _, z in scores])} if names else {})


def _spreads(scores: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Root mean square of z-scores, or of root mean squares of equal weight, by output and of all together."""
    return {name: float(np.sqrt(np.mean(z**2))) for name, z in _by_output(scores).items()}


def _beyond_two(scores: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Share of the z-scores beyond 2, by output and of all together; 0.05 where spreads are right."""
    return {name: float(np.mean(np.abs(z) > 2.0)) for name, z in _by_output(scores).items()}


def survival_figure(report: Report, path: Path) -> None:
    """Share of the seeds that have not hit yet, against experiments."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
    for name in report.names:
        ranked = report.ranked(name)
        axes.step(
            *_survival(ranked, report.budget), where="post", label=name, lw=2.0 if name == OURS else 1.2
        )
    axes.set_xlabel("experiments")
    axes.set_ylabel("share of seeds not yet there")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(0, report.budget)
    workers = "" if report.workers == 1 else f", {report.workers} workers"
    objective = {"gr": "G(r)", "sq": "S(Q)"}[report.objective]
    axes.set_title(f"{report.world}, {objective}{workers}: {report.seeds} seeds")
    # Beside the curves: they go everywhere.
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _survival(ranked: Sequence[float] | NDArray[np.float64], budget: int) -> tuple[list[int], list[float]]:
    counts = list(range(budget + 1))
    return counts, [float(np.mean(np.asarray(ranked) > n)) for n in counts]
