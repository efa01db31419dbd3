"""A campaign that looks at its samples before it measures them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from solvus.agent.campaign_record import read_campaign
from solvus.agent.commandline.app import app
from solvus.agent.commandline.audit_replay import _events
from solvus.agent.commandline.running import run_campaign
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.outcomes import Outcome, outcome_of
from solvus.agent.replay import judged_again, judgements
from solvus.drivers.laboratory import Laboratory, load_laboratory
from tests.agent.test_campaign_loop import CONFIGS
from tests.agent.test_planner_campaign import NARROW, audited, shipped, stop_after

STAGES = {"signal": ["plasmon_ratio", "absorbance"], "least": 5}


def seeing(folder: Path) -> Laboratory:
    shipped_lab = load_laboratory(CONFIGS / "laboratories/gold-optical.yaml")
    return shipped_lab.model_copy(update={"data_directory": folder})


async def solvus(*arguments: str) -> str:
    """What a command says; beside this loop, for it has one of its own."""
    answer = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


@pytest.mark.slow
async def test_samples_that_cannot_help_are_not_measured(tmp_path: Path) -> None:
    url, lab = f"sqlite:///{tmp_path / 'ledger.db'}", seeing(tmp_path)
    changes = {"planner": {"initial": 11}, "budget": {"experiments": 13}, "parallel": 2}
    campaign = shipped("gold-decahedron", search_space=NARROW, stages=STAGES, **changes)
    assert (await run_campaign(campaign, lab, url, watch=stop_after(4))).state == "stopped"
    assert (await run_campaign(campaign, lab, url, resume=True)).state == "exhausted"

    events = await audited(url, "gold-decahedron-1", tmp_path)
    proposed = [e.body["number"] for e in events if e.kind == "experiment-proposed"]
    skipped = {e.body["number"]: e for e in events if e.body.get("cause") == "early-signal"}
    assert skipped and len(proposed) == 13, "what is not measured costs its part of the budget"
    ordered = {
        e.body["experiment"] for e in events if e.kind == "command-queued" and e.body["purpose"] == "measure"
    }
    assert ordered == set(proposed) - set(skipped), "no instrument gets an order for it"
    seen = [e.body["experiment"] for e in events if e.kind == "signals-received"]
    decided = [e.body["number"] for e in events if e.kind == "stage-decided"]
    assert sorted(seen) == sorted(decided) == proposed, "each sample is looked at and judged once"
    later = [
        e.seq
        for e in events
        if e.kind == "experiment-proposed" and e.body["proposal"]["source"] == "surrogate"
    ]
    assert later and min(e.seq for e in skipped.values()) < max(later)

    ledger = await Ledger.open(url, write=False)
    _, _, recorded = await _events(ledger, "gold-decahedron-1")
    record = await read_campaign(ledger, "gold-decahedron-1")
    await ledger.close()
    outcomes = {r.number: outcome_of(r.experiment) for r in record.experiments}
    assert {n for n, outcome in outcomes.items() if outcome is Outcome.NOT_MEASURED} == set(skipped)
    judged = judgements(events, recorded)
    assert [judged_again(j).verdict for j in judged] == ["identical"] * 13
    last = max(skipped)
    told = json.loads(await solvus("audit", "replay", "--ledger", url, "--experiment", str(last), "--json"))
    assert told["good"] and told["stages"] == [{"experiment": last, "verdict": "identical"}]
    status = await solvus("status", "gold-decahedron-1", "--ledger", url)
    assert f"experiment {last} not measured: by its early signal" in status
    page = (tmp_path / "gold-decahedron-1").rglob("report.html")
    assert "not measured: by its early signal" in next(page).read_text()
