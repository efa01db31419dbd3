"""Reduce a measured intensity: I(Q) of sample and background to S(Q), F(Q) and G(r).

Steps: take off the background (:mod:`background`), normalise and correct (:mod:`correction`), undo a smearing of the
rings where there is one (:mod:`tilt`), transform (:mod:`transform`). Every step is linear in the intensity once its
parameters are chosen, and the counting errors are carried through all of them with their correlations.

Q in 1/angstrom, r in angstrom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import MIN_POINTS, Conditions, Pattern
from solvus.models.reduction.background import take_off
from solvus.models.reduction.correction import Amplitudes, Polynomial, normalised
from solvus.models.reduction.settings import ReductionError, ReductionSettings, parse_composition
from solvus.models.reduction.tilt import BEYOND_DOUBT, SAME_TILT, Smear, find_smear
from solvus.models.reduction.transform import BLOCK, kernel, r_grid

Floats = NDArray[np.float64]
REDUCTION_VERSION = "reduction-1"
"""Version of this procedure: another one may give another G(r) from the same data and settings."""
AUTO_START = math.radians(0.3)
"""Where the search for an unstated tilt begins: detectors are set up by eye to about half a degree."""


@dataclass(frozen=True)
class Reduced:
    """The outcome of one reduction.

    Attributes
    ----------
    s, f, g : S(Q), F(Q) and G(r), with uncertainties where the intensity has them.
    background_scale : the factor used, 0 without a background.
    background_share : part of the intensity that the background made up.
    below_background : part of the points at which it exceeds the sample; beyond a tenth, doubt its scale.
    degree : of the correction polynomial.
    tilt : degrees taken out, 0 for none.
    notes : what was chosen or noticed, one sentence each.
    """

    s: Pattern
    f: Pattern
    g: Pattern
    background_scale: float
    degree: float
    tilt: float
    notes: tuple[str, ...]
    background_share: float = 0.0
    below_background: float = 0.0


def reduce(
    raw: Pattern,
    settings: ReductionSettings,
    background: Pattern | None = None,
    *,
    header_tilt: float | None = None,
) -> Reduced:
    """Reduce one intensity.

    Parameters
    ----------
    raw : I(Q), on any grid of Q.
    background : I(Q) of container or solvent, measured as long as the sample or scaled by the settings.
    header_tilt : degrees, the tilt of the detector that the raw file names, see ``ReductionSettings.tilt``.

    Raises
    ------
    ReductionError
        One sentence, when the data do not allow what the settings ask for.
    """
    q, intensity, di = _inside(raw, settings)
    amplitudes = Amplitudes.of(parse_composition(settings.composition), q, settings.radiation)
    degree = settings.rpoly * float(q[-1]) / math.pi
    if degree >= len(q) / 4:
        raise ReductionError(
            f"rpoly: a polynomial of degree {degree:.0f} would fit {len(q)} points; lower it"
        )
    polynomial = Polynomial.of(q, degree)
    notes: list[str] = []
    scale = share = below = 0.0
    if background is not None:
        left = take_off(background, q, intensity, di, settings.background_scale)
        intensity, di = left.intensity, left.uncertainty
        scale, share, below = left.scale, left.share, left.below
        if settings.background_scale == "fit":
            notes.append(f"background: scale {scale:.3f}, fitted")
    f_measured, slope = normalised(q, intensity, amplitudes)
    f, df = polynomial.take_out(f_measured), slope * di
    smear = _smear(raw.conditions, settings, header_tilt, (q, f, df, amplitudes.square_mean), notes)
    if smear is not None:
        f = smear.operator @ f
    outcome = _outcome(raw, settings, q, f, df, polynomial, smear, scale, degree, notes)
    return replace(outcome, background_share=share, below_background=below)


def _inside(raw: Pattern, settings: ReductionSettings) -> tuple[Floats, Floats, Floats]:
    """The points between qmin and qmaxinst at which the detector saw anything."""
    if raw.quantity != "I":
        raise ReductionError(f"raw: I(Q) is reduced, not {raw.quantity}; transform S(Q) or F(Q) instead")
    lit = np.flatnonzero(raw.y > 0)
    if len(lit) < MIN_POINTS:
        raise ReductionError("raw: no intensity above zero")
    first, last = float(raw.x[lit[0]]), float(raw.x[lit[-1]])
    low = first if settings.qmin is None else settings.qmin
    high = settings.qmaxinst or settings.qmax or last
    step = float(np.median(np.diff(raw.x)))
    if high > last + step:
        raise ReductionError(f"qmax: {high:g} lies beyond the data, which end at {last:.4g} 1/angstrom")
    if settings.qmin is not None and settings.qmin < first - step:
        raise ReductionError(f"qmin: {low:g} lies before the data, which begin at {first:.4g} 1/angstrom")
    inside = (raw.x >= low) & (raw.x <= high + 1e-9) & (raw.x > 0)
    if int(inside.sum()) < MIN_POINTS:
        raise ReductionError(f"qmin, qmax: only {int(inside.sum())} points lie between {low:g} and {high:g}")
    di = np.zeros(len(raw.x)) if raw.dy is None else raw.dy
    return raw.x[inside], raw.y[inside], di[inside]


def _smear(
    conditions: Conditions,
    settings: ReductionSettings,
    header_tilt: float | None,
    measured: tuple[Floats, Floats, Floats, Floats],
    notes: list[str],
) -> Smear | None:
    """The smearing to undo, if the settings and the data say so. ``measured`` is Q, F, dF and <f>^2."""
    wanted = settings.tilt
    if wanted == 0.0 or (wanted == "header" and not header_tilt):
        return None
    if conditions.wavelength is None:
        if wanted == "header":
            return None
        raise ReductionError("tilt: needs the wavelength; give --wavelength in angstrom")
    stated = math.radians(abs(header_tilt)) if header_tilt else AUTO_START
    start = math.radians(wanted) if isinstance(wanted, float) else stated
    smear = find_smear(*measured, conditions.wavelength, tilt=start, estimate=isinstance(wanted, str))
    found = math.degrees(smear.tilt)
    if wanted == "header":
        same = 1.0 / SAME_TILT <= smear.tilt / stated <= SAME_TILT
        if smear.gain < BEYOND_DOUBT or not same:
            return None
        notes.append(
            f"tilt: the rings are smeared as by a tilt of {found:.2f} degrees and the header names {header_tilt:g}, "
            f"so the integration left it in; taken out (log-evidence +{smear.gain:.0f}). Integrate the image "
            "again with its tilt, or keep the smearing with --tilt 0"
        )
    elif wanted == "auto":
        if smear.gain < BEYOND_DOUBT:
            notes.append("tilt: no smearing of the rings beyond doubt; nothing taken out")
            return None
        notes.append(f"tilt: {found:.2f} degrees estimated and taken out (log-evidence +{smear.gain:.0f})")
    else:
        notes.append(f"tilt: {found:.2f} degrees taken out (log-evidence {smear.gain:+.0f})")
    return smear


def _outcome(
    raw: Pattern,
    settings: ReductionSettings,
    q: Floats,
    f: Floats,
    df: Floats,
    polynomial: Polynomial,
    smear: Smear | None,
    scale: float,
    degree: float,
    notes: list[str],
) -> Reduced:
    used = q <= (settings.qmax or q[-1]) + 1e-9
    known = bool(df.any())
    conditions = Conditions(
        radiation=settings.radiation,
        qmin=float(q[used][0]),
        qmax=float(q[used][-1]),
        wavelength=raw.conditions.wavelength,
        composition=settings.composition,
    )
    r = r_grid(settings.rmin, settings.rmax, settings.rstep)
    rows = np.zeros((len(r), len(q)))
    rows[:, used] = kernel(q[used], r, lorch=settings.lorch)
    sigma_f = sigma_g = None
    if known:
        identity = np.eye(len(q))[used]
        sigma_f = _sigma(identity, df, polynomial, smear)
        sigma_g = _sigma(rows, df, polynomial, smear)
    curve = f[used]
    s = Pattern(
        quantity="S",
        x_unit="1/angstrom",
        x=q[used],
        y=1.0 + curve / q[used],
        dy=None if sigma_f is None else sigma_f / q[used],
        conditions=conditions,
    )
    reduced_f = Pattern(
        quantity="F", x_unit="1/angstrom", x=q[used], y=curve, dy=sigma_f, conditions=conditions
    )
    g = Pattern(quantity="G", x=r, y=rows @ f, dy=sigma_g, conditions=conditions)
    return Reduced(s, reduced_f, g, scale, degree, math.degrees(smear.tilt) if smear else 0.0, tuple(notes))


def _sigma(rows: Floats, df: Floats, polynomial: Polynomial, smear: Smear | None) -> Floats:
    """Standard uncertainty of ``rows @ F``: counting errors of different points are independent, and the correction
    ties the corrected points together."""
    parts = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        if smear is not None:
            block = block @ smear.operator
        parts.append(np.sqrt(polynomial.rows(block) ** 2 @ df**2))
    return np.concatenate(parts)
