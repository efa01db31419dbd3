"""Alembic environment. The caller hands over an open connection; there is no alembic.ini to find or lose."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import solvus.agent.ledger.tables  # noqa: F401 -- registers the tables on SQLModel.metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True, compare_type=True
)
with context.begin_transaction():
    context.run_migrations()
