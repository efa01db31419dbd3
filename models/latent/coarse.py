"""A quick look at many structures: how well each explains a pattern, at every bond length in question.

Distances are counted on a grid, once for a structure, and all curves at one bond length and displacement are two matrix
products,

    F(q) = sum_d n(d) t(d) sin(q b d) / (b d) exp(-u q^2),        G(r) = E(r) 2/pi sum_q F(q) sin(q r) dq,

with t fading distances out beyond the data. Lengths in angstrom where bond lengths are; distances of structures in
bond lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from solvus.models.latent.particle import Particle
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.geometry_curves import fading
from solvus.models.scattering.transform import q_grid, sine_kernel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

STEP = 0.01
"""Of the grid of distances."""
BEYOND = 8.0
"""angstrom after the last point over which distances fade out."""
DISPLACEMENTS = (0.003, 0.006, 0.011, 0.02, 0.035)
"""angstrom^2."""
DENSE = 1200
"""Atoms up to which all distances are counted."""
SOURCES = 400
"""Atoms whose distances stand for all in larger particles."""
PER_NYQUIST = 1.5


@dataclass(frozen=True)
class Look:
    """The data of one pattern as all structures are compared with it.

    Attributes
    ----------
    shortest : least bond length (angstrom) that will be asked for: it limits the distances that count.
    """

    data: Data
    r_range: tuple[float, float]
    qdamp: float
    shortest: float

    @cached_property
    def _window(self) -> tuple[Floats, Floats, Floats, Singles]:
        window = self.data.window(self.r_range, 30.0, thinning=PER_NYQUIST)
        q = q_grid(self.data.qmin, self.data.qmax, float(window.r[-1]) + self.reach * self.shortest)
        kernel = sine_kernel(q, window.r) * np.exp(-0.5 * (self.qdamp * window.r) ** 2)
        return window.r, window.observed, q, kernel.astype(np.float32)

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
            sources = order[np.linspace(0, len(order) - 1, SOURCES).astype(int)]
            distances = cdist(places[sources], places).ravel()
            distances = distances[(distances > 0.5) & (distances < self.reach)]
            return self._counted(distances, 1.0 / SOURCES)
        return self._counted(distances, 2.0 / len(places))

    def _counted(self, distances: Floats, weight: float) -> Singles:
        """Each distance shared between the two nearest points of the grid."""
        bins = math.ceil(self.reach / STEP) + 2
        at = distances / STEP
        low = at.astype(np.int64)
        part = at - low
        counted = np.bincount(low, 1.0 - part, bins) + np.bincount(low + 1, part, bins)
        return np.asarray(counted[:bins] * weight, dtype=np.float32)

    def misfits(self, counts: Singles, bonds: Sequence[float]) -> tuple[Floats, Floats, Floats]:
        """Least R_w of each structure, with its bond length and displacement: (n,) each.

        Parameters
        ----------
        counts : (n, m) of n structures. bonds : angstrom.
        """
        _, observed, q, kernel = self._window
        d = np.maximum(np.arange(counts.shape[1]) * STEP, STEP)
        best = np.full(len(counts), np.inf)
        bond, displacement = np.full((2, len(counts)), np.nan)
        norm = float(np.linalg.norm(observed)) or 1.0
        last = min(self.r_range[1], float(self.data.r[-1]))
        for b in bonds:
            faded = fading(d * b, last + BEYOND, BEYOND)
            waves = (
                np.sin(np.outer(d * b, q).astype(np.float32)) * (faded / (d * b)).astype(np.float32)[:, None]
            )
            f = counts @ waves
            for u in DISPLACEMENTS:
                curves = (f * np.exp(-u * q**2).astype(np.float32)) @ kernel
                size = np.linalg.norm(curves, axis=1)
                cosine = np.maximum(
                    curves @ observed.astype(np.float32) / (norm * np.maximum(size, 1e-20)), 0.0
                )
                r_w = np.sqrt(np.maximum(1.0 - cosine.astype(np.float64) ** 2, 0.0))
                better = r_w < best
                best[better], bond[better], displacement[better] = r_w[better], b, u
        return best, bond, displacement
