"""A quick look at many structures: how well each explains a pattern, at several bond lengths and widths of peaks.

Distances are counted on a grid, once for a structure, and all curves at one bond length b, displacement u and
correlated motion are two matrix products,

    F(q) = sum_d n(d) t(d) sin(q b d) / (b d) exp(-u (1 - delta2 / (b d)^2) q^2),
    G(r) = E(r) 2/pi sum_q F(q) sin(q r) dq,

with t fading distances out beyond the data. Lengths in angstrom where bond lengths are; distances of structures in
bond lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from solvus.models.latent.particle import Particle
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.geometry_curves import fading

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

STEP = 0.01
"""Of the grid of distances."""
BEYOND = 8.0
"""angstrom after the last point over which distances fade out."""
DENSE = 1200
"""Atoms up to which all distances are counted."""
DISTANCES, FEWEST_SOURCES = 600_000, 60
"""Of larger particles so many distances stand for all, from at least so many atoms."""
PER_NYQUIST = 1.5
OVERSAMPLED = 1.3
"""Bins of Q per 2 pi / (r_max + d_max): above one nothing folds back."""


@dataclass(frozen=True)
class Peaks:
    """Bond length (angstrom), displacement and correlated motion (angstrom^2) at which curves are made."""

    bond: float
    u: float
    delta2: float


@dataclass(frozen=True)
class Look:
    """The data of one pattern as all structures are compared with it.

    Attributes
    ----------
    shortest : least bond length (angstrom) that will be asked for: it limits the distances that count.
    kept : what turns counts into curves, once for each kind of peaks.
    """

    data: Data
    r_range: tuple[float, float]
    qdamp: float
    shortest: float
    kept: dict[Peaks, Singles] = field(default_factory=dict, repr=False)

    @cached_property
    def _frame(self) -> tuple[Floats, Floats, Singles]:
        """Observed G with norm one, Q at the middle of each bin, and the transform to G with the damping."""
        window = self.data.window(self.r_range, 30.0, thinning=PER_NYQUIST)
        longest = float(window.r[-1]) + self.reach * self.shortest
        width = self.data.qmax - self.data.qmin
        bins = math.ceil(width * OVERSAMPLED * longest / (2.0 * math.pi))
        q = self.data.qmin + width / bins * (np.arange(bins) + 0.5)
        kernel = np.sin(np.outer(q, window.r)) * np.exp(-0.5 * (self.qdamp * window.r) ** 2)
        observed: Floats = window.observed / float(np.linalg.norm(window.observed) or 1.0)
        return observed, np.asarray(q, dtype=np.float64), np.asarray(kernel, dtype=np.float32)

    @property
    def reach(self) -> float:
        """Largest distance that counts, in bond lengths."""
        last = min(self.r_range[1], float(self.data.r[-1]))
        return (last + BEYOND) / self.shortest

    def counts(self, particle: Particle) -> Singles:
        """Ordered pairs for each atom at each distance of the grid."""
        places = particle.positions
        if len(places) <= DENSE:
            distances = pdist(places)
            distances = distances[distances < self.reach]
        else:
            # From atoms evenly chosen from the centre to the surface to all: each pair has a share of the whole.
            order = np.argsort(np.linalg.norm(places, axis=1), kind="stable")
            count = max(FEWEST_SOURCES, DISTANCES // len(places))
            sources = order[np.linspace(0, len(order) - 1, count).astype(int)]
            distances = cdist(places[sources], places).ravel()
            distances = distances[(distances > 0.5) & (distances < self.reach)]
            return self._counted(distances, 1.0 / count)
        return self._counted(distances, 2.0 / len(places))

    def _counted(self, distances: Floats, weight: float) -> Singles:
        """Each distance shared between the two nearest points of the grid."""
        bins = math.ceil(self.reach / STEP) + 2
        at = distances / STEP
        low = at.astype(np.int64)
        upper = np.bincount(low, at - low, bins)  # the share of the upper point
        counted = np.bincount(low, minlength=bins) - upper
        counted[1:] += upper[:-1]
        return np.asarray(counted[:bins] * weight, dtype=np.float32)

    def misfits(self, counts: Singles, peaks: Sequence[Peaks]) -> tuple[Floats, NDArray[np.int64]]:
        """Least R_w of each structure, and which of the ``peaks`` gave it: (n,) each.

        Parameters
        ----------
        counts : (n, m) of n structures. peaks : what is tried.
        """
        observed, _, kernel = self._frame
        best, chosen = np.full(len(counts), np.inf), np.zeros(len(counts), dtype=np.int64)
        for number, peak in enumerate(peaks):
            curves = (counts @ self._waves(peak, counts.shape[1])) @ kernel
            size = np.maximum(np.linalg.norm(curves, axis=1), 1e-20)
            cosine = np.maximum(curves @ observed.astype(np.float32) / size, 0.0)
            r_w = np.sqrt(np.maximum(1.0 - cosine.astype(np.float64) ** 2, 0.0))
            better = r_w < best
            best[better], chosen[better] = r_w[better], number
        return best, chosen

    def _waves(self, peak: Peaks, nodes: int) -> Singles:
        """What turns counts into F for one kind of peaks: (nodes, m); kept, as many structures are seen at few."""
        if peak not in self.kept:
            _, q, _ = self._frame
            d = (np.maximum(np.arange(nodes) * STEP, STEP) * peak.bond).astype(np.float32)
            last = min(self.r_range[1], float(self.data.r[-1]))
            faded = (fading(d, last + BEYOND, BEYOND) / d).astype(np.float32)
            width = peak.u * np.clip(1.0 - peak.delta2 / d**2, 0.0, None)
            waves = np.sin(np.outer(d, q.astype(np.float32)))
            waves *= np.exp(-np.outer(width, (q**2).astype(np.float32)))
            waves *= faded[:, None]
            self.kept[peak] = waves
        return self.kept[peak]
