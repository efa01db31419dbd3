"""Places of a campaign's patterns in the latent space, recorded whole under one version of the weights.

A record is one event with the posteriors of every measured pattern of the campaign, so that no reader meets places of
two versions; the last one counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from solvus.agent.ledger.engine import LedgerError
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import ExperimentRow, PatternRow
from solvus.models.pattern import Pattern, PatternError

if TYPE_CHECKING:
    from solvus.models.latent.posterior import LatentPosterior
    from solvus.models.latent.weights import Weights

KIND = "latent-embedded"


async def measured_patterns(ledger: Ledger, campaign: str) -> dict[int, Pattern]:
    """The G(r) of each experiment that has one, by its number.

    Raises
    ------
    LedgerError
        When the ledger holds no such campaign.
    """
    rows = await ledger.rows(ExperimentRow, ExperimentRow.campaign == campaign, order_by=ExperimentRow.number)
    if not rows:
        raise LedgerError(f"campaign: the ledger holds no experiments of {campaign!r}; see solvus status")
    found: dict[int, Pattern] = {}
    for row in rows:
        if row.pattern_sha256 is not None:
            kept = await ledger.rows(PatternRow, PatternRow.sha256 == row.pattern_sha256)
            pattern = Pattern.model_validate_json(kept[0].body)
            if pattern.quantity == "G":
                found[row.number] = pattern
    return found


def posteriors_of(weights: Weights, patterns: dict[int, Pattern]) -> dict[int, LatentPosterior]:
    """As the network sees each pattern; those in no state to be read have no place."""
    from solvus.models.latent.generate import R_RANGE
    from solvus.models.latent.placing import placed
    from solvus.models.latent.posterior import LatentPosterior

    found = {}
    for number, pattern in patterns.items():
        try:
            found[number] = LatentPosterior.of(placed(weights, pattern, R_RANGE)[0], weights.version)
        except PatternError:
            continue
    return found


async def recorded(ledger: Ledger, campaign: str) -> dict[int, LatentPosterior]:
    """The places that were recorded last; empty where there are none."""
    from solvus.models.latent.posterior import LatentPosterior

    events = [event for event in await ledger.events(campaign) if event.kind == KIND]
    if not events:
        return {}
    places = events[-1].body["places"]
    return {int(number): LatentPosterior.model_validate(place) for number, place in places.items()}


async def record(ledger: Ledger, campaign: str, weights: Weights) -> tuple[dict[int, LatentPosterior], int]:
    """Place every pattern of a campaign with these weights and record all in one event.

    Returns
    -------
    The places, and the number of the event; zero where the same places were the last recorded.
    """
    patterns = await measured_patterns(ledger, campaign)
    found = posteriors_of(weights, patterns)
    if found == await recorded(ledger, campaign):
        return found, 0
    body = {
        "version": weights.version,
        "places": {str(number): place.model_dump(mode="json") for number, place in found.items()},
        "without": sorted(set(patterns) - set(found)),
    }
    async with ledger.step() as step:
        event = await step.append(campaign, KIND, body)
    return found, event.seq
