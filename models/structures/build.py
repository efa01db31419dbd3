"""Make the library's data files of metal clusters: ``solvus library build`` does it, in minutes.

The same versions give the same bytes on any number of processes and on any processor: nothing here is random or dated,
and what is computed is rounded far above the last digits of a sum (:mod:`solvus.models.structures.library_file`).
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.scattering.debye import PairHistogram, pair_histogram, sine_sums
from solvus.models.scattering.unit_factor import UnitScattering
from solvus.models.structures.clusters import Cluster
from solvus.models.structures.library import NEAR, Q_LIMIT
from solvus.models.structures.library_file import HISTOGRAM_STEP, PHASE_STEP, Row, rounded

SPARE_SAMPLES = 6
"""Samples beyond Q_LIMIT that the six-point interpolation reaches for."""
EMPTY = 1e-8
"""Weight per atom below which a node holds nothing but rounding: distances are good to 1e-13, a share of 1e-10 of a
step, and an atom has tens of neighbours at one distance."""
SAME = 1e-4
"""Relative; two constructions whose samples agree to this are one geometry."""

Progress = Callable[[Iterable[Row], int], Iterable[Row]]


def scattering_of(positions: NDArray[np.float64]) -> tuple[int, UnitScattering]:
    """Span, in steps of the histogram, and X(q) of a unit geometry (n, 3)."""
    histogram = pair_histogram(positions, step=HISTOGRAM_STEP)
    steps = int(np.flatnonzero(np.abs(histogram.weights[0]) > EMPTY * histogram.n_atoms)[-1])
    step = PHASE_STEP / (steps * HISTOGRAM_STEP)
    q = torch.arange(math.ceil(Q_LIMIT / step) + SPARE_SAMPLES, dtype=torch.float64) * step
    samples = sine_sums(histogram, q)[0].numpy() / histogram.n_atoms
    distance, pairs = _near_pairs(histogram)
    return steps, UnitScattering(step, samples, distance, pairs)


def _near_pairs(histogram: PairHistogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clusters of occupied nodes up to ``NEAR``, each with its mean distance: a distance occupies up to four
    nodes."""
    weights = histogram.weights[0][: int(NEAR / histogram.step)]
    weights = np.where(np.abs(weights) > EMPTY * histogram.n_atoms, weights, 0.0)
    d = np.arange(len(weights)) * histogram.step
    group = np.concatenate([[0], np.cumsum(np.abs(weights[1:]) <= 0.0)])
    pairs = np.bincount(group, weights=weights)
    moment = np.bincount(group, weights=weights * d)
    kept = pairs > 0.5
    return moment[kept] / pairs[kept], pairs[kept] / histogram.n_atoms


def row_of(cluster: Cluster) -> Row:
    """A geometry with its scattering, rounded as in the file."""
    steps, unit = scattering_of(cluster.build())
    return Row(cluster.name, cluster.family, cluster.shape, cluster.n_atoms, steps, rounded(unit))


def rows_of(
    clusters: Sequence[Cluster],
    known: Sequence[Row] = (),
    *,
    processes: int = 1,
    progress: Progress = lambda rows, total: rows,
) -> list[Row]:
    """The distinct geometries among ``clusters``, in their order, without those of ``known``.

    Parameters
    ----------
    processes : spawned, one thread each; the answer does not depend on their number.
    progress : wraps the rows as they come, given how many there will be.
    """
    kept: list[Row] = []
    for row in progress(_computed(clusters, processes), len(clusters)):
        if not any(_same(row, other) for other in (*known, *kept)):
            kept.append(row)
    return kept


def _computed(clusters: Sequence[Cluster], processes: int) -> Iterator[Row]:
    if processes == 1:
        yield from map(row_of, clusters)
        return
    with worker_pool(processes) as pool:
        yield from pool.map(row_of, clusters)


@contextmanager
def worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes with one thread each; what is still to do is dropped when the block is left."""
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), begin_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def begin_worker() -> None:
    """In each worker: one thread, no word on Ctrl-C (its parent speaks), and an end when its parent ends."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _same(row: Row, other: Row) -> bool:
    """Two constructions of one geometry, such as the 13-atom cuboctahedron and the sphere of 13 sites."""
    if row.n_atoms != other.n_atoms or len(row.scattering.samples) != len(other.scattering.samples):
        return False
    samples, known = row.scattering.samples, other.scattering.samples
    return bool(np.allclose(samples, known, atol=SAME * np.abs(known).max()))
