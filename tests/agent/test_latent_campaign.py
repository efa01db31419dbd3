"""A campaign that knows its samples by their places in the latent space, through a change of the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solvus.agent import session
from solvus.agent.commandline.running import run_campaign
from solvus.agent.jobs import ResolvedTarget
from solvus.agent.latent import KIND, Places, record
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.planner.outputs import outputs_of
from solvus.agent.planner.placed import goals_at, modes_of_place
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.drivers.yaml_file import ConfigurationError
from solvus.models.identification import Descriptor, Identification
from solvus.models.latent.posterior import LatentPosterior, Mode
from solvus.models.latent.weights import shipped as weights
from tests.agent.test_campaign_loop import laboratory
from tests.agent.test_planner_campaign import audited, shipped, stop_after

PLACE = LatentPosterior(
    modes=(
        Mode(weight=0.7, mean=(1.0, 2.0), covariance=((0.04, 0.01), (0.01, 0.09))),
        Mode(weight=0.3, mean=(-1.0, 0.5), covariance=((0.04, 0.0), (0.0, 0.04))),
    ),
    version="latent-a",
)
BOND = {"bond_length": Descriptor(mean=2.88, sd=0.001)}


def identified(place: LatentPosterior | None) -> Identification:
    return Identification(
        verdict="identified",
        descriptors=BOND,
        r_range=(1.6, 20.0),
        pattern_sha256="0",
        model_version="m",
        place=place,
    )


def test_modes_stay_apart_with_their_covariances() -> None:
    first, second = modes_of_place(PLACE, BOND, ("bond_length", "diameter"))
    assert first.names == ("latent:0", "latent:1", "bond_length") and (first.weight, second.weight) == (
        0.7,
        0.3,
    )
    assert np.allclose(np.array(first.covariance)[:2, :2], PLACE.modes[0].covariance)
    assert second.descriptor("bond_length") == BOND["bond_length"]


def test_no_sample_counts_whose_place_is_of_other_weights() -> None:
    places = Places("latent-b", ("bond_length",))
    assert places.modes(1, identified(None)) == () and places.modes(1, identified(PLACE)) == ()
    anew = Places("latent-b", ("bond_length",), {1: PLACE.model_copy(update={"version": "latent-b"})})
    assert len(anew.modes(1, identified(PLACE))) == 2 and anew.modes(2, identified(PLACE)) == ()


def test_goals_are_the_likeliest_mode_and_what_is_asked_for_besides() -> None:
    goal = Goal(value=2.88, tolerance=0.03)
    implied = TargetDescriptors(goals={"bond_length": goal, "diameter": goal}, family="fcc")
    aim = goals_at(PLACE, implied, {"fraction:hcp": Goal(value=0.0, tolerance=0.2, at_most=True)})
    assert [o.name for o in outputs_of(aim)] == ["bond_length", "fraction:hcp", "latent:0", "latent:1"]
    assert aim.goals["latent:0"].value == 1.0 and aim.goals["latent:1"].tolerance > 0.3


@pytest.mark.slow
async def test_new_weights_ask_for_every_sample_to_be_placed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, lab = f"sqlite:///{tmp_path / 'ledger.db'}", laboratory(tmp_path)
    changes = {"planner": {"initial": 4}, "stop_when": {}, "budget": {"experiments": 8}, "bounds": {}}
    campaign = shipped("gold-decahedron-pure", descriptors="latent", goals={}, **changes)
    assert (await run_campaign(campaign, lab, url, watch=stop_after(6))).state == "stopped"

    metadata = weights().metadata.model_copy(update={"tensors": "0" * 64})
    new = replace(weights(), metadata=metadata)
    resolve = session.resolve_target

    async def resolved_under_new(*args: Any) -> ResolvedTarget:
        return (await resolve(*args)).model_copy(update={"latent": new.version})

    monkeypatch.setattr(session, "resolve_target", resolved_under_new)
    with pytest.raises(ConfigurationError, match="solvus latent reembed --campaign gold-decahedron-pure-1"):
        await run_campaign(campaign, lab, url, resume=True)
    ledger = await Ledger.open(url)
    places, seq = await record(ledger, "gold-decahedron-pure-1", new)
    await ledger.close()
    assert seq > 0 and {place.version for place in places.values()} == {new.version}
    assert (await run_campaign(campaign, lab, url, resume=True)).state in ("exhausted", "found")

    events = await audited(url, "gold-decahedron-pure-1", tmp_path)
    proposals = [e.body["proposal"] for e in events if e.kind == "experiment-proposed"]
    assert "latent:0" in proposals[4]["predicted"] and "fraction:fcc" not in proposals[4]["predicted"]
    kinds = [e.kind for e in events]
    assert kinds.index(KIND) < kinds.index("campaign-retargeted") < len(kinds) - 1
