"""How well a score keeps other chemistry apart: false acceptance at a fixed true acceptance, ROC and the area under it.

A pattern is accepted when its strangeness is at most a threshold, which is fixed on draws of the library's own
chemistry that serve nothing else. The area is the probability that a foreign pattern is stranger than one of the
library (Mann and Whitney; ties count half). Its interval is that of Newcombe (Stat. Med. 25, 559 (2006), method 5):
the areas A for which |A - observed| = z sqrt(V(A)),

    V(A) = A (1 - A) / (m n) [1 + N (1 - A) / (2 - A) + N A / (1 + A)],    N = (m + n) / 2 - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from solvus.simulations.benchmarks.recognition.estimates import LEVEL, Estimate, EstimateError

Floats = NDArray[np.float64]

TRUE_ACCEPTANCE = 0.95
EDGE = 1e-9
"""From areas of 0 and 1, where the width of the interval's equation vanishes with the area."""


@dataclass(frozen=True)
class Roc:
    """``false`` and ``true`` acceptance (k,) as the threshold rises, and the area under the curve."""

    false: Floats
    true: Floats
    area: Estimate


def threshold(strangeness: Floats, acceptance: float = TRUE_ACCEPTANCE) -> float:
    """The least score under which at least ``acceptance`` of future patterns like these fall.

    It is the ceil((n + 1) acceptance)-th smallest of n, which holds for the average over draws of the n (split
    conformal prediction; Vovk et al., 2005).

    Raises
    ------
    EstimateError
        When the scores (n,) are too few to say so.
    """
    n = len(strangeness)
    rank = math.ceil((n + 1) * acceptance)
    if rank > n:
        least = math.ceil(acceptance / (1.0 - acceptance))
        raise EstimateError(
            f"count: {n} calibration patterns fix no threshold at {acceptance:.0%}; {least} do"
        )
    return float(np.sort(strangeness)[rank - 1])


def roc(own: Floats, foreign: Floats) -> Roc:
    """From the strangeness of patterns of the library (m,) and of foreign ones (n,).

    Raises
    ------
    EstimateError
        When either is empty.
    """
    m, n = len(own), len(foreign)
    if not m or not n:
        raise EstimateError("count: a ROC needs patterns of the library and foreign ones")
    ranks = rankdata(np.concatenate([own, foreign]))
    area = float((ranks[m:].sum() - n * (n + 1) / 2.0) / (m * n))
    levels = np.unique(np.concatenate([own, foreign]))
    false = np.searchsorted(np.sort(foreign), levels, side="right") / n
    true = np.searchsorted(np.sort(own), levels, side="right") / m
    return Roc(np.append(0.0, false), np.append(0.0, true), _with_interval(area, m, n))


def _with_interval(area: float, m: int, n: int) -> Estimate:
    z = float(norm.ppf(0.5 + LEVEL / 2.0))
    half = (m + n) / 2.0 - 1.0

    def excess(other: float) -> float:
        pull = 1.0 + half * ((1.0 - other) / (2.0 - other) + other / (1.0 + other))
        return abs(other - area) - z * math.sqrt(other * (1.0 - other) * pull / (m * n))

    inside = min(max(area, EDGE), 1.0 - EDGE)
    low = 0.0 if area == 0.0 else float(brentq(excess, 0.0, inside))
    high = 1.0 if area == 1.0 else float(brentq(excess, inside, 1.0))
    return Estimate(area, low, high, m + n)
