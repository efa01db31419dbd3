"""A second agent at one laboratory is refused while the first is alive, and only then."""

from __future__ import annotations

import asyncio

import pytest

from solvus.agent.bench import Bench
from solvus.agent.conversation import Conversation
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.neighbours import LaboratoryTaken, refuse_beside_another
from solvus.drivers.broker import EmbeddedBroker, MosquittoBroker
from solvus.drivers.connection import Connection, Inbound
from solvus.drivers.messages import AgentState, AgentStatus
from solvus.drivers.topics import all_status_topics, status_topic
from solvus.simulations.benchmarks.faults.instruments import campaign_of, laboratory_of

Broker = EmbeddedBroker | MosquittoBroker


async def publish(connection: Connection, state: AgentState, boot_id: str = "boot") -> None:
    status = AgentStatus(boot_id=boot_id, campaign="gold-1", state=state)
    await connection.publish(
        status_topic("gold", "gold-1"), status.model_dump_json(by_alias=True).encode(), retain=True
    )


async def agent(broker: Broker) -> Connection:
    connection = Connection(broker.address, "solvus-agent-gold-gold-1")
    await connection.connect_or_fail()
    return connection


async def test_an_agent_that_is_heard_keeps_the_laboratory(broker: Broker) -> None:
    first = await agent(broker)

    async def live() -> None:
        while True:
            await publish(first, "waiting")
            await asyncio.sleep(0.3)

    beating = asyncio.create_task(live())
    with pytest.raises(LaboratoryTaken, match=r"laboratory gold: another agent .* campaign gold-1"):
        await refuse_beside_another(broker.address, "gold", listen=5.0)
    await refuse_beside_another(broker.address, "silver", listen=5.0)
    beating.cancel()
    assert first.connected.is_set(), "looking has thrown nobody out"
    await first.stop()


@pytest.mark.parametrize("state", ["stopped", "found", "lost"])
async def test_an_agent_that_has_ended_is_not_waited_for(broker: Broker, state: AgentState) -> None:
    first = await agent(broker)
    await publish(first, "running")
    await publish(first, state)
    await first.stop()
    async with asyncio.timeout(4.0):
        await refuse_beside_another(broker.address, "gold", listen=60.0)


async def test_a_status_that_outlived_its_agent_closes_no_laboratory(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    first = await agent(broker)
    await publish(first, "running")
    await first.stop()
    await refuse_beside_another(broker.address, "gold", listen=0.5)
    assert "taken for dead" in caplog.text


async def test_an_agent_that_says_good_bye_while_listened_for(broker: Broker) -> None:
    first = await agent(broker)
    await publish(first, "running")

    async def end() -> None:
        await asyncio.sleep(1.5)
        await publish(first, "stopped")

    ending = asyncio.create_task(end())
    async with asyncio.timeout(6.0):
        await refuse_beside_another(broker.address, "gold", listen=60.0)
    await ending
    await first.stop()


async def test_campaigns_of_one_id_in_two_ledgers_do_not_speak_for_each_other(
    broker: Broker, ledger: Ledger
) -> None:
    """Under one name the broker would throw one out when the other connects, and the last will of one would stand
    where the other's status is."""
    campaign, laboratory = campaign_of(3, 1), laboratory_of(external=False)
    heard: dict[str, list[AgentStatus]] = {}
    lost = asyncio.Event()

    async def hear(message: Inbound) -> None:
        status = AgentStatus.model_validate_json(message.payload)
        heard.setdefault(message.topic, []).append(status)
        if status.state == "lost":
            lost.set()

    listener = Connection(
        broker.address, "listener", subscriptions=(all_status_topics(laboratory.name),), handler=hear
    )
    await listener.connect_or_fail()
    bench = Bench(laboratory, broker.address, ("robot",), ("diffractometer",))
    first, second = (
        Conversation("gold-1", campaign, bench, ledger, ledger.clock, lambda: None, name=f"gold-1.{uid}")
        for uid in "ab"
    )
    await first.open()
    await second.open()
    topic = {uid: status_topic(laboratory.name, f"gold-1.{uid}") for uid in "ab"}
    # Another client of the same name makes the broker cut the second off, and publish its will.
    ghost = Connection(broker.address, f"solvus-agent-{laboratory.name}-gold-1.b")
    await ghost.connect_or_fail()
    async with asyncio.timeout(10.0):
        await lost.wait()
    assert "lost" in {status.state for status in heard[topic["b"]]}
    assert first._connection.connected.is_set()
    assert {status.state for status in heard[topic["a"]]} == {"starting"}
    assert len({status.boot_id for status in heard[topic["a"]]}) == 1
    await ghost.stop()
    for connection in (first, second, listener):
        await (connection.close() if isinstance(connection, Conversation) else connection.stop())
