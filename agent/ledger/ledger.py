"""The ledger: append-only, hash-chained, one transaction per step.

A *step* is one database transaction that holds events and everything they change. Its events are chained, projected
onto the state tables, and committed together or not at all::

    async with ledger.step() as step:
        await step.append(campaign, "experiment-moved", {...})
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from solvus.agent.ledger.canonical import GENESIS, canonical, chain_hash
from solvus.agent.ledger.engine import (
    LedgerError,
    WriterLock,
    as_ledger_error,
    is_migrated,
    ledger_url,
    make_engine,
    migrate,
    prepare_folder,
)
from solvus.agent.ledger.projections import Change, LedgerEvent, project, upcast, version_of
from solvus.agent.ledger.tables import PROJECTIONS, EventRow

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Row = TypeVar("Row", bound=SQLModel)
TABLES: dict[str, type[SQLModel]] = {str(t.__tablename__): t for t in PROJECTIONS}


def utc_now() -> datetime:
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with Z, as stored everywhere."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def decode(row: EventRow) -> LedgerEvent:
    return LedgerEvent(
        row.seq, row.campaign, row.kind, row.at, upcast(row.kind, row.version, json.loads(row.body))
    )


def _about(event: LedgerEvent) -> dict[str, Any]:
    """What a log line of an event carries besides its kind."""
    body = event.body
    number = body.get("number", body.get("experiment"))
    named = {k: body[k] for k in ("device", "command_id") if k in body}
    return {"campaign": event.campaign, "experiment": number, "event": event.kind, "seq": event.seq} | named


class Step:
    """One transaction of the ledger. Rows outside the projections (inbox, patterns) go through ``session``."""

    def __init__(self, session: AsyncSession, head: tuple[int, str], clock: Clock) -> None:
        self.session = session
        self.head = head
        self.events: list[LedgerEvent] = []
        self._clock = clock

    async def append(self, campaign: str, kind: str, body: dict[str, Any]) -> LedgerEvent:
        """Chain one event and apply it to the state tables."""
        seq, prev_hash = self.head[0] + 1, self.head[1]
        at, text = timestamp(self._clock()), canonical(body)
        version = version_of(kind)
        digest = chain_hash(
            prev_hash, seq=seq, campaign=campaign, kind=kind, version=version, at=at, body=text
        )
        self.session.add(
            EventRow(
                seq=seq,
                campaign=campaign,
                kind=kind,
                version=version,
                at=at,
                body=text,
                prev_hash=prev_hash,
                hash=digest,
            )
        )
        event = LedgerEvent(seq, campaign, kind, at, json.loads(text))
        for change in project(event):
            await self._apply(change)
        await self.session.flush()
        self.head = (seq, digest)
        self.events.append(event)
        return event

    async def _apply(self, change: Change) -> None:
        table = TABLES[change.table]
        row = await self.session.get(table, change.key if len(change.key) > 1 else change.key[0])
        if row is None:
            keys = [c.name for c in table.__table__.primary_key.columns]  # type: ignore[attr-defined]
            self.session.add(table(**dict(zip(keys, change.key, strict=True)), **change.values))
            return
        for name, value in change.values.items():
            setattr(row, name, value)
        self.session.add(row)

    async def get(self, table: type[Row], *key: Any) -> Row | None:
        return await self.session.get(table, key if len(key) > 1 else key[0])


class Ledger:
    """Open with :meth:`open`; everything the agent knows for certain is in here."""

    def __init__(self, engine: AsyncEngine, clock: Clock, lock: WriterLock | None) -> None:
        self.engine = engine
        self.clock = clock
        self._writer_lock = lock
        self._turn = asyncio.Lock()
        self._head: tuple[int, str] = (0, GENESIS)
        self._absent: frozenset[str] = frozenset()
        """Tables that an older Solvus did not make, in a ledger opened for reading."""

    @classmethod
    async def claim(cls, url: str, *, clock: Clock = utc_now) -> Self:
        """Take the writer's lock and nothing else: tables (and the file of SQLite) are made by :meth:`prepare`.

        Raises
        ------
        LedgerError
            When it cannot be reached, or another agent writes it.
        """
        address = ledger_url(url)
        prepare_folder(address)
        engine = make_engine(address, write=True)
        lock = WriterLock(engine)
        try:
            await lock.acquire()
        except (SQLAlchemyError, OSError) as error:
            await engine.dispose()
            raise as_ledger_error(address, error) from error
        except LedgerError:
            await engine.dispose()
            raise
        return cls(engine, clock, lock)

    async def prepare(self) -> None:
        """Bring the tables of a claimed ledger up to date and read its head; before this it cannot be used.

        Raises
        ------
        LedgerError
            When the database refuses.
        """
        try:
            async with self.engine.begin() as connection:
                await connection.run_sync(migrate)
            self._head = await self.read_head()
        except (SQLAlchemyError, OSError) as error:
            raise as_ledger_error(self.engine.url, error) from error

    @classmethod
    async def open(cls, url: str, *, clock: Clock = utc_now, write: bool = True) -> Self:
        """Open a ledger: to write, :meth:`claim` and :meth:`prepare`; to read, beside an agent that may write it.

        Raises
        ------
        LedgerError
            When it cannot be reached, another agent writes it, or (to read) there is none.
        """
        if write:
            ledger = await cls.claim(url, clock=clock)
            try:
                await ledger.prepare()
            except LedgerError:
                await ledger.close()
                raise
            return ledger
        address = ledger_url(url)
        engine = make_engine(address, write=False)
        try:
            if not await is_migrated(engine):
                raise LedgerError(f"ledger: {url} holds no Solvus ledger yet; run a campaign first")
        except (SQLAlchemyError, OSError) as error:
            await engine.dispose()
            raise as_ledger_error(address, error) from error
        except LedgerError:
            await engine.dispose()
            raise
        ledger = cls(engine, clock, None)
        async with engine.connect() as connection:
            there = await connection.run_sync(lambda c: set(inspect(c).get_table_names()))
        ledger._absent = frozenset(TABLES.keys() | {"request", "quarantine"}) - there
        ledger._head = await ledger.read_head()
        return ledger

    async def close(self) -> None:
        if self._writer_lock is not None:
            await self._writer_lock.release()
        await self.engine.dispose()

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the last event: printed in every report, so that a cut-off tail shows."""
        return self._head

    async def read_head(self) -> tuple[int, str]:
        """The head as the database has it now; a reader's ``head`` is that of when it was opened."""
        async with self.session() as session:
            row = (
                await session.exec(select(EventRow).order_by(col(EventRow.seq).desc()).limit(1))
            ).one_or_none()
        return (0, GENESIS) if row is None else (row.seq, row.hash)

    def session(self) -> AsyncSession:
        return AsyncSession(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one moment: an agent that goes on writing changes nothing of it."""
        async with self.session() as session:
            if self.engine.dialect.name == "postgresql":  # SQLite sees one moment in a transaction anyway
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @asynccontextmanager
    async def step(self) -> AsyncIterator[Step]:
        """One transaction; committed when the block ends, rolled back when it raises. Steps take turns."""
        if self._writer_lock is None:
            raise LedgerError("ledger: opened for reading only")
        async with self._turn:
            async with self.session() as session:
                step = Step(session, self._head, self.clock)
                yield step
                await session.commit()
            self._head = step.head
        for event in step.events:
            log.info("%s", event.kind, extra=_about(event))

    def has(self, table: type[SQLModel]) -> bool:
        """False for a table of today in a ledger of before it, which is then as good as empty."""
        return str(table.__tablename__) not in self._absent

    async def events(self, campaign: str | None = None, *kinds: str) -> list[LedgerEvent]:
        """All events in order, or those of one campaign, or those of some kinds.

        Takes its turn among the steps: SQLite would let it wait for one that commits to a slow disk, and then refuse.
        """
        statement = select(EventRow).order_by(col(EventRow.seq))
        if campaign is not None:
            statement = statement.where(EventRow.campaign == campaign)
        if kinds:
            statement = statement.where(col(EventRow.kind).in_(kinds))
        async with self._turn, self.session() as session:
            return [decode(row) for row in (await session.exec(statement)).all()]

    async def rows(self, table: type[Row], *conditions: Any, order_by: Any = None) -> Sequence[Row]:
        """All rows of ``table`` under ``conditions`` (SQLAlchemy expressions)."""
        if not self.has(table):
            return ()
        statement = select(table)
        for condition in conditions:
            statement = statement.where(condition)
        if order_by is not None:
            statement = statement.order_by(order_by)
        async with self._turn, self.session() as session:
            return (await session.exec(statement)).all()
