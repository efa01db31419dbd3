"""Whole campaigns on real parts: broker, device processes, worker processes, ledger; and what survives a crash."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from solvus.agent import jobs
from solvus.agent.bench import Bench
from solvus.agent.campaign import Campaign
from solvus.agent.campaign_loop import CampaignLoop
from solvus.agent.commandline.app import app
from solvus.agent.commandline.running import run_campaign
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.ledger.verify import Verification, verify
from solvus.agent.side_jobs import CampaignBroken
from solvus.agent.snapshot import Snapshot
from solvus.agent.workers import Workers
from solvus.drivers.broker import EmbeddedBroker, MosquittoBroker
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.laboratory import Laboratory, load_laboratory
from solvus.drivers.yaml_file import load_yaml
from tests.agent.ledger_builder import FOUND, LABORATORY, build, target
from tests.agent.ledger_builder import campaign as builder_campaign

CONFIGS = Path(__file__).parents[2] / "configs"


def campaign(experiments: int, **changes: Any) -> Campaign:
    """The shipped campaign, cut short and on Sobol recipes."""
    read = load_yaml(CONFIGS / "campaigns/gold-decahedron.yaml", Campaign)
    return read.model_copy(
        update={
            "budget": read.budget.model_copy(update={"experiments": experiments}),
            "planner": read.planner.model_copy(update={"method": "sobol"}),
            **changes,
        }
    )


def laboratory(folder: Path) -> Laboratory:
    return load_laboratory(CONFIGS / "laboratories/gold.yaml").model_copy(update={"data_directory": folder})


async def checked(url: str) -> Verification:
    ledger = await Ledger.open(url, write=False)
    try:
        return await verify(ledger)
    finally:
        await ledger.close()


async def recipes(url: str) -> list[str]:
    ledger = await Ledger.open(url, write=False)
    try:
        return [
            json.dumps(e.body["recipe"], sort_keys=True)
            for e in await ledger.events()
            if e.kind == "experiment-proposed"
        ]
    finally:
        await ledger.close()


async def test_a_campaign_runs_to_its_budget(tmp_path: Path, ledger_url: str) -> None:
    seen: list[Snapshot] = []
    outcome = await run_campaign(
        campaign(3), laboratory(tmp_path), ledger_url, watch=lambda s: seen.append(s.copy())
    )
    assert outcome.state == "exhausted"
    last = seen[-1]
    assert len(last.experiments) == 3 and not any(e.active for e in last.experiments)
    assert any(s.devices.get("robot") == "busy" for s in seen)
    result = await checked(ledger_url)
    assert result.problems == () and result.head == outcome.head[1]


async def test_a_slip_in_the_code_is_recorded_and_the_campaign_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with monkeypatch.context() as slip:
        slip.setattr(jobs, "suggest", int)  # a job that raises, in a worker of its own
        with pytest.raises(CampaignBroken, match=r"'plan' failed \(ValueError: invalid literal.*--resume"):
            await run_campaign(campaign(2), laboratory(tmp_path), url)
    assert (await checked(url)).problems == ()
    monkeypatch.setattr(jobs, "identify", int)
    outcome = await run_campaign(campaign(2), laboratory(tmp_path), url, resume=True)
    assert outcome.state == "exhausted" and (await checked(url)).problems == ()
    ledger = await Ledger.open(url, write=False)
    events = await ledger.events()
    await ledger.close()
    ends = [e.body for e in events if e.kind == "campaign-ended"]
    assert ends[0]["state"] == "stopped" and "ValueError" in ends[0]["reason"]
    failed = [e.body for e in events if e.kind == "experiment-moved" and e.body["to"] == "failed"]
    software = [body for body in failed if body["cause"] == "software"]
    assert software and all("not identified: ValueError" in body["reason"] for body in software)
    environments = [e.body["environment"] for e in events if "environment" in e.body]
    versions = [e.body["proposal"]["versions"] for e in events if e.kind == "experiment-proposed"]
    for record in (*environments, *versions):
        assert record["threads"] == "1" and record["cpu_capability"]


async def test_no_recipe_is_proposed_once_the_target_is_found(tmp_path: Path) -> None:
    """A plan may be under way while the experiments beside it confirm the target."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    await build(url, FOUND, end=None)
    ledger = await Ledger.open(url)
    parallel = builder_campaign().model_copy(update={"parallel": 3})
    bench = Bench(LABORATORY, BrokerAddress(), ("robot",), ("diffractometer",))
    workers = Workers()

    async def enter() -> None:
        raise AssertionError("this campaign has begun")

    loop = CampaignLoop(
        campaign_id="gold-decahedron-1",
        campaign=parallel,
        bench=bench,
        target=target(),
        reductions={},
        ledger=ledger,
        workers=workers,
        clock=ledger.clock,
        enter=enter,
    )
    rows = await ledger.rows(ExperimentRow, order_by=ExperimentRow.number)
    try:
        await loop._plan(rows[:-1], 2)  # begun before the confirming replicate had its score
        assert len(await ledger.rows(ExperimentRow)) == len(FOUND)
    finally:
        workers.close()
        await ledger.close()


@contextmanager
def separate_laboratory(folder: Path, broker: EmbeddedBroker | MosquittoBroker) -> Iterator[Path]:
    """Devices of their own, as in production: they outlive the agent. Yields the laboratory file."""
    described = yaml.safe_load((CONFIGS / "laboratories/gold.yaml").read_text())
    described["broker"] = {
        "kind": "external",
        "host": broker.address.host,
        "port": broker.address.port,
        "keeps_sessions": isinstance(broker, MosquittoBroker),
    }
    described["data_directory"] = str(folder / "lab")
    for device in described["devices"]:
        device["settings"]["time_scale"] = 1e-4
    file = folder / "lab.yaml"
    file.write_text(yaml.safe_dump(described))
    process = subprocess.Popen(
        [sys.executable, "-m", "solvus", "lab", str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "Laboratory" in process.stdout.readline()
        yield file
    finally:
        process.terminate()
        process.wait(30)


def start_agent(folder: Path, lab: Path, *more: str, experiments: int = 3) -> subprocess.Popen[str]:
    file = folder / "campaign.yaml"
    file.write_text(yaml.safe_dump(campaign(experiments).model_dump(mode="json", exclude_none=True)))
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "solvus", "run", str(file), "--lab", str(lab), "--json"),
            *("--ledger", f"sqlite:///{folder / 'ledger.db'}", *more),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_event(database: Path, kind: str, contains: str, count: int = 1) -> None:
    """Wait until the ledger holds that many such events."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if database.exists():
            try:
                with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as connection:
                    found = connection.execute(
                        "SELECT count(*) FROM ledger_event WHERE kind = ? AND body LIKE ?",
                        (kind, f"%{contains}%"),
                    ).fetchone()[0]
            except sqlite3.OperationalError:
                found = 0  # the tables are still being made
            if found >= count:
                return
        time.sleep(0.02)
    raise AssertionError(f"no {kind} {contains}")


def wait_for_status(
    ledger: str, condition: Callable[[dict[str, Any]], Any], name: str = "gold-decahedron-1"
) -> dict[str, Any]:
    """What ``solvus status`` says as soon as it fulfils the condition. In this process: a program started anew for
    every look would take from the campaign the processor it runs on."""
    deadline, said = time.monotonic() + 240, ""
    while time.monotonic() < deadline:
        done = CliRunner().invoke(app, ["status", name, "--ledger", ledger, "--json"])
        said = done.stdout
        if done.exit_code == 0 and condition(seen := json.loads(said)):
            return seen
        time.sleep(0.1)
    raise AssertionError(said)


def executions(folder: Path) -> Counter[str]:
    """How often each command was started, from the devices' own journals: the oracle."""
    counted: Counter[str] = Counter()
    for journal in (folder / "lab").rglob("*.journal"):
        with sqlite3.connect(journal) as connection:
            counted.update(row[0] for row in connection.execute("SELECT command_id FROM commands"))
    return counted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "contains"),
    [
        ("command-queued", '"purpose":"make"'),
        ("command-moved", '"to":"started"'),
        ("command-queued", '"purpose":"measure"'),
        ("result-received", ""),
        ("experiment-scored", ""),
    ],
)
async def test_a_killed_agent_goes_on_where_it_was(
    tmp_path: Path, broker: EmbeddedBroker | MosquittoBroker, kind: str, contains: str
) -> None:
    database = tmp_path / "ledger.db"
    with separate_laboratory(tmp_path, broker) as lab:
        agent = start_agent(tmp_path, lab)
        try:
            wait_for_event(database, kind, contains, count=2)
        finally:
            os.kill(agent.pid, signal.SIGKILL)
            agent.communicate()
        out, err = start_agent(tmp_path, lab, "--resume").communicate(timeout=150)
        document = json.loads(out)
        assert document.get("state") == "exhausted", err
    started = executions(tmp_path)  # a device holds its journal alone while it runs
    result = await checked(f"sqlite:///{database}")
    assert result.problems == ()
    ledger = await Ledger.open(f"sqlite:///{database}", write=False)
    events = await ledger.events()
    await ledger.close()
    proposed = [e.body["number"] for e in events if e.kind == "experiment-proposed"]
    scored = [e.body["number"] for e in events if e.kind == "experiment-scored"]
    failed = [e for e in events if e.kind == "experiment-moved" and e.body["to"] in ("failed", "unknown")]
    assert proposed == [1, 2, 3], "no experiment lost, none twice"
    assert len(scored) == len(set(scored)) and len(scored) + len(failed) == 3
    assert not [e for e in failed if e.body.get("cause") != "chemistry"], "a crash of the agent costs nothing"
    assert max(started.values()) == 1
    ordered = {e.body["command_id"] for e in events if e.kind == "command-queued"}
    assert set(started) == ordered


@pytest.mark.slow
async def test_a_second_agent_at_a_laboratory_is_refused(
    tmp_path: Path, broker: EmbeddedBroker | MosquittoBroker
) -> None:
    (tmp_path / "second").mkdir()
    with separate_laboratory(tmp_path, broker) as lab:
        first = start_agent(tmp_path, lab, experiments=200)
        wait_for_event(tmp_path / "ledger.db", "devices-met", "")
        second = start_agent(tmp_path / "second", lab)
        out, err = second.communicate(timeout=60)
        assert second.returncode == 2 and "another agent works there" in json.loads(out)["error"], err
        assert "Traceback" not in err
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=60)
        assert json.loads(out)["state"] == "stopped", err
        out, err = start_agent(tmp_path / "second", lab, experiments=1).communicate(timeout=150)
    assert json.loads(out).get("state") == "exhausted", err


@pytest.mark.slow
async def test_the_broker_may_die_under_a_running_campaign(
    tmp_path: Path, broker: EmbeddedBroker | MosquittoBroker
) -> None:
    port = broker.address.port
    with separate_laboratory(tmp_path, broker) as lab:
        agent = start_agent(tmp_path, lab)
        wait_for_event(tmp_path / "ledger.db", "command-moved", '"to":"started"', count=2)
        broker.stop()
        await asyncio.sleep(1.0)
        again = type(broker)(port=port, folder=tmp_path / "broker")
        again.start()
        try:
            out, err = agent.communicate(timeout=150)
        finally:
            again.stop()
    assert json.loads(out).get("state") == "exhausted", err
    result = await checked(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert result.problems == ()


@pytest.mark.slow
async def test_ctrl_c_ends_in_good_order_and_resume_goes_on(
    tmp_path: Path, broker: EmbeddedBroker | MosquittoBroker
) -> None:
    database = tmp_path / "ledger.db"
    with separate_laboratory(tmp_path, broker) as lab:
        agent = start_agent(tmp_path, lab)
        wait_for_event(database, "command-moved", '"to":"started"')
        agent.send_signal(signal.SIGINT)
        out, err = agent.communicate(timeout=60)
        assert agent.returncode == 130 and json.loads(out)["state"] == "stopped", err
        out, err = start_agent(tmp_path, lab, "--resume").communicate(timeout=150)
    assert json.loads(out).get("state") == "exhausted", err
    assert (await checked(f"sqlite:///{database}")).problems == ()


@pytest.mark.slow
async def test_the_same_seed_gives_the_same_recipes(tmp_path: Path) -> None:
    found = []
    for run in ("a", "b"):
        url = f"sqlite:///{tmp_path / run}.db"
        short = campaign(
            13, planner=campaign(1).planner.model_copy(update={"method": "surrogate", "initial": 8})
        )
        await run_campaign(short, laboratory(tmp_path / run), url)
        found.append(await recipes(url))
    assert found[0] == found[1] and len(found[0]) == 13


@pytest.mark.slow
async def test_several_experiments_at_once(tmp_path: Path) -> None:
    described = laboratory(tmp_path)
    robot = described.devices[0]
    second = robot.model_copy(update={"id": "robot-two"})
    two = described.model_copy(update={"devices": (robot, second, *described.devices[1:])})
    most = 0

    def watch(snapshot: Snapshot) -> None:
        nonlocal most
        most = max(most, sum(e.state.value == "synthesising" for e in snapshot.experiments))

    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    outcome = await run_campaign(campaign(8, parallel=3), two, url, watch=watch)
    assert outcome.state == "exhausted" and most == 2
    assert (await checked(url)).problems == ()
