"""How the energy of a curve is spread over its frequencies; of a G(r) they are Q in 1/angstrom.

A G(r) holds nothing above its Qmax, so whatever stands there is noise (if it is the same at every frequency), or shows
that Qmax or the unit of r is not what it is said to be. For a curve g on points of one step, with the taper w,

    e(q) = |sum_k w_k (g_k - mean g) exp(-i q r_k)|^2.

White noise has the same mean energy, the *floor*, in every component.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOP = 0.8
"""Share of the highest frequency above which the floor is read off: beyond Qmax for every usual step of r."""
EVEN = 1e-3
"""Share of a step by which steps may differ before the curve is brought onto even ones."""
CERTAIN = 6.0
"""Standard deviations of the floor that an energy must exceed it by to count."""
MIXED = 1.5
"""Components that the taper mixes: a sum of n scatters like one of n / MIXED independent ones."""
LEAKAGE = 4
"""Components past the end of a band that the taper leaks into, and the traces of an interpolation in r."""


@dataclass(frozen=True)
class Spectrum:
    """Energy (m,) at q (m,), and the floor."""

    q: Floats
    energy: Floats
    floor: float

    @classmethod
    def of(cls, r: Floats, g: Floats) -> Spectrum:
        r, g = evened(r, g)
        step = float(r[-1] - r[0]) / (len(r) - 1)
        energy = np.abs(np.fft.rfft((g - g.mean()) * np.hanning(len(g)))) ** 2
        q = 2.0 * np.pi * np.fft.rfftfreq(len(g), step)
        floor = float(np.mean(energy[q >= TOP * q[-1]]))
        return cls(np.asarray(q, dtype=np.float64), np.asarray(energy, dtype=np.float64), floor)

    @property
    def step(self) -> float:
        return float(self.q[1])

    def signal(self) -> float:
        """Energy above the floor."""
        return max(0.0, float(self.energy.sum()) - self.floor * len(self.q))

    def between(self, low: float, high: float) -> tuple[float, float, int]:
        """Energy above the floor from ``low`` to ``high``, its uncertainty, and the number of components."""
        inside = (self.q >= low) & (self.q < high)
        count = int(inside.sum())
        excess = float(self.energy[inside].sum()) - self.floor * count
        return excess, self._uncertainty(count), count

    def _uncertainty(self, count: int) -> float:
        """Of a sum of ``count`` components less the floor, which is the mean of the top ones and errs itself."""
        top = (1.0 - TOP) * len(self.q)
        return self.floor * math.sqrt(MIXED * (count + count**2 / top))

    def certain(self) -> bool:
        """Whether anything stands above the floor."""
        return self.signal() > CERTAIN * self._uncertainty(len(self.q))

    def below(self, share: float) -> float:
        """The q below which ``share`` of the energy above the floor lies."""
        grown = np.maximum.accumulate(np.cumsum(self.energy - self.floor))
        return float(self.q[min(int(np.searchsorted(grown, share * grown[-1])), len(self.q) - 1)])


def evened(r: Floats, g: Floats) -> tuple[Floats, Floats]:
    """The curve on steps of one length."""
    steps = np.diff(r)
    step = float(np.median(steps))
    if float(np.abs(steps - step).max()) <= EVEN * step:
        return r, g
    grid = np.arange(r[0], r[-1], step)
    return grid, np.interp(grid, r, g)


def share_above(spectrum: Spectrum, qmax: float) -> float:
    """Share of the signal that lies above ``qmax`` for certain."""
    low = qmax + LEAKAGE * spectrum.step
    excess, uncertainty, count = spectrum.between(low, math.inf)
    signal = spectrum.signal()
    if count == 0 or signal <= 0.0 or excess <= CERTAIN * uncertainty:
        return 0.0
    return min(1.0, excess / signal)


def noise_within(spectrum: Spectrum, low: float, high: float) -> float:
    """Share of white noise in the energy between ``low`` and ``high``, seen where the curve holds nothing else: above
    ``high``. Zero where the step of r leaves no room to see it."""
    if spectrum.q[-1] * TOP < high + LEAKAGE * spectrum.step:
        return 0.0
    inside = (spectrum.q >= low) & (spectrum.q < high)
    energy = float(spectrum.energy[inside].sum())
    return min(1.0, spectrum.floor * int(inside.sum()) / energy) if energy > 0.0 else 1.0
