"""Container and solvent: the background brought onto the sample's points, and its scale.

Somewhere between its first peaks a sample hardly scatters at all, and what is measured there is background.
The fitted scale
is therefore the largest at which the background stays below the intensity everywhere, both smoothed over the noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from solvus.models.pattern import Pattern
from solvus.models.reduction.settings import ReductionError

Floats = NDArray[np.float64]
SMOOTHING = 11
"""Points of the running mean: noise of single points would otherwise decide, one tenth of it does not."""


def on_grid(background: Pattern, q: Floats) -> tuple[Floats, Floats]:
    """Intensity and uncertainty (zero where unknown) of a background at ``q``, linearly interpolated.

    Raises
    ------
    ReductionError
        When it is no I(Q) or does not cover the range of ``q``.
    """
    if background.quantity != "I":
        raise ReductionError(f"background: I(Q) is needed, not {background.quantity}")
    step = float(np.median(np.diff(background.x)))
    if background.x[0] > q[0] + step or background.x[-1] < q[-1] - step:
        raise ReductionError(
            f"background: covers Q = {background.x[0]:.3g} to {background.x[-1]:.3g} 1/angstrom, but {q[0]:.3g} to "
            f"{q[-1]:.3g} is needed; narrow qmin and qmaxinst or measure it further"
        )
    dy = np.zeros(len(q)) if background.dy is None else np.interp(q, background.x, background.dy)
    return np.interp(q, background.x, background.y), dy


def fitted_scale(intensity: Floats, background: Floats) -> float:
    """The largest scale that leaves no intensity below zero.

    Raises
    ------
    ReductionError
        When the background is nowhere positive or the scale comes out as zero.
    """
    sample = uniform_filter1d(intensity, SMOOTHING, mode="nearest")
    other = uniform_filter1d(background, SMOOTHING, mode="nearest")
    positive = other > 0
    scale = float((sample[positive] / other[positive]).min()) if positive.any() else 0.0
    if scale <= 0.0:
        raise ReductionError(
            "background: its scale cannot be fitted; give --scale, or narrow --qmin and --qmaxinst"
        )
    return scale
