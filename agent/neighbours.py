"""Whether another agent works at this laboratory: two would order the same robot without knowing of each other.

An agent's status is retained, is its last will, and is published anew every :data:`HEARTBEAT` seconds. A retained
status alone says what an agent once was, so an agent counts as alive only when its status is heard while one listens: a
will that was never published (the broker died with the agent) must not close a laboratory for ever. Times in seconds.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from pydantic import ValidationError

from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.checked_client import CheckedClient
from solvus.drivers.connection import Connection, Inbound, Transport
from solvus.drivers.messages import AgentState, AgentStatus, new_id
from solvus.drivers.topics import all_status_topics

log = logging.getLogger(__name__)

AT_WORK: frozenset[AgentState] = frozenset({"starting", "running", "waiting"})
"""States of an agent that has not come to an end."""
HEARTBEAT = 5.0
"""An agent that has nothing new to say repeats its status after this; as devices do."""
FIRST_LOOK = 1.0
"""What a broker retains comes with the subscription; this is ample on a laboratory's network."""
LISTEN = 2.5 * HEARTBEAT
"""How long an agent that is said to be at work is listened for: two heartbeats, the second possibly late."""


class LaboratoryTaken(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """Another agent works at this laboratory."""


class _Listener:
    """What is heard of the agents of one laboratory, by topic: each campaign of each ledger has one of its own."""

    def __init__(self, devices: frozenset[str]) -> None:
        self._devices = devices
        self.said: dict[str, AgentStatus] = {}
        self.alive: AgentStatus | None = None
        self.changed = asyncio.Event()

    @property
    def suspects(self) -> list[AgentStatus]:
        """Agents that have last said they are at work; the newest boot of each has the last word."""
        return [status for status in self.said.values() if status.state in AT_WORK]

    async def hear(self, message: Inbound) -> None:
        if message.damaged:
            return
        try:
            status = AgentStatus.model_validate_json(message.payload)
        except ValidationError:
            return  # an empty payload clears a retained status; what is no status asks for nothing
        known = self.said.get(message.topic)
        if self._devices and status.devices and self._devices.isdisjoint(status.devices):
            return
        if status.state == "lost" and known is not None and known.boot_id != status.boot_id:
            return  # a will that came late
        self.said[message.topic] = status
        if status.state in AT_WORK and not message.retain:
            self.alive = status
        self.changed.set()


async def refuse_beside_another(
    address: BrokerAddress,
    lab: str,
    devices: frozenset[str] = frozenset(),
    *,
    listen: float = LISTEN,
    transport: Transport = CheckedClient,
) -> None:
    """Look whether an agent works at these devices; under a name of its own, so that nobody is thrown out by it.

    This is a courtesy, which says early and in words what the devices' own claims would refuse later
    (:mod:`solvus.agent.claims`).

    Parameters
    ----------
    devices : that are wanted; all of the laboratory when empty. An agent that does not say which it uses uses all.
    listen : how long to listen for an agent that a retained status says is at work.

    Raises
    ------
    LaboratoryTaken
        When one does.
    BrokerUnreachable
        When the broker does not answer.
    """
    heard = _Listener(devices)
    connection = Connection(
        address,
        f"solvus-look-{lab}-{new_id()[:8]}",
        subscriptions=(all_status_topics(lab),),
        handler=heard.hear,
        transport=transport,
    )
    await connection.connect_or_fail()
    try:
        await asyncio.sleep(FIRST_LOOK)
        with suppress(TimeoutError):
            async with asyncio.timeout(listen):
                while heard.suspects and heard.alive is None:
                    heard.changed.clear()
                    await heard.changed.wait()
    finally:
        await connection.stop()
    if heard.alive is not None and heard.alive in heard.suspects:
        raise LaboratoryTaken(
            f"laboratory {lab}: another agent works there, on campaign {heard.alive.campaign}; "
            "wait for its end or stop it, for two agents would order the same devices"
        )
    for status in heard.suspects:
        log.warning(
            "laboratory %s: the agent of %s was last %s and is not heard; taken for dead",
            *(lab, status.campaign, status.state),
        )
