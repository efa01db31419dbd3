"""What we rely on, held by both brokers over real sockets, and what we do when a broker does not hold it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from pydantic import SecretStr

from solvus.drivers.broker import BrokerStartError, EmbeddedBroker
from solvus.drivers.broker_address import BrokerAddress, BrokerUnreachable
from solvus.drivers.checked_client import properties_for
from solvus.drivers.connection import DIGEST, Connection, Inbound, LastWill, NotDelivered
from solvus.drivers.messages import Receipt, State, new_id, now
from solvus.drivers.presence import Presence
from solvus.drivers.topics import device_topic

STATE = device_topic("test-lab", "ghost", "state")


class Collector:
    """A connection that keeps what it hears; ``fail_on`` is a payload its handler dies of."""

    def __init__(self, address: BrokerAddress, name: str, topic: str, **options) -> None:
        self.got: list[Inbound] = []
        self.fail_on: bytes | None = None
        self.connection = Connection(address, name, subscriptions=(topic,), handler=self.hear, **options)

    async def hear(self, inbound: Inbound) -> None:
        if inbound.payload == self.fail_on:
            raise RuntimeError("died before it was stored")
        self.got.append(inbound)

    @property
    def payloads(self) -> list[bytes]:
        return [inbound.payload for inbound in self.got]


@pytest.fixture
async def sender(broker):
    connection = Connection(broker.address, "sender")
    await connection.connect_or_fail()
    yield connection
    await connection.stop()


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
async def test_a_message_is_acknowledged_only_after_its_handler_returned(broker, sender, wait_until):
    """What a dying consumer has not stored comes again. The embedded broker is used with clean sessions: there
    the device's outbox stands in, as the next test shows."""
    first = Collector(broker.address, "consumer", "t/#", persistent_session=True)
    first.fail_on = b"1"
    await first.connection.connect_or_fail()
    for number in range(4):
        await sender.publish("t/x", b"%d" % number)
    with pytest.raises(RuntimeError, match="died before"):
        await first.connection.finished()
    second = Collector(broker.address, "consumer", "t/#", persistent_session=True)
    await second.connection.connect_or_fail()
    await wait_until(lambda: len(second.got) >= 3)
    assert first.payloads == [b"0"]
    assert second.payloads == [b"1", b"2", b"3"]
    await second.connection.stop()


async def test_what_a_dead_consumer_has_not_receipted_is_had_again_from_the_device(
    broker, running, listener, make_order, wait_until
):
    """On any broker: a listener that comes later asks the device, not the broker."""
    await listener.until(lambda: listener.state == "ready")
    order = make_order()
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["done"])
    late = type(listener)(broker.address)
    await late.connection.connect_or_fail()
    await late.until(lambda: late.states)
    assert late.states[0][0].seq >= len(listener.kinds(order.command_id)) and late.states[0][0].receipted == 0
    await running.stop()
    await running.start()
    await late.until(lambda: late.kinds(order.command_id) == listener.kinds(order.command_id))
    await late.connection.stop()


def will_of(boot_id: str) -> LastWill:
    state = State(boot_id=boot_id, journal_id="j", seq=3, state="lost")
    return LastWill(STATE, state.model_dump_json(by_alias=True).encode())


def state_of(boot_id: str) -> bytes:
    return (
        State(boot_id=boot_id, journal_id="j", seq=3, state="ready").model_dump_json(by_alias=True).encode()
    )


async def test_a_will_comes_after_an_abrupt_end_and_not_after_a_clean_one(broker, served, listener):
    process = served()
    await listener.until(lambda: listener.state == "ready")
    process.send_signal(signal.SIGTERM)
    await listener.until(lambda: listener.state == "lost")
    assert listener.states[-1][0].detail == "stopped"
    process.wait()
    process = served()
    await listener.until(lambda: listener.state == "ready")
    process.kill()
    await listener.until(lambda: listener.state == "lost")
    assert listener.states[-1][0].detail == "vanished without a word"
    late = type(listener)(broker.address)
    await late.connection.connect_or_fail()
    await late.until(lambda: late.state == "lost")
    assert late.states[-1][1]  # retained, so that who comes later knows
    await late.connection.stop()


async def test_a_will_of_an_earlier_boot_is_ignored(broker, sender, wait_until):
    heard = Collector(broker.address, "watcher", STATE)
    await heard.connection.connect_or_fail()
    await sender.publish(STATE, state_of("boot-2"), retain=True)
    await sender.publish(STATE, will_of("boot-1").payload, retain=True)  # as a broker that noticed late
    await wait_until(lambda: len(heard.got) == 2)
    presence, at = Presence(), now()
    taken = [presence.hear_state("ghost", State.model_validate_json(p), at) for p in heard.payloads]
    assert taken == [True, False]
    assert presence.is_present("ghost", at + timedelta(seconds=10))
    await heard.connection.stop()


async def test_the_will_is_armed_anew_at_each_connect(broker, wait_until):
    boots = iter(["boot-1", "boot-2", "boot-3", "boot-4", "boot-5"])
    armed: list[str] = []

    def will() -> LastWill:
        armed.append(next(boots))
        return will_of(armed[-1])

    connection = Connection(broker.address, "ghost", will=will)
    await connection.connect_or_fail()
    # Another client of the same name makes the broker cut us off, and publish our will.
    watcher = Collector(broker.address, "watcher", STATE)
    await watcher.connection.connect_or_fail()
    intruder = Connection(broker.address, "ghost")
    intruder.start()
    await wait_until(lambda: watcher.got)
    await intruder.stop()
    await wait_until(lambda: len(armed) >= 2 and connection.connected.is_set())
    assert State.model_validate_json(watcher.payloads[0]).boot_id == "boot-1"
    await connection.stop()
    await watcher.connection.stop()


async def test_retained_state_reaches_who_comes_late_and_five_megabytes_pass(broker, sender, wait_until):
    await sender.publish("t/kept", b"k", retain=True)
    late = Collector(broker.address, "late", "t/#")
    await late.connection.connect_or_fail()
    await wait_until(lambda: late.got)
    assert (late.got[0].payload, late.got[0].retain) == (b"k", True)
    large = os.urandom(5_000_000)
    await sender.publish("t/large", large)
    await wait_until(lambda: len(late.got) == 2)
    assert late.got[1].payload == large
    await late.connection.stop()


async def test_what_is_over_the_cap_is_refused_here_and_the_connection_lives(broker, sender):
    with pytest.raises(NotDelivered, match="over the cap"):
        await sender.publish("t/x", bytes(17 * 1024 * 1024))
    await sender.publish("t/x", b"still here")


async def test_one_sentence_when_no_broker_answers(broker):
    broker.stop()
    connection = Connection(broker.address, "lonely")
    words = (
        rf"^no MQTT broker answers at {broker.address} \(connection refused\); start one with `solvus broker`"
    )
    with pytest.raises(BrokerUnreachable, match=words):
        await connection.connect_or_fail(timeout=0.5)
    with pytest.raises(NotDelivered, match="not connected"):
        await connection.publish("t/x", b"")


def test_one_sentence_when_the_port_is_taken(broker):
    with pytest.raises(BrokerStartError, match=rf"port {broker.address.port} .*address already in use"):
        type(broker)(port=broker.address.port).start()


async def test_nothing_is_lost_when_the_broker_is_killed_under_a_working_device(
    broker, running, listener, make_order
):
    """Two deaths of the broker under orders: every event arrives at least once, in an order that seq restores."""
    orders = []
    for _ in range(2):
        await listener.until(lambda: listener.state == "ready")
        order = make_order(seconds=0.4)
        orders.append(order)
        await listener.send(order)
        await listener.until(lambda: "started" in listener.kinds(order.command_id))  # noqa: B023
        os.killpg(broker.pid, signal.SIGKILL)
        await asyncio.sleep(0.5)  # the order ends while there is no broker
        listener.states.clear()
        broker.start()
        await listener.until(lambda: "done" in listener.kinds(order.command_id))  # noqa: B023
    last = max(seq for _, seq in listener.heard)
    assert sorted(seq for _, seq in listener.heard) == list(range(1, last + 1))
    for order in orders:
        assert listener.kinds(order.command_id) == ["accepted", "started", "progress", "done"]
        assert running.moves.count(f"begin {order.command_id}") == 1
    journal_id, _ = max(listener.heard)
    receipt = Receipt(
        boot_id="a", expires_at=now() + timedelta(minutes=1), journal_id=journal_id, up_to_seq=last
    )
    await listener.send(receipt)
    await listener.until(lambda: listener.states[-1][0].receipted == last)


def stopped(group: int) -> bool:
    """Whether every thread of every process in the group stands still (proc(5): state T)."""
    states = []
    for path in Path("/proc").glob("[0-9]*/task/*/stat"):
        with contextlib.suppress(OSError):  # some other process has ended meanwhile
            state, _parent, its_group, *_ = path.read_text().rpartition(")")[2].split()
            states += [state] if int(its_group) == group else []
    return bool(states) and set(states) == {"T"}


async def test_a_frozen_broker_is_an_error_and_not_a_wait(broker, wait_until):
    connection = Connection(broker.address, "patient", timeout=0.5)
    await connection.connect_or_fail()
    os.killpg(broker.pid, signal.SIGSTOP)
    await wait_until(lambda: stopped(broker.pid))  # a thread of it can still answer for a moment
    try:
        with pytest.raises(NotDelivered, match="did not confirm"):
            await connection.publish("t/x", b"")
        await wait_until(lambda: not connection.connected.is_set())
    finally:
        os.killpg(broker.pid, signal.SIGCONT)
    await wait_until(connection.connected.is_set)
    await connection.publish("t/x", b"")
    await connection.stop()


@pytest.fixture
def guarded(mosquitto, tmp_path):
    """A mosquitto with passwords and an access list: user ``device`` may only write its own event topic."""
    with EmbeddedBroker() as probe:  # only for a free port
        port = probe.address.port
    passwords = tmp_path / "passwords"
    hasher = shutil.which("mosquitto_passwd") or mosquitto.with_name("mosquitto_passwd")
    subprocess.run([hasher, "-b", "-c", str(passwords), "device", "right"], check=True)
    access = tmp_path / "access"
    access.write_text(
        "user device\ntopic write solvus/v1/lab/furnace/event\ntopic read solvus/v1/lab/furnace/command\n"
    )
    config = tmp_path / "guarded.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\nuser root\n"
        f"password_file {passwords}\nacl_file {access}\nlog_type none\n"
    )
    process = subprocess.Popen([str(mosquitto), "-c", str(config)])
    yield BrokerAddress(port=port, username="device", password=SecretStr("right"))
    process.kill()
    process.wait()


async def test_a_refusal_by_the_broker_is_raised(guarded):
    connection = Connection(guarded, f"d-{new_id()}")
    await connection.connect_or_fail()
    await connection.publish("solvus/v1/lab/furnace/event", b"{}")
    with pytest.raises(NotDelivered, match="refused by the broker \\(Not authorized\\)"):
        await connection.publish("solvus/v1/lab/furnace/command", b"{}")
    await connection.publish("solvus/v1/lab/furnace/event", b"{}")
    await connection.stop()


async def test_a_wrong_password_is_one_sentence_without_the_password(guarded):
    wrong = guarded.model_copy(update={"password": SecretStr("wr0ng")})
    with pytest.raises(
        BrokerUnreachable, match=r"refuses us .*correct broker.username and password"
    ) as caught:
        await Connection(wrong, "d").connect_or_fail(timeout=1.0)
    assert "wr0ng" not in str(caught.value) and "wr0ng" not in repr(wrong)


async def test_what_was_damaged_on_its_way_is_told_from_what_was_not(broker, sender, wait_until):
    """Both brokers pass on the digest that every message carries."""
    collector = Collector(broker.address, "collector", "t/#")
    await collector.connection.connect_or_fail()
    await sender.publish("t/whole", b"payload")
    client = sender._client
    damaged = properties_for(PacketTypes.PUBLISH)
    damaged.UserProperty = (DIGEST, "0" * 64)
    await client.publish("t/damaged", b"payload", qos=1, properties=damaged)
    await client.publish("t/bare", b"payload", qos=1)
    await wait_until(lambda: len(collector.got) == 3)
    assert {inbound.topic: inbound.damaged for inbound in collector.got} == {
        "t/whole": False,
        "t/damaged": True,
        "t/bare": False,
    }
    await collector.connection.stop()
