"""Brokers that Solvus starts itself, for a laboratory on one machine.

Both listen on 127.0.0.1 only and take whoever connects from there: anybody with an account on the machine can
order the robot. A laboratory of more than one machine runs its own Mosquitto or EMQX with TLS, a user for
each device and an access list, and Solvus is only given its address.

===================  =================  ====================================================
broker               comes with         keeps messages and retained state over its own crash
===================  =================  ====================================================
`EmbeddedBroker`     pip (iotcore)      no
`MosquittoBroker`    the system         yes
===================  =================  ====================================================

The broker runs in a child process that ends when this process does, however this process ends
(:mod:`solvus.drivers.leash`), and in a session of its own, so that Ctrl-C reaches the agent and the devices
first and they can still say good-bye.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol, Self

from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.connection import PACKET_OVERHEAD, PAYLOAD_CAP

HOST = "127.0.0.1"
START_LIMIT = 10.0
"""Seconds until a broker must listen; measured 0.03 s (mosquitto) and 0.2 s (iotcore) on an idle machine."""
STOP_LIMIT = 5.0
"""Seconds a broker has to end when asked, before it is killed."""
POLL = 0.02
"""Seconds between looks whether it listens yet."""
MOSQUITTO_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Where packages put the binary without a user's PATH naming it."""


class BrokerStartError(ValueError):
    """The broker does not start. One sentence."""


class BrokerHandle(Protocol):
    """A broker that can be started and stopped; ``start`` blocks until it listens."""

    @property
    def address(self) -> BrokerAddress: ...

    @property
    def running(self) -> bool: ...

    def start(self) -> BrokerAddress: ...

    def stop(self) -> None: ...


class _ChildBroker(ABC):
    """What both brokers share: a port, a folder for the configuration, a child process.

    Parameters
    ----------
    port : to listen on; ``None`` takes a free one, which is then kept over ``stop`` and ``start``.
    folder : for configuration and, where the broker keeps any, its data; a temporary one by default.
    """

    name = ""

    def __init__(self, port: int | None = None, folder: Path | None = None) -> None:
        self._port = port
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> BrokerAddress:
        if self._port is None:
            raise BrokerStartError(f"the {self.name} broker has no address before it is started")
        return BrokerAddress(host=HOST, port=self._port)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process group of the running broker."""
        return None if self._process is None else self._process.pid

    def start(self) -> BrokerAddress:
        """Start, and return when the broker listens.

        Raises
        ------
        BrokerStartError
            The port is taken, the program is missing, or it ends or stays silent.
        """
        if self.running:
            return self.address
        self._port = _free_port() if self._port is None else self._port
        _check_free(self._port)
        command = self._command(self._port, self._made_folder())
        self._process = subprocess.Popen(  # noqa: S603 -- our own command, no shell
            command, stdin=subprocess.PIPE, start_new_session=True
        )
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if (code := self._process.poll()) is not None:
                raise BrokerStartError(
                    f"the {self.name} broker ended at once (exit code {code}); see its message"
                )
            if _listens(self._port):
                return self.address
            time.sleep(POLL)
        self.stop()
        raise BrokerStartError(f"the {self.name} broker does not listen after {START_LIMIT:g} s")

    def stop(self) -> None:
        """End the broker and free its port. Repeatable."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _made_folder(self) -> Path:
        if self._folder is None:
            self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="solvus-broker-")
            return Path(self._temporary.name)
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder.resolve()

    @abstractmethod
    def _command(self, port: int, folder: Path) -> list[str]:
        """What to run, with the configuration written to ``folder``."""


class EmbeddedBroker(_ChildBroker):
    """iotcore (rumqttd) in a child process: MQTT 5, needs nothing beside pip, remembers nothing over a
    restart."""

    name = "embedded"

    # The log segments are small because rumqttd keeps up to ten of 100 MB for every topic filter by default.
    _TOML = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 4194304
max_segment_count = 4
[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {cap}
max_inflight_count = 100
dynamic_filters = true
"""

    def _command(self, port: int, folder: Path) -> list[str]:
        config = folder / "iotcore.toml"
        config.write_text(self._TOML.format(host=HOST, port=port, cap=PAYLOAD_CAP + PACKET_OVERHEAD))
        # iotcore's own child: it ends when its standard input closes.
        child = "from iotcore._serve import main; main()"
        return [sys.executable, "-P", "-c", child, json.dumps({"config_path": str(config)})]


class MosquittoBroker(_ChildBroker):
    """Mosquitto, where it is installed: keeps queued messages and retained state in its folder."""

    name = "mosquitto"

    # Nothing is dropped for an absent client (max_queued_messages 0) and every change is saved at once.
    # `user` only counts where root starts it: else it would change to a user that cannot write the folder.
    _CONFIG = """\
listener {port} {host}
allow_anonymous true
user root
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
max_packet_size {cap}
set_tcp_nodelay true
log_dest stderr
log_type error
"""

    def _command(self, port: int, folder: Path) -> list[str]:
        binary = find_mosquitto()
        if binary is None:
            raise BrokerStartError("no mosquitto is installed here; install it or use the embedded broker")
        config = folder / "mosquitto.conf"
        config.write_text(
            self._CONFIG.format(port=port, host=HOST, folder=folder, cap=PAYLOAD_CAP + PACKET_OVERHEAD)
        )
        return [sys.executable, "-P", "-m", "solvus.drivers.leash", str(binary), "-c", str(config)]


def find_mosquitto() -> Path | None:
    """The mosquitto binary, also where a package has put it outside PATH."""
    folders = os.pathsep.join((os.environ.get("PATH", ""), *MOSQUITTO_FOLDERS))
    found = shutil.which("mosquitto", path=folders)
    return None if found is None else Path(found)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _check_free(port: int) -> None:
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise BrokerStartError(
            f"port {port} on {HOST} cannot be used ({why}); "
            "stop the program that holds it or choose another broker.port"
        ) from error


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=POLL * 10):
        return True
    return False
