"""How long an answer takes, one pattern at a time and many together, on one thread."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvus.models.identify import identify
from solvus.models.pattern import Pattern
from solvus.simulations.benchmarks.recognition.answer import Declared, Recogniser
from solvus.simulations.benchmarks.recognition.bench import Bench, Part
from solvus.simulations.benchmarks.recognition.estimates import Estimate, quantile
from solvus.simulations.benchmarks.recognition.results import Figure, Goal, Measured

Floats = NDArray[np.float64]

SINGLE = 100
"""Patterns timed one by one: the interval of the median then covers a fifth of them, that of the 95th percentile the
slowest tenth."""
IDENTIFIED = 15
"""Patterns timed through ``identify``, which refines."""
BULK = 10_000
"""Patterns in bulk."""
FRESH = 1e-4
"""Noise, as a share of max|G|, that makes a repeated pattern another one, so that nothing kept from it helps."""


def timed(bench: Bench, part: Part, single_goal: Goal, identify_goal: Goal) -> Measured:
    """Latency and throughput of every recogniser over the whole library, and of ``identify`` with refinement.

    Goals are asked of the median of the first recogniser and of the 95th percentile of ``identify``.
    """
    count = SINGLE if bench.count is None else bench.count
    patterns = [draw.pattern for draw in part.draws(count)]
    figures: list[Figure] = []
    for name in bench.names:
        recogniser = bench.recogniser(name)
        if isinstance(recogniser, Declared):
            recogniser.expect(part.prior)
        start = time.perf_counter()
        _answered(recogniser, patterns[:1])
        first = 1e3 * (time.perf_counter() - start)
        seconds = [
            _seconds(recogniser, [p])
            for p in bench.progress(patterns[1:] or patterns, len(patterns), f"one by one, {name}")
        ]
        times = 1e3 * np.array(seconds)
        goal = single_goal if name == ("network" if "network" in bench.names else bench.first) else None
        figures += [
            Figure("median of one pattern", part.label, name, quantile(times, 0.5), "ms", goal=goal),
            Figure("95th percentile", part.label, name, quantile(times, 0.95), "ms"),
            Figure(
                "the very first answer",
                part.label,
                name,
                Estimate(first, first, first, 1),
                "ms",
                remark="with reading of files that had not been read yet",
            ),
            _bulk(bench, recogniser, name, part, patterns),
        ]
    figures += _identified(bench, part, patterns, identify_goal)
    return Measured(tuple(figures))


def _bulk(bench: Bench, recogniser: Recogniser, name: str, part: Part, patterns: Sequence[Pattern]) -> Figure:
    """Patterns per second, over as many as the recogniser is given at most."""
    count = bench.counted(name, BULK)
    many = _fresh(patterns, count, bench.seed)
    start = time.perf_counter()
    for _ in bench.progress(recogniser.answers(many, None), count, f"in bulk, {name}"):
        pass
    rate = count / (time.perf_counter() - start)
    return Figure("in bulk", part.label, name, Estimate(rate, rate, rate, count), "patterns/s")


def _identified(bench: Bench, part: Part, patterns: Sequence[Pattern], goal: Goal) -> list[Figure]:
    seconds = []
    few = patterns[:IDENTIFIED]
    for pattern in bench.progress(few, len(few), "identify with refinement"):
        start = time.perf_counter()
        identify(pattern)
        seconds.append(time.perf_counter() - start)
    by = "identify, one process"
    return [
        Figure("median of one pattern", part.label, by, quantile(seconds, 0.5), "s"),
        Figure("95th percentile", part.label, by, quantile(seconds, 0.95), "s", goal=goal),
    ]


def _answered(recogniser: Recogniser, patterns: Sequence[Pattern]) -> None:
    for _ in recogniser.answers(patterns, None):
        pass


def _seconds(recogniser: Recogniser, patterns: Sequence[Pattern]) -> float:
    start = time.perf_counter()
    _answered(recogniser, patterns)
    return time.perf_counter() - start


def _fresh(patterns: Sequence[Pattern], count: int, seed: int) -> list[Pattern]:
    """``count`` patterns, the given ones with a trace of other noise each."""
    generator = np.random.default_rng([seed, count])
    found = []
    for k in range(count):
        pattern = patterns[k % len(patterns)]
        level = FRESH * float(np.abs(pattern.y).max())
        y = pattern.y + level * generator.standard_normal(len(pattern.y))
        found.append(pattern.model_copy(update={"y": y}))
    return found
