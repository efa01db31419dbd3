"""The outbox: orders are written to the ledger first and published from there.

An order is published again, under the same ``command_id``, until the device has accepted it or it has expired: the
embedded broker remembers nothing, and a device executes an id once only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from solvus.agent.campaign import Campaign
from solvus.agent.ledger.ledger import Clock, Ledger, Step
from solvus.agent.ledger.tables import CommandRow, ExperimentRow
from solvus.agent.states import COMMAND_ENDS, CommandState, ExperimentState
from solvus.agent.transitions import move_command, move_experiment
from solvus.drivers.connection import Connection, NotDelivered
from solvus.drivers.messages import Execute, Message, Query, Receipt, Resend, Value, new_id
from solvus.drivers.topics import device_topic

log = logging.getLogger(__name__)

C, E = CommandState, ExperimentState
ACTIONS = {"make": "synthesise", "measure": "measure"}
"""Which action of a device serves which purpose of the loop."""


async def queue_command(
    step: Step,
    experiment: ExperimentRow,
    *,
    device: str,
    purpose: str,
    parameters: dict[str, Value],
    boot_id: str,
    expires_at: datetime,
    claim: str | None = None,
) -> None:
    """Put one order into the outbox and move its experiment on, in the caller's step."""
    order = Execute(
        boot_id=boot_id,
        command_id=new_id(),
        expires_at=expires_at,
        action=ACTIONS[purpose],
        parameters=parameters,
        sample_id=experiment.sample_id,
        campaign=experiment.campaign,
        experiment=experiment.number,
        replicate=experiment.replicate,
        claim=claim,
    )
    await step.append(
        experiment.campaign,
        "command-queued",
        {
            "command_id": order.command_id,
            "experiment": experiment.number,
            "device": device,
            "purpose": purpose,
            "command": order.model_dump(mode="json", by_alias=True),
        },
    )
    await move_experiment(step, experiment, E.SYNTHESISING if purpose == "make" else E.MEASURING)


class Outbox:
    """Publishes what is queued and chases what is not answered."""

    def __init__(
        self, ledger: Ledger, connection: Connection, campaign: Campaign, lab: str, boot_id: str, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._connection = connection
        self._timing = campaign.timing
        self._lab = lab
        self._boot_id = boot_id
        self._clock = clock
        self._published_at: dict[str, datetime] = {}
        self._queried_at: dict[str, datetime] = {}

    async def attend(self, rows: Iterable[CommandRow], present: frozenset[str]) -> None:
        """Do for every open command what its state and age ask for; ``present`` devices are there to hear."""
        for row in rows:
            if row.state == C.QUEUED.value:
                await self._publish_queued(row, present)
            elif row.state == C.PUBLISHED.value:
                await self._chase(row, present)

    async def _publish_queued(self, row: CommandRow, present: frozenset[str]) -> None:
        order = Execute.model_validate_json(row.body)
        expired = self._clock() > order.expires_at
        # Of an earlier run nobody knows whether it had sent the order when it was killed.
        surely_unsent = order.boot_id == self._boot_id and row.command_id not in self._published_at
        if expired and surely_unsent:
            await self._end(row, C.EXPIRED, "it waited in the outbox until it expired")
        elif expired or (row.device in present and await self._send_order(row, order)):
            # One that was sent without the broker's confirmation may have arrived: the device is asked.
            await self._move(row, C.PUBLISHED)

    async def _chase(self, row: CommandRow, present: frozenset[str]) -> None:
        order = Execute.model_validate_json(row.body)
        now = self._clock()
        silence = now - order.expires_at
        if silence > timedelta(seconds=self._timing.device_lost):
            await self._end(row, C.UNKNOWN, "the device never said what became of it")
        elif row.device not in present:
            return
        elif silence > timedelta(0):
            if self._due(self._queried_at, row.command_id, now):
                await self.query(row.device, (row.command_id,))
        elif self._due(self._published_at, row.command_id, now):
            await self._send_order(row, order)

    def _due(self, last: dict[str, datetime], command_id: str, now: datetime) -> bool:
        before = last.get(command_id)
        if before is not None and now - before < timedelta(seconds=self._timing.republish):
            return False
        last[command_id] = now
        return True

    async def _send_order(self, row: CommandRow, order: Execute) -> bool:
        self._published_at[row.command_id] = self._clock()
        expires_in = max(1.0, (order.expires_at - self._clock()).total_seconds())
        return await self._send(row.device, order.model_dump_json(by_alias=True), expires_in)

    async def _move(self, row: CommandRow, to: CommandState, **body: str) -> None:
        async with self._ledger.step() as step:
            fresh = await step.get(CommandRow, row.command_id)
            if fresh is not None:
                await move_command(step, fresh, to, **body)

    async def _end(self, row: CommandRow, to: CommandState, reason: str) -> None:
        await self._move(row, to, reason=reason)

    async def mark_lost(self, rows: Iterable[CommandRow], silent_for: dict[str, float]) -> None:
        """Orders of devices that have been silent too long while at work become `unknown`."""
        for row in rows:
            silence = silent_for.get(row.device, 0.0)
            if CommandState(row.state) in (C.ACCEPTED, C.STARTED) and silence > self._timing.device_lost:
                await self._end(row, C.UNKNOWN, f"the device has been silent for {silence:.0f} s")

    async def not_heard_of(self, row: CommandRow) -> None:
        """A device has answered that it knows nothing of this order."""
        order = Execute.model_validate_json(row.body)
        if row.state == C.PUBLISHED.value and self._clock() > order.expires_at:
            await self._end(row, C.EXPIRED, "the device had not heard of it when it expired")
        elif CommandState(row.state) in (C.ACCEPTED, C.STARTED):
            await self._end(
                row, C.UNKNOWN, "the device took it and has lost the journal that says what became of it"
            )

    async def told_to_another(self, row: CommandRow, status: str) -> None:
        """A device has told the end of this order, it was receipted, and this ledger does not hold it: one that was
        restored from a backup, say."""
        if CommandState(row.state) not in COMMAND_ENDS:
            reason = (
                f"the device told that it is {status} to a ledger that is not this one, as before a restore"
            )
            await self._end(row, C.UNKNOWN, reason)

    async def query(self, device: str, command_ids: tuple[str, ...]) -> None:
        message = Query(boot_id=self._boot_id, expires_at=self._soon(), command_ids=command_ids)
        await self._send(device, message.model_dump_json(by_alias=True), self._timing.republish)

    async def receipt(self, device: str, journal_id: str, up_to_seq: int) -> bool:
        message = Receipt(
            boot_id=self._boot_id, expires_at=self._soon(), journal_id=journal_id, up_to_seq=up_to_seq
        )
        return await self._send(device, message.model_dump_json(by_alias=True), self._timing.republish)

    async def resend(self, device: str, from_seq: int) -> None:
        message = Resend(boot_id=self._boot_id, expires_at=self._soon(), from_seq=max(1, from_seq))
        await self._send(device, message.model_dump_json(by_alias=True), self._timing.republish)

    async def send(self, device: str, message: Message) -> bool:
        """Any other message to a device; says whether the broker has confirmed it."""
        return await self._send(device, message.model_dump_json(by_alias=True), self._timing.republish)

    def _soon(self) -> datetime:
        """Housekeeping messages are only worth hearing at once, but clocks of devices differ by a minute or so."""
        return self._clock() + timedelta(seconds=120)

    async def _send(self, device: str, payload: str, expires_in: float) -> bool:
        try:
            await self._connection.publish(
                device_topic(self._lab, device, "command"), payload.encode(), expires_in=expires_in
            )
        except NotDelivered as error:
            log.info("not delivered, will try again: %s", error)
            return False
        return True


def open_commands(rows: Iterable[CommandRow]) -> list[CommandRow]:
    return [row for row in rows if CommandState(row.state) not in COMMAND_ENDS]
