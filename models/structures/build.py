"""Make the library's data file: ``python -m solvus.models.structures.build [path]``, about three minutes on
one core.

The same versions on the same machine give the same bytes: nothing here is random or dated.
"""

from __future__ import annotations

import hashlib
import math
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from solvus.models.scattering.debye import PairHistogram, pair_histogram, sine_sums
from solvus.models.scattering.unit_factor import UnitScattering
from solvus.models.structures.clusters import Cluster, all_clusters
from solvus.models.structures.library import DATA, FORMAT, NEAR, Q_LIMIT

HISTOGRAM_STEP = 0.002
"""In units of b, 0.0055 angstrom for platinum: the stencil error at Q_LIMIT is 4e-5."""
PHASE_STEP = 0.4
"""Largest q step times the span: six-point interpolation then errs by 2e-5 for the longest distance."""
SPARE_SAMPLES = 6
"""Samples beyond Q_LIMIT that the six-point interpolation reaches for."""


def scattering_of(positions: NDArray[np.float64]) -> tuple[float, UnitScattering]:
    """Span and X(q) of a unit geometry (n, 3)."""
    histogram = pair_histogram(positions, step=HISTOGRAM_STEP)
    span = (histogram.weights.shape[1] - 1) * HISTOGRAM_STEP
    step = PHASE_STEP / span
    q = torch.arange(math.ceil(Q_LIMIT / step) + SPARE_SAMPLES, dtype=torch.float64) * step
    samples = sine_sums(histogram, q)[0].numpy() / histogram.n_atoms
    distance, pairs = _near_pairs(histogram)
    return span, UnitScattering(step, samples, distance, pairs)


def _near_pairs(histogram: PairHistogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clusters of occupied nodes up to ``NEAR``, each with its mean distance: a distance occupies up to four
    nodes."""
    weights = histogram.weights[0][: int(NEAR / histogram.step)]
    d = np.arange(len(weights)) * histogram.step
    group = np.concatenate([[0], np.cumsum(np.abs(weights[1:]) <= 0.0)])
    pairs = np.bincount(group, weights=weights)
    moment = np.bincount(group, weights=weights * d)
    kept = pairs > 0.5
    return moment[kept] / pairs[kept], pairs[kept] / histogram.n_atoms


def build(path: Path = DATA, clusters: list[Cluster] | None = None) -> str:
    """Write the data file and return its version, the hash of its content."""
    chosen = all_clusters() if clusters is None else clusters
    kept: list[tuple[Cluster, float, UnitScattering]] = []
    for cluster in track(chosen, description="library", disable=not sys.stderr.isatty()):
        span, unit = scattering_of(cluster.build())
        if not any(_same(cluster, unit, other, known) for other, _, known in kept):
            kept.append((cluster, span, unit))
    columns = {
        "name": np.array([c.name for c, _, _ in kept]),
        "family": np.array([c.family for c, _, _ in kept]),
        "shape": np.array([c.shape for c, _, _ in kept]),
        "n_atoms": np.array([c.n_atoms for c, _, _ in kept], dtype=np.int32),
        "span": np.array([span for _, span, _ in kept]),
        "step": np.array([u.step for _, _, u in kept]),
        "n_samples": np.array([len(u.samples) for _, _, u in kept], dtype=np.int32),
        "samples": np.concatenate([u.samples for _, _, u in kept]).astype(np.float32),
        "n_near": np.array([len(u.near_distance) for _, _, u in kept], dtype=np.int32),
        "near_distance": np.concatenate([u.near_distance for _, _, u in kept]).astype(np.float32),
        "near_pairs": np.concatenate([u.near_pairs for _, _, u in kept]).astype(np.float32),
        "format": np.array(FORMAT),
    }
    digest = hashlib.sha256()
    for key in sorted(columns):
        digest.update(key.encode() + columns[key].tobytes())
    version = f"{FORMAT}.{digest.hexdigest()[:12]}"
    np.savez_compressed(path, allow_pickle=False, version=np.array(version), **columns)
    return version


def _same(cluster: Cluster, unit: UnitScattering, other: Cluster, known: UnitScattering) -> bool:
    """Two constructions of one geometry, such as the 13-atom cuboctahedron and the sphere of 13 sites."""
    return (
        cluster.n_atoms == other.n_atoms
        and len(unit.samples) == len(known.samples)
        and bool(np.allclose(unit.samples, known.samples, atol=1e-4 * np.abs(known.samples).max()))
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
