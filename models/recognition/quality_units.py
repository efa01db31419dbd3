"""Units and ranges of a pattern that cannot be those of a G(r) in angstrom.

r in angstrom, Q in 1/angstrom; each fault is one sentence that names the column and the fix.
"""

from __future__ import annotations

import numpy as np

from solvus.models.pattern import Pattern
from solvus.models.recognition.quality_spectrum import Spectrum, share_above

NANOMETRE_Q = 30.0
"""1/angstrom; half of the energy of every G(r) lies below 15, of one with r in nanometres above 30."""
SHORTEST_END = 6.5
"""A curve that ends before this, in steps no longer than ``NANOMETRE_STEP``, was written in nanometres: no program
writes G(r) to less than 6.5 angstrom in such steps."""
NANOMETRE_STEP = 0.0051
CLEAR = 0.3
"""Share of the energy above the noise from which on its middle is known."""
PICOMETRE_END, PICOMETRE_STEP = 300.0, 0.5
"""A curve that goes beyond 300 in steps of 0.5 and more resolves no distance between atoms in angstrom."""
HIGHEST_QMAX = 60.0
"""1/angstrom, beyond that of every spallation source's G(r) in use."""
REACHED = 0.3
"""Share of Qmax that the content of a curve reaches at least: atoms at rest scatter up to it, hot ones to half."""
MOST_ABOVE = 0.02
"""Share of the energy above the stated Qmax that shows it to be wrong: a fit under it could not do better than an R_w
of 0.14."""
TOLERANCE = 1.1
"""Factor on Qmax up to where programs with soft windows still leave something."""
SAME_END = 0.02
"""Share of Q by which the ends of a table and Qmin and Qmax agree when the table runs over Q."""


def unit_fault(pattern: Pattern) -> str | None:
    """Why the first column cannot be r in angstrom; ``None`` when it can."""
    x, y = pattern.x, pattern.y
    if float(np.ptp(y)) == 0.0:
        return None
    step = float(np.median(np.diff(x)))
    ends = _ends_of_q(pattern)
    if ends is not None:
        return ends
    if x[-1] > PICOMETRE_END and step >= PICOMETRE_STEP:
        return f"r runs to {x[-1]:g} in steps of {step:g}: those are picometres; divide r by 100"
    nanometres = "nanometres, or a transform whose Q was in 1/nm; multiply r by 10 (and divide G by 100)"
    if x[-1] < SHORTEST_END and step <= NANOMETRE_STEP and step > 0:
        return f"r ends at {x[-1]:g} in steps of {step:g}: those are {nanometres}"
    spectrum = Spectrum.of(x, y)
    if not spectrum.certain() or spectrum.signal() < CLEAR * float(spectrum.energy.sum()):
        return None
    middle = spectrum.below(0.5)
    if middle > NANOMETRE_Q:
        return (
            f"r: peaks as narrow and close as these (half of the curve varies faster than {middle:.0f} "
            f"1/angstrom) are those of r in {nanometres}"
        )
    return None


def qmax_fault(pattern: Pattern, spectrum: Spectrum) -> str | None:
    """Why the stated Qmax cannot be that of the curve; ``None`` when it can, or where none is stated.

    Parameters
    ----------
    spectrum : of the range that is judged.
    """
    qmax = pattern.conditions.qmax
    if qmax is None or not spectrum.certain():
        return None
    reach = spectrum.below(0.98)
    if qmax > HIGHEST_QMAX and reach < REACHED * qmax:
        return (
            f"qmax: {qmax:g} 1/angstrom is stated, but the curve holds nothing above {reach:.0f}; "
            f"divide it by 10 if it is in 1/nm"
        )
    above = share_above(spectrum, TOLERANCE * qmax)
    if above <= MOST_ABOVE:
        return None
    return (
        f"qmax: {qmax:g} 1/angstrom is stated, but {above:.0%} of the curve varies faster, up to {reach:.0f}; "
        f"correct qmax (or r, if that is in nanometres)"
    )


def _ends_of_q(pattern: Pattern) -> str | None:
    """A table that runs exactly from Qmin to Qmax is one over Q."""
    low, high = pattern.conditions.qmin, pattern.conditions.qmax
    if low is None or high is None or low < 10.0 * float(np.median(np.diff(pattern.x))):
        return None
    if abs(pattern.x[0] - low) > SAME_END * max(1.0, low) or abs(pattern.x[-1] - high) > SAME_END * high:
        return None
    return (
        f"x runs from {pattern.x[0]:g} to {pattern.x[-1]:g}, which are Qmin and Qmax: this is a function of Q, "
        f"such as F(Q) or S(Q), not G(r); transform it first (solvus reduce)"
    )
