"""The tables. ``ledger_event`` is the ledger; ``inbox``, ``journal``, ``pattern`` and ``quarantine`` hold what came
from outside; the others are projections of the ledger, which ``audit verify`` rebuilds and compares. What people decide
has tables of its own (:mod:`solvus.agent.ledger.control_tables`).

JSON is kept as canonical text. Table models do not validate (a property of SQLModel), so everything that enters them
has been through a pydantic message or domain model first.
"""

from __future__ import annotations

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from solvus.agent.ledger.control_tables import CONTROL_PROJECTIONS


class EventRow(SQLModel, table=True):
    """One arrow of a state machine or one decision; append-only, enforced by triggers."""

    __tablename__ = "ledger_event"

    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    campaign: str = Field(index=True, max_length=64)
    kind: str = Field(max_length=40)
    version: int
    at: str = Field(max_length=40)
    body: str = Field(sa_type=Text)
    prev_hash: str = Field(unique=True, max_length=64)
    """Unique, so that the chain cannot fork."""
    hash: str = Field(unique=True, max_length=64)


class InboxRow(SQLModel, table=True):
    """One event or result of a device, committed before the broker is told that it has arrived."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("device", "journal_id", "seq", name="uq_inbox_device_journal_seq"),
        Index("ix_inbox_open", "handled", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    device: str = Field(max_length=64)
    journal_id: str = Field(max_length=128)
    seq: int
    channel: str = Field(max_length=10)
    message_id: str = Field(max_length=128)
    received_at: str = Field(max_length=40)
    body: str = Field(sa_type=Text)
    handled: bool = False


class QuarantineRow(SQLModel, table=True):
    """All refused messages of one channel of one device for one reason: the first of them, and how many came."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("device", "channel", "reason", name="uq_quarantine_device_channel_reason"),
    )

    id: int | None = Field(default=None, primary_key=True)
    device: str = Field(max_length=64)
    channel: str = Field(max_length=20)
    reason: str = Field(max_length=300)
    first_at: str = Field(max_length=40)
    last_at: str = Field(max_length=40)
    times: int
    size: int
    """Characters of the first one."""
    sha256: str = Field(max_length=64)
    head: str = Field(sa_type=Text)


class JournalRow(SQLModel, table=True):
    """From which ``seq`` on this ledger holds a device's journal: what came before was receipted by another."""

    __tablename__ = "journal"

    device: str = Field(primary_key=True, max_length=64)
    journal_id: str = Field(primary_key=True, max_length=128)
    base_seq: int


class PatternRow(SQLModel, table=True):
    """A measured pattern under its own hash."""

    __tablename__ = "pattern"

    sha256: str = Field(primary_key=True, max_length=64)
    body: str = Field(sa_type=Text)


class CampaignRow(SQLModel, table=True):
    __tablename__ = "campaign"

    campaign: str = Field(primary_key=True, max_length=64)
    name: str = Field(max_length=64)
    state: str = Field(max_length=20)
    started_at: str = Field(max_length=40)
    config: str = Field(sa_type=Text)


class ExperimentRow(SQLModel, table=True):
    __tablename__ = "experiment"

    campaign: str = Field(primary_key=True, max_length=64)
    number: int = Field(primary_key=True)
    state: str = Field(max_length=20)
    sample_id: str = Field(max_length=128)
    recipe: str = Field(sa_type=Text)
    replicate_of: int | None = None
    replicate: int = 0
    reason: str = Field(default="", sa_type=Text)
    cause: str | None = Field(default=None, max_length=20)
    pattern_sha256: str | None = Field(default=None, max_length=64)
    identification: str | None = Field(default=None, sa_type=Text)
    score: str | None = Field(default=None, sa_type=Text)


class CommandRow(SQLModel, table=True):
    """One order to a device. Rows in state ``queued`` are the outbox."""

    __tablename__ = "command"

    command_id: str = Field(primary_key=True, max_length=128)
    campaign: str = Field(index=True, max_length=64)
    experiment: int
    device: str = Field(max_length=64)
    purpose: str = Field(max_length=10)
    state: str = Field(max_length=20)
    reason: str = Field(default="", sa_type=Text)
    pattern_sha256: str | None = Field(default=None, max_length=64)
    body: str = Field(sa_type=Text)


class EarlySignalRow(SQLModel, table=True):
    """What a cheap look at a sample said before it was measured, and whether it was worth measuring."""

    __tablename__ = "early_signal"

    campaign: str = Field(primary_key=True, max_length=64)
    experiment: int = Field(primary_key=True)
    signals: str = Field(sa_type=Text)
    """Canonical JSON of :data:`solvus.drivers.messages.Signals`."""
    decision: str | None = Field(default=None, sa_type=Text)
    """Canonical JSON of a :class:`solvus.agent.planner.stages.StageDecision`; ``None`` while nothing was decided."""


PROJECTIONS: tuple[type[SQLModel], ...] = (
    CampaignRow,
    ExperimentRow,
    CommandRow,
    EarlySignalRow,
    *CONTROL_PROJECTIONS,
)
