"""Figures with the interval that chance leaves to them, at a confidence of 95 %.

    Wilson          (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    Clopper-Pearson beta quantiles; its coverage is never below what is stated
    mean            m -+ z s / sqrt(n)
    quantile        the two order statistics between which it lies with that confidence (binomial)

Patterns are taken as independent draws. Shares are between 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, binom, norm

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure from ``n`` patterns; ``low`` and ``high`` bound it at ``LEVEL``, and are the figure itself where
    nothing is left to chance."""

    value: float
    low: float
    high: float
    n: int


class EstimateError(ValueError):
    """There is nothing to estimate from; one sentence."""


def _counted(hits: ArrayLike) -> tuple[int, int]:
    flags = np.asarray(hits, dtype=bool)
    if flags.size == 0:
        raise EstimateError("count: a share of no patterns is none; draw at least one")
    return int(flags.sum()), int(flags.size)


def share(hits: ArrayLike, level: float = LEVEL) -> Estimate:
    """How often something holds, with Wilson's interval (J. Am. Stat. Assoc. 22, 209 (1927)).

    Raises
    ------
    EstimateError
        When ``hits`` (n,) is empty.
    """
    k, n = _counted(hits)
    z = float(norm.ppf(0.5 + level / 2.0))
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1.0 + z**2 / n)
    half = z * math.sqrt(p * (1.0 - p) / n + z**2 / (4 * n**2)) / (1.0 + z**2 / n)
    # At 0 and n the interval ends at the share itself but for rounding.
    return Estimate(p, 0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half, n)


def exact_share(hits: ArrayLike, level: float = LEVEL) -> Estimate:
    """The same with the interval of Clopper and Pearson (Biometrika 26, 404 (1934)), for what claims a coverage.

    Raises
    ------
    EstimateError
        When ``hits`` (n,) is empty.
    """
    k, n = _counted(hits)
    tail = (1.0 - level) / 2.0
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1.0 - tail, k + 1, n - k))
    return Estimate(k / n, low, high, n)


def mean(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of ``values`` (n,), with the interval of a normal distribution.

    Raises
    ------
    EstimateError
        When there are none.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        raise EstimateError("count: a mean of no patterns is none; draw at least one")
    value = float(sample.mean())
    spread = float(sample.std(ddof=1)) if sample.size > 1 else 0.0
    half = float(norm.ppf(0.5 + level / 2.0)) * spread / math.sqrt(sample.size)
    return Estimate(value, value - half, value + half, int(sample.size))


def quantile(values: ArrayLike, q: float, level: float = LEVEL) -> Estimate:
    """Quantile ``q`` of ``values`` (n,) with a distribution-free interval; where n is too small for it, the extremes.

    Raises
    ------
    EstimateError
        When there are none.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if n == 0:
        raise EstimateError("count: a quantile of no patterns is none; draw at least one")
    tail = (1.0 - level) / 2.0
    low = int(binom.ppf(tail, n, q)) - 1
    high = int(binom.ppf(1.0 - tail, n, q))
    return Estimate(
        float(np.quantile(ordered, q)),
        float(ordered[np.clip(low, 0, n - 1)]),
        float(ordered[np.clip(high, 0, n - 1)]),
        n,
    )
