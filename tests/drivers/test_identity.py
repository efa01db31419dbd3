"""Who may say what: the configuration that ``solvus broker configure`` writes, on a real Mosquitto."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.drivers import emergency
from solvus.drivers.broker_address import BrokerAddress, BrokerUnreachable, TlsFiles
from solvus.drivers.connection import Connection, Inbound, NotDelivered
from solvus.drivers.messages import Halt
from solvus.drivers.mosquitto_configuration import ConfigurationRefused, users
from solvus.drivers.topics import device_topic, status_topic

pytest.importorskip("cryptography")

LAB = "gold-lab"
CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass
class Secured:
    """A running Mosquitto with TLS and logins."""

    folder: Path
    port: int
    client_certificates: bool

    def address(self, user: str, *, password: str | None = None) -> BrokerAddress:
        certificates = self.folder / "certificates"
        if self.client_certificates:
            tls = TlsFiles(
                ca=certificates / "ca.crt",
                certificate=certificates / f"{user}.crt",
                key=certificates / f"{user}.key",
            )
            return BrokerAddress(host="localhost", port=self.port, tls=tls)
        given = password or (self.folder / "secrets" / f"{user}.password").read_text().strip()
        return BrokerAddress.model_validate(
            {
                "host": "localhost",
                "port": self.port,
                "username": user,
                "password": given,
                "tls": {"ca": certificates / "ca.crt"},
            }
        )

    async def connect(self, user: str, *topics: str, heard: list[Inbound] | None = None) -> Connection:
        async def hear(message: Inbound) -> None:
            if heard is not None:
                heard.append(message)

        connection = Connection(self.address(user), f"test-{user}", subscriptions=topics, handler=hear)
        await connection.connect_or_fail()
        return connection


def configure(folder: Path, port: int, *more: str) -> dict[str, Any]:
    result = CliRunner().invoke(
        app, ["broker", "configure", "gold", "-o", str(folder), "--port", str(port), "--json", *more]
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(params=["passwords", pytest.param("certificates", marks=pytest.mark.slow)])
def secured(request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Path) -> Iterator[Secured]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    certificates = request.param == "certificates"
    folder = tmp_path / "broker"
    written = configure(folder, port, *(["--client-certificates"] if certificates else []))
    # As root Mosquitto changes to a user that cannot read a test's folder.
    main = Path(written["configuration"])
    main.write_text(main.read_text() + "user root\nlog_dest stderr\n")
    process = subprocess.Popen([str(mosquitto), "-c", str(main)], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 10
        while True:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield Secured(folder, port, certificates)
    finally:
        process.terminate()
        process.wait(10)


async def allowed(secured: Secured, user: str, topic: str) -> bool:
    """On a connection of its own: Mosquitto 2.0.11 also hangs up on a client that it refuses."""
    connection = await secured.connect(user)
    try:
        await connection.publish(topic, b"{}")
    except NotDelivered as error:
        assert "Not authorized" in str(error)
        return False
    finally:
        await connection.stop()
    return True


async def test_everybody_may_say_what_is_theirs_and_nothing_else(secured: Secured) -> None:
    topics = {
        "own state": device_topic(LAB, "robot", "state"),
        "own result": device_topic(LAB, "robot", "result"),
        "other's state": device_topic(LAB, "diffractometer", "state"),
        "other's result": device_topic(LAB, "diffractometer", "result"),
        "other's command": device_topic(LAB, "diffractometer", "command"),
        "own command": device_topic(LAB, "robot", "command"),
        "halt": device_topic(LAB, "diffractometer", "halt"),
        "status": status_topic(LAB, "gold-1.5f0c2b"),
        "other laboratory": "solvus/v1/silver-lab/robot/state",
    }
    expected = {
        "robot": {"own state", "own result"},
        "agent": {"own command", "other's command", "halt", "status"},
        "operator": {"halt"},
        "watcher": set(),
    }
    for user, may in expected.items():
        found = {name for name, topic in topics.items() if await allowed(secured, user, topic)}
        assert found == may, user


async def test_a_device_hears_its_own_orders_only(secured: Secured) -> None:
    heard: list[Inbound] = []
    robot = await secured.connect(
        "robot", device_topic(LAB, "robot", "command"), f"solvus/v1/{LAB}/+/command", heard=heard
    )
    watched: list[Inbound] = []
    watcher = await secured.connect("watcher", f"solvus/v1/{LAB}/#", heard=watched)
    agent = await secured.connect("agent")
    for device in ("diffractometer", "robot"):
        await agent.publish(device_topic(LAB, device, "command"), device.encode())
    async with asyncio.timeout(10):
        while len(watched) < 2 or not heard:  # noqa: ASYNC110 -- another process delivers
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    for connection in (robot, watcher, agent):
        await connection.stop()
    assert {m.payload for m in heard} == {b"robot"}
    assert {m.payload for m in watched} == {b"robot", b"diffractometer"}


async def test_an_operator_may_stop_everything(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emergency, "SILENT", 0.5)
    heard: list[Inbound] = []
    robot = await secured.connect("robot", device_topic(LAB, "robot", "halt"), heard=heard)
    halt = Halt(boot_id="cli", by="anna")
    (outcome,) = await emergency.tell_all(secured.address("operator"), LAB, ["robot"], halt, patience=2.0)
    await robot.stop()
    assert [Halt.model_validate_json(m.payload) for m in heard] == [halt]
    assert "does not answer" in outcome.words, "this one only listens"


async def test_who_cannot_log_in_is_told_in_one_sentence(secured: Secured) -> None:
    if secured.client_certificates:
        bare = secured.address("robot")
        assert bare.tls is not None
        address = bare.model_copy(update={"tls": TlsFiles(ca=bare.tls.ca)})
        words = "TLS|says nothing|broke|no answer"
    else:
        address = secured.address("robot", password="a guess")
        words = r"refuses us \(Not authorized\); correct broker.username and password"
    with pytest.raises(BrokerUnreachable, match=words) as refused:
        await Connection(address, "stranger").connect_or_fail(timeout=1.5)
    assert "a guess" not in str(refused.value)


async def test_a_broker_of_another_authority_is_not_trusted(secured: Secured, tmp_path: Path) -> None:
    configure(tmp_path / "other", 1)
    address = secured.address("agent")
    assert address.tls is not None
    wrong = address.tls.model_copy(update={"ca": tmp_path / "other/certificates/ca.crt"})
    with pytest.raises(BrokerUnreachable, match=r"TLS with the broker at localhost:\d+ fails"):
        await Connection(address.model_copy(update={"tls": wrong}), "agent").connect_or_fail(timeout=1.5)


def test_secrets_are_private_and_kept_when_a_device_is_added(tmp_path: Path) -> None:
    first = configure(tmp_path / "b", 8883)
    secrets = {name: Path(file).read_text() for name, file in first["password_files"].items()}
    assert set(secrets) == {"agent", "operator", "watcher", "robot", "diffractometer"}
    assert len(set(secrets.values())) == 5
    described = yaml.safe_load((CONFIGS / "laboratories/gold.yaml").read_text())
    described["devices"].append(described["devices"][0] | {"id": "robot-two"})
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(described))
    result = CliRunner().invoke(
        app, ["broker", "configure", str(tmp_path / "more.yaml"), "-o", str(tmp_path / "b"), "--json"]
    )
    assert result.exit_code == 0, result.output
    for name, secret in secrets.items():
        assert (tmp_path / "b/secrets" / f"{name}.password").read_text() == secret
    for file in (tmp_path / "b").rglob("*"):
        if file.suffix in (".password", ".key") or file.name == "passwords":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    told = (
        result.stdout + (tmp_path / "b/mosquitto.conf").read_text() + (tmp_path / "b/passwords").read_text()
    )
    assert not any(secret.strip() in told for secret in secrets.values())


def test_a_device_cannot_be_called_like_the_agent() -> None:
    with pytest.raises(ConfigurationRefused, match="'operator' is the name of a broker user"):
        users(("robot", "operator"))


def test_half_of_a_certificate_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["broker", "configure", "gold", "-o", str(tmp_path), "--ca", str(tmp_path / "ca"), "--json"]
    )
    assert result.exit_code == 2 and "belong together" in json.loads(result.stdout)["error"]
