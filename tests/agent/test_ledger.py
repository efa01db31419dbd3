"""The ledger on both databases: chained, append-only, one writer, all or nothing, and provably whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from solvus.agent.ledger.canonical import GENESIS
from solvus.agent.ledger.engine import LedgerError
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CampaignRow, EventRow, ExperimentRow
from solvus.agent.ledger.verify import verify


async def start(ledger: Ledger, campaign: str = "c-1") -> None:
    async with ledger.step() as step:
        body = {"name": "c", "config": {"big": 1e22, "minus": -0.0, "text": "Å"}}
        await step.append(campaign, "campaign-started", body)


async def test_events_are_chained_and_projected(ledger: Ledger) -> None:
    assert ledger.head == (0, GENESIS)
    await start(ledger)
    (event,) = await ledger.events("c-1")
    assert event.body["config"] == {"big": 1e22, "minus": -0.0, "text": "Å"}
    (row,) = await ledger.rows(CampaignRow)
    assert row.state == "running"
    result = await verify(ledger, expected_head=ledger.head[1])
    assert result.problems == () and result.events == 1


async def test_a_step_that_fails_leaves_nothing(ledger: Ledger) -> None:
    await start(ledger)
    before = ledger.head
    with pytest.raises(RuntimeError):
        async with ledger.step() as step:
            await step.append("c-1", "campaign-ended", {"state": "found", "reason": ""})
            raise RuntimeError("power cut")
    assert ledger.head == before
    assert (await ledger.rows(CampaignRow))[0].state == "running"
    await start(ledger, "c-2")
    assert (await verify(ledger)).problems == ()


async def test_reading_waits_for_a_step_that_is_under_way(ledger: Ledger) -> None:
    """SQLite would keep the reader waiting ten seconds, and then end the agent with "database is locked"."""
    async with ledger.step() as step:
        await step.append("c-1", "campaign-started", {"name": "c", "config": {}})
        reading = asyncio.create_task(ledger.events("c-1", "campaign-started"))
        await asyncio.sleep(0.1)
        assert not reading.done()
    async with asyncio.timeout(2.0):
        assert [event.kind for event in await reading] == ["campaign-started"]
    assert await ledger.events("c-1", "campaign-ended") == []


async def test_given_up_at_any_moment_nothing_waits_for_ever(ledger: Ledger) -> None:
    """A reader is cancelled, and then everything is, as at the end of a program: which would not end."""
    await start(ledger)
    before = asyncio.all_tasks()
    for pauses in range(60):
        reading = asyncio.create_task(ledger.rows(CampaignRow))
        for wait in (pauses, 1 + pauses % 4):
            for _ in range(wait):
                await asyncio.sleep(0)
            for task in asyncio.all_tasks() - before:
                task.cancel()
        if under_way := asyncio.all_tasks() - before:
            await asyncio.wait(under_way, timeout=5.0)
        assert reading.done() and asyncio.all_tasks() == before
    (row,) = await ledger.rows(CampaignRow)
    assert row.state == "running"


async def test_nan_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="JSON"):
        async with ledger.step() as step:
            await step.append("c-1", "campaign-started", {"name": "c", "config": float("nan")})
    assert ledger.head == (0, GENESIS)


@pytest.mark.parametrize(
    "statement", ["UPDATE ledger_event SET kind = 'x'", "DELETE FROM ledger_event"], ids=["update", "delete"]
)
async def test_the_database_itself_refuses_changes(ledger: Ledger, statement: str) -> None:
    await start(ledger)
    with pytest.raises(DBAPIError, match="append-only"):
        async with ledger.engine.begin() as connection:
            await connection.execute(text(statement))


async def test_one_writer(ledger: Ledger, ledger_url: str) -> None:
    with pytest.raises(LedgerError, match="another agent is writing"):
        await Ledger.open(ledger_url)


async def test_reading_beside_the_writer(ledger: Ledger, ledger_url: str) -> None:
    await start(ledger)
    reader = await Ledger.open(ledger_url, write=False)
    try:
        assert reader.head == ledger.head
        with pytest.raises(LedgerError, match="reading only"):
            async with reader.step():
                pass
    finally:
        await reader.close()


async def test_reopening_goes_on_with_the_chain(ledger_url: str) -> None:
    for k in range(3):
        ledger = await Ledger.open(ledger_url)
        await start(ledger, f"c-{k}")
        await ledger.close()
    reader = await Ledger.open(ledger_url, write=False)
    result = await verify(reader)
    await reader.close()
    assert result.events == 3 and result.problems == ()


async def test_the_chain_cannot_fork(ledger: Ledger) -> None:
    await start(ledger)
    with pytest.raises(DBAPIError):
        async with ledger.session() as session:
            session.add(
                EventRow(
                    seq=2, campaign="c", kind="x", version=1, at="", body="{}", prev_hash=GENESIS, hash="0"
                )
            )
            await session.commit()


async def test_migrations_and_models_agree(ledger: Ledger) -> None:
    def differences(connection):  # type: ignore[no-untyped-def]
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, SQLModel.metadata)

    async with ledger.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_changed_projection_is_named(ledger: Ledger) -> None:
    await start(ledger)
    async with ledger.engine.begin() as connection:
        await connection.execute(text("UPDATE campaign SET state = 'found'"))
    (problem,) = (await verify(ledger)).problems
    assert "campaign" in problem and "state" in problem


async def test_a_row_no_event_makes_is_named(ledger: Ledger) -> None:
    await start(ledger)
    async with ledger.session() as session:
        session.add(ExperimentRow(campaign="c-1", number=1, state="scored", sample_id="s", recipe="{}"))
        await session.commit()
    (problem,) = (await verify(ledger)).problems
    assert "experiment" in problem and "no event" in problem


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("oracle://x/y", "not supported"),
        ("nonsense", "no database URL"),
        ("postgresql://nobody@127.0.0.1:1/none", "cannot be opened"),
    ],
)
async def test_a_wrong_address_is_one_sentence(url: str, says: str) -> None:
    with pytest.raises(LedgerError, match=says) as caught:
        await Ledger.open(url)
    assert "\n" not in str(caught.value)


async def test_a_missing_ledger_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="run a campaign first"):
        await Ledger.open(f"sqlite:///{tmp_path / 'none.db'}", write=False)
    assert not (tmp_path / "none.db").exists()
