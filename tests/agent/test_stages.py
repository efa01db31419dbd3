"""Whether a sample is measured: what is asked, what is done with the answer, and that the ledger tells it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from solvus.agent.approval import Approval
from solvus.agent.asking import question
from solvus.agent.campaign import Campaign
from solvus.agent.decide import Exhausted, next_step
from solvus.agent.ledger.explanations import explain
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import EarlySignalRow, ExperimentRow
from solvus.agent.ledger.verify import describe, verify
from solvus.agent.outcomes import Outcome, outcome_of
from solvus.agent.plan_request import Ground, plan_request
from solvus.agent.planner.search_space import Recipe
from solvus.agent.replay import judged_again, judgements
from solvus.agent.scoring import score
from solvus.agent.snapshot import as_experiment, as_observation
from solvus.agent.stages import Staging
from solvus.agent.workers import JobFailed, Kind, Workers
from tests.agent.test_replay import CAMPAIGN, TARGET, identified

NAMES = ["peak", "absorbance"]
STAGES = {"signal": NAMES}
MEASURED = 12


def campaign(**changes: Any) -> Campaign:
    config = CAMPAIGN.model_dump(mode="json") | {"stages": STAGES, "budget": {"experiments": MEASURED + 1}}
    return Campaign.model_validate(config | changes)


def recipe(i: int) -> Recipe:
    return {"temperature": 25.0 + 5.0 * (i % 13), "ratio": 0.2 * 1.35**i, "agent": "ab"[i % 2]}


class Here(Workers):
    """Works in this process."""

    async def run(self, kind: Kind, job: Callable[[str], str], request: str) -> str:
        return job(request)


class Broken(Workers):
    """Cannot work."""

    async def run(self, kind: Kind, job: Callable[[str], str], request: str) -> str:
        raise JobFailed("ValueError: nan (fit.py, line 1)")


class Story:
    """A campaign's events, written without devices."""

    def __init__(self, ledger: Ledger, config: Campaign) -> None:
        self.ledger, self.config = ledger, config
        self.staging = Staging("c", Ground(config, TARGET), ledger, Here())

    async def tell(self, kind: str, **body: Any) -> None:
        async with self.ledger.step() as step:
            await step.append("c", kind, body)

    async def make(self, number: int, made: Recipe, unit: str = "nm", **proposed: Any) -> None:
        """Up to the end of a synthesis, with its signals: the peak tells the bond length, up to a little noise."""
        body = {"number": number, "sample_id": "s", "recipe": made, "replicate_of": None, "replicate": 0}
        proposal = {"explanation": ""}
        await self.tell("experiment-proposed", **body | {"proposal": proposal} | proposed)
        for to in ("approved", "synthesising", "synthesised"):
            await self.tell("experiment-moved", number=number, to=to)
        bond = identified(made, number).descriptors["bond_length"].mean
        signals = {
            "peak": {"value": 500.0 + 100.0 * (bond - 2.9), "sd": 0.1, "unit": unit},
            "absorbance": {"value": 1.0 + 0.01 * (number % 3), "sd": 0.01, "unit": ""},
        }
        await self.tell("signals-received", command_id="m", experiment=number, signals=signals)

    async def measure(self, number: int, made: Recipe) -> None:
        found = identified(made, number)
        await self.tell("experiment-identified", number=number, identification=found.model_dump(mode="json"))
        result = score(found, TARGET).model_dump(mode="json")
        await self.tell("experiment-scored", number=number, score=result, summary="")

    async def rows(self) -> list[ExperimentRow]:
        return sorted(await self.ledger.rows(ExperimentRow), key=lambda row: row.number)


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    """Twelve measured samples, and one that is not, with a peak far from the target's."""
    ledger = await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    told = Story(ledger, campaign())
    config, target = told.config.model_dump(mode="json"), {"descriptors": TARGET.model_dump(mode="json")}
    await told.tell("campaign-started", name="c", config=config, target=target)
    for i in range(1, MEASURED + 1):
        await told.make(i, recipe(i))
        await told.measure(i, recipe(i))
    await told.make(MEASURED + 1, {"temperature": 25.0, "ratio": 0.11, "agent": "a"})
    yield told
    await ledger.close()


async def test_a_sample_that_cannot_help_ends_unmeasured_and_the_ledger_says_why(story: Story) -> None:
    asked = await story.staging.open_questions(await story.rows())
    assert set(asked) == {13} and len(asked[13].finished) == MEASURED
    await story.staging.judge(13, asked[13])
    row = (await story.rows())[-1]
    assert (row.state, row.cause) == ("failed", "early-signal")
    assert row.reason.startswith("not measured: by its early signal it is better than experiment")
    assert await story.staging.open_questions(await story.rows()) == {}

    events = await story.ledger.events("c")
    decided = next(e for e in events if e.kind == "stage-decided")
    assert describe(decided).startswith("experiment 13 not worth measuring: by its early signal")
    lines = dict(explain(decided))
    assert lines["decision"] == "do not measure" and lines["learned from"].startswith("experiments 1, 2,")
    assert float(lines["better"].split()[-3]) < 0.02 and "peak" in lines[""] + lines["signal"]
    [judged] = judgements(events)
    assert judged.request == asked[13] and judged_again(judged).verdict == "identical"
    assert (await verify(story.ledger)).problems == ()


async def test_what_is_not_measured_costs_budget_and_teaches_nothing_of_the_chemistry(story: Story) -> None:
    asked = await story.staging.open_questions(await story.rows())
    await story.staging.judge(13, asked[13])
    rows = await story.rows()
    experiments = [as_experiment(row) for row in rows]
    last = experiments[-1]
    assert outcome_of(last) is Outcome.NOT_MEASURED and not last.miss and not last.active
    assert isinstance(next_step(story.config, experiments), Exhausted)
    observation = as_observation(rows[-1])
    assert observation is not None and observation.outcome == "not_measured" and not observation.descriptors
    request = plan_request(Ground(story.config, TARGET), rows, 1)
    assert request["observations"][-1]["outcome"] == "not_measured" and request["pending"] == []
    near = Approval(policy="outside-trust-region", radius=0.1)
    made = {"replicate": False, "at": story.ledger.clock()}
    assert question(near, last.recipe, story.config.search_space, [last], **made) is None


async def test_a_replicate_or_a_sample_without_the_signals_is_measured(
    story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    await story.make(14, recipe(1), replicate_of=1, replicate=1)
    await story.make(15, recipe(3), unit="angstrom")
    asked = await story.staging.open_questions(await story.rows())
    assert set(asked) == {13, 15}, "a replicate confirms a hit and is always measured"
    assert asked[15].finished == (), "wavelengths in another unit teach nothing of this one"
    other = Ground(campaign(stages={"signal": ["peak", "colour"]}), TARGET)
    staging = Staging("c", other, story.ledger, Here())
    for _ in range(2):
        assert await staging.open_questions(await story.rows()) == {}
    assert caplog.text.count("came without colour and is measured") == 1
    without = Staging("c", Ground(CAMPAIGN, TARGET), story.ledger, Here())
    assert await without.open_questions(await story.rows()) == {}


async def test_a_decision_that_fails_costs_a_measurement(story: Story) -> None:
    asked = await story.staging.open_questions(await story.rows())
    staging = Staging("c", story.staging.ground, story.ledger, Broken())
    await staging.judge(13, asked[13])
    rows = await story.rows()
    assert rows[-1].state == "synthesised" and await staging.open_questions(rows) == {}
    known = {row.experiment: row.decision for row in await story.ledger.rows(EarlySignalRow)}
    assert "could not be decided" in (known[13] or "")
    assert judgements(await story.ledger.events("c")) == []


async def test_what_has_moved_on_while_it_was_judged_goes_on(story: Story) -> None:
    asked = await story.staging.open_questions(await story.rows())
    await story.tell("experiment-moved", number=13, to="measuring")
    await story.staging.judge(13, asked[13])
    assert (await story.rows())[-1].state == "measuring"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stages": {"signal": []}}, "at least 1 item"),
        ({"stages": {"signal": ["peak", "peak"]}}, "signal: a name is there twice; remove one"),
        ({"stages": STAGES | {"threshold": 0.0}}, "greater than 0"),
        ({"stages": STAGES | {"least": 3}}, "greater than or equal to 4"),
        ({"planner": {"mode": "front"}}, "stages: in planner.mode front no sample"),
    ],
)
def test_stages_that_make_no_sense_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        campaign(**changes)
