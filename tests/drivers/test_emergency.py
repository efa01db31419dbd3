"""Emergency stop: every device that lives becomes idle and stays so, also when another is dead."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from solvus.drivers import emergency
from solvus.drivers.emergency import HaltOutcome, tell_all
from solvus.drivers.messages import Halt
from solvus.drivers.topics import device_topic

LAB, DEVICE = "test-lab", "furnace"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emergency, "SILENT", 1.5)
    monkeypatch.setattr(emergency, "LOOK", 0.3)


async def tell(
    listener: Any, kind: str = "halt", *, devices: tuple[str, ...] = (DEVICE,)
) -> dict[str, HaltOutcome]:
    halt = Halt(boot_id="cli", kind=kind, by="anna", reason="smoke")
    found = await tell_all(listener.connection.address, LAB, devices, halt, patience=10.0)
    return {outcome.device: outcome for outcome in found}


async def test_it_ends_the_order_idles_the_hardware_and_holds_over_a_restart(
    running, listener, make_order
) -> None:
    await listener.until(lambda: listener.state == "ready")
    long = make_order(seconds=60.0)
    await listener.send(long)
    await listener.until(lambda: "started" in listener.kinds(long.command_id))
    outcome = (await tell(listener))[DEVICE]
    assert outcome.ok, outcome.words
    assert running.moves[-1] == "idle"
    await listener.until(lambda: "failed" in listener.kinds(long.command_id))
    failed = listener.event(long.command_id, "failed")
    assert failed.reason == "emergency stop by anna: smoke" and failed.cause == "equipment"
    refused = make_order()
    await listener.send(refused)
    await listener.until(lambda: listener.kinds(refused.command_id))
    assert listener.event(refused.command_id, "rejected").reason == "emergency stop by anna: smoke"
    await running.stop()
    await running.start()
    await listener.until(lambda: listener.state == "fault" and listener.states[-1][0].halted == "idle")
    assert running.moves[-1] == "idle", "after a restart it is idled again"
    released = (await tell(listener, "release"))[DEVICE]
    assert released.ok, released.words
    await listener.until(lambda: listener.state == "ready")
    fine = make_order()
    await listener.send(fine)
    await listener.until(lambda: "done" in listener.kinds(fine.command_id))


async def test_a_dead_device_holds_up_none_of_the_others(running, listener) -> None:
    await listener.until(lambda: listener.state == "ready")
    found = await tell(listener, devices=("dead-one", DEVICE))
    assert found[DEVICE].ok
    assert not found["dead-one"].ok and "does not answer (was never heard)" in found["dead-one"].words


async def test_a_device_that_the_file_does_not_name_is_stopped_too(running, listener) -> None:
    await listener.until(lambda: listener.state == "ready")
    assert (await tell(listener, devices=()))[DEVICE].ok


async def test_one_that_cannot_be_made_safe_says_so(running, listener) -> None:
    await running.stop()
    await running.start(idle_fails=True)
    await listener.until(lambda: listener.state == "ready")
    outcome = (await tell(listener))[DEVICE]
    assert not outcome.ok and "is NOT idle" in outcome.words and "the valve does not answer" in outcome.words


async def test_a_device_that_was_down_hears_of_it_when_it_is_back(running, listener, tmp_path: Path) -> None:
    await listener.until(lambda: listener.state == "ready")
    await running.stop()
    await tell(listener)
    await running.start()
    await listener.until(lambda: listener.state == "fault" and listener.states[-1][0].halted == "idle")


async def test_noise_on_the_halt_topic_is_ignored(running, listener, make_order) -> None:
    await listener.until(lambda: listener.state == "ready")
    for noise in (b"", b"{", b'{"kind": "halt"}', b"\xff" * 100):
        await listener.connection.publish(device_topic(LAB, DEVICE, "halt"), noise)
    fine = make_order()
    await listener.send(fine)
    await listener.until(lambda: "done" in listener.kinds(fine.command_id))
    await asyncio.sleep(0)
