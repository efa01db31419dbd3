"""Whether a pattern that has just arrived can be what it says it is: the range of its Q.

Nanometres taken for angstrom is a classic that nothing else shows: 1/nm makes ten times the numbers. The unit itself
is part of the pattern's schema; this is for a pattern that states the right unit beside the wrong numbers.
"""

from __future__ import annotations

from solvus.models.pattern import Pattern

HIGHEST_Q = 100.0
"""1/angstrom: silver radiation ends at 22, a synchrotron at 125 keV in practice below 40, spallation neutrons at 60."""
MARGIN = 1.05
"""A grid may end a little beyond the stated Qmax."""


def range_refusal(pattern: Pattern) -> str | None:
    """One sentence that says why the range of Q cannot be right, or ``None``."""
    if pattern.x_unit != "1/angstrom":
        return None
    last, qmax = float(pattern.x[-1]), pattern.conditions.qmax
    if last > HIGHEST_Q:
        return f"x: Q goes up to {last:g} 1/angstrom, which no instrument reaches; is it in 1/nm?"
    if qmax is not None and last > MARGIN * qmax:
        return f"x: Q goes up to {last:g} and conditions.qmax says {qmax:g}, both in 1/angstrom; one is in another unit"
    return None
