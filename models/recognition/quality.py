"""Is a pattern good enough to say anything? The gate before any matching.

r in angstrom, Q in 1/angstrom. Each refusal is one sentence for a person, which names the field and the fix. The limits
are physical: they ask whether the first column can be r in angstrom (:mod:`solvus.models.recognition.quality_units`),
whether the curve is a G(r) (:mod:`solvus.models.recognition.quality_curves`), whether the range holds enough
coordination shells, whether the grid resolves Qmax, and whether there is a signal above the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.recognition.quality_curves import background_fault, quantity_fault, values_fault
from solvus.models.recognition.quality_spectrum import Spectrum, evened, noise_within
from solvus.models.recognition.quality_units import qmax_fault, unit_fault

Floats = NDArray[np.float64]

SHORTEST_RANGE = 6.0
"""angstrom of overlap with the fitted range: two coordination shells of any metal, the least that tells fcc
from icosahedral."""
LATEST_START = 2.5
"""angstrom; a table that starts later lacks the nearest neighbours of every oxide and most metals."""
GAP = 3.0
"""Times the usual step from which on points are missing."""
MOST_NOISE = 0.7
"""Share of white noise in the energy between Qmin and Qmax. A molecule of ten atoms fills so little of the range that
3 % of its highest peak make up 0.55; of noise alone the share is 0.75 and more."""
QMAX_GUESS = (8.0, 40.0)
"""1/angstrom, where Qmax is looked for when the file does not say it."""
CUTOFF = 0.03
"""Q components below this share of the strongest are taken for noise or leakage when Qmax is looked for."""
OUTSTANDING = 8.0
"""Times the noise floor that one component in 3,000 of noise exceeds."""
LIKE_Q = (0.2, 40.0)
"""A table that starts above the one and ends below the other may run over Q."""
USUAL_QMIN = 0.5
"""1/angstrom: where the beam stop of a total-scattering set-up usually ends."""
RIPPLES = (0.3, 1.4)
"""angstrom: below every bond, so what stands there beside the straight -4 pi rho r is error."""
NEAR = (1.6, 8.0)
"""angstrom, where the strongest peaks of every structure lie."""
FAR = (13.0, 20.0)
SAME_RIPPLES = 0.3
"""Energy per point of the ripples, over that of ``NEAR``, in a curve of noise alone; a bad reduction reaches it too."""
SAME_FAR = (0.4, 2.5)
"""Energy per point of ``FAR`` over that of ``NEAR`` in noise, which has no size and no damping."""
EVEN_SPECTRUM = 0.22
"""Participation ratio (sum e)^2 / (n sum e^2) of the components between Qmin and Qmax from which on no reflection
stands out: 0.5 for white noise, 0.3 where noise grows with Q."""


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
    fault = _range_fault(pattern, r_range)
    if fault is not None:
        return Quality((fault,), (), 0.0, 0.0, 1.0)
    inside = (pattern.x >= r_range[0]) & (pattern.x <= r_range[1])
    r, g = evened(pattern.x[inside], pattern.y[inside])
    spectrum = Spectrum.of(r, g)
    remarks: list[str] = []
    qmax = pattern.conditions.qmax
    if qmax is None:
        qmax = _apparent_qmax(spectrum)
        remarks.append(f"the file does not say Qmax; {qmax:.1f} 1/angstrom was read off the pattern")
        if pattern.x[0] > LIKE_Q[0] and pattern.x[-1] < LIKE_Q[1]:
            remarks.append(
                f"the first column starts at {pattern.x[0]:g} and nothing says that it is r: if it is Q, this is F(Q) "
                f"and the answer is wrong (the F(Q) of an fcc metal looks like the G(r) of a bcc one)"
            )
    qmin = USUAL_QMIN if pattern.conditions.qmin is None else pattern.conditions.qmin
    fault = _curve_fault(pattern, inside, spectrum, qmin, qmax)
    noise = 0.0 if fault else _noise_share(spectrum, qmax)
    return Quality(() if fault is None else (fault,), tuple(remarks), qmin, qmax, noise)


def _range_fault(pattern: Pattern, r_range: tuple[float, float]) -> str | None:
    """Units, and whether the points cover the range."""
    units = unit_fault(pattern)
    if units is not None:
        return units
    r, g = pattern.x, pattern.y
    inside = (r >= r_range[0]) & (r <= r_range[1])
    if inside.any() and float(np.ptp(g[inside])) <= 1e-12 * max(1e-30, float(np.abs(g[inside]).max())):
        return "the pattern is flat: it holds no signal"
    held = inside & (np.arange(len(g)) <= int(np.max(np.flatnonzero(g), initial=0)))
    covered = float(r[held][-1] - r[held][0]) if held.any() else 0.0
    if covered < SHORTEST_RANGE:
        zeros = "; beyond it is zero" if inside.sum() > held.sum() else ""
        return (
            f"the pattern covers only {covered:.1f} angstrom of r = {r_range[0]:g} to {r_range[1]:g}{zeros}; "
            f"at least {SHORTEST_RANGE:g} are needed"
        )
    return None


def _curve_fault(
    pattern: Pattern, inside: NDArray[np.bool_], spectrum: Spectrum, qmin: float, qmax: float
) -> str | None:
    """What is wrong with the curve itself."""
    r, g = pattern.x[inside], pattern.y[inside]
    stated = pattern.conditions.qmin
    return (
        quantity_fault(pattern.x, pattern.y, inside, stated)
        or _grid_fault(pattern.x, r)
        or values_fault(r, g)
        or qmax_fault(pattern, spectrum)
        or _step_fault(r, qmax)
        or background_fault(r, g, spectrum, stated)
        or _noise_fault(pattern, spectrum, qmin, qmax)
    )


def _grid_fault(all_r: Floats, r: Floats) -> str | None:
    """Missing points."""
    if all_r[0] > LATEST_START and r[0] == all_r[0]:
        return (
            f"the pattern starts at r = {r[0]:g}: the nearest neighbours are missing; export it from "
            f"r = {LATEST_START:g} angstrom or less"
        )
    steps = np.diff(r)
    where = int(steps.argmax())
    if steps[where] > GAP * float(np.median(steps)):
        return f"the r grid has a gap from r = {r[where]:g} to {r[where + 1]:g}; export the pattern on a uniform grid"
    return None


def _step_fault(r: Floats, qmax: float) -> str | None:
    step = float(np.median(np.diff(r)))
    if step <= math.pi / qmax:
        return None
    return (
        f"the r step of {step:.3g} angstrom is too coarse for Qmax {qmax:g}: at most "
        f"{math.pi / qmax:.2f} is needed"
    )


def _noise_fault(pattern: Pattern, spectrum: Spectrum, qmin: float, qmax: float) -> str | None:
    noise = noise_within(spectrum, qmin, qmax)
    if noise > MOST_NOISE:
        return f"noise makes up {noise:.0%} of the pattern; no structure stands above it: measure longer"
    ripples, far = (_energy(pattern, part, line=part is RIPPLES) for part in (RIPPLES, FAR))
    near = _energy(pattern, NEAR)
    if ripples is None or far is None or not near:
        return None
    inside = (spectrum.q >= qmin) & (spectrum.q < qmax)
    energy = spectrum.energy[inside]
    even = float(energy.sum() ** 2 / (len(energy) * (energy @ energy)))
    if ripples > SAME_RIPPLES * near and SAME_FAR[0] < far / near < SAME_FAR[1] and even > EVEN_SPECTRUM:
        return (
            f"the curve is as strong below {RIPPLES[1]:g} angstrom, where no atoms are neighbours, and beyond "
            f"{FAR[0]:g} as between, and no reflection stands out: it is noise; measure longer"
        )
    return None


def _energy(pattern: Pattern, part: tuple[float, float], *, line: bool = False) -> float | None:
    """Per point; ``None`` where the pattern does not cover the part. With ``line`` less the best a r."""
    r, g = pattern.x, pattern.y
    if r[0] > part[0] + 0.1 or r[-1] < part[1] - 0.1:
        return None
    inside = (r >= part[0]) & (r <= part[1])
    x, y = r[inside], g[inside]
    if len(x) < 2:
        return None
    rest = y - float(x @ y) / float(x @ x) * x if line else y
    return float(np.mean(rest**2))


def _noise_share(spectrum: Spectrum, qmax: float) -> float:
    """White noise's share of all the energy."""
    if noise_within(spectrum, 0.0, qmax) == 0.0:
        return 0.0
    return float(min(1.0, spectrum.floor * len(spectrum.q) / spectrum.energy.sum()))


def _apparent_qmax(spectrum: Spectrum) -> float:
    q, energy = spectrum.q, spectrum.energy
    searched = (q >= QMAX_GUESS[0]) & (q <= QMAX_GUESS[1])
    strong = q[searched & (energy > max(CUTOFF**2 * energy.max(), OUTSTANDING * spectrum.floor))]
    return float(strong[-1]) if len(strong) else QMAX_GUESS[0]
