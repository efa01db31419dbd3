"""Disks that are slow, full or locked, and that lose the power in the middle of a commit: under SQLite, real SQLite.

The ledger's connection takes the place of aiosqlite, without its thread; the journal's the place of ``sqlite3``. Both
write real files.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from solvus.simulations.benchmarks.faults.process import Killed, Life

LOCK_PATIENCE = 10.0
"""Seconds SQLite waits for a lock: the ``busy_timeout`` of the ledger."""


class Disk:
    """The disk of one program.

    Attributes
    ----------
    latency : seconds a commit takes.
    full, locked : every write is refused.
    kill_at : number of the commit at which the power goes; ``after``: once it is on the disk, but before anybody knows.
    """

    def __init__(self, kill: Callable[[], None]) -> None:
        self.latency = 0.001
        self.full = self.locked = False
        self.kill_at: int | None = None
        self.after = False
        self.commits = 0
        self._kill = kill

    def refusal(self) -> sqlite3.OperationalError | None:
        if self.full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            return error
        if self.locked:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            return error
        return None

    def dies_here(self, *, after: bool) -> bool:
        """Whether the power goes at this commit; if so it has gone when this returns."""
        if self.kill_at is None or self.commits < self.kill_at or self.after != after:
            return False
        self.kill_at = None
        self._kill()
        return True


class JournalConnection:
    """A ``sqlite3.Connection`` as far as a journal needs one."""

    def __init__(self, disk: Disk, life: Life, path: Path, **options: Any) -> None:
        self._disk, self._life = disk, life
        self._real = sqlite3.connect(path, **options)
        life.hold(self._real.close)

    @property
    def in_transaction(self) -> bool:
        return self._life.alive and self._real.in_transaction

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        if not self._life.alive:
            raise Killed
        writes = statement.startswith(("BEGIN", "COMMIT"))
        if writes and (refusal := self._disk.refusal()) is not None:
            raise refusal
        if statement != "COMMIT":
            return self._real.execute(statement, values)
        self._disk.commits += 1
        if self._disk.dies_here(after=False):
            raise Killed
        done = self._real.execute(statement)
        if self._disk.dies_here(after=True):
            raise Killed
        return done

    def executescript(self, script: str) -> Any:
        if (refusal := self._disk.refusal()) is not None:
            raise refusal
        return self._real.executescript(script)

    def close(self) -> None:
        if self._life.alive:
            self._real.close()


def journal_connect(disk: Disk, life: Life) -> Callable[..., sqlite3.Connection]:
    """In place of ``sqlite3.connect``."""

    def connect(path: Path, **options: Any) -> sqlite3.Connection:
        return cast(sqlite3.Connection, JournalConnection(disk, life, path, **options))

    return connect


class _AtOnce:
    """The queue of aiosqlite's thread, without the thread."""

    @staticmethod
    def put_nowait(item: tuple[asyncio.Future[Any], Callable[[], Any]]) -> None:
        future, work = item
        future.set_result(work())


class LedgerCursor:
    """An aiosqlite cursor as far as SQLAlchemy needs one."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection
        self._real = connection._conn.cursor()
        self.arraysize = 1

    async def __aenter__(self) -> LedgerCursor:
        return self

    @property
    def description(self) -> Any:
        return self._real.description

    @property
    def rowcount(self) -> int:
        return self._real.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._real.lastrowid

    async def execute(self, statement: str, values: Any = ()) -> LedgerCursor:
        await self._connection.admit(statement)
        self._real.execute(statement, values)
        return self

    async def executemany(self, statement: str, values: Any) -> LedgerCursor:
        await self._connection.admit(statement)
        self._real.executemany(statement, values)
        return self

    async def fetchall(self) -> list[Any]:
        return self._real.fetchall()

    async def close(self) -> None:
        if self._connection.life.alive:
            self._real.close()


class LedgerConnection:
    """An aiosqlite connection as far as SQLAlchemy needs one."""

    _tx = _AtOnce()

    def __init__(self, disk: Disk, life: Life, path: Path) -> None:
        self.disk, self.life = disk, life
        self._conn = sqlite3.connect(path)
        life.hold(self._conn.close)

    @property
    def _connection(self) -> sqlite3.Connection | None:
        return self._conn if self.life.alive else None

    @property
    def isolation_level(self) -> str | None:
        return self._conn.isolation_level

    def cursor(self, **_: Any) -> LedgerCursor:
        if not self.life.alive:
            raise sqlite3.OperationalError("connection closed")
        return LedgerCursor(self)

    async def admit(self, statement: str) -> None:
        """Let a statement pass, or have the disk refuse it."""
        if not self.life.alive:
            raise sqlite3.OperationalError("connection closed")
        if not statement.startswith("BEGIN IMMEDIATE"):
            return
        if self.disk.locked:
            await self._await_lock()
        if (refusal := self.disk.refusal()) is not None:
            raise refusal

    async def _await_lock(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_PATIENCE
        while self.disk.locked and loop.time() < deadline:  # noqa: ASYNC110 -- as SQLite does it
            await asyncio.sleep(0.2)

    async def commit(self) -> None:
        if not self.life.alive:
            raise sqlite3.OperationalError("connection closed")
        if not self._conn.in_transaction:
            return
        await asyncio.sleep(self.disk.latency / 2)
        if (refusal := self.disk.refusal()) is not None:
            raise refusal
        self.disk.commits += 1
        if self.disk.dies_here(after=False):
            raise Killed
        self._conn.commit()
        if self.disk.dies_here(after=True):
            raise Killed
        await asyncio.sleep(self.disk.latency / 2)

    async def create_function(self, *args: Any, **options: Any) -> None:
        self._conn.create_function(*args, **options)

    async def rollback(self) -> None:
        if self.life.alive:
            self._conn.rollback()

    async def close(self) -> None:
        if self.life.alive:
            self._conn.close()

    def stop(self) -> None:
        if self.life.alive:
            self._conn.close()


def ledger_creator(disk: Disk, life: Life, path: Path) -> Callable[..., Awaitable[LedgerConnection]]:
    """In place of ``aiosqlite.connect``."""

    async def create(*_: Any, **__: Any) -> LedgerConnection:
        return LedgerConnection(disk, life, path)

    return create
