"""Watchdog, emergency stop and claims on running campaigns: processes, a broker, a ledger."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from solvus.agent.campaign import Campaign, Devices
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.verify import verify
from solvus.drivers.broker import EmbeddedBroker, MosquittoBroker
from tests.agent.test_campaign_loop import CONFIGS, campaign, wait_for_status

SOLVUS = [sys.executable, "-m", "solvus"]


@contextmanager
def laboratory(
    folder: Path, broker: EmbeddedBroker | MosquittoBroker, pairs: int = 1
) -> Iterator[tuple[Path, dict[str, int]]]:
    """``pairs`` of robot and diffractometer in processes of their own; yields the file and the process ids."""
    described = yaml.safe_load((CONFIGS / "laboratories/gold.yaml").read_text())
    one = described["devices"]
    described["devices"] = [
        device | {"id": f"{device['id']}{'' if n == 0 else f'-{n + 1}'}"}
        for n in range(pairs)
        for device in one
    ]
    described["broker"] = {"kind": "external", "host": broker.address.host, "port": broker.address.port}
    described["data_directory"] = str(folder / "lab")
    file = folder / "lab.yaml"
    file.write_text(yaml.safe_dump(described))
    process = subprocess.Popen([*SOLVUS, "lab", str(file), "--json"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}\n}"):
            text += process.stdout.readline()
        yield file, json.loads(text)["devices"]
    finally:
        process.terminate()
        process.wait(60)


class Run:
    """One agent with a ledger of its own."""

    def __init__(self, folder: Path, lab: Path, chosen: Campaign) -> None:
        folder.mkdir(exist_ok=True)
        self.ledger = f"sqlite:///{folder / 'ledger.db'}"
        file = folder / "campaign.yaml"
        file.write_text(yaml.safe_dump(chosen.model_dump(mode="json", exclude_none=True)))
        self.process = subprocess.Popen(
            [*SOLVUS, "run", str(file), "--lab", str(lab), "--json", "--ledger", self.ledger],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        return wait_for_status(self.ledger, condition)

    def outcome(self) -> dict[str, Any]:
        out, err = self.process.communicate(timeout=300)
        assert out, err
        return json.loads(out)

    def events(self) -> list[Any]:
        return asyncio.run(self._events())

    async def _events(self) -> list[Any]:
        ledger = await Ledger.open(self.ledger, write=False)
        try:
            assert (await verify(ledger)).problems == ()
            return await ledger.events()
        finally:
            await ledger.close()


def tell(*command: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([*SOLVUS, *command, "--json"], capture_output=True, text=True)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_a_silent_device_gets_no_order_and_an_emergency_stop_needs_it_not(
    tmp_path: Path, broker: EmbeddedBroker | MosquittoBroker
) -> None:
    timing = campaign(1).timing.model_copy(update={"device_silent": 8.0})
    with laboratory(tmp_path, broker) as (lab, pids):
        run = Run(tmp_path / "agent", lab, campaign(60, timing=timing))
        try:
            run.until(lambda s: s["experiments"] >= 2)
            os.kill(pids["diffractometer"], signal.SIGSTOP)  # it hangs, and its connection with it
            run.until(lambda s: s["silent_devices"] == ["diffractometer"])
            code, stopped = tell("stop", "--emergency", str(lab), "--reason", "smoke", "--who", "anna")
            assert code == 1 and stopped["devices"]["robot"]["ok"], stopped
            assert not stopped["devices"]["diffractometer"]["ok"]
            paused = run.until(lambda s: s["paused"])["paused"]
            assert paused["by"] == "anna" and paused["reason"].endswith(": smoke")
            os.kill(pids["diffractometer"], signal.SIGCONT)
            run.until(lambda s: s["silent_devices"] == [])
            code, released = tell("release", str(lab))
            assert code == 0, released
            before = run.until(lambda _: True)["experiments"]
            code, _ = tell("resume", "gold-decahedron-1", "--ledger", run.ledger, "--wait", "60")
            assert code == 0
            run.until(lambda s: s["experiments"] > before + 1)
            code, _ = tell("stop", "gold-decahedron-1", "--ledger", run.ledger, "--wait", "60")
            assert code == 0 and run.outcome()["state"] == "stopped"
        finally:
            os.kill(pids["diffractometer"], signal.SIGCONT)
            run.process.kill()
    told = run.events()
    kinds = [e.kind for e in told]
    silent, heard = kinds.index("device-silent"), kinds.index("device-heard")
    pause, goes_on = kinds.index("campaign-paused"), kinds.index("campaign-unpaused")
    ordered = [(i, e.body["device"]) for i, e in enumerate(told) if e.kind == "command-queued"]
    assert not [i for i, device in ordered if device == "diffractometer" and silent < i < heard]
    assert not [i for i, _ in ordered if pause < i < goes_on], (
        "nothing is ordered until a person lets it go on"
    )


@pytest.mark.slow
def test_two_campaigns_share_a_laboratory_when_they_share_no_device(
    tmp_path: Path, broker: EmbeddedBroker | MosquittoBroker
) -> None:
    def using(suffix: str, measurement: str = "") -> dict[str, Any]:
        made, measured = f"robot{suffix}", measurement or f"diffractometer{suffix}"
        return {"devices": Devices(synthesis=(made,), measurement=(measured,))}

    with laboratory(tmp_path, broker, pairs=2) as (lab, _):
        first = Run(tmp_path / "first", lab, campaign(200, **using("")))
        runs = [first]
        try:
            first.until(lambda s: s["experiments"] >= 1)
            second = Run(tmp_path / "second", lab, campaign(1, **using("-2")))
            runs.append(second)
            assert second.outcome()["state"] == "exhausted"
            greedy = Run(tmp_path / "greedy", lab, campaign(1, **using("-2", "diffractometer")))
            runs.append(greedy)
            assert "another agent works there" in greedy.outcome()["error"]
            first.process.send_signal(signal.SIGINT)
            assert first.outcome()["state"] == "stopped"
        finally:
            for run in runs:
                run.process.kill()
    used = {e.body["device"] for e in first.events() if e.kind == "command-queued"}
    assert used == {"robot", "diffractometer"}
