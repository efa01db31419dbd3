"""Every proposal of an asynchronous campaign comes out of its events again, bit for bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from solvus.agent import jobs
from solvus.agent.campaign import Campaign
from solvus.agent.ledger.canonical import canonical
from solvus.agent.ledger.projections import LedgerEvent, project
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.plan_request import Ground, plan_request
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import Recipe
from solvus.agent.replay import decisions, replayed
from solvus.agent.scoring import Goal, TargetDescriptors, score
from solvus.models.identification import Descriptor, Identification

CAMPAIGN = Campaign.model_validate(
    {
        "name": "replayed",
        "target": {"structure": "Au icosahedron-147"},
        "search_space": {
            "parameters": [
                {"name": "temperature", "kind": "continuous", "lower": 20, "upper": 90},
                {"name": "ratio", "kind": "continuous", "lower": 0.1, "upper": 10, "scale": "log"},
                {"name": "agent", "kind": "categorical", "choices": ["a", "b"]},
            ]
        },
        "budget": {"experiments": 40},
        "parallel": 3,
        "planner": {"initial": 4},
        "seed": 5,
    }
)
# Not in the order of their names, which is how a ledger gives them back.
TARGET = TargetDescriptors(
    goals={
        "fraction:fcc": Goal(value=1.0, tolerance=0.2, at_least=True),
        "bond_length": Goal(value=2.9, tolerance=0.01),
    }
)


def identified(recipe: Recipe, number: int) -> Identification:
    x = CAMPAIGN.search_space.encode(recipe)
    noise = np.random.default_rng(number).normal(size=2)
    return Identification(
        verdict="identified",
        descriptors={
            "fraction:fcc": Descriptor(mean=float(np.clip(x[0] + 0.02 * noise[0], 0.0, 1.0)), sd=0.03),
            "bond_length": Descriptor(mean=2.8 + 0.2 * x[1] + 0.001 * noise[1], sd=0.001),
        },
        r_range=(1.0, 20.0),
        pattern_sha256="0" * 64,
        model_version="made up",
    )


class Events:
    """A ledger's events and rows without the ledger: bodies go through canonical JSON as they would there."""

    def __init__(self) -> None:
        self.events: list[LedgerEvent] = []
        self.values: dict[int, dict[str, Any]] = {}

    def append(self, kind: str, body: dict[str, Any]) -> None:
        event = LedgerEvent(len(self.events) + 1, "c", kind, "2026-01-01", json.loads(canonical(body)))
        self.events.append(event)
        for change in project(event):
            if change.table == "experiment":
                self.values.setdefault(change.key[1], {}).update(change.values)

    def rows(self) -> list[ExperimentRow]:
        return [ExperimentRow(campaign="c", number=n, **self.values[n]) for n in sorted(self.values)]


def propose(ledger: Events, asked: list[ExperimentRow], count: int) -> None:
    request = plan_request(Ground(CAMPAIGN, TARGET), asked, count)
    for proposal in TypeAdapter(list[Proposal]).validate_json(jobs.suggest(json.dumps(request))):
        number = len(ledger.values) + 1
        body = {"number": number, "sample_id": f"s{number}", "recipe": proposal.recipe, "replicate_of": None}
        ledger.append(
            "experiment-proposed", body | {"replicate": 0, "proposal": proposal.model_dump(mode="json")}
        )
        ledger.append("experiment-moved", {"number": number, "to": "approved"})


def finish(ledger: Events, number: int) -> None:
    if number % 5 == 0:
        ledger.append(
            "experiment-moved", {"number": number, "to": "failed", "cause": "chemistry", "reason": "none"}
        )
        return
    answer = identified(json.loads(ledger.values[number]["recipe"]), number)
    ledger.append(
        "experiment-identified", {"number": number, "identification": answer.model_dump(mode="json")}
    )
    result = score(answer, TARGET)
    ledger.append("experiment-scored", {"number": number, "score": result.model_dump(mode="json")})


def asynchronous_campaign(experiments: int) -> list[LedgerEvent]:
    """Three at once; results come out of order, and one arrives while the next experiment is being planned."""
    ledger, draw = Events(), np.random.default_rng(0)
    ledger.append(
        "campaign-started",
        {
            "name": "replayed",
            "config": CAMPAIGN.model_dump(mode="json"),
            "target": {"descriptors": TARGET.model_dump(mode="json")},
        },
    )
    propose(ledger, ledger.rows(), 3)
    running = [1, 2, 3]
    while len(ledger.values) < experiments:
        finish(ledger, running.pop(int(draw.integers(len(running)))))
        asked, wanted = ledger.rows(), 1
        if len(ledger.values) % 4 == 0:
            finish(ledger, running.pop(0))
            wanted = 2 if len(ledger.values) % 8 == 0 else 1
        before = len(ledger.values)
        propose(ledger, asked, wanted)
        running += range(before + 1, len(ledger.values) + 1)
    return ledger.events


def test_every_proposal_comes_out_bit_for_bit() -> None:
    made = decisions(asynchronous_campaign(12))
    assert len(made) >= 12 and all(d.request is not None for d in made)
    assert {d.proposal.source for d in made} == {"sobol", "surrogate"}
    for decision in made:
        found = replayed(decision)
        assert found.verdict == "identical", found
        assert found.good


def test_what_was_tampered_with_is_seen() -> None:
    events = asynchronous_campaign(8)
    last = max(i for i, e in enumerate(events) if e.kind == "experiment-proposed")
    body = events[last].body
    moved = body["proposal"]["recipe"] | {"temperature": 20.0}
    events[last] = LedgerEvent(
        events[last].seq,
        "c",
        "experiment-proposed",
        events[last].at,
        body | {"recipe": moved, "proposal": body["proposal"] | {"recipe": moved}},
    )
    found = replayed(decisions(events)[-1])
    assert found.verdict == "differs" and not found.good and "recipe" in found.fields


def test_a_proposal_of_another_version_is_not_claimed() -> None:
    events = asynchronous_campaign(4)
    body = events[-2].body
    assert events[-2].kind == "experiment-proposed"
    foreign = body | {"proposal": body["proposal"] | {"data_sha256": "f" * 64}}
    events[-2] = LedgerEvent(events[-2].seq, "c", "experiment-proposed", events[-2].at, foreign)
    assert replayed(decisions(events)[-1]).verdict == "unknown"
