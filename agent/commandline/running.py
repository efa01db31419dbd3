"""Everything one campaign run needs on one machine: broker, devices, agent, and a person who watches.

Shared by ``solvus run``, ``solvus demo`` and ``solvus bench campaign``; the one place where the folders meet.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from solvus.agent.bench import Bench, ChosenDevices, chosen_devices
from solvus.agent.campaign import Campaign
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.session import Outcome, Session
from solvus.agent.snapshot import Snapshot
from solvus.drivers.broker import BrokerHandle, EmbeddedBroker, MosquittoBroker
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.laboratory import Laboratory
from solvus.simulations.laboratory import DeviceProcesses


class DeviceDied(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """A device process that this run started has ended by itself."""


@asynccontextmanager
async def broker_of(laboratory: Laboratory, workdir: Path) -> AsyncIterator[BrokerAddress]:
    """The laboratory's broker: started here, unless it is external."""
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
    try:
        yield address
    finally:
        await asyncio.to_thread(broker.stop)


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
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 -- a coroutine always runs in a task
    deaths: list[str] = []

    async def watch(processes: DeviceProcesses) -> None:
        deaths.append(await processes.first_death())
        task.cancel()

    async with DeviceProcesses(laboratory, address, workdir) as processes:
        watcher = asyncio.create_task(watch(processes))
        try:
            yield
        except asyncio.CancelledError:
            if not deaths:
                raise
            task.uncancel()
            raise DeviceDied(deaths[0]) from None
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher


async def run_campaign(
    campaign: Campaign,
    laboratory: Laboratory,
    ledger_url: str,
    *,
    resume: bool = False,
    watch: Callable[[Snapshot], None] = lambda _: None,
    finish: Callable[[Session, Outcome], None] = lambda _session, _outcome: None,
) -> Outcome:
    """Run one campaign to its end. Ctrl-C and SIGTERM end it in a state that ``--resume`` takes up.

    What can be refused without a broker is refused before anything is made, and the ledger is claimed before anything
    is started: a second agent on it goes at once.

    Parameters
    ----------
    finish : called with the session and its outcome when the campaign has ended in good order.
    """
    chosen = chosen_devices(campaign, laboratory)
    ledger = await Ledger.claim(ledger_url)
    try:
        session, outcome = await _run_claimed(campaign, laboratory, chosen, ledger, resume, watch)
    finally:
        await ledger.close()
    finish(session, outcome)
    return outcome


async def _run_claimed(
    campaign: Campaign,
    laboratory: Laboratory,
    chosen: ChosenDevices,
    ledger: Ledger,
    resume: bool,
    watch: Callable[[Snapshot], None],
) -> tuple[Session, Outcome]:
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
                outcome = await session.run()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                running_loop.remove_signal_handler(number)
    return session, outcome
