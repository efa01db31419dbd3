"""Emergency stop of a laboratory: needs a broker and the devices, and neither agent nor ledger nor anybody's leave.

Every device is told on its own, at the same time as the others, and each answers for itself: one that is dead or hangs
holds up none of the rest. The stop is retained, so that a device that is down hears of it when it is back. What a
device answers is what its driver says of the hardware; it is no substitute for the switch on the wall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError

from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.connection import Connection, Inbound, NotDelivered
from solvus.drivers.messages import Halt, State, new_id
from solvus.drivers.topics import device_topic, parse

PATIENCE = 40.0
"""Seconds to wait for the answers: hardware has 3 s to end its order and 30 s to become safe."""
SILENT = 8.0
"""Seconds after which a device that has said nothing at all is taken for dead: more than a heartbeat."""
LOOK = 1.0
"""Seconds to hear which devices there are: what a broker retains comes with the subscription."""


@dataclass(frozen=True)
class HaltOutcome:
    """What one device says of itself. ``ok``: it has become idle (or, released, it works again)."""

    device: str
    ok: bool
    words: str


class _Watch:
    """The states of a laboratory's devices, and who has answered since the stop went out."""

    def __init__(self, lab: str) -> None:
        self._lab = lab
        self.seen: dict[str, State] = {}
        self.answers: dict[str, State] = {}
        self.listening = False
        self.changed = asyncio.Event()

    async def hear(self, message: Inbound) -> None:
        topic = parse(message.topic)
        if topic is None or topic.lab != self._lab:
            return
        try:
            state = State.model_validate_json(message.payload)
        except ValidationError:
            return  # what is no state says nothing
        self.seen[topic.device] = state
        if self.listening and not message.retain:
            self.answers[topic.device] = state
        self.changed.set()


async def tell_all(
    address: BrokerAddress, lab: str, devices: Iterable[str], halt: Halt, *, patience: float = PATIENCE
) -> list[HaltOutcome]:
    """Stop (or release) the named devices and all others that are heard in the laboratory; returns what each says.

    Raises
    ------
    BrokerUnreachable
        When the broker does not answer: then only the switch on the wall is left.
    """
    watch = _Watch(lab)
    connection = Connection(
        address,
        f"solvus-halt-{lab}-{new_id()[:8]}",
        subscriptions=(f"solvus/v1/{lab}/+/state",),
        handler=watch.hear,
    )
    await connection.connect_or_fail()
    named = tuple(devices)
    try:
        # The named ones first and at once; who else is there shows a moment later.
        watch.listening = True
        failed = await _publish(connection, lab, named, halt)
        await asyncio.sleep(LOOK)
        others = tuple(sorted(watch.seen.keys() - set(named)))
        failed |= await _publish(connection, lab, others, halt)
        everybody = (*named, *others)
        await _answers(watch, everybody, halt, patience)
    finally:
        await connection.stop()
    return [_outcome(d, watch, halt, failed.get(d)) for d in everybody]


async def _answers(watch: _Watch, devices: tuple[str, ...], halt: Halt, patience: float) -> None:
    """Wait until all have answered; for one that does not even speak only :data:`SILENT` seconds."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while clock() - began < patience:
        open_ones = [d for d in devices if not _has_answered(watch.answers.get(d), halt)]
        speaking = [d for d in open_ones if d in watch.answers and watch.answers[d].state != "lost"]
        if not open_ones or (not speaking and clock() - began > SILENT):
            return
        watch.changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await watch.changed.wait()


async def _publish(connection: Connection, lab: str, devices: tuple[str, ...], halt: Halt) -> dict[str, str]:
    """Sends to all at once; returns why it could not be sent, by device."""

    async def tell(device: str) -> str | None:
        payload = halt.model_dump_json(by_alias=True).encode()
        try:
            await connection.publish(device_topic(lab, device, "halt"), payload, retain=True)
        except NotDelivered as error:
            return str(error)
        return None

    told = await asyncio.gather(*map(tell, devices))
    return {device: why for device, why in zip(devices, told, strict=True) if why is not None}


def _has_answered(state: State | None, halt: Halt) -> bool:
    if state is None or state.state == "lost":
        return False
    return state.halted == "no" if halt.kind == "release" else state.halted in ("idle", "unsafe")


def _outcome(device: str, watch: _Watch, halt: Halt, failed: str | None) -> HaltOutcome:
    state = watch.answers.get(device)
    if _has_answered(state, halt) and state is not None:
        if halt.kind == "release":
            return HaltOutcome(device, True, f"released, {state.state}")
        if state.halted == "idle":
            return HaltOutcome(device, True, "idle, and takes no orders until it is released")
        return HaltOutcome(device, False, f"is NOT idle: {state.detail}")
    if failed is not None:
        return HaltOutcome(device, False, f"could not be told: {failed}")
    known = watch.seen.get(device)
    if state is not None and state.state != "lost":
        return HaltOutcome(device, False, f"heard it and is not idle yet: {state.detail or state.state}")
    last = "was never heard" if known is None else f"was last heard as {known.state}"
    return HaltOutcome(device, False, f"does not answer ({last}); go there and switch it off")
