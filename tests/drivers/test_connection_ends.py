"""A connection ends when it is told to, whatever it is doing, and leaves nothing of its own behind."""

from __future__ import annotations

import asyncio

from solvus.drivers.broker import EmbeddedBroker, MosquittoBroker
from solvus.drivers.checked_client import CheckedClient
from solvus.drivers.connection import Connection

Broker = EmbeddedBroker | MosquittoBroker


async def test_stopped_in_the_moment_the_broker_welcomes_it(broker: Broker) -> None:
    """Then a cancellation is lost on the way (Python 3.11), and the connection would go on for ever."""
    stops: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()

    class StopsWhenWelcomed(CheckedClient):
        def prepare(self, timeout: float) -> None:
            super().prepare(timeout)
            self._connected.add_done_callback(
                lambda _: stops.put_nowait(asyncio.create_task(connection.stop()))
            )

    connection = Connection(
        broker.address, "solvus-test", subscriptions=("anything",), transport=StopsWhenWelcomed
    )
    connection.start()
    async with asyncio.timeout(5.0):
        await (await stops.get())
    assert not connection.connected.is_set()


async def test_stopped_while_what_ran_beside_it_comes_to_an_end(broker: Broker) -> None:
    """A reader of the ledger must not outlive the connection: the ledger is closed next."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            began.set()
            await asyncio.sleep(0.3)
            ended.set()

    connection = Connection(broker.address, "solvus-test", on_connect=slow_to_end)
    await connection.connect_or_fail()
    other = Connection(broker.address, "solvus-test")  # throws the first one out
    await other.connect_or_fail()
    async with asyncio.timeout(5.0):
        await began.wait()
        await connection.stop()
    assert ended.is_set()
    await other.stop()


async def test_stopped_at_any_moment_of_connecting(broker: Broker) -> None:
    for tenths_of_ms in range(40):
        connection = Connection(broker.address, "solvus-test", subscriptions=("anything",))
        connection.start()
        await asyncio.sleep(tenths_of_ms / 10_000)
        async with asyncio.timeout(5.0):
            await connection.stop()
            await connection.finished()
