"""A ledger copied whole: out of a running agent's database into one SQLite file, and from there into an empty one.

The copy is itself a ledger of the present form: it can be verified, read and exported without being restored. It is
read in one transaction, so that it is of one moment however busy the agent is, and it is written beside its name and
renamed at the end, so that there is never half a backup.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import SQLModel, func, select

from solvus.agent.ledger.control_tables import RequestRow
from solvus.agent.ledger.engine import LedgerError, as_ledger_error
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import (
    PROJECTIONS,
    EventRow,
    InboxRow,
    JournalRow,
    PatternRow,
    QuarantineRow,
)
from solvus.agent.ledger.verify import Verification, verify

TABLES: tuple[type[SQLModel], ...] = (
    EventRow,
    InboxRow,
    JournalRow,
    PatternRow,
    QuarantineRow,
    RequestRow,
    *PROJECTIONS,
)
CHUNK = 500
"""Rows carried over at a time: patterns are tens of kilobytes each."""


async def backup(url: str, file: Path) -> Verification:
    """Copy the ledger at ``url`` into ``file``, which must not exist, and verify the copy.

    Raises
    ------
    LedgerError
        When there is no ledger, the file exists or cannot be written, or the copy does not verify.
    """
    if file.exists():
        raise LedgerError(f"backup: {file} exists already; name a new file")
    part = file.with_name(f".{file.name}.part")
    _remove(part)
    source = await Ledger.open(url, write=False)
    try:
        target = await Ledger.open(f"sqlite:///{part}")
        try:
            await _copy(source, target)
            found = await verify(target)
        finally:
            await target.close()
        if found.problems:
            raise LedgerError(
                f"backup: the copy does not verify ({found.problems[0]}); see `solvus audit verify`"
            )
        _settle(part)
        part.rename(file)
    except (SQLAlchemyError, OSError) as error:
        raise as_ledger_error(source.engine.url, error) from error
    finally:
        await source.close()
        _remove(part)
    return found


async def restore(file: Path, url: str) -> Verification:
    """Copy a backup into the ledger at ``url``, which must be empty, and verify it there.

    Raises
    ------
    LedgerError
        When the file is no ledger or does not verify, an agent is writing at ``url``, or a ledger is there already.
    """
    if not file.is_file():
        raise LedgerError(f"restore: there is no file {file}")
    source = await Ledger.open(f"sqlite:///{file}", write=False)
    try:
        found = await verify(source)
        if found.problems:
            raise LedgerError(f"restore: {file} does not verify: {found.problems[0]}")
        target = await Ledger.open(url)
        try:
            if target.head[0]:
                raise LedgerError(
                    f"restore: there is a ledger with {target.head[0]} events already; give an empty one with --ledger"
                )
            await _copy(source, target)
            return await verify(target)
        finally:
            await target.close()
    except SQLAlchemyError as error:
        raise as_ledger_error(source.engine.url, error) from error
    finally:
        await source.close()


async def _copy(source: Ledger, target: Ledger) -> None:
    async with source.snapshot() as reading, target.engine.begin() as writing:
        for model in TABLES:
            if not source.has(model):  # written before there was such a table
                continue
            table = model.__table__  # type: ignore[attr-defined]
            keys = list(table.primary_key.columns)
            total = (await reading.exec(select(func.count()).select_from(table))).one()
            for start in range(0, total, CHUNK):
                page = select(model).order_by(*keys).offset(start).limit(CHUNK)
                rows = [row.model_dump() for row in (await reading.exec(page)).all()]
                await writing.execute(insert(table), rows)
                reading.expunge_all()
        if (
            target.engine.dialect.name == "postgresql"
        ):  # numbers it gives out itself must go on after the copied ones
            for model in (InboxRow, QuarantineRow, RequestRow):
                await writing.exec_driver_sql(_next_number(model))


def _next_number(model: type[SQLModel]) -> str:
    name = str(model.__tablename__)
    return (
        f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "  # noqa: S608 -- our own table's name
        f"(SELECT coalesce(max(id), 0) + 1 FROM {name}), false)"
    )


def _settle(file: Path) -> None:
    """On the disk before it gets its name."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(part: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)
