"""Is a pattern good enough to say anything? The gate before any matching.

r in angstrom, Q in 1/angstrom. Each refusal is one sentence for a person. The limits are physical: they ask
whether the range holds enough coordination shells, whether the grid resolves Qmax, and whether there is a
signal above noise and slope.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern

Floats = NDArray[np.float64]

SHORTEST_RANGE = 6.0
"""angstrom of overlap with the fitted range: two coordination shells of any metal, the least that tells fcc
from icosahedral."""
MOST_NOISE = 0.5
"""Share of the signal's energy that may lie above Qmax, where only noise can be."""
MOST_SLOPE = 0.6
"""Share of the energy that a straight line may explain; structure oscillates about a mild slope."""
QMAX_GUESS = (8.0, 40.0)
"""1/angstrom, where Qmax is looked for when the file does not say it."""
CUTOFF = 0.03
"""Q components below this share of the strongest are taken for noise or leakage when Qmax is looked for."""
USUAL_QMIN = 0.5
"""1/angstrom: where the beam stop of a total-scattering set-up usually ends."""


@dataclass(frozen=True)
class Quality:
    """What the gate found: reasons to refuse (empty when good), Qmin and Qmax to use, and the share of noise
    energy."""

    reasons: tuple[str, ...]
    remarks: tuple[str, ...]
    qmin: float
    qmax: float
    noise: float


def assess(pattern: Pattern, r_range: tuple[float, float]) -> Quality:
    """Judge a G(r) over ``r_range`` (angstrom)."""
    r, g = pattern.x, pattern.y
    inside = (r >= r_range[0]) & (r <= r_range[1])
    covered = float(r[inside][-1] - r[inside][0]) if inside.any() else 0.0
    if covered < SHORTEST_RANGE:
        reason = (
            f"the pattern covers only {covered:.1f} angstrom of r = {r_range[0]:g} to {r_range[1]:g}; "
            f"at least {SHORTEST_RANGE:g} are needed"
        )
        return Quality((reason,), (), 0.0, 0.0, 1.0)
    signal = g[inside]
    if float(np.ptp(signal)) <= 1e-12 * max(1.0, float(np.abs(signal).max())):
        return Quality(("the pattern is flat: it holds no signal",), (), 0.0, 0.0, 1.0)
    remarks: list[str] = []
    qmax = pattern.conditions.qmax
    if qmax is None:
        qmax = _apparent_qmax(r[inside], signal)
        remarks.append(f"the file does not say Qmax; {qmax:.1f} 1/angstrom was read off the pattern")
    qmin = USUAL_QMIN if pattern.conditions.qmin is None else pattern.conditions.qmin
    reasons = []
    step = float(np.median(np.diff(r)))
    if step > math.pi / qmax:
        reasons.append(
            f"the r step of {step:.3g} angstrom is too coarse for Qmax {qmax:g}: at most "
            f"{math.pi / qmax:.2f} is needed"
        )
    slope = _slope_share(r[inside], signal)
    if slope > MOST_SLOPE:
        reasons.append(f"a straight slope makes up {slope:.0%} of the pattern; remove its background")
    noise = 0.0 if reasons else _noise_share(r[inside], signal, qmax)
    if noise > MOST_NOISE:
        reasons.append(f"noise makes up {noise:.0%} of the pattern; no structure stands above it")
    return Quality(tuple(reasons), tuple(remarks), qmin, qmax, noise)


def _slope_share(r: Floats, g: Floats) -> float:
    centred = g - g.mean()
    line = np.polyval(np.polyfit(r, g, 1), r) - g.mean()
    return float(line @ line) / float(centred @ centred)


def _spectrum(r: Floats, g: Floats) -> tuple[Floats, Floats]:
    """Energy over Q of the tapered signal: Q (1/angstrom) and energy, up to the grid's own limit."""
    step = float(np.median(np.diff(r)))
    taper = np.hanning(len(g))
    energy = np.abs(np.fft.rfft((g - g.mean()) * taper)) ** 2
    q = np.asarray(2.0 * np.pi * np.fft.rfftfreq(len(g), step), dtype=np.float64)
    return q, np.asarray(energy, dtype=np.float64)


def _noise_share(r: Floats, g: Floats, qmax: float) -> float:
    """White noise is seen alone above Qmax; scaled to the whole band it is the noise's share of the
    energy."""
    q, energy = _spectrum(r, g)
    # The taper leaks about two components past the cut, and interpolation in r leaves traces next to it.
    above = q > 1.15 * qmax + 4.0 * (q[1] - q[0])
    if above.sum() < 5:
        return 0.0
    return float(min(1.0, np.median(energy[above]) / math.log(2.0) * len(q) / energy.sum()))


def _apparent_qmax(r: Floats, g: Floats) -> float:
    q, energy = _spectrum(r, g)
    searched = (q >= QMAX_GUESS[0]) & (q <= QMAX_GUESS[1])
    strong = q[searched & (energy > CUTOFF**2 * energy.max())]
    return float(strong[-1]) if len(strong) else QMAX_GUESS[0]
