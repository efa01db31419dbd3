"""The four programs of a laboratory as processes that can be killed, frozen and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from solvus.drivers import serve
from solvus.drivers.broker import BrokerStartError, EmbeddedBroker, MosquittoBroker
from solvus.simulations.benchmarks.crashes import agent
from solvus.simulations.benchmarks.crashes.instruments import DRIVERS

BROKERS: dict[str, type[EmbeddedBroker] | type[MosquittoBroker]] = {
    "embedded": EmbeddedBroker,
    "mosquitto": MosquittoBroker,
}
LAB = "bench-lab"
# Each program is forked from a server that has imported what they need: a restart takes milliseconds, not seconds.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([agent.__name__, serve.__name__, "solvus.agent.commandline.app"])


@dataclass(frozen=True)
class Site:
    """What all programs of one laboratory share."""

    folder: Path
    url: str
    broker: str
    experiments: int
    seed: int


class Program(ABC):
    """One process. ``up_again_at`` is when whoever looks after it starts it again; real seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.up_again_at = 0.0
        self.kills = 0

    @property
    @abstractmethod
    def running(self) -> bool: ...

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    def signal(self, number: signal.Signals) -> None: ...

    def kill(self, down: float = 0.0) -> bool:
        """SIGKILL; false when it was not running."""
        self.up_again_at = time.monotonic() + down
        if not self.running:
            return False
        self.signal(signal.SIGKILL)
        self.kills += 1
        return True


class PythonProgram(Program):
    """A Python program in a process of its own, with its output in a log file."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder
        self._process: ForkServerProcess | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def code(self) -> int | None:
        return None if self._process is None else self._process.exitcode

    def command(self) -> tuple[Callable[[Sequence[str]], int], list[str]]:
        """What to call in the new process, with its arguments."""
        raise NotImplementedError

    async def start(self) -> None:
        main, arguments = self.command()
        log = self._folder / f"{self.name}.out"
        self._process = _FORKS.Process(target=_run, args=(main, arguments, log), daemon=True)
        await asyncio.to_thread(self._process.start)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def ended(self, patience: float) -> None:
        """Wait for its end, and kill it when that does not come."""
        if self._process is None:
            return
        await asyncio.to_thread(self._process.join, patience)
        if self._process.is_alive():
            self.signal(signal.SIGKILL)
            await asyncio.to_thread(self._process.join)


def _run(main: Callable[[Sequence[str]], int], arguments: Sequence[str], log: Path) -> None:
    """First thing in the new process."""
    with log.open("ab") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.exit(main(arguments))


class AgentProgram(PythonProgram):
    """The agent, each time with another seed for its recipes."""

    def __init__(self, site: Site, port: int) -> None:
        super().__init__("agent", site.folder)
        self._site, self._port, self._starts = site, port, 0

    def command(self) -> tuple[Callable[[Sequence[str]], int], list[str]]:
        self._starts += 1
        site = self._site
        return agent.main, [
            *("--folder", str(site.folder), "--ledger", site.url, "--port", str(self._port)),
            *("--experiments", str(site.experiments), "--seed", str(1000 * site.seed + self._starts)),
        ]


class DeviceProgram(PythonProgram):
    """One device, as ``solvus lab`` serves it."""

    def __init__(self, name: str, site: Site, port: int) -> None:
        super().__init__(name, site.folder)
        self._site, self._port = site, port

    def command(self) -> tuple[Callable[[Sequence[str]], int], list[str]]:
        kind = DRIVERS[self.name]
        keeps = ["--persistent-session"] if self._site.broker == "mosquitto" else []
        return serve.main, [
            *("--lab", LAB, "--device", self.name, "--driver", f"{kind.__module__}:{kind.__name__}"),
            *("--settings", json.dumps({"folder": str(self._site.folder)})),
            *("--broker-port", str(self._port), "--heartbeat", "1"),
            *("--journal", str(self._site.folder / f"{self.name}.journal")),
            *("--data", str(self._site.folder / "data"), *keeps),
        ]


class BrokerProgram(Program):
    """The broker, on the port that it had."""

    def __init__(self, site: Site) -> None:
        super().__init__("broker")
        self.broker = BROKERS[site.broker](folder=site.folder / "broker")

    @property
    def running(self) -> bool:
        return self.broker.running

    async def start(self) -> None:
        await asyncio.to_thread(self.broker.stop)  # lets go of what a killed one has left
        with contextlib.suppress(BrokerStartError):  # the port may not be free yet: it is tried again
            await asyncio.to_thread(self.broker.start)

    def signal(self, number: signal.Signals) -> None:
        if self.broker.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.broker.pid, number)
