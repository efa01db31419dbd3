"""MQTT without a network: a broker in memory that loses, delays, doubles, swaps and damages what it carries.

Clients are those of :class:`solvus.drivers.connection.Connection`, so that its reconnection, acknowledgement and
reason codes are the real ones; only aiomqtt and the sockets below it are replaced. What a real connection guarantees
holds in calm weather: messages of one connection arrive in order.

A *forgetful* broker keeps nothing over its own crash and nothing for a client that is away, like the embedded one; the
other keeps retained messages and, for a client that asked for it, what was not acknowledged, like Mosquitto.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiomqtt
from paho.mqtt.properties import Properties

from solvus.drivers.checked_client import CheckedClient
from solvus.simulations.benchmarks.faults.process import Life

CALM = (0.001, 0.005)
"""Seconds a message takes in calm weather."""


@dataclass(frozen=True)
class Weather:
    """What may happen to one message; probabilities, and seconds of ``delay`` from lowest to highest."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: tuple[float, float] = CALM


FAIR = Weather()


@dataclass(frozen=True)
class Packet:
    """One PUBLISH."""

    topic: str
    payload: bytes
    retain: bool = False
    properties: Properties | None = None


@dataclass(eq=False)
class _Message:
    """What the connection reads: the part of :class:`aiomqtt.Message` that it uses."""

    topic: str
    payload: bytes
    retain: bool
    properties: Properties | None
    number: int


@dataclass
class _Session:
    """What the broker knows of one client."""

    client: SimulatedClient | None = None
    kept: bool = False
    filters: list[str] = field(default_factory=list)
    unacknowledged: dict[int, Packet] = field(default_factory=dict)


class Network:
    """The broker and every way to it.

    Parameters
    ----------
    seed : of everything that happens by chance.
    forgetful : see the module.
    """

    def __init__(self, seed: int, *, forgetful: bool) -> None:
        self.forgetful = forgetful
        self.weather = Weather()
        self.up = True
        self.cut_off: set[str] = set()
        """Programs that no packet reaches or leaves."""
        self.carried: dict[str, int] = {}
        """How many packets met which fate."""
        self._random = random.Random(seed)  # noqa: S311 -- draws faults, guards no secret
        self._retained: dict[str, Packet] = {}
        self._sessions: dict[str, _Session] = {}
        self._numbers = 0

    def transport(self, program: str, life: Life) -> Callable[..., CheckedClient]:
        """What :class:`~solvus.drivers.connection.Connection` makes its clients with, for one life of a program."""

        def make(*_: Any, **options: Any) -> CheckedClient:
            return SimulatedClient(self, program, life, **options)

        return make

    def count(self, fate: str) -> None:
        self.carried[fate] = self.carried.get(fate, 0) + 1

    # The broker's own life

    def crash(self) -> None:
        """Every connection breaks; a forgetful broker forgets."""
        self.up = False
        for session in list(self._sessions.values()):
            if session.client is not None:
                session.client.broken("the broker has gone")
            session.client = None
        if self.forgetful:
            self._retained.clear()
            self._sessions.clear()

    def restart(self) -> None:
        self.up = True

    # What clients ask

    def connect(self, client: SimulatedClient) -> None:
        """Take a client in; one of the same name is thrown out."""
        session = self._sessions.setdefault(client.name, _Session())
        if session.client is not None and session.client is not client:
            old, session.client = session.client, None
            old.broken("another client of the same name")
            self._publish_will(old)
        if client.clean_start or self.forgetful:
            session.filters, session.unacknowledged = [], {}
        session.client, session.kept = client, not client.clean_start and not self.forgetful
        for number, packet in list(session.unacknowledged.items()):
            self._carry_down(client, packet, number)

    def leave(self, client: SimulatedClient, *, cleanly: bool, late: float = 0.0) -> None:
        """A client has gone: with a good-bye, or so that the broker publishes its will, ``late`` seconds on."""
        session = self._sessions.get(client.name)
        if session is None or session.client is not client:
            return
        session.client = None
        if not session.kept:
            del self._sessions[client.name]
        if not cleanly and self.up:
            asyncio.get_running_loop().call_later(late, self._publish_will, client)

    def subscribe(self, client: SimulatedClient, topic: str) -> None:
        session = self._sessions[client.name]
        if topic not in session.filters:
            session.filters.append(topic)
        for packet in list(self._retained.values()):
            if aiomqtt.Topic(packet.topic).matches(topic):
                stored = Packet(packet.topic, packet.payload, retain=True, properties=packet.properties)
                self._deliver(session, stored)

    def acknowledge(self, client: SimulatedClient, number: int) -> None:
        session = self._sessions.get(client.name)
        if session is not None and session.client is client:
            session.unacknowledged.pop(number, None)

    def take(self, packet: Packet) -> None:
        """The broker has received a message: keep it if it is to be retained, and pass it on."""
        if packet.retain:
            self._retained[packet.topic] = packet
        live = Packet(packet.topic, packet.payload, properties=packet.properties)
        for session in list(self._sessions.values()):
            if any(aiomqtt.Topic(packet.topic).matches(f) for f in session.filters):
                self._deliver(session, live)

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def delay(self, low_high: tuple[float, float]) -> float:
        return self._random.uniform(*low_high)

    def damaged(self, payload: bytes) -> bytes:
        """One byte is another."""
        if not payload:
            return b"\0"
        at = self._random.randrange(len(payload))
        return payload[:at] + bytes([payload[at] ^ self._random.randrange(1, 256)]) + payload[at + 1 :]

    def _publish_will(self, client: SimulatedClient) -> None:
        if self.up and client.last_will is not None:
            self.take(client.last_will)

    def _deliver(self, session: _Session, packet: Packet) -> None:
        self._numbers += 1
        if session.client is None and not session.kept:
            return
        session.unacknowledged[self._numbers] = packet
        if session.client is not None:
            self._carry_down(session.client, packet, self._numbers)

    def _carry_down(self, client: SimulatedClient, packet: Packet, number: int) -> None:
        def arrive(payload: bytes) -> None:
            message = _Message(packet.topic, payload, packet.retain, packet.properties, number)
            client.arrived(message)

        self.carry(client.program, packet.payload, client.downward, arrive)

    def carry(
        self,
        program: str,
        payload: bytes,
        line: Line,
        arrive: Callable[[bytes], None],
        *,
        control: bool = False,
    ) -> None:
        """Bring one packet over the line of a connection, or lose it. Control packets are not doubled or damaged."""
        weather = self.weather
        if program in self.cut_off:
            self.count("cut off")
            return
        if self.chance(weather.drop):
            self.count("dropped")
            return
        copies = 1
        if not control and self.chance(weather.duplicate):
            self.count("duplicated")
            copies = 2
        for _ in range(copies):
            carried = payload
            if not control and self.chance(weather.corrupt):
                self.count("corrupted")
                carried = self.damaged(payload)
            wait = self.delay(weather.delay)
            if self.chance(weather.reorder):
                self.count("reordered")
                wait += self.delay((0.0, 1.0))
                when = asyncio.get_running_loop().time() + wait
            else:
                when = line.next(wait)
            self.count("carried")
            asyncio.get_running_loop().call_at(when, arrive, carried)


@dataclass
class Line:
    """One direction of one connection, in order."""

    free_at: float = 0.0

    def next(self, wait: float) -> float:
        """When the next packet arrives."""
        self.free_at = max(self.free_at + 1e-6, asyncio.get_running_loop().time() + wait)
        return self.free_at


class SimulatedClient(CheckedClient):
    """Takes the place of the aiomqtt client of one session."""

    def __init__(self, network: Network, program: str, life: Life, **options: Any) -> None:
        # Not super().__init__: that would make a paho client with its sockets.
        self.network, self.program, self.life = network, program, life
        self.name = str(options["identifier"])
        self.clean_start = bool(options["clean_start"])
        self.patience = float(options["timeout"])
        self.keepalive = float(options["keepalive"])
        will: aiomqtt.Will | None = options.get("will")
        self.last_will = (
            None
            if will is None
            else Packet(str(will.topic), bytes(will.payload), retain=will.retain, properties=will.properties)  # type: ignore[arg-type]
        )
        self.upward, self.downward = Line(), Line()
        self.os_error = None
        self.was_connected = False
        self.puback = None
        self._open = False
        self._heard: asyncio.Queue[_Message] = asyncio.Queue()
        self._disconnected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        life.hold(self._die)

    def prepare(self, timeout: float) -> None:
        self.patience = timeout

    async def __aenter__(self) -> Self:
        await self._ask(lambda: self.network.connect(self))
        self.was_connected = self._open = True
        self._watch = asyncio.create_task(self._ping())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watch.cancel()
        if self._open and self.life.alive:
            self._open = False
            self.network.leave(self, cleanly=self.program not in self.network.cut_off)

    async def subscribe(self, topic: str, qos: int = 0, **_: Any) -> tuple[int, ...]:  # type: ignore[override]
        await self._ask(lambda: self.network.subscribe(self, topic))
        return (qos,)

    async def publish(  # type: ignore[override]
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Properties | None = None,
        **_: Any,
    ) -> None:
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def at_the_broker(carried: bytes) -> None:
            if not self.network.up or not self._open:
                return
            self.network.take(Packet(topic, carried, retain, properties))
            self.network.carry(self.program, b"", self.downward, lambda _: resolve(confirmed), control=True)

        if not self._open or not self.life.alive:
            raise aiomqtt.MqttError("not connected")
        self.network.carry(self.program, payload, self.upward, at_the_broker)
        await self._patiently(confirmed)

    @property
    def messages(self) -> AsyncIterator[Any]:  # type: ignore[override]
        return self._messages()

    async def _messages(self) -> AsyncIterator[_Message]:
        while True:
            get = asyncio.create_task(self._heard.get())
            try:
                ends: set[asyncio.Future[Any]] = {get, self._disconnected}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if not get.done():
                    raise aiomqtt.MqttError("Disconnected during message iteration")
            finally:
                get.cancel()
            yield get.result()

    def acknowledge(self, message: Any) -> None:
        def arrive(_: bytes) -> None:
            self.network.acknowledge(self, message.number)

        if self._open and self.life.alive:
            self.network.carry(self.program, b"", self.upward, arrive, control=True)

    def abandon(self) -> None:
        """Close the socket without a good-bye."""
        if self._open:
            self._open = False
            self._break("abandoned")
            self._vanish()

    def arrived(self, message: _Message) -> None:
        if self._open and self.life.alive:
            self._heard.put_nowait(message)

    def broken(self, why: str) -> None:
        """The broker's end of the connection has gone."""
        self._open = False
        self._break(why)

    def _die(self) -> None:
        """The program was killed: its socket closes, and the broker publishes the will when it notices."""
        if self._open:
            self._open = False
            self._vanish()

    def _vanish(self) -> None:
        if self.program in self.network.cut_off:  # nobody hears the socket close: the keepalive must run out
            late = 1.5 * self.keepalive
        else:
            late = self.network.delay((0.0, 0.1 if self.network.chance(0.7) else 5.0))
        self.network.leave(self, cleanly=False, late=late)

    def _break(self, why: str) -> None:
        if not self._disconnected.done():
            self._disconnected.set_exception(aiomqtt.MqttError(why))
            self._disconnected.exception()  # seen: nobody may be listening any more

    async def _ping(self) -> None:
        """Notice within twice the keepalive that nobody answers, as paho does."""
        silent = 0.0
        while not self._disconnected.done():
            await asyncio.sleep(self.keepalive / 2)
            silent = silent + self.keepalive / 2 if self.program in self.network.cut_off else 0.0
            if silent >= 1.5 * self.keepalive:
                self.abandon()

    async def _ask(self, act: Callable[[], None]) -> None:
        """A question with an answer: CONNECT or SUBSCRIBE."""
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def at_the_broker(_: bytes) -> None:
            if self.network.up and self.life.alive and not answered.done():
                act()
                self.network.carry(
                    self.program, b"", self.downward, lambda _: resolve(answered), control=True
                )

        if not self.network.up:
            self.os_error = ConnectionRefusedError(111, "Connection refused")
            raise aiomqtt.MqttError("Connection refused")
        self.network.carry(self.program, b"", self.upward, at_the_broker, control=True)
        await self._patiently(answered)

    async def _patiently(self, answer: asyncio.Future[None]) -> None:
        done, _ = await asyncio.wait(
            {answer, self._disconnected}, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED
        )
        if answer in done:
            return
        if done:
            raise aiomqtt.MqttError("Disconnected")
        raise aiomqtt.MqttError("Operation timed out")


def resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
