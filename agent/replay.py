"""Decisions computed again from the ledger alone, to see whether they come out the same.

What the planner was asked is put together from the events up to the moment it was asked. When that was, no event says;
but every proposal carries a hash of all that it depends on, so the moment is the latest one before the proposal whose
request has that hash. On the recorded versions, threads and vector instructions the proposal must come out bit for bit;
elsewhere its recipe may differ by ``TOLERANCE`` of each range, and it is said what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from solvus.agent import jobs
from solvus.agent.campaign import Campaign
from solvus.agent.ledger.projections import LedgerEvent, project
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.suggest import PlanRequest, fingerprints
from solvus.agent.scoring import TargetDescriptors
from solvus.agent.snapshot import plan_request

TOLERANCE = 1e-3
"""Of a parameter's range: another path through the linear algebra moves a proposal by about 1e-4."""

Verdict = Literal["identical", "same", "differs", "unknown"]
PROPOSALS = TypeAdapter(list[Proposal])


@dataclass(frozen=True)
class Replayed:
    """One proposal computed again.

    Attributes
    ----------
    number : of the experiment. verdict : ``identical`` bit for bit; ``same`` recipe within the tolerance; ``unknown``
        when no state of the ledger has the recorded hash.
    difference : largest difference of a coordinate, in shares of its range. fields : what differs of the proposal.
    elsewhere : versions, threads or vector instructions that differ from the recorded ones, as (recorded, here).
    """

    number: int
    verdict: Verdict
    difference: float | None
    fields: tuple[str, ...]
    elsewhere: dict[str, tuple[str, str]]

    @property
    def good(self) -> bool:
        """Whether it came out as it has to where it was computed."""
        return self.verdict == "identical" or (self.verdict == "same" and bool(self.elsewhere))


@dataclass(frozen=True)
class Decision:
    """A recorded proposal with what the planner was asked; ``request`` is ``None`` when that cannot be told."""

    number: int
    proposal: Proposal
    request: PlanRequest | None


@dataclass(frozen=True)
class _Moment:
    """The experiments after one event."""

    rows: tuple[ExperimentRow, ...]


def decisions(events: Sequence[LedgerEvent]) -> list[Decision]:
    """Every proposal of the planner in a campaign's events, with the request that has its hash."""
    campaign, target = None, None
    moments: list[_Moment] = [_Moment(())]
    rows: dict[int, dict[str, Any]] = {}
    planned: list[tuple[int, Recipe]] = []
    found: list[Decision] = []
    for event in events:
        if event.kind in ("campaign-started", "campaign-resumed"):
            campaign = Campaign.model_validate(event.body["config"])
        if event.kind == "campaign-started":
            target = TargetDescriptors.model_validate(event.body["target"]["descriptors"])
        if event.kind == "experiment-proposed" and event.body["replicate_of"] is None:
            assert campaign is not None and target is not None  # noqa: S101 -- the first event of a campaign
            proposal = Proposal.model_validate(event.body["proposal"])
            request = _asked(campaign, target, moments, planned, proposal)
            found.append(Decision(event.body["number"], proposal, request))
        changes = [change for change in project(event) if change.table == "experiment"]
        for change in changes:
            rows.setdefault(change.key[1], {}).update(change.values)
        if changes:
            moments.append(_Moment(tuple(_row(event.campaign, n, rows[n]) for n in sorted(rows))))
        if event.kind == "experiment-proposed" and event.body["replicate_of"] is None:
            planned.append((len(moments) - 1, event.body["recipe"]))
    return found


def _row(campaign: str, number: int, values: dict[str, Any]) -> ExperimentRow:
    return ExperimentRow(campaign=campaign, number=number, **values)


def _asked(
    campaign: Campaign,
    target: TargetDescriptors,
    moments: list[_Moment],
    planned: list[tuple[int, Recipe]],
    proposal: Proposal,
) -> PlanRequest | None:
    """The request of the latest moment that has the proposal's hash, with what was proposed since held as well."""
    for place in range(len(moments) - 1, -1, -1):
        batch = [recipe for at, recipe in planned if at > place]
        request = PlanRequest.model_validate(plan_request(campaign, target, moments[place].rows, 1))
        request = request.model_copy(
            update={
                "pending": (*request.pending, *batch),
                "proposed": request.proposed + len(batch),
            }
        )
        if fingerprints(request, [proposal.recipe]) == [proposal.data_sha256]:
            return request
    return None


def replayed(decision: Decision) -> Replayed:
    """Compute one proposal again and compare."""
    recorded = decision.proposal
    if decision.request is None:
        return Replayed(decision.number, "unknown", None, (), {})
    [again] = PROPOSALS.validate_json(jobs.suggest(decision.request.model_dump_json()))
    names = sorted(recorded.versions.keys() | again.versions.keys())
    elsewhere = {
        name: (recorded.versions.get(name, "-"), again.versions.get(name, "-"))
        for name in names
        if recorded.versions.get(name) != again.versions.get(name)
    }
    before, now = (p.model_dump(mode="json", exclude={"versions"}) for p in (recorded, again))
    fields = tuple(name for name in before if before[name] != now[name])
    difference = _difference(decision.request.space, recorded.recipe, again.recipe)
    verdict: Verdict = "identical" if not fields else "same" if difference <= TOLERANCE else "differs"
    return Replayed(decision.number, verdict, difference, fields, elsewhere)


def _difference(space: SearchSpace, a: Recipe, b: Recipe) -> float:
    """Largest difference of a coordinate; 1 for another choice."""
    steps = np.abs(space.encode(a) - space.encode(b))
    steps[space.categorical] = steps[space.categorical] > 0
    return float(steps.max())
