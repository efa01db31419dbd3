"""Which campaign a device works for: one at a time, by a lease that the campaign's agent renews.

The device itself keeps the claim, so that two agents that have never heard of each other cannot both order it. A lease
that is not renewed runs out; it is kept in memory only, because a device that has booted anew is claimed again anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from solvus.drivers.messages import Claim


class Holder:
    """The campaign that holds a device, if any.

    Parameters
    ----------
    clock : the present time; a lease counts from the moment the claim arrived.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._name = ""
        self._until: datetime | None = None

    @property
    def name(self) -> str:
        """Who holds the device now; empty when nobody does."""
        if self._until is not None and self._clock() > self._until:
            self._name, self._until = "", None
        return self._name

    def take(self, claim: Claim) -> bool:
        """Grant, renew or end a claim; False when another campaign holds the device, which stays as it is."""
        if self.name not in ("", claim.holder):
            return False
        if claim.lease > 0.0:
            self._name, self._until = claim.holder, self._clock() + timedelta(seconds=claim.lease)
        else:
            self._name, self._until = "", None
        return True
