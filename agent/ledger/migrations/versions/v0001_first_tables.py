"""First tables, and triggers that keep the ledger append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

REFUSAL = "ledger_event is append-only"


def upgrade() -> None:
    op.create_table(
        "ledger_event",
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("campaign", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("prev_hash"),
        sa.UniqueConstraint("hash"),
    )
    op.create_index("ix_ledger_event_campaign", "ledger_event", ["campaign"])
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("journal_id", sa.String(128), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(10), nullable=False),
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("received_at", sa.String(40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("handled", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("device", "journal_id", "seq", name="uq_inbox_device_journal_seq"),
    )
    op.create_index("ix_inbox_open", "inbox", ["handled", "id"])
    op.create_table(
        "journal",
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("journal_id", sa.String(128), primary_key=True),
        sa.Column("base_seq", sa.Integer(), nullable=False),
    )
    op.create_table(
        "pattern",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_table(
        "campaign",
        sa.Column("campaign", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("started_at", sa.String(40), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
    )
    op.create_table(
        "experiment",
        sa.Column("campaign", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("sample_id", sa.String(128), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("replicate_of", sa.Integer(), nullable=True),
        sa.Column("replicate", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause", sa.String(20), nullable=True),
        sa.Column("pattern_sha256", sa.String(64), nullable=True),
        sa.Column("identification", sa.Text(), nullable=True),
        sa.Column("score", sa.Text(), nullable=True),
    )
    op.create_table(
        "command",
        sa.Column("command_id", sa.String(128), primary_key=True),
        sa.Column("campaign", sa.String(64), nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(10), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("pattern_sha256", sa.String(64), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("ix_command_campaign", "command", ["campaign"])
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _guard_sqlite() -> None:
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER ledger_event_no_{action.lower()} BEFORE {action} ON ledger_event "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION ledger_event_guard() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_event "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_event_guard()"
    )
