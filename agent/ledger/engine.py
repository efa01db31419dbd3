"""Database connections: SQLite (WAL) by default, PostgreSQL by URL, and the lock that makes one writer.

``synchronous=FULL`` because NORMAL may lose the last commits on power loss, which is wrong for a ledger; transactions
of a writer begin IMMEDIATE so that two of them queue instead of failing half-way.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
from alembic import command
from alembic.config import Config
from filelock import FileLock, Timeout
from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

ADVISORY_LOCK = 0x50_1B_05
"""Key of the PostgreSQL advisory lock that the writing agent holds; any fixed number of our own."""

Creator = Callable[..., Awaitable[Any]]

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


class LedgerError(RuntimeError):
    """The ledger cannot be used; the message says why and what to do in one sentence."""


def ledger_url(text_url: str) -> URL:
    """The async URL for ``sqlite:///path`` or ``postgresql://host/db``.

    Raises
    ------
    LedgerError
        For anything else.
    """
    try:
        url = make_url(text_url)
    except ArgumentError as error:
        raise LedgerError(
            f"ledger: {text_url!r} is no database URL; use sqlite:///path or postgresql://host/db"
        ) from error
    backend = url.get_backend_name()
    if backend not in _DRIVERS:
        raise LedgerError(f"ledger: {backend} is not supported; use sqlite:///path or postgresql://host/db")
    return url.set(drivername=_DRIVERS[backend])


def plain_url(url: URL) -> str:
    """A ledger's URL as a user writes it: without the name of the asynchronous driver, and without a password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def make_engine(url: URL, *, write: bool, creator: Creator | None = None) -> AsyncEngine:
    """An engine for the ledger. ``creator`` opens the connections of SQLite; simulations of failing disks put their
    own here."""
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url)
    engine = create_async_engine(url, connect_args={"async_creator_fn": creator or _connect_sqlite})
    _configure_sqlite(engine, write=write)
    return engine


class EndsOnce(aiosqlite.Connection):
    """A connection that can be told to end twice.

    The second time aiosqlite (0.22) waits for an answer of the thread that has ended; SQLAlchemy does so where a
    transaction is cancelled and cancelled again, and the program would never end.
    """

    _told = False

    def stop(self) -> asyncio.Future[Any] | None:
        if self._told:
            return None
        self._told = True
        return super().stop()


def _connect_sqlite(database: str, **options: Any) -> EndsOnce:
    connection = EndsOnce(partial(sqlite3.connect, database, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # as SQLAlchemy does: a thread must not keep the program alive
    return connection


def _configure_sqlite(engine: AsyncEngine, *, write: bool) -> None:
    begin = "BEGIN IMMEDIATE" if write else "BEGIN"

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # transactions are begun by on_begin, not by the driver
        cursor = dbapi_connection.cursor()
        pragmas = ["busy_timeout=10000", "foreign_keys=ON"]
        if write:
            pragmas += ["journal_mode=WAL", "synchronous=FULL"]
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest version; does nothing when they are."""
    config = Config()
    config.set_main_option("script_location", "solvus.agent.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def is_migrated(engine: AsyncEngine) -> bool:
    """Whether there is a ledger; looking does not make a SQLite file."""
    url = engine.url
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return False
    async with engine.connect() as connection:
        return await connection.run_sync(lambda c: inspect(c).has_table("ledger_event"))


class WriterLock:
    """Held by the one agent that writes: a lock file beside SQLite, an advisory lock in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._file: FileLock | None = None
        self._connection: AsyncConnection | None = None

    async def acquire(self) -> None:
        """Raises LedgerError when another agent holds it."""
        refusal = LedgerError(
            "ledger: another agent is writing it; stop that agent, or give this one its own --ledger"
        )
        if self._engine.url.get_backend_name() == "sqlite":
            self._file = FileLock(f"{self._engine.url.database}.lock")
            try:
                self._file.acquire(timeout=0)
            except Timeout as error:
                raise refusal from error
            return
        self._connection = await self._engine.connect()
        got = await self._connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        await self._connection.commit()
        if not got:
            await self._connection.close()
            self._connection = None
            raise refusal

    async def release(self) -> None:
        if self._file is not None:
            self._file.release()
        if self._connection is not None:
            await self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
            await self._connection.close()


def prepare_folder(url: URL) -> None:
    """Make the folder of a SQLite file; an unwritable place is refused in one sentence."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    folder = Path(url.database).expanduser().resolve().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"ledger: cannot make the folder {folder} ({error.strerror})") from error


def as_ledger_error(url: URL, error: SQLAlchemyError | OSError) -> LedgerError:
    return LedgerError(
        f"ledger: {plain_url(url)} cannot be opened ({str(error).splitlines()[0]}); check --ledger"
    )
