"""Container and solvent: the background brought onto the sample's points, and its scale.

Somewhere between its first peaks a sample hardly scatters at all, and what is measured there is background.
The fitted scale
is therefore the largest at which the background stays below the intensity everywhere, both smoothed over the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from solvus.models.pattern import Pattern
from solvus.models.reduction.settings import ReductionError

Floats = NDArray[np.float64]
SMOOTHING = 11
"""Points of the running mean: noise of single points would otherwise decide, one tenth of it does not."""
WIDEST_GAP = 0.1
"""1/angstrom between points of a background: the halos of glass and solvents are 0.3 wide and more."""
MOST_BELOW = 0.3
"""Share of the points at which a background may exceed the sample. With nickel powder in Kapton and scale 1 it does so
at 13 %, between the first peaks, and the reduction is good; a background of another unit or exposure does it widely."""


@dataclass(frozen=True)
class Subtracted:
    """What is left of an intensity (m,) and its uncertainty (m,); the factor on the background; the share of the whole
    intensity that the background made up, and of the points at which it exceeds the sample."""

    intensity: Floats
    uncertainty: Floats
    scale: float
    share: float
    below: float


def take_off(
    background: Pattern, q: Floats, intensity: Floats, uncertainty: Floats, scale: float | Literal["fit"]
) -> Subtracted:
    """The intensity less ``scale`` times the background.

    Raises
    ------
    ReductionError
        When the background does not cover ``q`` finely enough, cannot be scaled, or exceeds the sample.
    """
    b, db = on_grid(background, q)
    factor = fitted_scale(intensity, b) if scale == "fit" else float(scale)
    left = intensity - factor * b
    below = float((uniform_filter1d(left, SMOOTHING, mode="nearest") < 0).mean())
    if below > MOST_BELOW or float(left.mean()) <= 0:
        raise ReductionError(
            f"background: with scale {factor:g} it exceeds the sample at {below:.0%} of the points; "
            "lower the scale, or check its unit and exposure"
        )
    share = factor * float(b.mean()) / float(intensity.mean())
    return Subtracted(left, np.hypot(uncertainty, factor * db), factor, share, below)


def on_grid(background: Pattern, q: Floats) -> tuple[Floats, Floats]:
    """Intensity and uncertainty (zero where unknown) of a background at ``q``, linearly interpolated.

    Raises
    ------
    ReductionError
        When it is no I(Q) or does not cover the range of ``q``, or has gaps in it.
    """
    if background.quantity != "I":
        raise ReductionError(f"background: I(Q) is needed, not {background.quantity}")
    step = float(np.median(np.diff(background.x)))
    if background.x[0] > q[0] + step or background.x[-1] < q[-1] - step:
        raise ReductionError(
            f"background: covers Q = {background.x[0]:.3g} to {background.x[-1]:.3g} 1/angstrom, but {q[0]:.3g} to "
            f"{q[-1]:.3g} is needed; narrow qmin and qmaxinst or measure it further"
        )
    inside = (background.x >= q[0] - step) & (background.x <= q[-1] + step)
    gap = float(np.diff(background.x[inside]).max(initial=0.0))
    if int(inside.sum()) < 2 or gap > WIDEST_GAP:
        raise ReductionError(
            f"background: its points lie up to {max(gap, step):.2g} 1/angstrom apart; measure it at steps of "
            f"{WIDEST_GAP:g} or less, as finely as the sample"
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
