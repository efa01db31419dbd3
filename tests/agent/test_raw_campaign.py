"""The demo campaign on raw data: still identified, still found, and every reduction in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from solvus.agent.campaign import Campaign
from solvus.agent.commandline.campaign_run import with_world_seed
from solvus.agent.commandline.running import run_campaign
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.verify import verify
from solvus.drivers.laboratory import load_laboratory
from solvus.drivers.yaml_file import load_yaml

CONFIGS = Path(__file__).parents[2] / "configs"
SEED, BUDGET = 2, 30


@pytest.mark.slow
async def test_a_target_is_found_on_raw_data(tmp_path: Path) -> None:
    campaign = load_yaml(CONFIGS / "campaigns/gold-decahedron.yaml", Campaign)
    budget = campaign.budget.model_copy(update={"experiments": BUDGET})
    campaign = campaign.model_copy(update={"budget": budget, "seed": SEED})
    laboratory = load_laboratory(CONFIGS / "laboratories/gold-raw.yaml")
    laboratory = laboratory.model_copy(update={"data_directory": tmp_path})
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    outcome = await run_campaign(campaign, with_world_seed(laboratory, SEED), url)
    assert outcome.state == "found"

    ledger = await Ledger.open(url, write=False)
    try:
        events = await ledger.events()
        assert (await verify(ledger)).problems == ()
    finally:
        await ledger.close()
    reduced = {e.body["number"]: e.body for e in events if e.kind == "pattern-reduced"}
    identified = {e.body["number"]: e.body for e in events if e.kind == "experiment-identified"}
    assert reduced.keys() == identified.keys() and len(reduced) > 5
    for number, body in identified.items():
        assert body["pattern_sha256"] == reduced[number]["pattern_sha256"]
        assert body["identification"]["verdict"] == "identified"
    assert len({body["background_sha256"] for body in reduced.values()}) == 1
