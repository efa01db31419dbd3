"""Curves that are no G(r), or a G(r) under something else.

G(r) = R(r) / r - 4 pi rho r oscillates about zero from G(0) = 0 on: its mean over a few shells is a small part of its
spread. Whatever does not is named by how its mean goes on: g(r) and S(Q) tend to 1, R(r) grows as r^2, T(r) = R(r) / r
as r, an intensity falls and stays above zero. r in angstrom, Q in 1/angstrom.

A Qmin that includes the small-angle scattering of finite particles leaves their mean density in,
G(r) = R(r) / r - 4 pi (rho - rho gamma0(r)) r; such a hump a r gamma0(r) is taken away before the curve is judged.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.quality_spectrum import Spectrum

Floats = NDArray[np.float64]

MOST_MEAN = 0.2
"""Mean over standard deviation; 0.13 was the most among simulated and measured G(r) over 18 angstrom."""
USUAL_LENGTH = 18.0
"""angstrom; over less the mean of a G(r) is as much larger."""
SMALL_ANGLE_QMIN = 0.3
"""1/angstrom: a stated Qmin below it may include the small-angle scattering of particles of 20 angstrom and more."""
DIAMETERS = (8.0, 12.0, 18.0, 27.0, 40.0, 60.0, 100.0, 1000.0)
"""angstrom, of the particles whose hump is looked for."""
MOST_SLOPE = 0.6
"""Share of the energy that a straight line may explain; structure oscillates about a mild slope."""
SLOW_Q = 0.8
"""1/angstrom; no reflection of a metal or oxide lies below, only the small-angle scattering of particles."""
MOST_SLOW = 0.6
"""Share of the energy below ``SLOW_Q`` that shows a background."""
HUMP_QMIN = 0.9
"""1/angstrom: with a stated Qmin above, even small particles leave no hump."""
HUMP_LENGTH = 12.0
"""angstrom: in a pattern that ends before, the hump of a particle as large as that cannot be told from a background."""
LASTING = 0.3
"""Energy of the slow part per point in the last third of the range, over that in the rest, that no small particle has:
the hump of one ends with it."""
NOT_NEGATIVE = 0.03
"""Share of the energy in negative values up to which a curve counts as never negative."""
NEAR_ONE = 0.15
EMPTY = 0.3
"""Share of exact zeros in a histogram of distances, at least."""
EMPTY_CORE = 1.2
"""angstrom: no two atoms that scatter well are nearer, so g and R are zero there."""
LONGEST_RUN = 0.5
"""angstrom over which no measured curve keeps one value."""
CLIPPED_RUNS = 3
"""Separate runs of at least ``CLIPPED_POINTS`` points at the very same extreme value, from which on it is a limit."""
CLIPPED_POINTS = 3


def values_fault(r: Floats, g: Floats) -> str | None:
    """A curve that stands still, was clipped, or was filled with zeros where data are missing."""
    starts, ends = _runs(g)
    for start, end in zip(starts, ends, strict=True):
        length = float(r[end] - r[start])
        lowest = g[start] == 0.0 and (end == len(g) - 1 or not g[:start].any())
        if length >= LONGEST_RUN and not lowest:
            return (
                f"the curve stays at {g[start]:.4g} from r = {r[start]:g} to {r[end]:g}: the data have a gap "
                f"there that was filled, or were clipped; export them again"
            )
    for extreme in (float(g.max()), float(g.min())):
        lengths = [end - start + 1 for start, end in zip(starts, ends, strict=True) if g[start] == extreme]
        if sum(length >= CLIPPED_POINTS for length in lengths) >= CLIPPED_RUNS:
            return f"the curve is clipped at {extreme:.4g} in {len(lengths)} places; export it unclipped"
    return None


def _runs(g: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last index of every stretch of equal values."""
    new = np.flatnonzero(np.diff(g) != 0.0)
    return np.concatenate([[0], new + 1]), np.concatenate([new, [len(g) - 1]])


def quantity_fault(r: Floats, g: Floats, inside: NDArray[np.bool_], qmin: float | None) -> str | None:
    """What the curve is when it does not oscillate about zero; ``None`` for a G(r).

    Parameters
    ----------
    r, g : the whole pattern; inside : the part that is judged.
    qmin : as stated.
    """
    x, y = r[inside], g[inside]
    if _counts(y):
        return (
            "the values are counts with gaps between them: a histogram of distances, not G(r); transform I(Q)"
        )
    curves = [y]
    if qmin is not None and qmin < SMALL_ANGLE_QMIN:
        # The ripples of a Qmin can take the hump's place, so either may show that the rest is a G(r).
        curves.append(y - _hump(x, y))
    if any(_oscillates(x, curve) for curve in curves):
        return None
    slopes = [slope_share(x, curve) for curve in curves]
    if min(abs(float(curve.mean())) / _most_mean(x, curve) for curve in curves) <= 1.0:
        return f"a straight slope makes up {min(slopes):.0%} of the pattern; remove its background"
    return _named(r, g, x, y, slopes[0])


def _most_mean(x: Floats, y: Floats) -> float:
    return MOST_MEAN * max(1.0, USUAL_LENGTH / float(x[-1] - x[0])) * float(y.std())


def _oscillates(x: Floats, y: Floats) -> bool:
    return abs(float(y.mean())) <= _most_mean(x, y) and slope_share(x, y) <= MOST_SLOPE


def _tends_to_one(y: Floats) -> bool:
    tail = np.array_split(y, 3)[2]
    never_negative = float(np.sum(y[y < 0.0] ** 2)) <= NOT_NEGATIVE * float(np.sum(y**2))
    return never_negative and abs(float(tail.mean()) - 1.0) < NEAR_ONE


def _named(r: Floats, g: Floats, x: Floats, y: Floats, slope: float) -> str:
    """The sentence for a curve with a mean."""
    core = r < EMPTY_CORE
    scale = float(np.sqrt(np.mean(y**2)))
    empty = bool(core.any()) and float(np.sqrt(np.mean(g[core] ** 2))) < 0.2 * scale
    thirds = [float(part.mean()) for part in np.array_split(y, 3)]
    positive = float(np.sum(y[y < 0.0] ** 2)) <= NOT_NEGATIVE * float(np.sum(y**2))
    growth = (
        math.log(thirds[2] / thirds[0]) / math.log(_centre(x, 2) / _centre(x, 0)) if min(thirds) > 0 else 0
    )
    if positive and growth > 1.5:
        return "the curve grows as r^2 and is never negative, as R(r) does; give G(r) = R(r) / r - 4 pi rho r"
    if growth > 0.5:
        return (
            f"the curve rises along a straight slope ({slope:.0%} of the pattern), as T(r) = R(r) / r or a "
            f"background does; subtract 4 pi rho r, or the background"
        )
    if _tends_to_one(y) and empty:
        return "the curve tends to 1, as g(r) does; give G(r) = 4 pi rho r (g(r) - 1)"
    if _tends_to_one(y):
        return "the curve tends to 1, as S(Q) or g(r) does; G(r) is needed, so transform it first (solvus reduce)"
    if positive and empty:
        return (
            "the curve is nowhere negative, as R(r) / r is with the small-angle scattering of particles in; state "
            "its qmin (0), or give G(r) from a larger one"
        )
    if positive:
        return (
            "the curve is nowhere negative, as an intensity I(Q) or I(2theta) is; G(r) oscillates about zero: "
            "reduce it (solvus reduce), or remove the background of a G(r), first"
        )
    return (
        f"the curve does not oscillate about zero (its mean over r = {x[0]:g} to {x[-1]:g} is {y.mean():.3g}, its "
        f"spread {y.std():.3g}): it holds a background, or is no G(r); remove the background"
    )


def _centre(x: Floats, third: int) -> float:
    return float(np.array_split(x, 3)[third].mean())


def _counts(y: Floats) -> bool:
    """Whole numbers or zeros with nothing below: a histogram."""
    unit = float(np.abs(y[y != 0.0]).min()) if y.any() else 1.0
    whole = bool((np.abs(y / unit - np.round(y / unit)) < 1e-6).all())
    return bool((y >= 0.0).all()) and (whole or float(np.mean(y == 0.0)) > EMPTY)


def slope_share(r: Floats, g: Floats) -> float:
    """Share of the energy in a straight line."""
    centred = g - g.mean()
    line = np.polyval(np.polyfit(r, g, 1), r) - g.mean()
    return float(line @ line) / (float(centred @ centred) or 1.0)


def _hump(x: Floats, y: Floats) -> Floats:
    """The best a r gamma0(r) with a > 0."""
    best, left = np.zeros_like(y), float(y @ y)
    for diameter in DIAMETERS:
        t = np.minimum(x / diameter, 1.0)
        shape = x * (1.0 - 1.5 * t + 0.5 * t**3)
        hump = max(0.0, float(shape @ y) / (float(shape @ shape) or 1.0)) * shape
        rest = float(np.sum((y - hump) ** 2))
        if rest < left:
            best, left = hump, rest
    return best


def background_fault(r: Floats, g: Floats, spectrum: Spectrum, qmin: float | None) -> str | None:
    """A slow background that outweighs the structure; ``None`` without one.

    Parameters
    ----------
    r, g : the range that is judged, and ``spectrum`` of it.
    """
    if not spectrum.certain():
        return None
    share = spectrum.between(0.0, SLOW_Q)[0] / spectrum.signal()
    if share <= MOST_SLOW:
        return None
    hump = qmin is None or qmin < HUMP_QMIN
    if hump and (float(r[-1]) < HUMP_LENGTH or _slow_in_last_third(r, g) < LASTING):
        return None
    return (
        f"a slow background makes up {share:.0%} of the pattern (waves longer than {2 * math.pi / SLOW_Q:.0f} "
        f"angstrom); subtract the background of the measurement"
    )


def _slow_in_last_third(r: Floats, g: Floats) -> float:
    """Energy per point of the smoothed curve in the last third over that in the rest."""
    step = float(r[-1] - r[0]) / (len(r) - 1)
    width = max(1, round(2.0 * math.pi / SLOW_Q / 2.0 / step))
    taper = np.hanning(2 * width + 1)
    smooth = np.convolve(g, taper / taper.sum(), mode="same")
    cut = 2 * len(g) // 3
    return float(np.mean(smooth[cut:] ** 2) / (np.mean(smooth[:cut] ** 2) or 1.0))
