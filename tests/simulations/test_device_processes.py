"""The devices of the shipped laboratory as real processes on a real broker."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import aiomqtt
import pytest

from solvus.drivers.broker import EmbeddedBroker
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.laboratory import Laboratory, load_laboratory
from solvus.drivers.messages import Execute, now
from solvus.drivers.topics import device_topic, listen_topics
from solvus.simulations.gold_chemistry import laboratory_of
from solvus.simulations.gold_particles import FAMILIES
from solvus.simulations.laboratory import DeviceProcesses

GOLD = load_laboratory(Path(__file__).parents[2] / "configs/laboratories/gold.yaml")
PATIENCE = 30.0


@pytest.fixture
def address() -> Iterator[BrokerAddress]:
    with EmbeddedBroker() as broker:
        yield broker.address


def order(action: str) -> Execute:
    best = laboratory_of(0)
    recipe: dict[str, float | str] = {
        "temperature": best.temperature,
        "pH": best.ph,
        "reductant_to_gold": best.reductant,
        "reaction_time": best.time,
        "capping_agent": best.best_agent,
    }
    return Execute(
        boot_id="agent-boot",
        command_id=f"{action}-1",
        expires_at=now() + timedelta(minutes=5),
        action=action,
        parameters=recipe if action == "synthesise" else {},
        sample_id="sample-1",
        campaign="test",
        experiment=1,
    )


class Listener:
    """Everything heard so far; waits for a payload that fits."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[str] = []
        self.seen: list[tuple[str, dict[str, object]]] = []

    async def until(self, channel: str, device: str, **wanted: str) -> dict[str, object]:
        topic = device_topic(GOLD.name, device, channel)
        for heard, payload in self.seen:
            if heard == topic and wanted.items() <= payload.items():
                return payload
        async with asyncio.timeout(PATIENCE):
            async for message in self.client.messages:
                assert isinstance(message.payload, bytes)
                self.heard.append(message.payload.decode())
                payload = json.loads(message.payload)
                self.seen.append((message.topic.value, payload))
                if message.topic.value == topic and wanted.items() <= payload.items():
                    return payload
        raise AssertionError("the connection ended")


def client_of(address: BrokerAddress) -> aiomqtt.Client:
    return aiomqtt.Client(
        address.host, address.port, protocol=aiomqtt.ProtocolVersion.V5, identifier="test-listener"
    )


async def run_one(listener: Listener, device: str, action: str) -> None:
    await listener.until("state", device, state="ready")
    topic = device_topic(GOLD.name, device, "command")
    await listener.client.publish(topic, order(action).model_dump_json(by_alias=True), qos=1)
    await listener.until("event", device, kind="done", command_id=f"{action}-1")


async def test_a_sample_is_made_and_measured_over_mqtt_and_the_truth_stays_home(
    address: BrokerAddress, tmp_path: Path
) -> None:
    async with client_of(address) as client:
        for topic in listen_topics(GOLD.name):
            await client.subscribe(topic, qos=1)
        listener = Listener(client)
        async with DeviceProcesses(GOLD, address, tmp_path) as devices:
            describe = await listener.until("describe", "robot")
            assert describe["simulated"] is True
            await run_one(listener, "robot", "synthesise")
            await run_one(listener, "diffractometer", "measure")
            assert devices.dead() == {}
        results = [text for text in listener.heard if "solvus.result" in text]
        assert len(results) == 1
        assert 60_000 < len(results[0]) < 120_000
        # Whole words: an identifier in hexadecimal digits may well hold fcc or bcc.
        told = "\n".join(listener.heard)
        assert not [family for family in FAMILIES if re.search(rf"\b{family}\b", told)]
        assert not any(word in text for text in listener.heard for word in ("fractions", "relative_width"))


async def test_a_device_that_dies_is_reported_and_the_rest_stops_cleanly(
    address: BrokerAddress, tmp_path: Path
) -> None:
    async with DeviceProcesses(GOLD, address, tmp_path) as devices:
        pids = devices.pids
        os.kill(pids["robot"], signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            sentence = await devices.first_death()
        assert sentence.startswith("device robot has ended with code -9")
        assert set(devices.dead()) == {"robot"}
    assert not alive(pids["diffractometer"])


async def test_wrong_settings_are_reported_in_the_words_of_the_device(
    address: BrokerAddress, tmp_path: Path
) -> None:
    wrong = GOLD.devices[0].model_copy(update={"settings": {"world": "glod", "store": "w.sqlite"}})
    laboratory = Laboratory.model_validate(GOLD.model_dump() | {"devices": [wrong.model_dump()]})
    async with DeviceProcesses(laboratory, address, tmp_path) as devices, asyncio.timeout(PATIENCE):
        assert "did you mean 'gold'?" in await devices.first_death()


PARENT = """
import asyncio, sys
from pathlib import Path
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.laboratory import load_laboratory
from solvus.simulations.laboratory import DeviceProcesses

async def main():
    address = BrokerAddress(port=int(sys.argv[2]))
    async with DeviceProcesses(load_laboratory(Path(sys.argv[1])), address, Path(sys.argv[3])) as devices:
        print(*devices.pids.values(), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_devices_end_with_their_parent_even_when_it_is_killed(address: BrokerAddress, tmp_path: Path) -> None:
    lab = Path(__file__).parents[2] / "configs/laboratories/gold.yaml"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(lab), str(address.port), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + PATIENCE
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has collected does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"
