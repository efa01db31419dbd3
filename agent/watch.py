"""The watchdog: which devices are silent, and who was stopped in an emergency; both go into the ledger.

A silent device gets no new order (:meth:`solvus.agent.conversation.Conversation.ready` leaves it out); here that
becomes an event, so that `solvus status` can say so from the ledger alone. An emergency stop of a device pauses the
campaign: when the device is released, nothing moves until a person lets the campaign go on.
"""

from __future__ import annotations

from solvus.agent.controls import Controls
from solvus.agent.conversation import Conversation
from solvus.agent.ledger.ledger import Ledger


class Watch:
    """Compares what is heard now with what was written last."""

    def __init__(self, campaign_id: str, ledger: Ledger, wire: Conversation, controls: Controls) -> None:
        self._id = campaign_id
        self._ledger = ledger
        self._wire = wire
        self._controls = controls
        self._silent: set[str] | None = None

    async def attend(self) -> None:
        await self._note_silence()
        while self._wire.halts:
            device, halt = self._wire.halts.pop(0)
            why = f"emergency stop of {device}" + (f": {halt.reason}" if halt.reason else "")
            await self._controls.pause(why, by=halt.by)

    async def _note_silence(self) -> None:
        if self._silent is None:
            self._silent = await silent_devices(self._ledger, self._id)
        now = self._wire.silent()
        for device in sorted(now.keys() - self._silent):
            body = {"device": device, "seconds": now[device]}
            async with self._ledger.step() as step:
                await step.append(self._id, "device-silent", body)
        for device in sorted(self._silent - now.keys()):
            async with self._ledger.step() as step:
                await step.append(self._id, "device-heard", {"device": device})
        self._silent = set(now)


async def silent_devices(ledger: Ledger, campaign: str) -> set[str]:
    """Devices of which the ledger last says that they are silent."""
    events = await ledger.events(campaign, "device-silent", "device-heard")
    last = {event.body["device"]: event.kind for event in events}
    return {device for device, kind in last.items() if kind == "device-silent"}
