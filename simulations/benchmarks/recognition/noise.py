"""White noise within the band of a measurement.

A curve limited to Q <= Qmax holds one independent value for each Nyquist step pi / Qmax, so noise is drawn there and
carried to the points between by the interpolation that adds nothing beyond Qmax:

    n(r) = sum_k n_k sinc(Qmax r / pi - k),        n_k ~ N(0, 1) at r_k = k pi / Qmax.

Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MARGIN = 40
"""Nyquist points beyond either end: the tails of those left out change the variance by less than 1 %."""


def white_noise(r: Floats, qmax: float, generator: np.random.Generator) -> Floats:
    """Noise of unit variance at ``r``, white up to ``qmax``: (n,)."""
    step = math.pi / qmax
    first, last = math.floor(r[0] / step) - MARGIN, math.ceil(r[-1] / step) + MARGIN
    nodes = np.arange(first, last + 1)
    return np.asarray(np.sinc(r[:, None] / step - nodes) @ generator.standard_normal(len(nodes)))
