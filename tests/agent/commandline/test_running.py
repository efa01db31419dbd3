"""The broker that a run starts is kept running, within bounds; Ctrl-C ends a run that has not begun."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from solvus.agent.commandline.running import BROKER_TRIES, BrokerDied, broker_of
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.broker_note import read_broker_note
from solvus.drivers.connection import Connection
from solvus.drivers.laboratory import Laboratory

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture(params=["embedded", "mosquitto"])
def laboratory(request: pytest.FixtureRequest, tmp_path: Path) -> Laboratory:
    if request.param == "mosquitto":
        request.getfixturevalue("mosquitto")
    described: dict[str, Any] = yaml.safe_load((CONFIGS / "laboratories/gold.yaml").read_text())
    described["broker"] = {"kind": request.param}
    return Laboratory.model_validate(described | {"data_directory": tmp_path})


def children() -> set[int]:
    """Direct child processes of this one, which have a session of their own: the broker."""
    listed = Path(f"/proc/{os.getpid()}/task")
    found = {int(pid) for task in listed.iterdir() for pid in (task / "children").read_text().split()}
    return {pid for pid in found if os.getsid(pid) == pid}


async def reachable(address: BrokerAddress, name: str) -> None:
    probe = Connection(address, name)
    await probe.connect_or_fail(timeout=20.0)
    await probe.stop()


async def kill_broker(before: set[int]) -> None:
    """Kill the broker that was started after ``before``, as soon as there is one."""
    async with asyncio.timeout(20.0):
        while not (mine := children() - before):  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)
    for pid in mine:
        os.killpg(pid, signal.SIGKILL)
    async with asyncio.timeout(20.0):
        while children() & mine:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)


async def test_other_programs_find_the_broker_while_it_runs(laboratory: Laboratory, tmp_path: Path) -> None:
    """`solvus stop --emergency` must not need to be told a port that was chosen at random."""
    assert read_broker_note(tmp_path) is None
    async with broker_of(laboratory, tmp_path) as address:
        assert read_broker_note(tmp_path) == address
        await reachable(address, "other")
    assert read_broker_note(tmp_path) is None


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the children from /proc")
async def test_a_broker_that_dies_alone_is_started_again_where_it_was(
    laboratory: Laboratory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = children()
    async with broker_of(laboratory, tmp_path) as address:
        await reachable(address, "first")
        with caplog.at_level(logging.WARNING):
            await kill_broker(before)
            await reachable(address, "second")
    told = [r.getMessage() for r in caplog.records if "has ended by itself" in r.getMessage()]
    assert told == [f"the broker at {address} has ended by itself; starting it again (1 of {BROKER_TRIES})"]
    assert not children() - before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the children from /proc")
async def test_a_broker_that_dies_again_and_again_ends_the_run(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    before = children()
    with pytest.raises(BrokerDied, match="--resume"):
        async with broker_of(laboratory, tmp_path):
            for _ in range(BROKER_TRIES + 1):
                await kill_broker(before)
            await asyncio.sleep(20.0)
            raise AssertionError("still running")


def test_ctrl_c_while_the_workers_are_starting(tmp_path: Path) -> None:
    """They import for seconds; a terminal sends it to all of the group, and nothing is begun or left running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "solvus", "run", "gold-decahedron", "--lab", "gold", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts its background jobs with interrupts ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    started, deadline = tmp_path / "solvus-data" / "gold-lab" / "robot.log", time.monotonic() + 60.0
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and json.loads(out)["state"] == "stopped", said
    assert "while the campaign was being prepared" in said and "Traceback" not in said
    assert not (tmp_path / "solvus-data" / "ledger.db").exists()
