"""Cheap signals of samples, and whether they were worth measuring."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "early_signal",
        sa.Column("campaign", sa.String(64), primary_key=True),
        sa.Column("experiment", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("signals", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
    )
