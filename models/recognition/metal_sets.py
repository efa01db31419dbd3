"""Sets of metals that hold all of a sample's with a promised coverage.

With p_1 >= p_2 >= ... the probabilities that each group of metals is present, a set of the first m leaves none out with

    R_m = prod_{j > m} (1 - p_j)

if the groups are independent. The set is the smallest with R_m > t. Split conformal prediction (Vovk et al., 2005)
fixes t so that the promise holds whether the p are right or not; a bar on R rather than on each p makes sets small where
the pattern is clear and large where it is not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def left_out(p: Floats) -> Floats:
    """R_0 ... R_n of probabilities that do not increase: (n + 1,)."""
    logs = np.log1p(-np.minimum(p, 1.0 - 1e-12))
    return np.asarray(np.exp(np.append(logs[::-1].cumsum()[::-1], 0.0)))


def smallest_set(p: Floats, threshold: float) -> int:
    """How many of the first groups are in the set; ``p`` must not increase."""
    return int(np.flatnonzero(left_out(p) > threshold)[0]) if threshold < 1.0 else len(p)


def conformal_threshold(p: Floats, present: NDArray[np.bool_], coverage: float) -> float:
    """The bar t that lets the sets of ``coverage`` of the patterns hold every group that is present, with the
    correction for their finite number.

    Parameters
    ----------
    p : (n, groups); present : (n, groups), at least one in each row.
    """
    scores = []
    for row, truth in zip(p, present, strict=True):
        order = np.argsort(-row, kind="stable")
        last = int(np.flatnonzero(truth[order])[-1])
        scores.append(left_out(row[order])[last])
    rank = math.ceil((len(scores) + 1) * coverage)
    return 1.0 if rank > len(scores) else float(np.sort(scores)[rank - 1])
