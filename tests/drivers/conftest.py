"""A listener that does what an agent must, a device in this process, and a device in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.connection import Connection, Inbound, NotDelivered
from solvus.drivers.device import Device
from solvus.drivers.journal import Journal
from solvus.drivers.messages import Event, Execute, Message, Resend, Result, State, new_id, now
from solvus.drivers.registry import load
from solvus.drivers.topics import device_topic, listen_topics, parse

LAB, DEVICE = "test-lab", "furnace"
PATIENCE = 15.0
"""Seconds a test waits for what must happen, on a busy machine."""


async def until(condition: Callable[[], Any], patience: float = PATIENCE) -> None:
    deadline = asyncio.get_running_loop().time() + patience
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


class Listener:
    """An agent in small: keeps all, drops what it has seen by (journal_id, seq), asks for what is missing."""

    def __init__(self, address: BrokerAddress) -> None:
        self.connection = Connection(
            address, f"listener-{new_id()}", subscriptions=listen_topics(LAB), handler=self._hear
        )
        self.heard: dict[tuple[str, int], Event | Result] = {}
        self.order_heard: list[tuple[str, int]] = []
        self.repeats = 0
        self.states: list[tuple[State, bool]] = []
        self.describes: list[bytes] = []

    async def _hear(self, inbound: Inbound) -> None:
        topic = parse(inbound.topic)
        assert topic is not None
        if topic.channel == "state":
            self.states.append((State.model_validate_json(inbound.payload), inbound.retain))
            await self._ask_for_gaps(self.states[-1][0])
        elif topic.channel == "describe":
            self.describes.append(inbound.payload)
        else:
            message = (Event if topic.channel == "event" else Result).model_validate_json(inbound.payload)
            key = (message.journal_id, message.seq)
            self.repeats += key in self.heard
            self.order_heard.append(key)
            self.heard[key] = message

    async def _ask_for_gaps(self, state: State) -> None:
        """A broker that was away may have dropped what the device sent before we were back."""
        expected = range(state.receipted + 1, state.seq + 1)
        first = next((seq for seq in expected if (state.journal_id, seq) not in self.heard), None)
        if first is not None:
            resend = Resend(boot_id="a", expires_at=now() + timedelta(minutes=1), from_seq=first)
            with suppress(NotDelivered):
                await self.send(resend)

    @property
    def state(self) -> str | None:
        return self.states[-1][0].state if self.states else None

    def kinds(self, command_id: str) -> list[str]:
        """What was said of a command, in the device's order, each once."""
        said = [self.heard[key] for key in sorted(self.heard)]
        return [m.kind if isinstance(m, Event) else "result" for m in said if m.command_id == command_id]

    def event(self, command_id: str, kind: str) -> Event:
        found = [
            m
            for m in self.heard.values()
            if isinstance(m, Event) and (m.command_id, m.kind) == (command_id, kind)
        ]
        assert len(found) == 1
        return found[0]

    async def send(self, command: Message | bytes, *, retain: bool = False) -> None:
        payload = command if isinstance(command, bytes) else command.model_dump_json(by_alias=True).encode()
        await self.connection.publish(device_topic(LAB, DEVICE, "command"), payload, retain=retain)

    async def until(self, condition: Callable[[], Any], patience: float = PATIENCE) -> None:
        await until(condition, patience)


def order(action: str = "make", **parameters: float | str) -> Execute:
    """A valid order that is valid for a minute."""
    defaults: dict[str, float | str] = (
        {"seconds": 0.0, "fate": "fine"} if action == "make" else {"points": 50}
    )
    return Execute(
        boot_id="agent-boot",
        command_id=new_id(),
        expires_at=now() + timedelta(minutes=1),
        action=action,
        parameters={**defaults, **parameters},
        sample_id="sample-1",
        campaign="gold",
        experiment=1,
    )


class RunningDevice:
    """A Device with the slow driver in this process."""

    def __init__(self, folder: Path, address: BrokerAddress, **options: Any) -> None:
        self.folder, self.address, self.options = folder, address, options
        self.log = folder / "moves.log"

    @property
    def moves(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    async def start(self, **settings: Any) -> None:
        driver_class = load("slow_driver:SlowDriver")
        driver = driver_class(driver_class.Settings(log=self.log, **settings))
        self.journal = Journal(self.folder / "journal.sqlite")
        given = {"heartbeat": 0.5, **self.options}
        self.device = Device(
            driver, lab=LAB, device=DEVICE, address=self.address, journal=self.journal, **given
        )
        self.ending = asyncio.Event()
        self.task = asyncio.create_task(self.device.run(self.ending))

    async def stop(self) -> None:
        self.ending.set()
        try:
            await self.task
        finally:
            self.journal.close()


@pytest.fixture(autouse=True)
def _slow_driver_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def make_order() -> Callable[..., Execute]:
    return order


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


@pytest.fixture
async def listener(broker: Any) -> AsyncIterator[Listener]:
    heard = Listener(broker.address)
    await heard.connection.connect_or_fail()
    yield heard
    await heard.connection.stop()


@pytest.fixture
async def running(broker: Any, tmp_path: Path) -> AsyncIterator[RunningDevice]:
    device = RunningDevice(tmp_path, broker.address, data=tmp_path / "data")
    await device.start()
    yield device
    if not device.task.done():
        await device.stop()


@pytest.fixture
def served(broker: Any, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts ``python -m solvus.drivers.serve`` with the slow driver, each time on the same journal."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*extra: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "solvus.drivers.serve", "--lab", LAB, "--device", DEVICE]
        command += ["--driver", "slow_driver:SlowDriver", "--heartbeat", "0.5"]
        command += ["--settings", json.dumps({"log": str(tmp_path / "moves.log")})]
        command += ["--broker-host", broker.address.host, "--broker-port", str(broker.address.port)]
        command += ["--journal", str(tmp_path / "journal.sqlite"), *extra]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


@pytest.fixture
def later() -> Callable[[float], Callable[[], datetime]]:
    """A clock that runs so many seconds ahead."""
    return lambda seconds: lambda: now() + timedelta(seconds=seconds)
