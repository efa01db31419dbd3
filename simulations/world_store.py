"""Where the simulated devices keep the truth of every sample: the shelf between synthesizer and
diffractometer.

Both are processes of their own and share one SQLite file. A product is on disk before the synthesizer
reports it done (``synchronous = FULL``), and writing the same product twice changes nothing, so a crash at
any point is harmless. The agent never reads this file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from solvus.simulations.world import Product

WAIT = 30.0
"""Seconds to wait for the other process's write, which takes milliseconds."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS sample (sample_id TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS measurement (
    command_id TEXT PRIMARY KEY,
    sample_id TEXT NOT NULL REFERENCES sample (sample_id),
    repeat INTEGER NOT NULL,
    UNIQUE (sample_id, repeat)
);
"""


class WorldStoreError(ValueError):
    """A sample that does not exist, or one that another product already has the name of."""


class SampleRecord(BaseModel):
    """A product with the synthesis it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product: Product
    seed: int
    experiment: int = Field(ge=1)
    replicate: int = Field(ge=0)


class WorldStore:
    """The file; opened anew for each call, so it can be used from any thread and process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()  # what is not committed is rolled back

    def put(self, sample_id: str, record: SampleRecord) -> None:
        """Keep a sample; the same one again is no error.

        Raises
        ------
        WorldStoreError
            When the id already belongs to a different sample.
        """
        text = record.model_dump_json()
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO sample VALUES (?, ?)", (sample_id, text))
            kept = connection.execute(
                "SELECT record FROM sample WHERE sample_id = ?", (sample_id,)
            ).fetchone()
        if kept[0] != text:
            raise WorldStoreError(f"sample_id: {sample_id} is already on the shelf and is a different sample")

    def get(self, sample_id: str) -> SampleRecord:
        """The sample. Raises :class:`WorldStoreError` when there is none of that id."""
        with self._transaction() as connection:
            row = connection.execute("SELECT record FROM sample WHERE sample_id = ?", (sample_id,)).fetchone()
        if row is None:
            raise WorldStoreError(f"sample_id: no sample {sample_id} was made here; synthesise it first")
        return SampleRecord.model_validate_json(row[0])

    def repeat_of(self, sample_id: str, command_id: str) -> int:
        """Which measurement of the sample this command is, from 0; the same command gets the same answer
        again.

        Raises
        ------
        WorldStoreError
            When there is no such sample.
        """
        with self._transaction() as connection:
            if not connection.execute("SELECT 1 FROM sample WHERE sample_id = ?", (sample_id,)).fetchone():
                raise WorldStoreError(f"sample_id: no sample {sample_id} was made here; synthesise it first")
            connection.execute(
                "INSERT OR IGNORE INTO measurement "
                "SELECT ?, ?, COUNT(*) FROM measurement WHERE sample_id = ?",
                (command_id, sample_id, sample_id),
            )
            row = connection.execute(
                "SELECT repeat FROM measurement WHERE command_id = ?", (command_id,)
            ).fetchone()
        return int(row[0])
