"""Everything one campaign run needs on one machine: broker, devices, agent, and a person who watches.

Shared by ``solvus run``, ``solvus demo`` and ``solvus bench campaign``; the one place where the folders meet.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from solvus.agent.bench import Bench, ChosenDevices, chosen_devices
from solvus.agent.campaign import Campaign
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.session import Outcome, Session
from solvus.agent.snapshot import Snapshot
from solvus.drivers.broker import BrokerHandle, BrokerStartError, EmbeddedBroker, MosquittoBroker
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.broker_note import remove_broker_note, write_broker_note
from solvus.drivers.laboratory import Laboratory
from solvus.simulations.laboratory import DeviceProcesses

log = logging.getLogger(__name__)

BROKER_LOOK = 0.5
"""Seconds between looks whether the broker that was started here still runs."""
BROKER_TRIES = 3
"""How often in one run a broker that ended by itself is started again: more than that is no accident."""


class DeviceDied(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """A device process that this run started has ended by itself."""


class BrokerDied(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """The broker that this run started ends again and again."""


@asynccontextmanager
async def ended_by(first_fault: Coroutine[Any, Any, Exception]) -> AsyncIterator[None]:
    """Run the block beside a watcher; when the watcher returns an error, the block ends with it."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 -- a coroutine always runs in a task
    faults: list[Exception] = []

    async def watch() -> None:
        faults.append(await first_fault)
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not faults:
            raise
        task.uncancel()
        raise faults[0] from None
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


@asynccontextmanager
async def broker_of(laboratory: Laboratory, workdir: Path) -> AsyncIterator[BrokerAddress]:
    """The laboratory's broker: started here, unless it is external, and started again when it ends by itself.

    Agent and devices reconnect and send again what was not confirmed, so that nothing is lost by it.

    Raises
    ------
    BrokerDied
        Inside the block, when it has been started again ``BROKER_TRIES`` times and ends once more.
    """
    if laboratory.broker.kind == "external":
        yield laboratory.broker.address(os.environ)
        return
    start: dict[str, type[EmbeddedBroker] | type[MosquittoBroker]] = {
        "embedded": EmbeddedBroker,
        "mosquitto": MosquittoBroker,
    }
    broker: BrokerHandle = start[laboratory.broker.kind](
        port=laboratory.broker.port, folder=workdir / "broker"
    )
    address = await asyncio.to_thread(broker.start)
    write_broker_note(workdir, address)
    try:
        async with ended_by(_keep_running(broker)):
            yield address
    finally:
        remove_broker_note(workdir)
        await asyncio.to_thread(broker.stop)


async def _keep_running(broker: BrokerHandle) -> Exception:
    """Start the broker again whenever it has ended; returns when that is no use."""
    said = ""
    for attempt in range(1, BROKER_TRIES + 1):
        await _ended(broker)
        log.warning(
            "the broker at %s has ended by itself; starting it again (%d of %d)",
            *(broker.address, attempt, BROKER_TRIES),
        )
        await asyncio.to_thread(broker.stop)  # lets go of what the dead process leaves
        try:
            await asyncio.to_thread(broker.start)
        except BrokerStartError as error:
            said = f" ({error})"
    await _ended(broker)
    return BrokerDied(
        f"the broker at {broker.address} has ended {BROKER_TRIES + 1} times{said}; see its messages above, "
        "then go on with `solvus run ... --resume`"
    )


async def _ended(broker: BrokerHandle) -> None:
    while broker.running:  # noqa: ASYNC110 -- another process: nothing here can set an event when it ends
        await asyncio.sleep(BROKER_LOOK)


@asynccontextmanager
async def devices_of(laboratory: Laboratory, address: BrokerAddress, workdir: Path) -> AsyncIterator[None]:
    """The laboratory's devices, started here when the broker is; devices of an external broker run elsewhere.

    Raises
    ------
    DeviceDied
        Inside the block, when one of them ends by itself.
    """
    if laboratory.broker.kind == "external":
        yield
        return
    async with DeviceProcesses(laboratory, address, workdir) as processes, ended_by(_death_of(processes)):
        yield


async def _death_of(processes: DeviceProcesses) -> Exception:
    return DeviceDied(await processes.first_death())


async def run_campaign(
    campaign: Campaign,
    laboratory: Laboratory,
    ledger_url: str,
    *,
    resume: bool = False,
    watch: Callable[[Snapshot], None] = lambda _: None,
) -> Outcome:
    """Run one campaign to its end. Ctrl-C and SIGTERM end it in a state that ``--resume`` takes up.

    What can be refused without a broker is refused before anything is made, and the ledger is claimed before anything
    is started: a second agent on it goes at once.
    """
    chosen = chosen_devices(campaign, laboratory)
    ledger = await Ledger.claim(ledger_url)
    try:
        return await _run_claimed(campaign, laboratory, chosen, ledger, resume, watch)
    finally:
        await ledger.close()


async def _run_claimed(
    campaign: Campaign,
    laboratory: Laboratory,
    chosen: ChosenDevices,
    ledger: Ledger,
    resume: bool,
    watch: Callable[[Snapshot], None],
) -> Outcome:
    """Start broker and devices, run, and stop them again."""
    workdir = laboratory.data_directory / laboratory.name
    workdir.mkdir(parents=True, exist_ok=True)
    async with broker_of(laboratory, workdir) as address:
        bench = Bench(laboratory, address, chosen.synthesis, chosen.measurement)
        session = Session(campaign, bench, ledger, take_up=resume, watch=watch)
        running_loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            running_loop.add_signal_handler(number, session.stop)
        try:
            async with devices_of(laboratory, address, workdir):
                return await session.run()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                running_loop.remove_signal_handler(number)
