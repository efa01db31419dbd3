"""Places of a campaign's patterns in the latent space, under one version of the weights.

A campaign that describes samples by their places keeps each with its identification. Under new weights all are placed
anew: one event with the posteriors of every measured pattern of the campaign, so that no reader meets places of two
versions; the last one counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from solvus.agent.ledger.engine import LedgerError
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.projections import LedgerEvent
from solvus.agent.ledger.tables import ExperimentRow, PatternRow
from solvus.agent.planner.observations import Mode
from solvus.agent.planner.placed import modes_of_place, needed_beside
from solvus.agent.scoring import TargetDescriptors
from solvus.models.identification import Identification
from solvus.models.latent.posterior import LatentPosterior
from solvus.models.pattern import Pattern, PatternError

if TYPE_CHECKING:
    from solvus.models.latent.weights import Weights

KIND = "latent-embedded"


@dataclass(frozen=True)
class Places:
    """How the planner sees the samples of a campaign.

    Attributes
    ----------
    version : of the weights; a place under another one counts for nothing.
    beside : descriptors that stand beside the coordinates.
    anew : places of experiments, by number, that were placed once more under new weights.
    """

    version: str
    beside: tuple[str, ...]
    anew: Mapping[int, LatentPosterior] = field(default_factory=dict)

    @staticmethod
    def of(
        version: str | None, aim: TargetDescriptors | None, anew: Mapping[int, LatentPosterior]
    ) -> Places | None:
        """For what the planner is told of a target; ``None`` for a campaign without places."""
        return None if version is None else Places(version, needed_beside(aim), anew)

    def modes(self, number: int, identification: Identification) -> tuple[Mode, ...]:
        """Of one experiment; none where it has no place under this version."""
        place = self.anew.get(number, identification.place)
        if place is None or place.version != self.version:
            return ()
        return modes_of_place(place, identification.descriptors, self.beside)


@dataclass(frozen=True)
class Sample:
    """What an experiment has that can be placed: its G(r), and its identification where it has one."""

    pattern: Pattern
    identification: Identification | None = None


async def measured_samples(ledger: Ledger, campaign: str) -> dict[int, Sample]:
    """The samples of the experiments that have a G(r), by number.

    Raises
    ------
    LedgerError
        When the ledger holds no such campaign.
    """
    rows = await ledger.rows(ExperimentRow, ExperimentRow.campaign == campaign, order_by=ExperimentRow.number)
    if not rows:
        raise LedgerError(f"campaign: the ledger holds no experiments of {campaign!r}; see solvus status")
    found: dict[int, Sample] = {}
    for row in rows:
        if row.pattern_sha256 is not None:
            kept = await ledger.rows(PatternRow, PatternRow.sha256 == row.pattern_sha256)
            pattern = Pattern.model_validate_json(kept[0].body)
            if pattern.quantity == "G":
                said = row.identification
                found[row.number] = Sample(
                    pattern, None if said is None else Identification.model_validate_json(said)
                )
    return found


def posteriors_of(weights: Weights, samples: Mapping[int, Sample]) -> dict[int, LatentPosterior]:
    """Where the structures lie that explain each pattern; where none does, where the network sees it. Patterns in no
    state to be read have no place."""
    found = {}
    for number, sample in samples.items():
        place = _posterior_of(weights, sample)
        if place is not None:
            found[number] = place
    return found


def _posterior_of(weights: Weights, sample: Sample) -> LatentPosterior | None:
    from solvus.models.latent.generate import R_RANGE
    from solvus.models.latent.placing import placed, placed_candidates

    identification = sample.identification
    if identification is not None and identification.verdict == "identified":
        place = placed_candidates(weights, identification.candidates)
        if place is not None:
            return place
    try:
        return LatentPosterior.of(placed(weights, sample.pattern, R_RANGE)[0], weights.version)
    except PatternError:
        return None


async def recorded(ledger: Ledger, campaign: str) -> dict[int, LatentPosterior]:
    """The places that were recorded last; empty where there are none."""
    return placed_anew(await ledger.events(campaign))


def placed_anew(events: Sequence[LedgerEvent]) -> dict[int, LatentPosterior]:
    """The places of the last record among these events; empty where there is none."""
    for event in reversed(events):
        if event.kind == KIND:
            places = event.body["places"]
            return {int(number): LatentPosterior.model_validate(place) for number, place in places.items()}
    return {}


async def record(ledger: Ledger, campaign: str, weights: Weights) -> tuple[dict[int, LatentPosterior], int]:
    """Place every pattern of a campaign with these weights and record all in one event.

    Returns
    -------
    The places, and the number of the event; zero where the same places were the last recorded.
    """
    samples = await measured_samples(ledger, campaign)
    found = posteriors_of(weights, samples)
    if found == await recorded(ledger, campaign):
        return found, 0
    body = {
        "version": weights.version,
        "places": {str(number): place.model_dump(mode="json") for number, place in found.items()},
        "without": sorted(set(samples) - set(found)),
    }
    async with ledger.step() as step:
        event = await step.append(campaign, KIND, body)
    return found, event.seq
