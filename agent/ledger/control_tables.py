"""Tables of what people decide: what they ask for, what the agent answered, what waits for them, and what is held up.

``request`` is written by whoever uses ``solvus approve`` and its like, in a process and under a login of their own; it
is only ever added to. The agent reads it and is alone in turning a request into events of the ledger. The other three
are projections of those events.
"""

from __future__ import annotations

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel


class RequestRow(SQLModel, table=True):
    """One thing a person asked for. ``login`` is the database's own word for who wrote it, where it has one."""

    __tablename__ = "request"

    id: int | None = Field(default=None, primary_key=True)
    request_id: str = Field(unique=True, max_length=64)
    at: str = Field(max_length=40)
    campaign: str = Field(index=True, max_length=64)
    verb: str = Field(max_length=20)
    who: str = Field(max_length=100)
    login: str | None = Field(default=None, max_length=100)
    body: str = Field(sa_type=Text)
    """Canonical JSON of a :class:`solvus.agent.requests.Request`."""


class AnswerRow(SQLModel, table=True):
    """What became of a request; a request without one waits for the agent."""

    __tablename__ = "answer"

    request_id: str = Field(primary_key=True, max_length=64)
    campaign: str = Field(max_length=64)
    accepted: bool
    words: str = Field(sa_type=Text)
    at: str = Field(max_length=40)


class QuestionRow(SQLModel, table=True):
    """The latest question that an experiment puts to people: whether to make it, or what became of it."""

    __tablename__ = "question"
    __table_args__ = (Index("ix_question_open", "campaign", "is_open"),)

    campaign: str = Field(primary_key=True, max_length=64)
    experiment: int = Field(primary_key=True)
    subject: str = Field(max_length=20)
    """``approval`` or ``outcome``."""
    is_open: bool
    since: str = Field(max_length=40)
    body: str = Field(sa_type=Text)
    """Canonical JSON of a :class:`solvus.agent.questions.Question`."""
    given: str = Field(sa_type=Text)
    """Canonical JSON list of approvals given while more are needed."""
    answer: str | None = Field(default=None, sa_type=Text)


class HoldRow(SQLModel, table=True):
    """Whether a campaign is paused, and why."""

    __tablename__ = "hold"

    campaign: str = Field(primary_key=True, max_length=64)
    paused: bool
    reason: str = Field(sa_type=Text)
    by: str = Field(max_length=100)
    since: str = Field(max_length=40)


CONTROL_PROJECTIONS: tuple[type[SQLModel], ...] = (AnswerRow, QuestionRow, HoldRow)
