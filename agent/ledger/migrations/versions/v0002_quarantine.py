"""Refused messages, and the last of the ways around the append-only ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("first_at", sa.String(40), nullable=False),
        sa.Column("last_at", sa.String(40), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.UniqueConstraint("device", "channel", "reason", name="uq_quarantine_device_channel_reason"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _guard_sqlite() -> None:
    # An event may only follow the last one; the first follows nothing. So REPLACE, which removes rows without asking
    # the DELETE trigger, has nothing to replace.
    op.execute(
        "CREATE TRIGGER ledger_event_in_order BEFORE INSERT ON ledger_event "
        "WHEN NEW.seq <> 1 + (SELECT coalesce(max(seq), 0) FROM ledger_event) "
        "OR (NEW.seq > 1 AND NEW.prev_hash <> (SELECT hash FROM ledger_event WHERE seq = NEW.seq - 1)) "
        "OR EXISTS (SELECT 1 FROM ledger_event WHERE hash = NEW.hash OR prev_hash = NEW.prev_hash) "
        "BEGIN SELECT RAISE(ABORT, 'ledger_event: an event must follow the last one'); END"
    )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION ledger_event_order() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "DECLARE last RECORD; BEGIN "
        "SELECT seq, hash INTO last FROM ledger_event ORDER BY seq DESC LIMIT 1; "
        "IF NEW.seq <> coalesce(last.seq, 0) + 1 OR (NEW.seq > 1 AND NEW.prev_hash <> last.hash) THEN "
        "RAISE EXCEPTION 'ledger_event: an event must follow the last one'; END IF; "
        "RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_event_in_order BEFORE INSERT ON ledger_event "
        "FOR EACH ROW EXECUTE FUNCTION ledger_event_order()"
    )
    # The owner of a table keeps the power to grant itself rights again; what is taken away here must be taken back in
    # words before anything can be changed, on top of the trigger. For another role to write, grant it INSERT alone.
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON ledger_event FROM PUBLIC")
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON ledger_event FROM CURRENT_USER")
