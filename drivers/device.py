"""The protocol around a driver: one device on the wire.

::

            open()            execute                 done, or chemistry failure and idle()
    init ------------> ready ---------> busy ------------------------------------------------> ready
      |                                  |
      | fails          ready <--------- fault      equipment failure; left when idle() succeeds
      v                       idle()
    fault, tried again

    lost: the last will after a crash; said by the device itself when it stops

An emergency stop (``halt``) ends whatever is carried out, makes the hardware safe, and leaves the device in ``fault``,
over restarts too, until a person releases it.

Rules (design section 3): a command is done at most once; ``started`` is on the disk before anything moves;
every command that was accepted ends in exactly one of done, failed, interrupted; a result is published
before its ``done``; what cannot be delivered stays in the journal and goes out, in order, when the broker is
back.

One order at a time: a second is rejected as busy rather than queued, so that the plan stays with the agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from solvus.drivers.acceptance import refusal
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.checked_client import CheckedClient
from solvus.drivers.claim import Holder
from solvus.drivers.connection import Inbound, Transport
from solvus.drivers.driver import ChemistryFailure, Driver
from solvus.drivers.execution import Measured, in_words, make_safe, measure, sparing
from solvus.drivers.journal import CommandRecord, Journal
from solvus.drivers.limits import DeviceLimits, narrowed
from solvus.drivers.memory import DeviceMemory
from solvus.drivers.messages import COMMAND, Cancel, Claim, Execute, Halt, Query, Receipt, Resend, new_id, now
from solvus.drivers.scribe import Scribe
from solvus.drivers.speaker import Speaker
from solvus.drivers.topics import parse

log = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Seconds between two states when nothing else happens."""
STOP_LIMIT = 15.0
"""Seconds a running order has to end when the device is stopped; later it is left to be ``interrupted``."""
HALT_PATIENCE = 3.0
"""Seconds an order has to end after an emergency stop, before the hardware is idled beside it."""
OPEN_PAUSE = 10.0
"""Seconds between attempts to open hardware that does not open."""


class Device:
    """One driver on one broker.

    Parameters
    ----------
    lab, device : the two levels of its topics.
    journal : opened by the caller, who closes it after :meth:`run`.
    data : the laboratory's data folder, for patterns too large for the wire.
    limits : what the laboratory allows, within what the driver allows; a real instrument does not start without.
    heartbeat : seconds between two states when nothing else happens.
    clock : the present time, UTC; decides what has expired.
    persistent_session, transport : see :class:`solvus.drivers.connection.Connection`.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        lab: str,
        device: str,
        address: BrokerAddress,
        journal: Journal,
        data: Path | None = None,
        limits: DeviceLimits | None = None,
        heartbeat: float = HEARTBEAT,
        clock: Callable[[], datetime] = now,
        persistent_session: bool = False,
        transport: Transport = CheckedClient,
    ) -> None:
        self.boot_id = new_id()
        self._driver = driver
        self._capabilities = narrowed(
            driver.capabilities(), limits or DeviceLimits(), simulated=driver.simulated, driver=driver.name
        )
        self._journal = journal
        self._memory = DeviceMemory(journal.path)
        self._holder = Holder(clock)
        self._data = data
        self._clock = clock
        self._speaker = Speaker(
            lab=lab,
            device=device,
            boot_id=self.boot_id,
            address=address,
            journal=journal,
            handler=self._take,
            describe=lambda: self._scribe.description(device, driver, self._capabilities),
            held_by=lambda: self._holder.name,
            heartbeat=heartbeat,
            clock=clock,
            persistent_session=persistent_session,
            transport=transport,
        )
        self._scribe = Scribe(journal, self.boot_id, clock, self._speaker.wake)
        self._opened = False
        self._left_moving = False
        self._order: Execute | None = None
        self._carrying: asyncio.Task[None] | None = None
        self._work: asyncio.Task[Measured] | None = None
        self._stopping = False
        self._stopped_because: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, then make the hardware safe and say good-bye.

        Raises
        ------
        JournalError
            The journal can no longer be written; the device has stopped, because it must not move without
            one.
        """
        self._own_up()
        self._speaker.connection.start()
        for work in (self._speaker.connection.finished(), self._speaker.run(), self._open()):
            self._background(work)
        stopping = asyncio.create_task(stop.wait())
        ends: set[asyncio.Future[Any]] = {stopping, self._failure}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._shut_down()
        if self._failure.done():
            self._failure.result()

    # What arrives

    async def _take(self, inbound: Inbound) -> None:
        """One message on the command or halt topic. Returns when it is durable, so that it may be acknowledged."""
        topic = parse(inbound.topic)
        if topic is not None and topic.channel == "halt":
            self._take_halt(inbound.payload)
            return
        if inbound.retain:
            log.warning("ignored a retained command: commands are never retained")
            return
        if inbound.damaged:
            log.warning("ignored a command that was damaged on its way: whoever sent it will send it again")
            return
        try:
            command = COMMAND.validate_json(inbound.payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            log.warning(
                "ignored a command that is none: %s: %s", ".".join(map(str, first["loc"])), first["msg"]
            )
            return
        match command:
            case Execute():
                self._take_order(command)
            case Cancel():
                self._take_cancel(command)
            case Query():
                self._take_query(command)
            case Receipt():
                if command.journal_id == self._journal.journal_id:
                    self._journal.receipt(command.up_to_seq)
            case Resend():
                self._speaker.repeat_from(command.from_seq, describe=True)
            case Claim():
                self._take_claim(command)

    def _take_order(self, order: Execute) -> None:
        known = self._journal.command(order.command_id)
        if known is not None:
            self._repeat(known)
            return
        verdict, reason = self._judge(order)
        self._scribe.record(
            order.command_id, verdict, reason=reason, body=order.model_dump_json(by_alias=True)
        )
        if verdict == "accepted":
            self._order = order
            self._carrying = self._background(self._carry_out(order))

    def _judge(self, order: Execute) -> tuple[Literal["accepted", "rejected", "expired"], str]:
        if self._clock() > order.expires_at:
            return "expired", f"expired at {order.expires_at:%Y-%m-%d %H:%M:%S} UTC"
        before = self._memory.before(order.action)
        if (reason := refusal(order, self._capabilities, before)) is not None:
            return "rejected", reason
        if self._holder.name not in ("", order.claim):
            return "rejected", f"held by campaign {self._holder.name.partition('.')[0]}"
        if self._memory.halt is not None:
            return "rejected", _halted_words(self._memory.halt)
        if self._stopping:
            return "rejected", "the device is being stopped"
        if self._order is not None:
            return "rejected", f"busy with {self._order.command_id}"
        if self._speaker.state != "ready":
            return "rejected", f"the device is not ready ({self._speaker.state}: {self._speaker.detail})"
        return "accepted", ""

    def _take_cancel(self, command: Cancel) -> None:
        """Honoured however old it is: it names one command, and stopping that one is never wrong."""
        known = self._journal.command(command.command_id)
        if known is None:
            # Remembered, so that the order is refused should it still come.
            reason = "cancelled before it arrived"
            self._scribe.record(
                command.command_id, "rejected", reason=reason, body=command.model_dump_json(by_alias=True)
            )
        elif self._order is not None and self._order.command_id == command.command_id:
            self._cancel("cancelled")
        else:
            self._repeat(known)

    def _take_claim(self, claim: Claim) -> None:
        if self._clock() > claim.expires_at:
            return
        if not self._holder.take(claim):
            log.warning("%s wants the device, which %s holds", claim.holder, self._holder.name)
        self._speaker.say_state_again()

    def _take_query(self, query: Query) -> None:
        if self._clock() > query.expires_at:
            return  # nobody waits for the answer
        self._scribe.answer(query.command_id, query.command_ids)

    def _repeat(self, known: CommandRecord) -> None:
        """Answer a command heard before with what is known of it; it is never carried out again."""
        first = self._journal.first_of(known.command_id)
        if first is not None:
            self._speaker.repeat_from(first)
        else:
            self._scribe.answer(known.command_id, (known.command_id,))

    # Carrying out

    async def _carry_out(self, order: Execute) -> None:
        self._speaker.set_state("busy", order.command_id)
        self._scribe.record(order.command_id, "started")
        if any(spec.max_step is not None for c in self._capabilities for spec in c.parameters):
            self._memory.began(order)
        progress = sparing(lambda fraction, words: self._tell_progress(order.command_id, fraction, words))
        work = self._work = asyncio.create_task(measure(self._driver, order, progress, self._data))
        try:
            if self._stopped_because is not None:
                work.cancel()
            await asyncio.wait({work})
        finally:
            work.cancel()
        self._work = None
        if not work.cancelled() and work.exception() is None:
            self._scribe.done(order, work.result())
            unsafe = None
        else:
            unsafe = await self._end_badly(order, None if work.cancelled() else work.exception())
        self._order = self._stopped_because = None
        self._rest(unsafe)

    def _rest(self, unsafe: str | None) -> None:
        """Say how the hardware is when nothing is carried out."""
        halt = self._memory.halt
        if halt is not None:
            words = _halted_words(halt) if unsafe is None else f"{_halted_words(halt)}; {unsafe}"
            self._speaker.set_state("fault", words, halted="idle" if unsafe is None else "unsafe")
        elif unsafe is None:
            self._speaker.set_state("ready")
        else:
            self._speaker.set_state("fault", unsafe)

    # Emergency stop

    def _take_halt(self, payload: bytes) -> None:
        """Stop or release. What is no such message asks for nothing."""
        try:
            halt = Halt.model_validate_json(payload)
        except ValidationError as error:
            log.warning("ignored a halt that is none: %s", error.errors()[0]["msg"])
            return
        if halt.kind == "release":
            self._release()
            return
        log.warning("%s", _halted_words(halt))
        if self._memory.halt is None:  # whoever stopped it first is whom to ask
            self._remember(halt)
        if self._order is not None:
            self._cancel(_halted_words(halt))
        self._speaker.set_state("fault", _halted_words(halt), halted="stopping")
        if self._carrying is not None and not self._carrying.done():
            self._background(self._insist(self._carrying))
        elif self._opened:
            self._background(self._become_safe())

    async def _insist(self, carrying: asyncio.Task[None]) -> None:
        """A driver that does not heed the cancel is idled all the same."""
        await asyncio.wait({carrying}, timeout=HALT_PATIENCE)
        if not carrying.done():
            log.error("the order does not end; making the hardware safe beside it")
            self._rest(await make_safe(self._driver))

    def _release(self) -> None:
        if self._memory.halt is None:
            return
        self._remember(None)
        log.warning("released from the emergency stop")
        if self._order is None and self._opened:
            self._background(self._become_safe())

    def _remember(self, halt: Halt | None) -> None:
        """A stop that cannot be written down is one all the same; a release that cannot is none after a restart."""
        try:
            self._memory.set_halt(halt)
        except OSError:
            log.exception("the emergency stop could not be written down")

    async def _become_safe(self) -> None:
        unsafe = await make_safe(self._driver)
        if self._order is None:
            self._rest(unsafe)

    async def _end_badly(self, order: Execute, error: BaseException | None) -> str | None:
        """Make the hardware safe, then tell; returns why the hardware is not safe, or ``None``."""
        told = None if error is None else in_words(error)
        reason = "; ".join(part for part in (self._stopped_because, told) if part) or "the driver gave up"
        # An order that was cancelled says nothing about the recipe, whatever the driver makes of it.
        chemistry = isinstance(error, ChemistryFailure) and self._stopped_because is None
        if error is not None and not chemistry:
            log.error("equipment failure in %s", order.command_id, exc_info=error)
            self._speaker.set_state("fault", reason)
        unsafe = await make_safe(self._driver)
        whole = reason if unsafe is None else f"{reason}; {unsafe}"
        self._scribe.record(
            order.command_id, "failed", reason=whole, cause="chemistry" if chemistry else "equipment"
        )
        return unsafe

    def _cancel(self, why: str) -> None:
        self._stopped_because = self._stopped_because or why
        if self._work is not None:
            self._work.cancel()

    def _tell_progress(self, command_id: str, fraction: float | None, words: str) -> None:
        if self._order is not None and self._order.command_id == command_id:
            self._scribe.progress(command_id, fraction, words)

    # Beginning and end

    def _own_up(self) -> None:
        """Tell of the commands that the last run left unfinished. They are never repeated by the device
        itself."""
        for record in self._journal.unfinished():
            moving = record.status == "started"
            self._left_moving |= moving
            when = "while it carried this out" if moving else "before it had started this"
            self._scribe.record(record.command_id, "interrupted", reason=f"the device went down {when}")

    async def _open(self) -> None:
        while True:
            try:
                await self._driver.open()
                if self._left_moving or self._memory.halt is not None:
                    await self._driver.idle()
            except Exception as error:  # a driver may fail in any way; it is tried again
                log.exception("the hardware does not open")
                self._speaker.set_state(
                    "fault", f"the hardware does not open ({type(error).__name__}: {error})"
                )
                await asyncio.sleep(OPEN_PAUSE)
            else:
                self._opened = True
                self._rest(None)
                return

    async def _shut_down(self) -> None:
        self._stopping = True
        self._cancel("the device was stopped")
        if self._carrying is not None and not self._failure.done():
            await asyncio.wait({self._carrying}, timeout=STOP_LIMIT)
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._opened:
            await make_safe(self._driver)
            try:
                await self._driver.close()
            except Exception:  # a driver may fail in any way, and this is the end of it
                log.exception("the hardware did not close")
        failed = self._failure.exception() if self._failure.done() else None
        await self._speaker.say_goodbye("stopped" if failed is None else f"stopped: {in_words(failed)}")

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(error)


def _halted_words(halt: Halt) -> str:
    return f"emergency stop by {halt.by}" + (f": {halt.reason}" if halt.reason else "")
