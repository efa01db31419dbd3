"""Whatever arrives on whatever topic is taken in, known already, or refused with its reason; nothing stops the loop.

The strategies of ``tests/conftest.py`` draw valid messages; here they are broken on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solvus.agent.bench import Bench
from solvus.agent.campaign_loop import CampaignLoop
from solvus.agent.conversation import Conversation
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CampaignRow, EventRow, QuarantineRow
from solvus.agent.ledger.verify import verify
from solvus.agent.session import begin
from solvus.drivers.broker import EmbeddedBroker, MosquittoBroker
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.connection import PAYLOAD_CAP, Inbound
from solvus.drivers.device import Device
from solvus.drivers.journal import Journal
from solvus.drivers.messages import (
    AgentStatus,
    Describe,
    Event,
    Execute,
    Query,
    Receipt,
    Resend,
    Result,
    State,
)
from solvus.simulations.benchmarks.faults.instruments import (
    Bookkeepers,
    Diffractometer,
    Log,
    Robot,
    campaign_of,
    laboratory_of,
    target,
)
from solvus.simulations.benchmarks.faults.run import FAST

LAB = "bench-lab"
MEGABYTE = 1_000_000

DEVICES = st.sampled_from(["robot", "diffractometer"])
STRANGERS = st.sampled_from(["nobody", "agent", "robot-2", "ROBOT", "..", "$SYS", "röntgen", "x" * 300, ""])
CHANNELS = st.sampled_from(["state", "describe", "event", "result"])
SAID = {"state": State, "describe": Describe, "event": Event, "result": Result}


def text_of(message: Any) -> str:
    return str(message.model_dump_json(by_alias=True))


@st.composite
def valid(draw: st.DrawFn, channel: str) -> str:
    return text_of(draw(st.from_type(SAID[channel])))


NUMBERS = st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "1e400", "-1", "0", "2147483648", "1" * 400, "null"]
)
WRONG = st.sampled_from(
    ['"solvus.event/2"', '"solvus.command/1"', '""', "[]", "{}", "true", '"\\ud800"', '"\\u0000"', "1.5"]
)


@st.composite
def one_field_wrong(draw: st.DrawFn, text: str) -> str:
    """A value replaced by one that it cannot have, as text: JSON that Python would not write."""
    document = json.loads(text)
    name = draw(st.sampled_from(sorted(document)))
    marker = "\ufdd0"
    document[name] = marker
    return json.dumps(document).replace(json.dumps(marker), draw(NUMBERS | WRONG))


@st.composite
def broken(draw: st.DrawFn, channel: str) -> bytes:
    """One hostile payload for a channel."""
    text = draw(valid(channel))
    match draw(st.integers(0, 9)):
        case 0:
            return draw(st.binary(max_size=200))
        case 1:
            return text.encode()[: draw(st.integers(0, max(0, len(text) - 1)))]
        case 2:
            at = draw(st.integers(0, len(text) - 1))
            raw = bytearray(text.encode())
            raw[min(at, len(raw) - 1)] ^= draw(st.integers(1, 255))
            return bytes(raw)
        case 3:
            deep = draw(st.sampled_from([50, 500, 100_000]))
            opening = draw(st.sampled_from(["[", '{"a":']))
            return (opening * deep).encode()
        case 4:
            return json.dumps(json.loads(text) | {"surprise": draw(st.integers())}).encode()
        case 5:
            document = json.loads(text)
            del document[draw(st.sampled_from(sorted(document)))]
            return json.dumps(document).encode()
        case 6:
            other = draw(CHANNELS)
            return draw(valid(other)).encode()
        case 7:
            return text_of(
                draw(st.from_type(draw(st.sampled_from([AgentStatus, Execute, Receipt]))))
            ).encode()
        case _:
            return draw(one_field_wrong(text)).encode()


@st.composite
def wrong_pattern(draw: st.DrawFn) -> bytes:
    """A result whose numbers or units are wrong."""
    quantity = draw(st.sampled_from(["G", "F", "S", "I"]))
    x = np.linspace(0.5, draw(st.sampled_from([20.0, 250.0, 1e9])), 30)
    pattern: dict[str, Any] = {
        "quantity": quantity,
        "x_unit": draw(st.sampled_from(["angstrom", "1/angstrom", "nm", "1/nm", "2theta", ""])),
        "x": x.tolist(),
        "y": draw(st.sampled_from([np.ones(30).tolist(), [1.0] * 29, ["a"] * 30, [None] * 30, "QUJD", []])),
        "conditions": {"qmin": 30.0, "qmax": draw(st.sampled_from([25.0, 1e300, -1.0]))},
    }
    document = json.loads(draw(valid("result"))) | {"pattern": pattern, "reference": None}
    return json.dumps(document).encode()


@st.composite
def hostile(draw: st.DrawFn) -> Inbound:
    """One message on any topic that the agent listens to."""
    channel = draw(CHANNELS)
    device = draw(st.one_of(DEVICES, DEVICES, DEVICES, STRANGERS))
    if device in ("robot", "diffractometer") and channel in ("state", "describe"):
        payload = draw(broken(channel))
    elif channel == "result":
        payload = draw(st.one_of(broken("result"), wrong_pattern()))
    else:
        payload = draw(st.one_of(broken(channel), valid(channel).map(str.encode)))
    topic = f"solvus/v1/{LAB}/{device}/{channel}"
    return Inbound(topic, payload, draw(st.booleans()), draw(st.integers(0, 9)) == 0)


class Agent:
    """The listening side of an agent in a loop of its own, that messages are thrown at one by one."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.folder = folder
        self.ledger = self.runner.run(self._open())
        self.database = sqlite3.connect(folder / "ledger.db", isolation_level=None)
        self.heard, self.counts = 0, (0, 0)
        self.slowest = 0.0

    async def _open(self) -> Ledger:
        ledger = await Ledger.open(f"sqlite:///{self.folder / 'ledger.db'}")
        bench = Bench(laboratory_of(external=False), BrokerAddress(), ("robot",), ("diffractometer",))
        campaign = campaign_of(3, 1)
        await begin(ledger, "faults-1", campaign, bench, target(), {})
        self.wire = Conversation("faults-1", campaign, bench, ledger, ledger.clock, lambda: None)
        return ledger

    def hear(self, message: Inbound) -> str:
        """Throw one message at it; says what it did with it."""
        return self.runner.run(self._hear(message))

    async def _hear(self, message: Inbound) -> str:
        if (
            self.heard % 50 == 0
        ):  # before it is counted: working through the inbox refuses some of what was kept
            await self.wire.attend()
            self.counts = self._counts()
        self.heard += 1
        before, began = self.counts, asyncio.get_running_loop().time()
        await self.wire._receive(message)
        await self.wire._inbox.quarantine.write()
        self.slowest = max(self.slowest, asyncio.get_running_loop().time() - began)
        after = self.counts = self._counts()
        if after[0] > before[0]:
            return "refused"
        return "kept" if after[1] > before[1] else "known"

    def _counts(self) -> tuple[int, int]:
        """How many messages were refused, and how many kept: past the ledger, as it is asked after each of them."""
        refused, kept = self.database.execute(
            "SELECT (SELECT coalesce(sum(times), 0) FROM quarantine), (SELECT count(*) FROM inbox)"
        ).fetchone()
        return refused, kept

    def close(self) -> tuple[str, ...]:
        async def end() -> tuple[str, ...]:
            await self.wire.attend()
            found = await verify(self.ledger)
            await self.ledger.close()
            return found.problems

        self.database.close()
        problems = self.runner.run(end())
        self.runner.close()
        return problems


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    folder = Path(tempfile.mkdtemp(dir=FAST)) if FAST.is_dir() else tmp_path_factory.mktemp("hostile")
    thrown_at = Agent(folder)
    yield thrown_at
    problems = thrown_at.close()
    shutil.rmtree(folder, ignore_errors=True)
    assert problems == ()


def is_taken_or_refused(agent: Agent, message: Inbound) -> None:
    """Nothing disappears: what is neither kept nor known is in quarantine, and the same again changes nothing."""
    did = agent.hear(message)
    device, channel = message.topic.split("/")[3:5] if message.topic.count("/") == 4 else ("", "")
    if did == "known":
        # States and descriptions are heard, not kept; an event or result is known when its number is held already.
        assert channel in ("state", "describe") or not message.damaged
        assert device in ("robot", "diffractometer")
    if did == "kept":
        assert not message.retain and not message.damaged and device in ("robot", "diffractometer")
    assert agent.hear(message) in ({"refused", "kept"} if did == "refused" else {"known"})


# A suite of fuzzing: what hypothesis finds slow or large is large on purpose.
LARGE = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
]


@settings(max_examples=80, suppress_health_check=LARGE)
@given(message=hostile())
def test_a_few_hostile_messages(agent: Agent, message: Inbound) -> None:
    is_taken_or_refused(agent, message)


@pytest.mark.slow
@settings(max_examples=10_000, suppress_health_check=LARGE)
@given(message=hostile())
def test_ten_thousand_hostile_messages(agent: Agent, message: Inbound) -> None:
    is_taken_or_refused(agent, message)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"schema":"solvus.event/1","reason":"' + b"a" * (10 * MEGABYTE) + b'"}',
        b"[" * (10 * MEGABYTE),
        b'{"a":' * (2 * MEGABYTE),
        b"\x00" * (10 * MEGABYTE),
    ],
    ids=["text", "arrays", "objects", "zeros"],
)
def test_ten_megabytes_are_refused_with_a_reason(agent: Agent, payload: bytes) -> None:
    for channel in SAID:
        assert agent.hear(Inbound(f"solvus/v1/{LAB}/robot/{channel}", payload, retain=False)) == "refused"


def test_every_refusal_says_why(agent: Agent) -> None:
    agent.hear(Inbound(f"solvus/v1/{LAB}/robot/event", b'{"seq": NaN}', retain=False))
    rows = agent.runner.run(agent.ledger.rows(QuarantineRow))
    assert rows and all(row.reason and row.sha256 and row.times > 0 for row in rows)


def test_a_message_under_a_number_that_is_taken_is_kept_apart(agent: Agent) -> None:
    first = Event(boot_id="b", journal_id="taken", seq=1, command_id="c", kind="accepted")
    topic = f"solvus/v1/{LAB}/robot/event"
    assert agent.hear(Inbound(topic, text_of(first).encode(), retain=False)) == "kept"
    forged = first.model_copy(update={"kind": "done"})
    assert agent.hear(Inbound(topic, text_of(forged).encode(), retain=False)) == "refused"


COMMANDS = st.one_of(*(st.from_type(kind) for kind in (Execute, Query, Resend)))


@st.composite
def hostile_commands(draw: st.DrawFn) -> bytes:
    said = text_of(draw(COMMANDS))
    match draw(st.integers(0, 3)):
        case 0:
            return draw(broken("event"))
        case 1:
            return said.encode()[: draw(st.integers(0, len(said) - 1))]
        case 2:
            return draw(one_field_wrong(said)).encode()
        case _:
            return said.encode()


@settings(max_examples=25, suppress_health_check=LARGE)
@given(payloads=st.lists(hostile_commands(), min_size=1, max_size=5))
def test_a_device_moves_for_no_hostile_command(tmp_path: Path, payloads: list[bytes]) -> None:
    async def throw() -> None:
        with Journal(tmp_path / "journal") as journal:
            log = Log(tmp_path / "log")
            driver = Robot(log, None, lambda: True)  # type: ignore[arg-type]
            device = Device(driver, lab="lab", device="robot", address=BrokerAddress(), journal=journal)
            for payload in payloads:
                await device._take(Inbound("solvus/v1/lab/robot/command", payload, retain=False))
            assert device._carrying is None and log.lines() == []

    asyncio.run(throw())


RUBBISH = (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema":"solvus.event/1","seq":NaN}')
LARGE_ROUNDS = 3
"""How often the stranger sends 10 MB and 20 MB as well: without an end to it nothing else would fit on the wire."""


async def throw_everything(address: BrokerAddress, over: asyncio.Event) -> int:
    """A client that is nobody publishes rubbish as every device until the campaign is over; returns how many."""
    thrown = rounds = 0
    while not over.is_set():
        rounds += 1
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client(
                address.host, address.port, protocol=aiomqtt.ProtocolVersion.V5, identifier="mallory"
            ) as client:
                payload = RUBBISH[rounds % len(RUBBISH)]
                for device in ("robot", "diffractometer", "nobody"):
                    for channel in (*SAID, "command"):
                        await client.publish(f"solvus/v1/{LAB}/{device}/{channel}", payload, qos=1)
                        thrown += 1
                await client.publish(f"solvus/v1/{LAB}/agent/faults-1/status", b"{", qos=1)
                forged = AgentStatus(boot_id="forged", campaign="faults-1", state="lost")
                await client.publish(f"solvus/v1/{LAB}/agent/faults-1/status", text_of(forged), qos=1)
                if rounds <= LARGE_ROUNDS:
                    for channel in ("event", "state"):
                        large = b'{"reason":"' + b"a" * (10 * MEGABYTE) + b'"}'
                        await client.publish(f"solvus/v1/{LAB}/robot/{channel}", large, qos=1, timeout=30.0)
                    # Over the cap: the broker drops it or throws the client out; either way it goes nowhere.
                    await client.publish(
                        f"solvus/v1/{LAB}/robot/event", b" " * (20 * MEGABYTE), qos=1, timeout=2.0
                    )
        await asyncio.sleep(0.5)
    return thrown


async def run_device(
    kind: type, name: str, folder: Path, address: BrokerAddress, over: asyncio.Event
) -> None:
    with Journal(folder / f"{name}.journal") as journal:
        driver = kind(Log(folder / f"{name}.log"), random.Random(name), lambda: True)
        device = Device(driver, lab=LAB, device=name, address=address, journal=journal, heartbeat=1.0)
        await device.run(over)


@pytest.mark.slow
async def test_a_campaign_under_a_barrage_on_a_real_broker(
    tmp_path: Path, broker: EmbeddedBroker | MosquittoBroker
) -> None:
    assert 20 * MEGABYTE > PAYLOAD_CAP
    ledger = await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    campaign = campaign_of(3, 1)
    patient = campaign.timing.model_copy(update={"command_expires": 120.0, "device_lost": 240.0})
    campaign = campaign.model_copy(update={"timing": patient})
    bench = Bench(laboratory_of(external=False), broker.address, ("robot",), ("diffractometer",))
    over = asyncio.Event()

    async def enter() -> None:
        await begin(ledger, "faults-1", campaign, bench, target(), {})

    loop = CampaignLoop(
        campaign_id="faults-1",
        campaign=campaign,
        bench=bench,
        target=target(),
        reductions={},
        ledger=ledger,
        workers=Bookkeepers(1),
        clock=ledger.clock,
        enter=enter,
    )
    async with asyncio.TaskGroup() as group:
        for kind, name in ((Robot, "robot"), (Diffractometer, "diffractometer")):
            group.create_task(run_device(kind, name, tmp_path, broker.address, over))
        mallory = group.create_task(throw_everything(broker.address, over))
        async with asyncio.timeout(timedelta(minutes=10).total_seconds()):
            end = await loop.run()
        over.set()
    assert end in ("found", "exhausted")
    assert broker.running
    assert (await verify(ledger)).problems == ()
    (row,) = await ledger.rows(CampaignRow)
    assert row.state == end
    refused = await ledger.rows(QuarantineRow)
    assert {"nobody", "robot", "diffractometer"} <= {r.device for r in refused}
    assert not any(r.size >= 20 * MEGABYTE for r in refused), "the broker let 20 MB through"
    assert mallory.result() >= 15 and sum(r.times for r in refused) >= 12
    events = await ledger.rows(EventRow)
    assert len(events) < 300, "rubbish does not fill the chain"
    await ledger.close()


@pytest.mark.slow
def test_fuzzing_guided_by_coverage_finds_nothing() -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed (pip install solvus[fuzz])")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.agent.fuzz_messages", "-runs=10000", "-seed=1", "-max_len=2000"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "Done 10000 runs" in ended.stderr
