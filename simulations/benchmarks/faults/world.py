"""One schedule from beginning to end: the programs, the network and the disks of a laboratory under faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from filelock import FileLock
from sqlalchemy.exc import SQLAlchemyError

from solvus.agent.bench import Bench
from solvus.agent.campaign_loop import CampaignLoop, DevicesMissing
from solvus.agent.ledger.engine import LedgerError, WriterLock, ledger_url, make_engine
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CampaignRow
from solvus.agent.neighbours import LaboratoryTaken
from solvus.agent.session import begin, interrupted, resume
from solvus.agent.side_jobs import CampaignBroken
from solvus.agent.snapshot import Snapshot
from solvus.drivers.broker_address import BrokerAddress, BrokerUnreachable
from solvus.drivers.device import Device
from solvus.drivers.journal import Journal, JournalError
from solvus.drivers.messages import clock, ids
from solvus.simulations.benchmarks.faults.disk import Disk, journal_connect, ledger_creator
from solvus.simulations.benchmarks.faults.instruments import (
    Bookkeepers,
    Diffractometer,
    Log,
    Robot,
    campaign_of,
    laboratory_of,
    target,
)
from solvus.simulations.benchmarks.faults.network import Network, Weather
from solvus.simulations.benchmarks.faults.process import Life, Program, WrongClock, follow_tasks
from solvus.simulations.benchmarks.faults.schedule import (
    AGENT,
    DIFFRACTOMETER,
    PROGRAMS,
    ROBOT,
    Fault,
    Schedule,
)

PATIENCE = 300.0
"""Seconds a campaign has to come to its end; the faults are over long before."""
DEVICE_RESTART, AGENT_RESTART = 1.0, 2.0
"""Seconds after which whoever looks after the programs starts one again that has ended by itself."""
CAMPAIGN = "faults-1"
ENDED = ("found", "exhausted")


class World:
    """Everything of one schedule; :meth:`run` it inside a virtual loop."""

    def __init__(self, schedule: Schedule, folder: Path) -> None:
        self.schedule, self.folder = schedule, folder
        self.network = Network(schedule.seed, forgetful=schedule.forgetful)
        self.database = folder / "ledger.db"
        self.laboratory = laboratory_of(external=not schedule.forgetful)
        self.campaign = campaign_of(schedule.experiments, schedule.parallel)
        self.last: Snapshot | None = None
        self.log = {device: Log(folder / f"{device}.log") for device in (ROBOT, DIFFRACTOMETER)}
        clocks = {p: WrongClock(schedule.offsets[p], schedule.drifts[p]) for p in PROGRAMS}
        agent_ends = (
            *(SQLAlchemyError, LedgerError, BrokerUnreachable),
            *(LaboratoryTaken, DevicesMissing, CampaignBroken),
        )
        self.programs = {
            AGENT: Program(AGENT, self._agent, agent_ends, AGENT_RESTART, clocks[AGENT]),
            ROBOT: Program(
                ROBOT, partial(self._device, ROBOT), (JournalError,), DEVICE_RESTART, clocks[ROBOT]
            ),
            DIFFRACTOMETER: Program(
                DIFFRACTOMETER,
                partial(self._device, DIFFRACTOMETER),
                (JournalError,),
                DEVICE_RESTART,
                clocks[DIFFRACTOMETER],
            ),
        }
        self.disks = {name: Disk(partial(self._kill, name, 1.0)) for name in PROGRAMS}
        self._over = asyncio.Event()

    async def run(self) -> float:
        """Run until the campaign has ended or patience has; returns how many seconds that took."""
        chance = random.Random(f"ids {self.schedule.seed}")  # noqa: S311 -- identifiers that repeat
        ids.set(lambda: f"{chance.getrandbits(128):032x}")
        loop = asyncio.get_running_loop()
        follow_tasks(loop)
        for fault in self.schedule.faults:
            loop.call_at(fault.at, self._begin, fault)
        running = [asyncio.create_task(program.supervise()) for program in self.programs.values()]
        await asyncio.wait({running[0]}, timeout=PATIENCE)
        took = loop.time()
        self._over.set()
        for program in self.programs.values():
            program.done = True
        _, late = await asyncio.wait(running, timeout=60.0)
        for program in self.programs.values():
            program.kill(0.0)
        if late:
            await asyncio.wait(late)
        return took

    def _kill(self, program: str, down: float) -> None:
        self.programs[program].kill(down)

    # Faults

    def _begin(self, fault: Fault) -> None:
        loop = asyncio.get_running_loop()
        disk = self.disks.get(fault.program)
        end: Callable[[], None] | None = None
        match fault.kind:
            case "storm":
                self.network.weather = fault.weather
                end = partial(setattr, self.network, "weather", Weather())
            case "partition":
                self.network.cut_off.add(fault.program)
                end = partial(self.network.cut_off.discard, fault.program)
            case "broker":
                self.network.crash()
                end = self.network.restart
            case "kill":
                self._kill(fault.program, fault.lasts)
            case "clock-step":
                self.programs[fault.program].clock.offset += fault.number
            case "kill-at-commit" if disk is not None:
                disk.kill_at, disk.after = disk.commits + int(fault.number), fault.after
            case "slow-disk" if disk is not None:
                disk.latency = fault.number
                end = partial(setattr, disk, "latency", 0.001)
            case "full-disk" if disk is not None:
                disk.full = True
                end = partial(setattr, disk, "full", False)
            case "locked" if disk is not None:
                disk.locked = True
                end = partial(setattr, disk, "locked", False)
        if end is not None:
            loop.call_later(fault.lasts, end)

    # Programs

    async def _agent(self, life: Life) -> bool:
        """One run of the agent, as :class:`solvus.agent.session.Session` does it; true at the campaign's end."""
        clock.set(self.programs[AGENT].clock)
        url = ledger_url(f"sqlite:///{self.database}")
        engine = make_engine(url, write=True, creator=ledger_creator(self.disks[AGENT], life, self.database))
        lock = WriterLock(engine)
        await lock.acquire()
        life.hold(partial(_release, lock))
        ledger = Ledger(engine, self.programs[AGENT].clock, lock)
        await ledger.prepare()
        address = BrokerAddress(host="in-memory")
        bench = Bench(self.laboratory, address, (ROBOT,), (DIFFRACTOMETER,))
        known = await ledger.rows(CampaignRow)
        if known and known[0].state in ENDED:
            return True
        if known:
            campaign_id = await interrupted(ledger, self.campaign)
            enter = partial(resume, ledger, campaign_id, self.campaign, {})
        else:
            campaign_id = CAMPAIGN
            enter = partial(begin, ledger, campaign_id, self.campaign, bench, target(), {})
        loop = CampaignLoop(
            campaign_id=campaign_id,
            campaign=self.campaign,
            bench=bench,
            target=target(),
            reductions={},
            ledger=ledger,
            workers=Bookkeepers(self.schedule.seed + len(self.programs[AGENT].ends)),
            clock=ledger.clock,
            enter=enter,
            watch=self._watch,
            transport=self.network.transport(AGENT, life),
        )
        return await loop.run() in ENDED

    def _watch(self, snapshot: Snapshot) -> None:
        self.last = snapshot

    async def _device(self, name: str, life: Life) -> bool:
        """One run of a device, as :mod:`solvus.drivers.serve` does it."""
        program = self.programs[name]
        clock.set(program.clock)
        chance = random.Random(f"{name} {self.schedule.seed} {len(program.ends)}")  # noqa: S311 -- chemistry
        kind = Robot if name == ROBOT else Diffractometer
        driver = kind(self.log[name], chance, lambda: life.alive)
        connect = journal_connect(self.disks[name], life)
        with Journal(self.folder / f"{name}.journal", connect=connect) as journal:
            device = Device(
                driver,
                lab=self.laboratory.name,
                device=name,
                address=BrokerAddress(host="in-memory"),
                journal=journal,
                data=self.folder / "patterns",
                clock=program.clock,
                persistent_session=not self.schedule.forgetful,
                transport=self.network.transport(name, life),
            )
            await device.run(self._over)
        return self._over.is_set()


def _release(lock: WriterLock) -> None:
    """What the operating system does to the lock of a process that is gone."""
    file: FileLock | None = lock._file  # no public way to let go of it without a loop
    if file is not None:
        file.release()
