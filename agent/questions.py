"""What an experiment asks of people, and what they may answer. Plain data that goes into the ledger as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from solvus.agent.approval import Person
from solvus.agent.ledger.canonical import canonical, sha256_text
from solvus.agent.ledger.control_tables import QuestionRow
from solvus.agent.planner.search_space import Recipe

Subject = Literal["approval", "outcome"]
Verdict = Literal["approved", "edited", "rejected", "expired", "discarded", "no-product", "again"]


class Question(BaseModel):
    """Whether an experiment may be made (``approval``), or what became of it (``outcome``).

    Attributes
    ----------
    why : what made the question necessary, in one sentence.
    people : who may answer; anybody when empty.
    needed : how many different people must approve.
    expires_at : when the proposal is dropped unanswered; UTC.
    recipe_sha256 : of the recipe that is asked about.
    edited_by : who put this recipe in place of the planner's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Subject
    why: str
    people: tuple[Person, ...] = ()
    needed: int = 1
    expires_at: datetime | None = None
    recipe_sha256: str = ""
    edited_by: Person | None = None


class Given(BaseModel):
    """One approval of several that are needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Person
    reason: str
    at: str
    request_id: str


GIVEN = TypeAdapter(tuple[Given, ...])


def recipe_hash(recipe: Recipe) -> str:
    """What an approval names, so that nobody approves a recipe that was edited while they looked."""
    return sha256_text(canonical(recipe))


def question_of(row: QuestionRow) -> Question:
    return Question.model_validate_json(row.body)


def given_of(row: QuestionRow) -> tuple[Given, ...]:
    return GIVEN.validate_json(row.given)


def answers_to(row: QuestionRow) -> tuple[str, ...]:
    """The commands that answer a question, ready to be typed."""
    which = f"{row.campaign} {row.experiment}"
    if row.subject == "outcome":
        return (f"solvus resolve {which} --outcome discard|no-product|again",)
    return (
        f"solvus approve {which}",
        f"solvus edit {which} PARAMETER=VALUE ...",
        f"solvus reject {which} --reason WHY",
    )


def in_words(row: QuestionRow) -> str:
    """One sentence for whoever watches: what waits, since when, for whom."""
    question, given = question_of(row), given_of(row)
    whom = ", ".join(question.people) or "anybody"
    what = "for approval" if row.subject == "approval" else "to be told what became of it"
    count = f" ({len(given)} of {question.needed} given)" if question.needed > 1 else ""
    until = "" if question.expires_at is None else f", until {question.expires_at:%Y-%m-%d %H:%M} UTC"
    edited = "" if question.edited_by is None else f", as {question.edited_by} has edited it,"
    since = row.since[:16].replace("T", " ")
    return f"experiment {row.experiment} waits {what}{edited} by {whom}{count} since {since} UTC{until}: {question.why}"
