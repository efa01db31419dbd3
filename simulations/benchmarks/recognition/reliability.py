"""How far stated probabilities can be believed: the expected calibration error and the reliability curve.

    ECE = sum_b n_b / n |share right in bin b - mean probability in bin b|

over bins that hold about equally many answers each ("adaptive"; Nguyen and O'Connor, EMNLP 2015), so that no bin is
empty; equal probabilities stay together.
*Classwise* (Kull et al., NeurIPS 2019) takes the same of the probability given to each type against whether it is the
type, and averages over types. Even perfect answers have an ECE above zero with finitely many patterns: ``floor`` is
what they would have on average with these very probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.simulations.benchmarks.recognition.estimates import LEVEL, Estimate, EstimateError, share

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS = 15
"""As the papers on calibration use."""
LEAST_IN_BIN = 20
"""Fewer answers than this leave a share uncertain by over 10 %, so that small samples get fewer bins."""
RESAMPLED = 500
"""Bootstrap samples: their 2.5 % quantile rests on a dozen."""
LEAST_OF_TYPE = 20
"""Patterns of a type from which its own calibration is named."""


@dataclass(frozen=True)
class Bin:
    """Answers of similar probability: their mean, how many there are, and the share of them that is right."""

    probability: float
    right: Estimate


@dataclass(frozen=True)
class Calibration:
    """``ece`` with its interval, ``floor`` as at the head of this module, and the curve."""

    ece: Estimate
    floor: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Classwise:
    """Mean over the types that occur, and the worst of those that occur often enough (``None`` where none does)."""

    mean: float
    types: int
    worst: tuple[str, float] | None


def calibration(probability: Floats, right: Flags, seed: int) -> Calibration:
    """Of the probability given to the first answer, (n,), and whether it is right, (n,).

    The interval is that of the bootstrap, moved by the bias that resampling adds: a sample drawn from a sample is less
    even, and its ECE larger, by about as much as the sample's is above the truth's.

    Raises
    ------
    EstimateError
        Without answers.
    """
    n = len(probability)
    if n == 0:
        raise EstimateError("count: a calibration of no patterns is none; draw at least one")
    generator = np.random.default_rng([seed, n])
    value = _ece(probability, right)
    again = np.empty(RESAMPLED)
    perfect = np.empty(RESAMPLED)
    for k in range(RESAMPLED):
        drawn = generator.integers(0, n, n)
        again[k] = _ece(probability[drawn], right[drawn])
        perfect[k] = _ece(probability, generator.random(n) < probability)
    tail = 50.0 * (1.0 - LEVEL)
    low, high = np.percentile(again, [tail, 100.0 - tail]) - (again.mean() - value)
    estimate = Estimate(value, float(max(0.0, min(low, value))), float(max(high, value)), n)
    bins = tuple(Bin(float(probability[part].mean()), share(right[part])) for part in _bins(probability))
    return Calibration(estimate, float(perfect.mean()), bins)


def classwise(given: Sequence[dict[str, float]], truth: Sequence[str]) -> Classwise:
    """Of all probabilities, not the first alone.

    Parameters
    ----------
    given : the probability of each type named for a pattern; others have zero.
    """
    errors: dict[str, float] = {}
    common: dict[str, float] = {}
    for name in sorted(set(truth)):
        probability = np.array([answer.get(name, 0.0) for answer in given])
        right = np.array([t == name for t in truth])
        errors[name] = _ece(probability, right)
        if int(right.sum()) >= LEAST_OF_TYPE:
            common[name] = errors[name]
    worst = max(common.items(), key=lambda pair: pair[1]) if common else None
    return Classwise(float(np.mean(list(errors.values()))) if errors else 0.0, len(errors), worst)


def _starts(ordered: Floats) -> NDArray[np.intp]:
    """Where each bin begins among rising probabilities; equal ones stay in one bin."""
    count = max(1, min(BINS, len(ordered) // LEAST_IN_BIN))
    even = np.arange(count) * len(ordered) // count
    return np.unique(np.searchsorted(ordered, ordered[even]))


def _bins(probability: Floats) -> list[NDArray[np.intp]]:
    """Which answers each bin holds, by rising probability."""
    order = np.argsort(probability, kind="stable")
    return np.split(order, _starts(probability[order])[1:])


def _ece(probability: Floats, right: Flags) -> float:
    order = np.argsort(probability)
    ordered = probability[order]
    excess = np.add.reduceat(right[order] - ordered, _starts(ordered))
    return float(np.abs(excess).sum()) / len(probability)
