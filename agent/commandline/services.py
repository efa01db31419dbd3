"""The bodies of ``solvus broker`` and ``solvus lab``: run until told to stop."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from solvus.agent.commandline.console import fail, out, print_json
from solvus.agent.commandline.paths import configuration
from solvus.agent.commandline.running import BrokerDied, DeviceDied, broker_of
from solvus.drivers.broker import BrokerStartError, EmbeddedBroker, MosquittoBroker
from solvus.drivers.broker_address import BrokerUnreachable
from solvus.drivers.connection import Connection
from solvus.drivers.laboratory import Laboratory, load_laboratory
from solvus.drivers.yaml_file import ConfigurationError
from solvus.simulations.laboratory import DeviceProcesses


async def until_stopped() -> None:
    """Return at Ctrl-C or SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def run_broker(port: int, *, mosquitto: bool, as_json: bool) -> None:
    broker = MosquittoBroker(port=port) if mosquitto else EmbeddedBroker(port=port)
    try:
        address = broker.start()
    except BrokerStartError as error:
        fail(str(error), as_json)
    try:
        if as_json:
            print_json({"host": address.host, "port": address.port})
        else:
            out.print(f"MQTT 5 broker listening on {address} (Ctrl-C stops it)", highlight=False)
        asyncio.run(until_stopped())
    finally:
        broker.stop()


def run_laboratory(laboratory: str, *, workdir: Path | None, as_json: bool) -> None:
    try:
        read = load_laboratory(configuration(laboratory, "laboratories"))
        asyncio.run(_run_laboratory(read, workdir or read.data_directory / read.name, as_json))
    except (ConfigurationError, BrokerStartError, BrokerUnreachable) as error:
        fail(str(error), as_json)
    except (BrokerDied, DeviceDied) as error:
        fail(str(error))  # the one JSON document is out already


async def _run_laboratory(laboratory: Laboratory, workdir: Path, as_json: bool) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(broker_of(laboratory, workdir))
        probe = Connection(address, f"solvus-lab-{laboratory.name}")
        await probe.connect_or_fail()  # one clear sentence now rather than devices that wait for ever
        await probe.stop()
        devices = await stack.enter_async_context(DeviceProcesses(laboratory, address, workdir))
        if as_json:
            print_json({"broker": str(address), "devices": devices.pids})
        else:
            names = ", ".join(devices.pids)
            out.print(
                f"Laboratory {laboratory.name} at {address}: {names} (Ctrl-C stops it)", highlight=False
            )
        stop = asyncio.create_task(until_stopped())
        death = asyncio.create_task(devices.first_death())
        await asyncio.wait({stop, death}, return_when=asyncio.FIRST_COMPLETED)
        died = death.result() if death.done() else None
        for task in (stop, death):
            task.cancel()
        if died is not None:
            raise DeviceDied(died)
