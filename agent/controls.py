"""People and the campaign: what waits for them, what they answer, and whether the campaign is held up.

Only this, in the running agent, turns a request into events: a request and all that follows from it are one step of the
ledger, so that each is answered exactly once whatever dies. What is kept here besides is read back at every turn.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from pydantic import ValidationError
from sqlmodel import col, select

from solvus import __version__
from solvus.agent.campaign import Campaign
from solvus.agent.ledger.canonical import sha256_text
from solvus.agent.ledger.control_tables import HoldRow, QuestionRow, RequestRow
from solvus.agent.ledger.ledger import Clock, Ledger, Step, timestamp
from solvus.agent.ledger.tables import CommandRow, ExperimentRow
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import Recipe
from solvus.agent.questions import (
    Given,
    Question,
    Verdict,
    answers_to,
    given_of,
    in_words,
    question_of,
    recipe_hash,
)
from solvus.agent.requests import (
    REQUEST,
    Approve,
    Edit,
    Pause,
    Reject,
    Request,
    Resolve,
    Stop,
    Unpause,
    waiting_requests,
)
from solvus.agent.states import ExperimentState
from solvus.agent.transitions import move_experiment

log = logging.getLogger(__name__)

E = ExperimentState
REFUSALS = 5
"""So many proposals refused by limits, one after the other, pause a campaign."""
AGENT = "the agent"
"""Who pauses a campaign when no person did."""
Again = Callable[[Step, Proposal, int | None, int], Awaitable[ExperimentRow]]
"""Writes another attempt at a recipe into the step."""


class Refused(Exception):  # noqa: N818 -- a state of affairs, told in one sentence
    """A request that is not followed; one sentence says why, and nothing changes."""


class Controls:
    """The desk at which the agent of one campaign answers people.

    Parameters
    ----------
    check : says why a recipe may not be made, or ``None``.
    again : proposes a recipe anew.
    stop : ends the campaign, with the reason.
    """

    def __init__(
        self,
        campaign_id: str,
        campaign: Campaign,
        ledger: Ledger,
        clock: Clock,
        *,
        check: Callable[[Recipe], str | None],
        again: Again,
        stop: Callable[[str], None],
    ) -> None:
        self._id = campaign_id
        self._approval = campaign.approval
        self._space = campaign.search_space
        self._ledger = ledger
        self._clock = clock
        self._check = check
        self._again = again
        self._stop = stop
        self.questions: dict[int, QuestionRow] = {}
        self.hold: HoldRow | None = None

    @property
    def paused(self) -> bool:
        return self.hold is not None and self.hold.paused

    def waits_for(self) -> str:
        """What holds the campaign up and how to answer, in words; empty when nothing does."""
        return " | ".join(self.words())

    def words(self) -> tuple[str, ...]:
        """As :meth:`waits_for`, one by one."""
        words = []
        if self.hold is not None and self.hold.paused:
            since = self.hold.since[:16].replace("T", " ")
            why = f": {self.hold.reason}" if self.hold.reason else ""
            words.append(
                f"paused by {self.hold.by} since {since} UTC{why}; `solvus resume {self._id}` goes on"
            )
        for row in self.questions.values():
            words.append(f"{in_words(row)}; `{answers_to(row)[0]}`")
        return tuple(words)

    def in_doubt(self) -> frozenset[int]:
        """Experiments of which people are asked what became of them."""
        return frozenset(n for n, row in self.questions.items() if row.subject == "outcome")

    async def attend(self) -> None:
        """One round: answer what was asked, drop what has waited too long, ask what must be asked."""
        for row in await waiting_requests(self._ledger, self._id):
            await self._answer(row)
        await self._ask_about_outcomes()
        await self._look()
        await self._expire()

    async def _look(self) -> None:
        rows = await self._ledger.rows(
            QuestionRow,
            QuestionRow.campaign == self._id,
            col(QuestionRow.is_open).is_(True),
            order_by=col(QuestionRow.experiment),
        )
        self.questions = {row.experiment: row for row in rows}
        holds = await self._ledger.rows(HoldRow, HoldRow.campaign == self._id)
        self.hold = holds[0] if holds else None

    async def pause(self, reason: str, *, by: str = AGENT) -> None:
        """Hold the campaign up until a person lets it go on; does nothing when it is."""
        async with self._ledger.step() as step:
            hold = await step.get(HoldRow, self._id)
            if hold is None or not hold.paused:
                await step.append(self._id, "campaign-paused", {"reason": reason, "by": by})
        await self._look()

    async def pause_if_all_are_refused(self) -> None:
        """Limits that refuse one proposal after the other would go on doing so for ever: a person must look."""
        newest = await self._ledger.rows(
            ExperimentRow, ExperimentRow.campaign == self._id, order_by=col(ExperimentRow.number).desc()
        )
        asked = await self._ledger.rows(QuestionRow, QuestionRow.campaign == self._id)
        people = {row.experiment for row in asked}
        last = newest[:REFUSALS]
        if len(last) == REFUSALS and all(
            r.state == E.REJECTED.value and r.number not in people for r in last
        ):
            await self.pause(
                f"{REFUSALS} proposals in a row were outside the limits, the last: {last[0].reason}"
            )

    # --- questions of the agent's own ---

    async def _ask_about_outcomes(self) -> None:
        if self._approval.unknown != "ask":
            return
        unknown = await self._ledger.rows(
            ExperimentRow,
            ExperimentRow.campaign == self._id,
            ExperimentRow.state == E.UNKNOWN.value,
        )
        asked = await self._ledger.rows(
            QuestionRow, QuestionRow.campaign == self._id, QuestionRow.subject == "outcome"
        )
        known = {row.experiment for row in asked}
        for row in unknown:
            if row.number in known:
                continue
            question = Question(
                subject="outcome",
                why=row.reason or "nothing was heard of it again",
                people=self._approval.people,
            )
            body = {"number": row.number, "question": question.model_dump(mode="json")}
            async with self._ledger.step() as step:
                await step.append(self._id, "question-asked", body)

    async def _expire(self) -> None:
        for row in list(self.questions.values()):
            expires_at = question_of(row).expires_at
            if expires_at is None or self._clock() <= expires_at:
                continue
            reason = f"nobody answered before {expires_at:%Y-%m-%d %H:%M} UTC"
            async with self._ledger.step() as step:
                experiment = await self._experiment(step, row.experiment)
                decision = {"verdict": "expired", "by": AGENT}
                await move_experiment(step, experiment, E.REJECTED, reason=reason, decision=decision)
                await self._close(step, row, "expired", AGENT, reason)
                hold = await step.get(HoldRow, self._id)
                if hold is None or not hold.paused:
                    why = f"experiment {row.experiment} was not approved in time"
                    await step.append(self._id, "campaign-paused", {"reason": why, "by": AGENT})
            await self._look()

    # --- requests ---

    async def _answer(self, row: RequestRow) -> None:
        """Follow or refuse one request; its answer and its effects are one step."""
        stop: str | None = None
        async with self._ledger.step() as step:
            try:
                request = REQUEST.validate_json(row.body)
                if request.verb != row.verb or request.who != row.who:
                    raise Refused("the row and its body say different things")
                words = await self._follow(step, request, row)
                accepted = True
                if isinstance(request, Stop):
                    stop = words
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                words, accepted = f"{'.'.join(map(str, first['loc']))}: {first['msg']}", False
            except Refused as refusal:
                words, accepted = str(refusal), False
            body = {"request_id": row.request_id, "verb": row.verb, "by": row.who, "login": row.login}
            asked = {
                "asked_at": row.at,
                "request": row.body[:20_000],
                "request_sha256": sha256_text(row.body),
            }
            await step.append(
                self._id, "request-answered", body | asked | {"accepted": accepted, "words": words}
            )
        log.info("%s by %s: %s", row.verb, row.who, words)
        if stop is not None:
            self._stop(stop)

    async def _follow(self, step: Step, request: Request, row: RequestRow) -> str:
        """Do what is asked; returns what was done, in words. Raises Refused before anything is written."""
        match request:
            case Approve():
                return await self._approve(step, request, row)
            case Reject():
                return await self._reject(step, request, row)
            case Edit():
                return await self._edit(step, request, row)
            case Resolve():
                return await self._resolve(step, request, row)
            case Pause():
                return await self._pause(step, request, row)
            case Unpause():
                return await self._unpause(step, request, row)
            case Stop():
                self._demand_fresh(request.expires_at)
                return f"stopped by {request.who}" + (f": {request.reason}" if request.reason else "")

    def _demand_fresh(self, expires_at: datetime) -> None:
        if self._clock() > expires_at:
            raise Refused(f"it was meant for before {expires_at:%Y-%m-%d %H:%M:%S} UTC; ask again")

    async def _pause(self, step: Step, request: Pause, row: RequestRow) -> str:
        hold = await step.get(HoldRow, self._id)
        if hold is not None and hold.paused:
            raise Refused(f"the campaign is paused already, by {hold.by}: {hold.reason}")
        body = {"reason": request.reason, "by": request.who, "request_id": row.request_id}
        await step.append(self._id, "campaign-paused", body)
        return "paused: nothing new is proposed or ordered, what is under way goes on to its end"

    async def _unpause(self, step: Step, request: Unpause, row: RequestRow) -> str:
        self._demand_fresh(request.expires_at)
        hold = await step.get(HoldRow, self._id)
        if hold is None or not hold.paused:
            raise Refused("the campaign is not paused")
        body = {"reason": request.reason, "by": request.who, "request_id": row.request_id}
        await step.append(self._id, "campaign-unpaused", body)
        return "goes on"

    # --- approval ---

    async def _open_question(self, step: Step, experiment: int, subject: str) -> QuestionRow:
        row = await step.get(QuestionRow, self._id, experiment)
        if row is None or not row.is_open or row.subject != subject:
            known = await step.get(ExperimentRow, self._id, experiment)
            if known is None:
                raise Refused(f"there is no experiment {experiment} in this campaign")
            what = "approval" if subject == "approval" else "word of what became of it"
            raise Refused(f"experiment {experiment} does not wait for {what}; it is {known.state}")
        return row

    def _person(self, request: Request, row: RequestRow, question: Question) -> str:
        """Who asks, by the campaign's notion of identity, if they may."""
        who = request.who
        if self._approval.identity == "login":
            if row.login is None:
                raise Refused(
                    "approval.identity is login, and this database does not say who is logged in; use PostgreSQL"
                )
            who = row.login
        if question.people and who not in question.people:
            raise Refused(f"{who} may not answer this; {', '.join(question.people)} may")
        return who

    async def _experiment(self, step: Step, number: int) -> ExperimentRow:
        row = await step.get(ExperimentRow, self._id, number)
        assert row is not None  # noqa: S101 -- a question is about an experiment that exists
        return row

    async def _same_recipe(self, experiment: ExperimentRow, seen: str) -> Recipe:
        recipe: Recipe = json.loads(experiment.recipe)
        if recipe_hash(recipe) != seen:
            raise Refused(
                f"the recipe of experiment {experiment.number} was edited meanwhile; look at it again with "
                f"`solvus status {self._id}`"
            )
        return recipe

    async def _approve(self, step: Step, request: Approve, row: RequestRow) -> str:
        asked = await self._open_question(step, request.experiment, "approval")
        question = question_of(asked)
        who = self._person(request, row, question)
        experiment = await self._experiment(step, request.experiment)
        recipe = await self._same_recipe(experiment, request.recipe_sha256)
        if (refusal := self._check(recipe)) is not None:
            raise Refused(f"{refusal}; edit or reject it")
        given = given_of(asked)
        if any(g.by == who for g in given):
            raise Refused(f"{who} has approved it already; another person must")
        mine = Given(by=who, reason=request.reason, at=timestamp(self._clock()), request_id=row.request_id)
        return await self._give(step, asked, experiment, (*given, mine))

    async def _give(
        self, step: Step, asked: QuestionRow, experiment: ExperimentRow, given: tuple[Given, ...]
    ) -> str:
        """Note an approval, and let the experiment go when that was the last one needed."""
        question = question_of(asked)
        listed = [g.model_dump(mode="json") for g in given]
        if len(given) < question.needed:
            await step.append(self._id, "approval-given", {"number": experiment.number, "given": listed})
            return f"{len(given)} of {question.needed} approvals; another person must approve"
        verdict: Verdict = "approved" if question.edited_by is None else "edited"
        decision = {"verdict": verdict, "by": [g.by for g in given], "given": listed}
        await move_experiment(step, experiment, E.APPROVED, decision=decision)
        await self._close(step, asked, verdict, given[-1].by, given[-1].reason)
        return f"experiment {experiment.number} {verdict}; it is made as soon as a device is free"

    async def _reject(self, step: Step, request: Reject, row: RequestRow) -> str:
        asked = await self._open_question(step, request.experiment, "approval")
        who = self._person(request, row, question_of(asked))
        experiment = await self._experiment(step, request.experiment)
        decision = {"verdict": "rejected", "by": [who], "request_id": row.request_id}
        await move_experiment(
            step, experiment, E.REJECTED, reason=f"rejected by {who}: {request.reason}", decision=decision
        )
        await self._close(step, asked, "rejected", who, request.reason)
        return f"experiment {request.experiment} rejected; the planner proposes another recipe"

    async def _edit(self, step: Step, request: Edit, row: RequestRow) -> str:
        asked = await self._open_question(step, request.experiment, "approval")
        question = question_of(asked)
        who = self._person(request, row, question)
        experiment = await self._experiment(step, request.experiment)
        before = await self._same_recipe(experiment, request.recipe_sha256)
        if experiment.replicate_of is not None:
            raise Refused(
                f"experiment {experiment.number} repeats experiment {experiment.replicate_of} to confirm it and "
                "must be the same; approve or reject it"
            )
        recipe = before | request.changes
        refusal = self._space.refusal(recipe)
        if refusal is None:
            recipe = self._space.snap(recipe)
            refusal = self._check(recipe)
        if refusal is not None:
            raise Refused(refusal)
        if recipe == before:
            raise Refused("that changes nothing; approve it")
        body = {"number": experiment.number, "before": before, "recipe": recipe, "by": who}
        await step.append(
            self._id,
            "experiment-edited",
            body | {"reason": request.reason, "request_id": row.request_id},
        )
        # Asked anew: an approval of the recipe as it was is none of the recipe as it is.
        fresh = question.model_copy(update={"recipe_sha256": recipe_hash(recipe), "edited_by": who})
        await step.append(
            self._id,
            "question-asked",
            {"number": experiment.number, "question": fresh.model_dump(mode="json")},
        )
        mine = Given(by=who, reason=request.reason, at=timestamp(self._clock()), request_id=row.request_id)
        asked = await self._open_question(step, request.experiment, "approval")
        return await self._give(step, asked, experiment, (mine,))

    async def _close(self, step: Step, row: QuestionRow, verdict: Verdict, by: str, reason: str) -> None:
        answer = {"verdict": verdict, "by": by, "reason": reason, "at": timestamp(self._clock())}
        await step.append(self._id, "question-answered", {"number": row.experiment, "answer": answer})

    # --- outcomes ---

    async def _resolve(self, step: Step, request: Resolve, row: RequestRow) -> str:
        asked = await self._open_question(step, request.experiment, "outcome")
        who = self._person(request, row, question_of(asked))
        experiment = await self._experiment(step, request.experiment)
        cause = experiment.cause
        if request.outcome == "no-product":
            if await self._was_made(step, request.experiment):
                raise Refused(
                    f"experiment {request.experiment} was made, only its measurement is unknown; discard it, or again"
                )
            cause = "chemistry"
        words = {
            "discard": "nothing is concluded from it",
            "no-product": "the planner learns that its recipe gives no product",
            "again": "its recipe is proposed again",
        }[request.outcome]
        await step.append(
            self._id,
            "outcome-resolved",
            {
                "number": request.experiment,
                "outcome": request.outcome,
                "cause": cause,
                "by": who,
                "reason": request.reason,
                "request_id": row.request_id,
            },
        )
        verdicts: dict[str, Verdict] = {"discard": "discarded", "no-product": "no-product", "again": "again"}
        await self._close(step, asked, verdicts[request.outcome], who, request.reason)
        if request.outcome == "again":
            attempt = await self._again(
                step,
                another_attempt(experiment, who),
                experiment.replicate_of,
                await self._replicate(step, experiment),
            )
            words = f"its recipe is proposed again as experiment {attempt.number}"
        return f"experiment {request.experiment}: {words}"

    async def _was_made(self, step: Step, experiment: int) -> bool:
        found = await step.session.exec(
            select(CommandRow.command_id).where(
                CommandRow.campaign == self._id,
                CommandRow.experiment == experiment,
                CommandRow.purpose == "measure",
            )
        )
        return found.first() is not None

    async def _replicate(self, step: Step, experiment: ExperimentRow) -> int:
        """The number of the next replicate of what ``experiment`` repeats; 0 when it repeats nothing."""
        if experiment.replicate_of is None:
            return 0
        found = await step.session.exec(
            select(ExperimentRow.replicate).where(
                ExperimentRow.campaign == self._id, ExperimentRow.replicate_of == experiment.replicate_of
            )
        )
        return 1 + max(found.all())


def another_attempt(experiment: ExperimentRow, by: str) -> Proposal:
    """The proposal to make the recipe of an experiment again whose outcome nobody knows."""
    return Proposal(
        recipe=json.loads(experiment.recipe),
        source="replicate",
        probability_feasible=1.0,
        seed=0,
        data_sha256=sha256_text(experiment.recipe),
        versions={"solvus": __version__},
        explanation=f"nobody knows what became of experiment {experiment.number}; made again at the word of {by}",
    )
