"""A second user steers a campaign from the command line while the first watches; what waits outlives a killed agent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from solvus.agent.approval import Approval
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.verify import verify
from solvus.drivers.broker import EmbeddedBroker, MosquittoBroker
from tests.agent.test_campaign_loop import campaign, separate_laboratory, wait_for_status

ID = "gold-decahedron-1"
NOBODY = 65534


class People:
    """The campaign on the machine of ``anna``, and ``solvus`` as she and as another user runs it."""

    def __init__(self, folder: Path, lab: Path) -> None:
        self.folder, self.lab = folder, lab
        self.ledger = f"sqlite:///{folder / 'ledger.db'}"

    def start(self, *more: str, experiments: int = 4, **approval: Any) -> subprocess.Popen[str]:
        chosen = campaign(experiments, approval=Approval.model_validate({"policy": "always"} | approval))
        file = self.folder / "campaign.yaml"
        file.write_text(yaml.safe_dump(chosen.model_dump(mode="json", exclude_none=True)))
        command = ["run", str(file), "--lab", str(self.lab), "--ledger", self.ledger, *more]
        return subprocess.Popen(
            [sys.executable, "-m", "solvus", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """What the first user sees, once it is this."""
        return wait_for_status(self.ledger, condition)

    def status(self) -> dict[str, Any]:
        return self.until(lambda _: True)

    def waits(self, number: int) -> dict[str, Any]:
        return self.until(lambda s: [w["experiment"] for w in s["waiting"]] == [number])["waiting"][0]

    def ben(self, *command: str, wait: int = 60) -> dict[str, Any]:
        """A second user, with a login of his own where the tests run as root."""
        options = (*command, "--ledger", self.ledger, "--json", "--wait", str(wait))
        if os.geteuid() == 0:
            for file in self.folder.glob("ledger.db*"):
                file.chmod(0o666)
            self.folder.chmod(0o777)
            start = [sys.executable, str(Path(__file__).with_name("other_user.py")), str(NOBODY)]
        else:
            start, options = [sys.executable, "-m", "solvus"], (*options, "--who", "nobody")
        done = subprocess.run([*start, *options], capture_output=True, text=True)
        assert done.stdout, done.stderr
        return json.loads(done.stdout) | {"exit": done.returncode}


@pytest.fixture
def people(broker: EmbeddedBroker | MosquittoBroker) -> Iterator[People]:
    with tempfile.TemporaryDirectory() as made:  # pytest closes its own folders to other users
        folder = Path(made)
        with separate_laboratory(folder, broker) as lab:
            yield People(folder, lab)


async def events(url: str) -> list[Any]:
    ledger = await Ledger.open(url, write=False)
    try:
        assert (await verify(ledger)).problems == ()
        return await ledger.events()
    finally:
        await ledger.close()


@pytest.mark.slow
def test_a_second_user_edits_approves_rejects_pauses_and_stops_while_the_first_watches(
    people: People,
) -> None:
    agent = people.start()
    try:
        first = people.waits(1)
        assert first["why"] == "every experiment of this campaign is approved by a person"
        assert first["answer_with"][0] == f"solvus approve {ID} 1" and first["since"]
        refused = people.ben("edit", ID, "1", "temperature=400")
        assert refused["exit"] == 1 and "temperature: 400 is outside 20 to 95 degC" in refused["words"]
        assert people.ben("edit", ID, "1", "temperature=66", "--reason", "the bath is at 66")["accepted"]
        people.waits(2)
        made = people.status()["all_experiments"][0]
        assert made["recipe"]["temperature"] == 66.0 and made["state"] in ("scored", "failed")
        assert people.ben("reject", ID, "--reason", "no")["accepted"]
        people.waits(3)
        assert people.ben("pause", ID, "--reason", "lunch")["accepted"]
        assert people.ben("approve", ID)["accepted"]
        paused = people.until(lambda s: s["paused"] and not s["waiting"])
        assert paused["paused"]["reason"] == "lunch" and paused["paused"]["by"] == "nobody"
        time.sleep(2.0)  # four turns of the loop
        assert people.status()["all_experiments"][2]["state"] == "approved", "nothing is ordered while paused"
        assert people.ben("resume", ID)["accepted"]
        people.waits(4)
        assert people.ben("stop", ID, "--reason", "beam is gone")["accepted"]
        out, err = agent.communicate(timeout=180)
    finally:
        agent.kill()
    assert agent.returncode == 130, err
    assert "Stopped." in out
    told = asyncio.run(events(people.ledger))
    assert told[-1].body == {"state": "stopped", "reason": "stopped by nobody: beam is gone"}
    by = {e.body["by"] for e in told if e.kind == "request-answered"}
    assert by == {"nobody"}
    ordered = [e.body for e in told if e.kind == "command-queued" and e.body["purpose"] == "make"]
    assert [o["experiment"] for o in ordered] == [1, 3], "the rejected one was never ordered"
    assert ordered[0]["command"]["parameters"]["temperature"] == 66.0


@pytest.mark.slow
def test_what_waits_outlives_a_killed_agent(people: People) -> None:
    agent = people.start(experiments=2)
    people.waits(1)
    assert people.ben("pause", ID, "--reason", "night")["accepted"]
    os.kill(agent.pid, signal.SIGKILL)
    agent.communicate()
    silent = people.ben("approve", ID, wait=0)
    assert silent["exit"] == 3 and "the request stands" in silent["words"]
    again = people.start("--resume", "--json", experiments=2)
    try:
        seen = people.until(lambda s: not s["waiting"])
        assert seen["paused"]["reason"] == "night" and seen["all_experiments"][0]["state"] == "approved"
        assert people.ben("resume", ID)["accepted"]
        people.waits(2)
        assert people.ben("approve", ID)["accepted"]
        out, err = again.communicate(timeout=240)
    finally:
        again.kill()
    assert json.loads(out)["state"] == "exhausted", err
    told = asyncio.run(events(people.ledger))
    moved = [e.body for e in told if e.kind == "experiment-moved" and e.body["to"] == "approved"]
    assert [m["decision"]["verdict"] for m in moved] == ["approved", "approved"]


@pytest.mark.slow
def test_an_unanswered_proposal_expires_in_a_running_campaign(people: People) -> None:
    agent = people.start(expires=2.0)
    try:
        seen = people.until(lambda s: s["paused"])
        assert seen["paused"]["reason"] == "experiment 1 was not approved in time"
        assert seen["all_experiments"][0]["state"] == "rejected"
        agent.send_signal(signal.SIGINT)
        agent.communicate(timeout=180)
    finally:
        agent.kill()
