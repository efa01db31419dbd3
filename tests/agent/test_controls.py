"""People and the campaign, from the ledger's side: what is asked, who may answer, and that each answer counts once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlmodel import select, update

from solvus.agent.approval import Approval
from solvus.agent.asking import question
from solvus.agent.campaign import Campaign
from solvus.agent.controls import Controls
from solvus.agent.decide import Experiment
from solvus.agent.ledger.control_tables import AnswerRow, RequestRow
from solvus.agent.ledger.engine import ledger_url, make_engine
from solvus.agent.ledger.ledger import Ledger, Step
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.ledger.verify import describe, verify
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import Recipe
from solvus.agent.proposing import Proposer
from solvus.agent.questions import recipe_hash
from solvus.agent.requests import (
    Approve,
    Edit,
    Pause,
    Reject,
    Request,
    RequestDesk,
    Resolve,
    Stop,
    Unpause,
    login_name,
)
from solvus.agent.snapshot import as_observation
from solvus.agent.states import ExperimentState as E
from solvus.agent.transitions import move_experiment
from tests.agent.ledger_builder import BEST, SPACE, LedgerBuilder
from tests.agent.ledger_builder import campaign as builder_campaign

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Desk:
    """One campaign of the builder's ledger with its controls, its clock in the test's hand."""

    def __init__(self, url: str, ledger: Ledger, campaign_id: str, campaign: Campaign) -> None:
        self.url, self.ledger, self.id, self.campaign = url, ledger, campaign_id, campaign
        self.now = NOW
        self.stopped: list[str] = []
        self.refuse: dict[float, str] = {}
        self.proposer = Proposer(campaign_id, campaign, self.check, lambda: self.now)
        self.controls = self.fresh()

    def fresh(self) -> Controls:
        """As after a restart: everything is read back from the ledger."""
        return Controls(
            self.id,
            self.campaign,
            self.ledger,
            lambda: self.now,
            check=self.check,
            again=lambda step, proposal, of, n: self.proposer.write(step, proposal, of, n, ()),
            stop=self.stopped.append,
        )

    def check(self, recipe: Recipe) -> str | None:
        return self.refuse.get(float(recipe["pH"]))

    async def propose(self, recipe: Recipe | None = None, replicate_of: int | None = None) -> int:
        proposal = Proposal(
            recipe=recipe or BEST,
            source="sobol" if replicate_of is None else "replicate",
            probability_feasible=1.0,
            seed=1,
            data_sha256="a" * 64,
            versions={},
            explanation="for a test",
        )
        async with self.ledger.step() as step:
            row = await self.proposer.write(step, proposal, replicate_of, int(replicate_of is not None), ())
        await self.controls.attend()
        return row.number

    async def ask(self, request: Request) -> AnswerRow:
        async with RequestDesk(self.url) as desk:
            request_id = await desk.hand_in(self.id, request)
        await self.controls.attend()
        (answer,) = await self.ledger.rows(AnswerRow, AnswerRow.request_id == request_id)
        return answer

    async def row(self, number: int) -> ExperimentRow:
        (row,) = await self.ledger.rows(ExperimentRow, ExperimentRow.number == number)
        return row

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.ledger.events(self.id)]


@pytest.fixture
async def make_desk(ledger_url: str) -> AsyncIterator:
    opened: list[Ledger] = []

    async def make(**approval: object) -> Desk:
        builder = await LedgerBuilder.start(ledger_url)
        opened.append(builder.ledger)
        chosen = builder_campaign().model_copy(update={"approval": Approval.model_validate(approval)})
        return Desk(ledger_url, builder.ledger, builder.id, chosen)

    yield make
    for ledger in opened:
        assert (await verify(ledger)).problems == ()
        await ledger.close()


def approve(experiment: int, who: str = "anna", recipe: Recipe = BEST) -> Approve:
    return Approve(who=who, experiment=experiment, recipe_sha256=recipe_hash(recipe))


def prompt(kind: type, who: str = "anna") -> Request:
    return kind(who=who, reason="because", expires_at=NOW + timedelta(minutes=1))


async def test_always_asks_and_an_approval_lets_it_go(make_desk) -> None:
    desk = await make_desk(policy="always")
    number = await desk.propose()
    assert (await desk.row(number)).state == "proposed"
    assert "waits for approval by anybody since" in desk.controls.waits_for()
    assert f"solvus approve {desk.id} {number}" in desk.controls.waits_for()
    assert (await desk.ask(approve(number))).accepted
    assert (await desk.row(number)).state == "approved" and desk.controls.waits_for() == ""
    moved = (await desk.ledger.events(desk.id))[-3]
    assert moved.kind == "experiment-moved" and moved.body["decision"]["by"] == ["anna"]
    again = await desk.ask(approve(number, "ben"))
    assert (
        not again.accepted
        and again.words == f"experiment {number} does not wait for approval; it is approved"
    )


async def test_who_and_why_of_every_request_are_in_the_ledger(make_desk) -> None:
    desk = await make_desk(policy="always")
    number = await desk.propose()
    await desk.ask(Reject(who="ben", experiment=number, reason="it stinks"))
    events = await desk.ledger.events(desk.id)
    answered = events[-1].body
    assert answered["by"] == "ben" and json.loads(answered["request"])["reason"] == "it stinks"
    assert (await desk.row(number)).reason == "rejected by ben: it stinks"
    assert f"experiment {number} rejected by ben: it stinks" in map(describe, events)


async def test_an_edit_is_what_the_planner_learns_from(make_desk) -> None:
    desk = await make_desk(policy="always")
    number = await desk.propose()
    wanted = {"temperature": 60.2, "capping_agent": "ctab"}
    edit = Edit(
        who="ben", experiment=number, recipe_sha256=recipe_hash(BEST), changes=wanted, reason="cooler"
    )
    assert (await desk.ask(edit)).accepted
    row = await desk.row(number)
    made = json.loads(row.recipe)
    assert made == BEST | {"temperature": 60.0, "capping_agent": "ctab"}, "on the robot's grid of steps"
    assert row.state == "approved"
    edited = next(e.body for e in await desk.ledger.events(desk.id) if e.kind == "experiment-edited")
    assert edited["before"] == BEST and edited["by"] == "ben" and edited["reason"] == "cooler"
    async with desk.ledger.step() as step:
        await move_experiment(
            step, await step.get(ExperimentRow, desk.id, number), E.FAILED, cause="chemistry"
        )
    observation = as_observation(await desk.row(number))
    assert observation is not None and observation.recipe == made
    assert observation.outcome == "failed_chemistry"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 200.0}, "temperature: 200 is outside 20 to 95 degC"),
        ({"pH": 4.0}, "pH: 4 is outside (limit of the robot)"),
        ({"solvent": "water"}, "solvent: is no parameter of this search space"),
        ({"capping_agent": "soap"}, "capping_agent: 'soap' is not one of"),
        ({"temperature": 71.5}, "that changes nothing"),
    ],
)
async def test_an_edit_keeps_to_the_limits(make_desk, changes: Recipe, words: str) -> None:
    desk = await make_desk(policy="always")
    desk.refuse[4.0] = "pH: 4 is outside (limit of the robot)"
    number = await desk.propose()
    answer = await desk.ask(
        Edit(who="ben", experiment=number, recipe_sha256=recipe_hash(BEST), changes=changes)
    )
    assert not answer.accepted and words in answer.words
    assert (await desk.row(number)).state == "proposed" and json.loads(
        (await desk.row(number)).recipe
    ) == BEST


async def test_nobody_approves_a_recipe_that_was_edited_while_they_looked(make_desk) -> None:
    desk = await make_desk(policy="always", two_persons=True)
    number = await desk.propose()
    edit = Edit(who="ben", experiment=number, recipe_sha256=recipe_hash(BEST), changes={"pH": 5.0})
    assert (await desk.ask(edit)).words == "1 of 2 approvals; another person must approve"
    stale = await desk.ask(approve(number, "anna"))
    assert not stale.accepted and "was edited meanwhile" in stale.words
    same = await desk.ask(approve(number, "ben", BEST | {"pH": 5.0}))
    assert not same.accepted and "ben has approved it already" in same.words
    assert (await desk.ask(approve(number, "anna", BEST | {"pH": 5.0}))).accepted
    decision = next(
        e.body["decision"]
        for e in reversed(await desk.ledger.events(desk.id))
        if e.kind == "experiment-moved"
    )
    assert decision["verdict"] == "edited" and decision["by"] == ["ben", "anna"]


async def test_only_those_named_may_approve(make_desk) -> None:
    desk = await make_desk(policy="always", people=["anna", "ben"])
    number = await desk.propose()
    answer = await desk.ask(approve(number, "mallory"))
    assert not answer.accepted and answer.words == "mallory may not answer this; anna, ben may"
    assert (await desk.ask(Pause(who="mallory", reason="smoke"))).accepted, "anybody may pause"


async def test_a_replicate_is_approved_or_rejected_but_not_edited(make_desk) -> None:
    desk = await make_desk(policy="always")
    first = await desk.propose()
    second = await desk.propose(replicate_of=first)
    answer = await desk.ask(
        Edit(who="a", experiment=second, recipe_sha256=recipe_hash(BEST), changes={"pH": 5.0})
    )
    assert not answer.accepted and "must be the same" in answer.words


async def test_an_unanswered_proposal_expires_and_pauses_the_campaign(make_desk) -> None:
    desk = await make_desk(policy="always", expires=3600)
    number = await desk.propose()
    desk.now += timedelta(seconds=3599)
    await desk.controls.attend()
    assert (await desk.row(number)).state == "proposed"
    desk.now += timedelta(seconds=2)
    await desk.controls.attend()
    assert (await desk.row(number)).state == "rejected"
    assert desk.controls.paused
    assert "paused by the agent since" in desk.controls.waits_for()
    assert f"experiment {number} was not approved in time" in desk.controls.waits_for()


async def test_a_pause_and_a_question_outlive_the_agent(make_desk) -> None:
    desk = await make_desk(policy="always")
    number = await desk.propose()
    await desk.ask(Pause(who="anna", reason="new bottle"))
    desk.controls = desk.fresh()
    await desk.controls.attend()
    assert desk.controls.paused and list(desk.controls.questions) == [number]
    twice = await desk.ask(Pause(who="ben"))
    assert not twice.accepted and "paused already, by anna: new bottle" in twice.words
    assert (await desk.ask(prompt(Unpause))).accepted and not desk.controls.paused


async def test_what_was_asked_while_no_agent_ran_is_answered_once(make_desk) -> None:
    desk = await make_desk(policy="always")
    number = await desk.propose()
    async with RequestDesk(desk.url) as people:
        first = await people.hand_in(desk.id, approve(number))
        late = await people.hand_in(desk.id, prompt(Stop))
        assert await people.answer(first, 0.0) is None
    desk.now += timedelta(hours=10)
    desk.controls = desk.fresh()
    for _ in range(3):
        await desk.controls.attend()
    answers = {row.request_id: row for row in await desk.ledger.rows(AnswerRow)}
    assert answers[first].accepted and (await desk.row(number)).state == "approved"
    assert not answers[late].accepted and "ask again" in answers[late].words, (
        "a stop is for the agent of its day"
    )
    assert desk.stopped == [] and (await desk.kinds()).count("request-answered") == 2


async def test_an_answer_and_its_effects_are_one_transaction(
    make_desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed half-way, the agent has done nothing, and does it all when it is back."""
    desk = await make_desk(policy="always")
    number = await desk.propose()
    whole = Step.append

    async def dies(self: Step, campaign: str, kind: str, body: dict) -> object:
        if kind == "request-answered":
            raise OSError("the disk is gone")
        return await whole(self, campaign, kind, body)

    before = len(await desk.kinds())
    with monkeypatch.context() as patched:
        patched.setattr(Step, "append", dies)
        with pytest.raises(OSError, match="the disk is gone"):
            await desk.ask(approve(number))
    assert len(await desk.kinds()) == before and (await desk.row(number)).state == "proposed"
    desk.controls = desk.fresh()
    await desk.controls.attend()
    await desk.controls.attend()
    kinds = (await desk.kinds())[before:]
    assert kinds == ["experiment-moved", "question-answered", "request-answered"]


async def test_stop_names_who_and_why(make_desk) -> None:
    desk = await make_desk()
    assert (await desk.ask(prompt(Stop, "ben"))).accepted
    assert desk.stopped == ["stopped by ben: because"]


async def test_what_is_no_request_is_refused_and_stops_nothing(make_desk) -> None:
    desk = await make_desk()
    bodies = ["{", '{"verb": "stop"}', '{"verb": "pause", "who": "someone else"}', "[]", '{"verb": "dance"}']
    async with desk.ledger.step() as step:
        for i, body in enumerate(bodies):
            step.session.add(
                RequestRow(
                    request_id=f"r{i}", at="t", campaign=desk.id, verb="pause", who="mallory", body=body
                )
            )
    await desk.controls.attend()
    answers = await desk.ledger.rows(AnswerRow)
    assert len(answers) == len(bodies) and not any(row.accepted for row in answers)
    assert not desk.controls.paused and desk.stopped == []


async def test_an_unknown_outcome_waits_for_a_person(make_desk) -> None:
    desk = await make_desk(unknown="ask")
    numbers = [await desk.propose(), await desk.propose(), await desk.propose()]
    for number in numbers:
        async with desk.ledger.step() as step:
            row = await step.get(ExperimentRow, desk.id, number)
            assert row.state == "approved", "the policy is automatic"
            await move_experiment(step, row, E.SYNTHESISING)
            await move_experiment(step, row, E.UNKNOWN, reason="make interrupted", cause="equipment")
    await desk.controls.attend()
    assert list(desk.controls.questions) == numbers
    assert "waits to be told what became of it" in desk.controls.waits_for()
    assert (await desk.ask(Resolve(who="a", experiment=numbers[0], outcome="discard"))).accepted
    assert (await desk.ask(Resolve(who="a", experiment=numbers[1], outcome="no-product"))).accepted
    again = await desk.ask(Resolve(who="a", experiment=numbers[2], outcome="again"))
    assert again.words.endswith(f"proposed again as experiment {numbers[2] + 1}")
    outcomes = [as_observation(await desk.row(n)) for n in numbers[:2]]
    assert [o.outcome for o in outcomes if o] == ["failed_equipment", "failed_chemistry"]
    attempt = await desk.row(numbers[2] + 1)
    assert attempt.state == "approved" and json.loads(attempt.recipe) == BEST and attempt.replicate_of is None
    await desk.controls.attend()
    assert desk.controls.questions == {}, "no question is put twice"


async def test_requests_cannot_be_changed_or_taken_back(make_desk) -> None:
    desk = await make_desk()
    await desk.ask(Pause(who="anna"))
    async with desk.ledger.session() as session:
        with pytest.raises(DBAPIError, match="append-only"):
            await session.exec(update(RequestRow).values(who="ben"))
        await session.rollback()
        (row,) = (await session.exec(select(RequestRow))).all()
    assert row.who == "anna"
    if desk.ledger.engine.dialect.name == "postgresql":
        assert row.login == "postgres", "the database's own word"


async def test_a_database_user_may_ask_and_nothing_else(make_desk, postgres_url: str) -> None:
    """With the rights that docs/controls.md gives a person on PostgreSQL."""
    desk = await make_desk(policy="always", identity="login", people=["solvus_anna"])
    if desk.ledger.engine.dialect.name != "postgresql":
        pytest.skip("rights of users are PostgreSQL's")
    number = await desk.propose()
    async with desk.ledger.engine.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS solvus_anna",
            "CREATE ROLE solvus_anna LOGIN",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO solvus_anna",
            "GRANT INSERT ON request TO solvus_anna",
            "GRANT USAGE ON SEQUENCE request_id_seq TO solvus_anna",
        ):
            await connection.execute(text(statement))
    own = make_url(desk.url).set(username="solvus_anna").render_as_string(hide_password=False)
    try:
        async with RequestDesk(own) as people:
            request_id = await people.hand_in(desk.id, approve(number, "somebody else"))
            await desk.controls.attend()
            answer = await people.answer(request_id, 5.0)
            assert answer is not None and answer.accepted, "the login counts, whatever the name says"
        engine = make_engine(ledger_url(own), write=True)
        for forbidden in (
            "INSERT INTO answer VALUES ('x', 'x', true, '', '')",
            "UPDATE experiment SET state = 'approved'",
            "DELETE FROM request",
            "UPDATE hold SET paused = false",
            "DELETE FROM ledger_event",
        ):
            async with engine.connect() as connection:
                with pytest.raises(DBAPIError, match="permission denied"):
                    await connection.execute(text(forbidden))
        await engine.dispose()
    finally:
        async with desk.ledger.engine.begin() as connection:
            await connection.execute(text("DROP OWNED BY solvus_anna"))
            await connection.execute(text("DROP ROLE solvus_anna"))


async def test_login_counts_where_the_campaign_says_so(make_desk) -> None:
    desk = await make_desk(policy="always", identity="login", people=["postgres", "ben"])
    number = await desk.propose()
    answer = await desk.ask(approve(number, "ben"))
    if desk.ledger.engine.dialect.name == "postgresql":
        assert answer.accepted
    else:
        assert not answer.accepted and "use PostgreSQL" in answer.words


async def test_five_proposals_outside_the_limits_pause_the_campaign(make_desk) -> None:
    desk = await make_desk()
    desk.refuse[float(BEST["pH"])] = "pH: too acid"
    for _ in range(5):
        assert not desk.controls.paused
        await desk.propose()
        await desk.controls.pause_if_all_are_refused()
    assert "5 proposals in a row were outside the limits, the last: pH: too acid" in desk.controls.waits_for()


# --- policies ---


def tried(number: int, recipe: Recipe, state: E = E.SCORED) -> Experiment:
    return Experiment(number, state, recipe)


def asked(policy: str, recipe: Recipe, known: list[Experiment], *, replicate: bool = False, **more) -> bool:
    approval = Approval(policy=policy, **more)
    return question(approval, recipe, SPACE, known, replicate=replicate, at=NOW) is not None


def test_automatic_never_asks_and_always_always_does() -> None:
    assert not asked("automatic", BEST, [])
    assert asked("always", BEST, [tried(1, BEST)], replicate=True)


def test_the_first_of_each_kind_asks() -> None:
    other = BEST | {"capping_agent": "ctab"}
    assert asked("first-of-a-kind", BEST, [])
    assert not asked("first-of-a-kind", BEST | {"pH": 4.0}, [tried(1, BEST)])
    assert asked("first-of-a-kind", other, [tried(1, BEST)])
    assert asked("first-of-a-kind", BEST, [tried(1, BEST, E.REJECTED)]), "a rejected one is no precedent"
    assert not asked("first-of-a-kind", BEST, [tried(1, BEST, E.SYNTHESISING)])


def test_outside_the_trust_region_asks() -> None:
    near, far = BEST | {"temperature": 75.0}, BEST | {"temperature": 20.0}
    assert asked("outside-trust-region", BEST, [])
    assert not asked("outside-trust-region", near, [tried(1, BEST)])
    assert asked("outside-trust-region", far, [tried(1, BEST)])
    assert not asked("outside-trust-region", far, [tried(1, BEST)], radius=0.9)
    assert asked("outside-trust-region", BEST | {"capping_agent": "ctab"}, [tried(1, BEST)])
    assert not asked("outside-trust-region", far, [tried(1, BEST)], replicate=True)


@pytest.mark.parametrize(
    ("approval", "words"),
    [
        ({"kinds": ["pH"]}, "approval.kinds: 'pH' is no categorical parameter"),
        ({"two_persons": True, "people": ["anna"]}, "two_persons needs two people"),
        ({"people": ["anna", "anna"]}, "named twice"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(approval: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Campaign.model_validate(builder_campaign().model_dump() | {"approval": approval})


def test_the_login_comes_from_the_system_and_not_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = login_name()
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    assert login_name() == before
