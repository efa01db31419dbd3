"""What a device says, and in which order: its description, its journal's outbox, its state.

One task publishes, so the order on the wire is the order of the journal. A message that cannot be delivered
stays the next one; at every (re)connect everything that is not receipted goes out again. The state comes
after the messages it numbers, unless a heartbeat is due, so that a listener does not see a gap where there
is only a queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Literal

from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.checked_client import CheckedClient
from solvus.drivers.connection import Connection, Handler, LastWill, NotDelivered, Transport
from solvus.drivers.journal import Journal, JournalError
from solvus.drivers.messages import Describe, State
from solvus.drivers.topics import device_topic

log = logging.getLogger(__name__)

GOODBYE_LIMIT = 2.0
"""Seconds to deliver the last messages when the device stops; the rest waits in the journal."""
TEXT_LIMIT = 2000
"""Characters of a reason or detail on the wire."""

StateName = Literal["init", "ready", "busy", "fault", "lost"]
Halted = Literal["no", "stopping", "idle", "unsafe"]


class Speaker:
    """The publishing side of one device, with its connection.

    Parameters
    ----------
    handler : takes the device's commands.
    describe : makes the description; called at every connect.
    held_by : the campaign that holds the device.
    heartbeat : seconds between two states when nothing else happens.
    """

    def __init__(
        self,
        *,
        lab: str,
        device: str,
        boot_id: str,
        address: BrokerAddress,
        journal: Journal,
        handler: Handler,
        describe: Callable[[], Describe],
        held_by: Callable[[], str] = str,
        heartbeat: float,
        clock: Callable[[], datetime],
        persistent_session: bool,
        transport: Transport = CheckedClient,
    ) -> None:
        self._topic = {c: device_topic(lab, device, c) for c in ("state", "describe", "event", "result")}
        self._boot_id = boot_id
        self._journal = journal
        self._describe = describe
        self._held_by = held_by
        self._heartbeat = heartbeat
        self._clock = clock
        self.connection = Connection(
            address,
            f"solvus-{lab}-{device}",
            subscriptions=(device_topic(lab, device, "halt"), device_topic(lab, device, "command")),
            handler=handler,
            on_connect=self._on_connect,
            will=self._will,
            persistent_session=persistent_session,
            transport=transport,
        )
        self.state: StateName = "init"
        self.detail = ""
        self.halted: Halted = "no"
        self._said = journal.receipted
        self._state_due = self._describe_due = True
        self._beat_at = 0.0
        self._wake = asyncio.Event()

    def set_state(self, state: StateName, detail: str = "", *, halted: Halted = "no") -> None:
        self.state, self.detail, self.halted = state, detail[:TEXT_LIMIT], halted
        self._state_due = True
        self._wake.set()
        log.info("state %s %s", state, detail)

    def say_state_again(self) -> None:
        """Something else that the state tells has changed."""
        self._state_due = True
        self._wake.set()

    def wake(self) -> None:
        """There is something new in the journal."""
        self._wake.set()

    def repeat_from(self, seq: int, *, describe: bool = False) -> None:
        """Publish again what is not receipted from ``seq`` on, and if asked the description before it."""
        self._said = min(self._said, seq - 1)
        self._describe_due |= describe
        self._wake.set()

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            try:
                await self._say_all()
            except NotDelivered as error:
                log.info("waiting: %s", error)
                # A beat that is overdue would have this tried again at once, over and over, until the broker is back.
                self._beat_at = _seconds() + self._heartbeat
            # Not wait_for: before Python 3.12 it swallows a cancel that comes together with the wake.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._beat_at - _seconds())):
                    await self._wake.wait()
            self._wake.clear()
            self._state_due |= _seconds() >= self._beat_at

    async def say_goodbye(self, reason: str) -> None:
        """Publish what is left and that this device is gone, if the broker listens, and disconnect."""
        self.set_state("lost", reason, halted=self.halted)
        with suppress(NotDelivered, TimeoutError):
            async with asyncio.timeout(GOODBYE_LIMIT):
                with suppress(JournalError):  # it may be why the device stops
                    await self._say_all()
                if self._state_due:
                    await self._say_state()
        await self.connection.stop()

    async def _on_connect(self) -> None:
        self._said = self._journal.receipted
        self._state_due = self._describe_due = True
        self._wake.set()

    async def _say_all(self) -> None:
        if self._describe_due:
            text = self._describe().model_dump_json(by_alias=True)
            await self.connection.publish(self._topic["describe"], text.encode(), retain=True)
            self._describe_due = False
        while (message := self._journal.next_after(self._said)) is not None:
            if _seconds() >= self._beat_at:
                await self._say_state()
            self._said = message.seq  # before the wait, in which a resend may turn it back
            try:
                await self.connection.publish(self._topic[message.channel], message.payload.encode())
            except (NotDelivered, asyncio.CancelledError):
                self._said = min(self._said, message.seq - 1)
                raise
        if self._state_due:
            await self._say_state()

    async def _say_state(self) -> None:
        # Before publishing: an attempt that fails must not be repeated at once, and a change during it must
        # be.
        self._beat_at = _seconds() + self._heartbeat
        self._state_due = False
        try:
            await self.connection.publish(
                self._topic["state"], self._state_message(self.state, self.detail), retain=True
            )
        except (NotDelivered, asyncio.CancelledError):
            self._state_due = True
            raise

    def _will(self) -> LastWill:
        return LastWill(self._topic["state"], self._state_message("lost", "vanished without a word"))

    def _state_message(self, state: StateName, detail: str) -> bytes:
        moment = self._clock()
        message = State(
            sent_at=moment,
            boot_id=self._boot_id,
            journal_id=self._journal.journal_id,
            seq=self._journal.last_seq,
            state=state,
            heartbeat_at=moment,
            detail=detail,
            receipted=self._journal.receipted,
            halted=self.halted,
            held_by=self._held_by(),
        )
        return message.model_dump_json(by_alias=True).encode()


def _seconds() -> float:
    return asyncio.get_running_loop().time()
