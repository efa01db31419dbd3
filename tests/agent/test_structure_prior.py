"""The declared expansion on its way from a campaign to the identification, and campaigns from before it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sqlmodel import update

from solvus.agent import jobs
from solvus.agent.campaign import IdentificationChoice
from solvus.agent.ledger.tables import CampaignRow
from solvus.agent.session import ConfigurationError, interrupted
from solvus.models.identification import Identification
from solvus.models.identify import pattern_of
from solvus.models.pattern import Conditions
from solvus.models.structures.library import Library
from tests.agent.ledger_builder import LedgerBuilder


def _answered(expansion: float | None) -> Identification:
    atoms = Library.load().atoms("icosahedron-147", "Au")
    atoms.positions *= 1.2
    pattern = pattern_of(atoms, Conditions(qmin=0.8, qmax=22.0, qdamp=0.03), np.arange(0.0, 40.0, 0.02))
    request = jobs.IdentifyRequest(
        pattern=pattern, elements=("Au",), r_range=(1.6, 20.0), expansion=expansion
    )
    return Identification.model_validate_json(jobs.identify(request.model_dump_json()))


def test_the_worker_judges_by_what_the_campaign_declares() -> None:
    assert _answered(None).verdict == "none"
    assert _answered(0.3).verdict == "identified"


@pytest.mark.parametrize("value", [0.0, -0.1, 0.7, float("nan")])
def test_a_range_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="expansion"):
        IdentificationChoice(expansion=value)


async def test_a_campaign_from_before_the_setting_is_taken_up_and_a_changed_one_is_not(
    tmp_path: Path,
) -> None:
    built = await LedgerBuilder.start(f"sqlite:///{tmp_path / 'ledger.db'}")
    try:
        old = built.campaign.model_dump(mode="json")
        del old["identification"]["expansion"]
        async with built.ledger.step() as step:
            await step.session.exec(update(CampaignRow).values(config=json.dumps(old)))
        assert await interrupted(built.ledger, built.campaign) == built.id
        changed = built.campaign.model_copy(update={"identification": IdentificationChoice(expansion=0.1)})
        with pytest.raises(ConfigurationError, match="identification"):
            await interrupted(built.ledger, changed)
    finally:
        await built.ledger.close()
