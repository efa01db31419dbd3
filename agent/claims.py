"""Claims on devices: a campaign takes all it needs or none, and holds them while its agent lives.

Each device grants its own claim and refuses the orders of every other campaign (:mod:`solvus.drivers.claim`). They are
taken in one order, by name, and given back when one of them is held by another, so that two campaigns that want some of
the same devices cannot wait for each other for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

from solvus.agent.ledger.ledger import Clock

log = logging.getLogger(__name__)

LEASE = 60.0
"""Seconds a claim lasts without renewal: an agent that died holds its devices no longer than that."""
RENEW = 10.0
"""Seconds between renewals."""
PATIENCE = 10.0
"""Seconds a device has to answer a claim."""
SETTLED = 2.0
"""Seconds after which a device's word that another holds it is taken for its answer."""
LOOK = 0.05


class DevicesHeld(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """A device that the campaign needs works for another one, or does not say for whom."""


class Wire(Protocol):
    """What claims need of the conversation with the devices."""

    async def claim(self, device: str, holder: str, lease: float) -> None: ...

    def held_by(self, device: str) -> str | None: ...


class Claims:
    """The claims of one campaign.

    Parameters
    ----------
    holder : names the campaign uniquely among all ledgers; the same after ``--resume``.
    """

    def __init__(self, wire: Wire, devices: Iterable[str], holder: str, clock: Clock) -> None:
        self._wire = wire
        self._devices = sorted(devices)
        self._holder = holder
        self._clock = clock
        self._renewed: datetime | None = None

    async def take(self) -> None:
        """Take all devices, or none.

        Raises
        ------
        DevicesHeld
            Naming the device and who holds it.
        """
        taken: list[str] = []
        for device in self._devices:
            await self._wire.claim(device, self._holder, LEASE)
            taken.append(device)
            holder = await self._answer(device)
            if holder != self._holder:
                await self._give_back(taken)
                if holder is None:
                    raise DevicesHeld(
                        f"devices: {device} does not answer a claim within {PATIENCE:g} s; see its log"
                    )
                raise DevicesHeld(
                    f"devices: {device} is held by campaign {holder.partition('.')[0]}; wait for its end or stop it "
                    f"(if its agent is dead, {LEASE:g} s), or name other devices in the campaign file"
                )
        self._renewed = self._clock()

    async def _answer(self, device: str) -> str | None:
        """Who holds the device, once it says that somebody does: we at once, another only when it keeps saying so, for
        its last word may be older than the claim."""
        began = self._clock()
        while True:
            holder, waited = self._wire.held_by(device), (self._clock() - began).total_seconds()
            if holder == self._holder or (holder and waited > SETTLED):
                return holder
            if waited > PATIENCE:
                return None
            await asyncio.sleep(LOOK)

    async def renew(self) -> None:
        """Renew the claims when it is time; also after a device has booted anew and forgotten its own."""
        if self._renewed is None or self._clock() - self._renewed < timedelta(seconds=RENEW):
            return
        self._renewed = self._clock()
        for device in self._devices:
            await self._wire.claim(device, self._holder, LEASE)

    def lost(self) -> dict[str, str]:
        """Devices that another campaign holds although they were ours, with its name."""
        if self._renewed is None:
            return {}
        held = {device: self._wire.held_by(device) for device in self._devices}
        return {d: h.partition(".")[0] for d, h in held.items() if h and h != self._holder}

    async def give_back(self) -> None:
        """At the end: let others have the devices at once."""
        if self._renewed is not None:
            await self._give_back(self._devices)
            self._renewed = None

    async def _give_back(self, devices: Iterable[str]) -> None:
        for device in devices:
            await self._wire.claim(device, self._holder, 0.0)
