"""Decisions computed again from the ledger alone, to see whether they come out the same.

What the planner was asked is put together from the events up to the moment it was asked, and the patterns that they
name. When that was, no event says;
but every proposal carries a hash of all that it depends on, so the moment is the latest one before the proposal whose
request has that hash. On the recorded versions, threads and vector instructions the proposal must come out bit for bit;
elsewhere its recipe may differ by ``TOLERANCE`` of each range, and it is said what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from solvus.agent import jobs
from solvus.agent.campaign import Campaign
from solvus.agent.latent import Places, placed_anew
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.projections import LedgerEvent, project
from solvus.agent.ledger.tables import ExperimentRow, PatternRow
from solvus.agent.lessons import Lessons
from solvus.agent.plan_request import EarlierRows, Ground, plan_request, stage_request
from solvus.agent.planner.early_signal import StageDecision, StageRequest
from solvus.agent.planner.limits import PlanLimits
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.request import PlanRequest, fingerprints
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.scoring import TargetDescriptors
from solvus.agent.stages import SIGNALS
from solvus.drivers.messages import Signals
from solvus.models.latent.posterior import LatentPosterior
from solvus.models.pattern import Pattern

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
class Judgement:
    """A recorded decision on measuring a sample with what was asked; ``request`` is ``None`` when that cannot be
    told."""

    number: int
    decision: StageDecision
    request: StageRequest | None


@dataclass(frozen=True)
class Rejudged:
    """One decision on measuring made again: ``same`` is the same decision with other probabilities."""

    number: int
    verdict: Verdict
    elsewhere: dict[str, tuple[str, str]]

    @property
    def good(self) -> bool:
        """Whether it came out as it has to where it was made."""
        return self.verdict == "identical" or (self.verdict == "same" and bool(self.elsewhere))


@dataclass(frozen=True)
class Recorded:
    """What the ledger holds beside a campaign's own events: patterns by hash, and the events of earlier campaigns."""

    patterns: Mapping[str, Pattern] = field(default_factory=dict)
    earlier: Mapping[str, Sequence[LedgerEvent]] = field(default_factory=dict)


@dataclass
class _Course:
    """A campaign's events read up to some point: what a plan rests on, the experiments and early signals after every
    event, and what was planned since each."""

    recorded: Recorded
    config: Campaign | None = None
    target: dict[str, Any] | None = None
    anew: Mapping[int, LatentPosterior] = field(default_factory=dict)
    ground: Ground | None = None
    moments: list[tuple[ExperimentRow, ...]] = field(default_factory=lambda: [()])
    signals: list[Mapping[int, Signals]] = field(default_factory=lambda: [{}])
    planned: list[tuple[int, Recipe]] = field(default_factory=list)
    limits: dict[str, PlanLimits | None] = field(default_factory=dict)
    _rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    _seen: Mapping[int, Signals] = field(default_factory=dict)

    def read(self, event: LedgerEvent) -> None:
        if event.kind in ("campaign-started", "campaign-resumed"):
            self.config = Campaign.model_validate(event.body["config"])
        if event.kind in ("campaign-started", "campaign-retargeted"):
            self.target = event.body["target"]
        self.anew = placed_anew([event]) or self.anew
        if event.kind in ("campaign-started", "campaign-resumed", "campaign-retargeted"):
            self.ground = self._stand(event)
        changes = [change for change in project(event) if change.table == "experiment"]
        for change in changes:
            self._rows.setdefault(change.key[1], {}).update(change.values)
        seen = event.kind == "signals-received"
        if seen:
            self._seen = {
                **self._seen,
                event.body["experiment"]: SIGNALS.validate_python(event.body["signals"]),
            }
        if changes or seen:
            self.moments.append(_rows_of(event.campaign, self._rows))
            self.signals.append(self._seen)
        if event.kind == "experiment-proposed" and event.body["replicate_of"] is None:
            self.planned.append((len(self.moments) - 1, event.body["recipe"]))

    def _stand(self, event: LedgerEvent) -> Ground:
        """What plans rest on from this event on."""
        assert self.config is not None and self.target is not None  # noqa: S101 -- of the first event
        said = self.target.get("aim") or self.target["descriptors"]
        target = None if said is None else TargetDescriptors.model_validate(said)
        with_lessons = event.body.get("lessons", self.ground is not None and self.ground.lessons is not None)
        pattern = self.recorded.patterns.get(self.target.get("pattern_of_target") or "")
        return Ground(
            campaign=self.config,
            target=target,
            lessons=Lessons(pattern, self.config.identification.r_range) if with_lessons else None,
            earlier=tuple(self._earlier(name, event.seq) for name in self.config.earlier),
            places=Places.of(self.target.get("latent"), target, self.anew),
        )

    def _earlier(self, name: str, seq: int) -> EarlierRows:
        """An earlier campaign as it was then."""
        rows: dict[int, dict[str, Any]] = {}
        told = [event for event in self.recorded.earlier.get(name, ()) if event.seq < seq]
        for event in told:
            for change in project(event):
                if change.table == "experiment":
                    rows.setdefault(change.key[1], {}).update(change.values)
        return EarlierRows(name, _rows_of(name, rows), placed_anew(told))

    def asked(self, body: Mapping[str, Any], proposal: Proposal) -> PlanRequest | None:
        """The request of the latest moment that has the proposal's hash, with what was proposed since held as well."""
        assert self.ground is not None  # noqa: S101 -- of the first event
        said, sha256 = body.get("limits"), proposal.data_sha256
        # What was proposed once more, for a person who did not know what became of it, was asked for once.
        self.limits.setdefault(sha256, None if said is None else PlanLimits.model_validate(said))
        self._learn()
        for place in range(len(self.moments) - 1, -1, -1):
            batch = [recipe for at, recipe in self.planned if at > place]
            request = PlanRequest.model_validate(
                plan_request(self.ground, self.moments[place], 1, self.limits[sha256])
            )
            request = request.model_copy(
                update={
                    "pending": (*request.pending, *batch),
                    "proposed": request.proposed + len(batch),
                }
            )
            if fingerprints(request, [proposal.recipe]) == [sha256]:
                return request
        return None

    def judged(self, number: int, sha256: str) -> StageRequest | None:
        """What was asked of a sample: the request of the latest moment that has this hash."""
        assert self.ground is not None  # noqa: S101 -- of the first event
        for rows, signals in zip(reversed(self.moments), reversed(self.signals), strict=True):
            if all(row.number != number for row in rows):
                break
            request = stage_request(self.ground, rows, signals, number)
            if request is not None and request.sha256 == sha256:
                return request
        return None

    def _learn(self) -> None:
        assert self.ground is not None  # noqa: S101 -- of the first event
        if self.ground.lessons is not None:
            own, earlier = self.moments[-1], [row for e in self.ground.earlier for row in e.rows]
            wanted = {row.pattern_sha256 for row in (*own, *earlier) if row.pattern_sha256 is not None}
            self.ground.lessons.take_all(self.recorded.patterns, wanted)


def decisions(events: Sequence[LedgerEvent], recorded: Recorded | None = None) -> list[Decision]:
    """Every proposal of the planner in a campaign's events, with the request that has its hash; last the one that a
    rule of stopping kept from being made."""
    course, found = _Course(recorded or Recorded()), []
    for event in events:
        planned = event.kind == "experiment-proposed" and event.body["replicate_of"] is None
        if planned or (event.kind == "campaign-ended" and "proposal" in event.body):
            proposal = Proposal.model_validate(event.body["proposal"])
            number = event.body["number"] if planned else 1 + len(course.moments[-1])
            found.append(Decision(number, proposal, course.asked(event.body, proposal)))
        course.read(event)
    return found


def judgements(events: Sequence[LedgerEvent], recorded: Recorded | None = None) -> list[Judgement]:
    """Every decision on measuring a sample in a campaign's events, with the request that has its hash; those that could
    not be made, and so were none, are left out."""
    course, found = _Course(recorded or Recorded()), []
    for event in events:
        if event.kind == "stage-decided" and event.body["decision"]["data_sha256"]:
            number = event.body["number"]
            decision = StageDecision.model_validate(event.body["decision"])
            found.append(Judgement(number, decision, course.judged(number, decision.data_sha256)))
        course.read(event)
    return found


def judged_again(judgement: Judgement) -> Rejudged:
    """Decide once more whether a sample is measured, and compare."""
    recorded = judgement.decision
    if judgement.request is None:
        return Rejudged(judgement.number, "unknown", {})
    again = StageDecision.model_validate_json(jobs.judge(judgement.request.model_dump_json()))
    elsewhere = _elsewhere(recorded.versions, again.versions)
    before, now = (d.model_dump(exclude={"versions"}) for d in (recorded, again))
    verdict: Verdict = "differs"
    if before == now:
        verdict = "identical"
    elif recorded.measure == again.measure:
        verdict = "same"
    return Rejudged(judgement.number, verdict, elsewhere)


def _elsewhere(recorded: Mapping[str, str], again: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Versions and the like that differ from the recorded ones, as (recorded, here)."""
    return {
        name: (recorded.get(name, "-"), again.get(name, "-"))
        for name in sorted(recorded.keys() | again.keys())
        if recorded.get(name) != again.get(name)
    }


def _rows_of(campaign: str, rows: Mapping[int, dict[str, Any]]) -> tuple[ExperimentRow, ...]:
    return tuple(ExperimentRow(campaign=campaign, number=n, **rows[n]) for n in sorted(rows))


async def read_recorded(ledger: Ledger, events: Sequence[LedgerEvent]) -> Recorded:
    """What the proposals of a campaign rest on beside its own events."""
    configs = [e.body["config"] for e in events if e.kind in ("campaign-started", "campaign-resumed")]
    names = sorted({name for config in configs for name in config.get("earlier", ())})
    earlier = {name: await ledger.events(name) for name in names}
    wanted = set()
    for event in (*events, *(e for told in earlier.values() for e in told)):
        wanted |= {event.body.get("pattern_sha256"), event.body.get("target", {}).get("pattern_of_target")}
    patterns = {}
    for sha256 in sorted(sha for sha in wanted if sha):
        for row in await ledger.rows(PatternRow, PatternRow.sha256 == sha256):
            patterns[sha256] = Pattern.model_validate_json(row.body)
    return Recorded(patterns, earlier)


def replayed(decision: Decision) -> Replayed:
    """Compute one proposal again and compare."""
    recorded = decision.proposal
    if decision.request is None:
        return Replayed(decision.number, "unknown", None, (), {})
    [again] = PROPOSALS.validate_json(jobs.suggest(decision.request.model_dump_json()))
    elsewhere = _elsewhere(recorded.versions, again.versions)
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
