"""Schedules one after the other, or several processes side by side, each in a folder that goes afterwards."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from solvus.agent.ledger.ledger import Ledger
from solvus.simulations.benchmarks.faults.invariants import read_device, violations
from solvus.simulations.benchmarks.faults.schedule import Schedule, draw_schedule
from solvus.simulations.benchmarks.faults.virtual_time import NothingToDo, run_virtually
from solvus.simulations.benchmarks.faults.world import PATIENCE, World

FAST = Path("/dev/shm")  # noqa: S108 -- files in memory where there are any: no power is cut here, only programs


@dataclass(frozen=True)
class Verdict:
    """What became of one schedule.

    Attributes
    ----------
    violations : one sentence each; empty when all holds.
    virtual, seconds : how long it took, on its own clock and on ours.
    ends : how each program ended, run by run.
    carried : how many packets met which fate.
    head : of the ledger; equal for equal runs.
    waits_for : what the agent said last.
    """

    seed: int
    violations: tuple[str, ...]
    virtual: float
    seconds: float
    ends: dict[str, list[str]] = field(default_factory=dict)
    carried: dict[str, int] = field(default_factory=dict)
    head: str = ""
    waits_for: str = ""


@dataclass
class Report:
    """All verdicts of one run of the bench."""

    verdicts: list[Verdict] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        bad = sorted((v for v in self.verdicts if v.violations), key=lambda v: v.seed)
        slowest = max(self.verdicts, key=lambda v: v.seconds, default=None)
        return {
            "schedules": len(self.verdicts),
            "violations": sum(len(v.violations) for v in bad),
            "slowest_seed": None if slowest is None else slowest.seed,
            "slowest_seconds": None if slowest is None else round(slowest.seconds, 2),
            "failed_seeds": {v.seed: list(v.violations) for v in bad},
        }


@cache
def empty_ledger() -> bytes:
    """A ledger with its tables and nothing in them: made once, as migrations take longer than a schedule."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"

        async def make() -> None:
            await (await Ledger.open(f"sqlite:///{file}")).close()

        asyncio.run(make())
        return file.read_bytes()


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="solvus-faults-", dir=FAST if FAST.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Without log lines, of which programs under faults write thousands."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def run_schedule(schedule: Schedule, keep: Path | None = None) -> Verdict:
    """Run one schedule and judge it. ``keep`` receives ledger, journals and logs."""
    began = time.monotonic()
    empty = empty_ledger()
    with _scratch() as folder, _unlogged(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of connections that a killed program has left open
        (folder / "ledger.db").write_bytes(empty)
        world: World | None = None
        found: list[str] = []
        virtual = 0.0

        async def main() -> float:
            nonlocal world
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            world = World(schedule, folder)
            return await world.run()

        try:
            virtual = run_virtually(main)
        except NothingToDo as error:
            found.append(f"stuck: {error}")
        except Exception:  # noqa: BLE001 -- a schedule that breaks the bench is a finding too
            found.append(f"broke the bench: {traceback.format_exc(limit=-4)}")
        assert world is not None  # noqa: S101 -- the first line of main
        if virtual >= PATIENCE:
            said = "nothing" if world.last is None else f"{world.last.state}: {world.last.waits_for}"
            found.append(f"campaign: did not end in {PATIENCE:g} s (it last said {said})")
        for name, program in world.programs.items():
            found += [f"{name}: ended unexpectedly with {sentence}" for sentence in program.surprises]
        devices = [
            read_device(name, folder / f"{name}.journal", log.lines())
            for name, log in world.log.items()
            if (folder / f"{name}.journal").exists()
        ]
        head, more = asyncio.run(_judge(f"sqlite:///{folder / 'ledger.db'}", devices))
        if keep is not None:
            shutil.copytree(folder, keep, dirs_exist_ok=True)
        return Verdict(
            seed=schedule.seed,
            violations=tuple(found + more),
            virtual=virtual,
            seconds=time.monotonic() - began,
            ends={name: program.ends for name, program in world.programs.items()},
            carried=world.network.carried,
            head=head,
            waits_for="" if world.last is None else world.last.waits_for,
        )


async def _judge(url: str, devices: list[Any]) -> tuple[str, list[str]]:
    ledger = await Ledger.open(url, write=False)
    head = ledger.head[1]
    await ledger.close()
    return head, await violations(url, devices)


def run_seed(seed: int, keep: Path | None = None) -> Verdict:
    """Draw the schedule of a seed and run it."""
    return run_schedule(draw_schedule(seed), keep)


def bench_faults(
    seeds: Iterable[int], *, processes: int = 1, done: Callable[[Verdict], None] = lambda _: None
) -> Report:
    """Run the schedules of these seeds; ``done`` hears of each as it ends."""
    report = Report()

    def note(verdict: Verdict) -> None:
        report.verdicts.append(verdict)
        done(verdict)

    if processes == 1:
        for seed in seeds:
            note(run_seed(seed))
        return report
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        for future in as_completed([pool.submit(run_seed, seed) for seed in seeds]):
            note(future.result())
    return report
