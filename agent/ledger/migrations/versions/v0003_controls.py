"""Requests of people, which the database keeps as they were written, and the tables of what the agent made of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REFUSAL = "request is append-only"


def upgrade() -> None:
    op.create_table(
        "request",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("campaign", sa.String(64), nullable=False),
        sa.Column("verb", sa.String(20), nullable=False),
        sa.Column("who", sa.String(100), nullable=False),
        sa.Column("login", sa.String(100), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.UniqueConstraint("request_id"),
    )
    op.create_index("ix_request_campaign", "request", ["campaign"])
    op.create_table(
        "answer",
        sa.Column("request_id", sa.String(64), primary_key=True),
        sa.Column("campaign", sa.String(64), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
    )
    op.create_table(
        "question",
        sa.Column("campaign", sa.String(64), primary_key=True),
        sa.Column("experiment", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("subject", sa.String(20), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("since", sa.String(40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("given", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
    )
    op.create_index("ix_question_open", "question", ["campaign", "is_open"])
    op.create_table(
        "hold",
        sa.Column("campaign", sa.String(64), primary_key=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.String(100), nullable=False),
        sa.Column("since", sa.String(40), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _guard_sqlite() -> None:
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER request_no_{action.lower()} BEFORE {action} ON request "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )


def _guard_postgresql() -> None:
    """Also: the database writes down who is logged in, whatever the writer says of itself."""
    op.execute(
        "CREATE FUNCTION request_guard() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER request_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON request "
        "FOR EACH STATEMENT EXECUTE FUNCTION request_guard()"
    )
    op.execute(
        "CREATE FUNCTION request_login() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.login := session_user; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER request_says_who BEFORE INSERT ON request "
        "FOR EACH ROW EXECUTE FUNCTION request_login()"
    )
