"""Which structures of the whole catalogue are worth refining: a matched filter under the pattern's own conditions.

A structure's G(r), stretched and broadened in steps and cut to spheres of several diameters, is compared with the data
by the cosine between both over the range; the best stretch, width and diameter count. Every step is one matrix product
for the whole catalogue (:mod:`solvus.models.recognition.signatures`). Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.candidates import Data
from solvus.models.recognition.signatures import STEP, Signatures

Floats = NDArray[np.float64]
T = TypeVar("T")

STRETCHES: Floats = np.linspace(0.965, 1.035, 15)
"""Steps of half a percent shift a peak at 10 angstrom by a quarter of its width; cells predicted from radii err by 1 to
2 %, heat and size change them by up to 1 %."""
DISPLACEMENTS = (0.002, 0.006, 0.015)
"""angstrom^2 beyond that of the signatures."""
DIAMETERS = (8.0, 12.0, 18.0, 27.0, 45.0, math.inf)
"""angstrom."""
FARTHEST = 20.0
"""angstrom: the far peaks of cells whose axes err differently no longer agree with the data under one stretch."""
POINTS_PER_NYQUIST = 1.5


@dataclass(frozen=True)
class Hit:
    """A structure with the cosine between its best curve and the data, and what made it the best."""

    name: str
    cosine: float
    stretch: float
    diameter: float


def screen(
    signatures: Signatures,
    data: Data,
    r_range: tuple[float, float],
    *,
    qdamp: float,
    stretches: Floats = STRETCHES,
) -> list[Hit]:
    """Best curve of every structure, best first.

    Parameters
    ----------
    data : the pattern; r_range : over which it is compared, at most to ``FARTHEST``.
    qdamp : of the instrument, 1/angstrom.
    stretches : of the cells that are tried.
    """
    if not signatures.names:
        return []
    last = min(r_range[1], FARTHEST, float(data.r[-1]))
    first = max(r_range[0], float(data.r[0]))
    r = np.arange(first, last, math.pi / data.qmax / POINTS_PER_NYQUIST)
    envelopes = _envelopes(r) * np.exp(-0.5 * (qdamp * r) ** 2)
    observed = np.interp(r, data.r, data.g)
    observed /= np.linalg.norm(observed) or 1.0
    weighted, squared = (envelopes * observed).T.astype(np.float32), (envelopes**2).T.astype(np.float32)
    best = np.full(len(signatures.names), -1.0)
    chosen = np.zeros((len(best), 2))
    for stretch in stretches:
        waves, share = _waves(signatures.q, r, float(stretch), data)
        for displacement in DISPLACEMENTS:
            damped = share * np.exp(-displacement * (signatures.q / stretch) ** 2)
            curves = (signatures.f * damped.astype(np.float32)) @ waves
            cosine = (curves @ weighted) / np.sqrt(np.square(curves) @ squared + 1e-30)
            cosine[~signatures.crystalline, :-1] = -1.0  # a cluster has no other size
            which = cosine.argmax(axis=1)
            value = np.take_along_axis(cosine, which[:, None], axis=1)[:, 0]
            better = value > best
            best[better] = value[better]
            chosen[better, 0], chosen[better, 1] = stretch, np.array(DIAMETERS)[which[better]]
    hits = [
        Hit(name, float(value), float(stretch), float(diameter))
        for name, value, (stretch, diameter) in zip(signatures.names, best, chosen, strict=True)
    ]
    return sorted(hits, key=lambda hit: (-hit.cosine, hit.name))


def _envelopes(r: Floats) -> Floats:
    """Shape function of a sphere of each diameter at r: (diameters, k)."""
    x = np.minimum(r / np.array(DIAMETERS)[:, None], 1.0)
    return np.asarray(1.0 - 1.5 * x + 0.5 * x**3)


def _waves(q: Floats, r: Floats, stretch: float, data: Data) -> tuple[NDArray[np.float32], Floats]:
    """What turns signatures into curves, (m, k), and the share of each sample within the range of Q, (m,)."""
    # Each sample stands for a bin, which a limit of Q may cut.
    low, high = ((limit * stretch - (q - 0.5 * STEP)) / STEP for limit in (data.qmin, data.qmax))
    share = np.clip(high, 0.0, 1.0) - np.clip(low, 0.0, 1.0)
    return np.sin(np.outer(q / stretch, r).astype(np.float32)), share


def worth_refining(hits: Sequence[T], kinds: Sequence[str], most: int, each: int) -> list[T]:
    """The first ``most`` hits with at most ``each`` of one kind (structure type), so that one type in many metals does
    not crowd out the others.

    Parameters
    ----------
    kinds : the kind of each hit.
    """
    taken: dict[str, int] = {}
    kept: list[T] = []
    for hit, kind in zip(hits, kinds, strict=True):
        if taken.get(kind, 0) < each:
            taken[kind] = taken.get(kind, 0) + 1
            kept.append(hit)
        if len(kept) == most:
            break
    return kept
