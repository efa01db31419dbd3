"""What a campaign file can ask of the planner, on whole campaigns; and every proposal comes out of the ledger again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from solvus.agent.campaign import Campaign
from solvus.agent.campaign_record import read_target
from solvus.agent.commandline.audit_replay import _events
from solvus.agent.commandline.running import run_campaign
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.projections import LedgerEvent
from solvus.agent.ledger.verify import verify
from solvus.agent.replay import decisions, replayed
from solvus.agent.report import report_from_ledger
from solvus.agent.snapshot import Snapshot
from solvus.drivers.yaml_file import load_yaml
from tests.agent.test_campaign_loop import CONFIGS, laboratory

NARROW = {
    "parameters": [
        {"name": "temperature", "kind": "continuous", "lower": 20, "upper": 95, "unit": "degC"},
        {"name": "pH", "kind": "fixed", "value": 7.0},
        {"name": "reductant_to_gold", "kind": "fixed", "value": 4.0, "unit": "mol/mol"},
        {"name": "reaction_time", "kind": "fixed", "value": 60.0, "unit": "min"},
        {"name": "capping_agent", "kind": "fixed", "value": "citrate"},
    ]
}
SHIPPED = ("gold-decahedron-pure", "gold-explore")


def shipped(name: str, **changes: Any) -> Campaign:
    read = load_yaml(CONFIGS / f"campaigns/{name}.yaml", Campaign)
    return Campaign.model_validate(read.model_dump(mode="json") | changes)


def stop_after(experiments: int) -> Callable[[Snapshot], None]:
    """As a person who presses Ctrl-C once so many are scored."""

    def watch(snapshot: Snapshot) -> None:
        if sum(e.score is not None for e in snapshot.experiments) >= experiments:
            os.kill(os.getpid(), signal.SIGINT)

    return watch


async def audited(url: str, campaign: str, folder: Path) -> list[LedgerEvent]:
    """The campaign's events, after its ledger is verified, its report written and every proposal computed again."""
    ledger = await Ledger.open(url, write=False)
    try:
        assert (await verify(ledger)).problems == ()
        _, events, recorded = await _events(ledger, campaign)
        assert (await read_target(ledger, campaign)).elements == ("Au",)
        assert (await report_from_ledger(ledger, campaign, folder / campaign)).is_file()
    finally:
        await ledger.close()
    made = decisions(events, recorded)
    assert made and [replayed(d).verdict for d in made] == ["identical"] * len(made)
    return events


@pytest.mark.slow
async def test_limits_goals_and_a_new_target_in_the_middle(tmp_path: Path) -> None:
    url, lab = f"sqlite:///{tmp_path / 'ledger.db'}", laboratory(tmp_path)
    planner = {"initial": 3, "cost": "reaction_time + 60"}
    first = shipped("gold-decahedron-pure", planner=planner, stop_when={}, budget={"experiments": 6})
    outcome = await run_campaign(first, lab, url, watch=stop_after(4))
    assert outcome.state == "stopped"
    other = first.model_copy(
        update={
            "target": first.target and first.target.model_copy(update={"structure": "Au icosahedron-561"})
        }
    )
    other = other.model_copy(update={"goals": {}, "bounds": {}})
    assert (await run_campaign(other, lab, url, resume=True)).state in ("exhausted", "found")
    events = await audited(url, "gold-decahedron-pure-1", tmp_path)
    proposed = [e.body for e in events if e.kind == "experiment-proposed"]
    assert 4 < len(proposed) <= 6 and not [e for e in events if e.body.get("to") == "rejected"]
    planned = [b for b in proposed if b["replicate_of"] is None]
    assert all(b["limits"]["devices"][0]["steps"] == {"temperature": 40.0} for b in planned)
    [aimed] = [e for e in events if e.kind == "campaign-retargeted"]
    assert "fraction:icosahedral" in aimed.body["target"]["descriptors"]["goals"]
    scored = [e.body["number"] for e in events if e.kind == "experiment-scored"]
    anew = [e.body["number"] for e in events if e.kind == "experiment-scored" and e.seq > aimed.seq]
    assert len(anew) >= 4 and len(scored) > len(set(scored))
    assert planned[-1]["proposal"]["cost"] > 60.0


@pytest.mark.slow
async def test_exploration_is_prior_knowledge_of_a_campaign_that_ends_by_a_rule(tmp_path: Path) -> None:
    url, lab = f"sqlite:///{tmp_path / 'ledger.db'}", laboratory(tmp_path)
    planner = {"mode": "explore", "initial": 4}
    explore = shipped("gold-explore", planner=planner, budget={"experiments": 5}, search_space=NARROW)
    assert (await run_campaign(explore, lab, url)).state == "exhausted"
    told = await audited(url, "gold-explore-1", tmp_path)
    explained = [e.body["proposal"]["explanation"] for e in told if e.kind == "experiment-proposed"]
    assert "differ most" in explained[-1]
    changes = {"earlier": ["gold-explore-1"], "planner": {"stop_improvement": 1e3}, "search_space": NARROW}
    unlimited = {"limits": {}, "parallel": 4, "hit_probability": 0.999}
    second = shipped("gold-decahedron-pure", **changes, **unlimited)
    assert (await run_campaign(second, lab, url)).state == "exhausted"
    events = await audited(url, "gold-decahedron-pure-1", tmp_path)
    assert "expected to gain" in events[-1].body["reason"] and "proposal" in events[-1].body
    # A rule may be met after 3 d + 5 experiments of d = 1 parameter, long before the budget is spent.
    assert 8 <= sum(e.kind == "experiment-proposed" for e in events) < 20


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_campaigns_are_read(name: str) -> None:
    assert shipped(name).laboratory == "gold"
