"""What looks into a ledger from outside, often and cheaply, on either database."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from solvus.agent.ledger.projections import LedgerEvent, upcast

_NEWS = "SELECT seq, campaign, kind, version, at, body FROM ledger_event WHERE seq > {} ORDER BY seq"


class Observer(ABC):
    """Reads new events; says nothing while there is no ledger yet."""

    def __init__(self) -> None:
        self.seen = 0

    async def news(self) -> list[LedgerEvent]:
        """Events since the last look."""
        rows = await self._read()
        if rows:
            self.seen = rows[-1][0]
        return [LedgerEvent(r[0], r[1], r[2], r[4], upcast(r[2], r[3], json.loads(r[5]))) for r in rows]

    @abstractmethod
    async def _read(self) -> list[Any]: ...

    @abstractmethod
    async def close(self) -> None: ...


class _SqliteObserver(Observer):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._database: sqlite3.Connection | None = None

    async def _read(self) -> list[Any]:
        if self._database is None and not self._file.exists():
            return []
        try:
            if self._database is None:
                self._database = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=0.0)
            return self._database.execute(_NEWS.format("?"), (self.seen,)).fetchall()
        except sqlite3.OperationalError:  # the tables are being made
            return []

    async def close(self) -> None:
        if self._database is not None:
            self._database.close()


class _PostgresObserver(Observer):
    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._connection: asyncpg.Connection | None = None

    async def _read(self) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = await asyncpg.connect(self._address)
            return list(await self._connection.fetch(_NEWS.format("$1"), self.seen))
        except asyncpg.UndefinedTableError:  # the tables are being made
            return []

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


def observe(url: str) -> Observer:
    """An observer of the ledger at ``url``, as a user writes it."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return _SqliteObserver(Path(address.database or ""))
    return _PostgresObserver(address.set(drivername="postgresql").render_as_string(hide_password=False))
