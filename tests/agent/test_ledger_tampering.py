"""What is changed behind the back of the ledger is named, any row, order or tail; the database stands in the way."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from solvus.agent.ledger.canonical import chain_hash
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.verify import Verification, verify
from tests.agent.ledger_builder import build

TEXTS = ("campaign", "kind", "at", "body", "prev_hash", "hash")
SPOILT = {"kind": "campaign-ended", "body": '{"reason":"","state":"found"}', "at": "2030-01-01T00:00:00.000Z"}


class Tampered:
    """A copy of one whole ledger without its triggers, and what verification says of it."""

    def __init__(self, folder: Path) -> None:
        self.whole = folder / "whole.db"
        _, self.head = asyncio.run(
            build(f"sqlite:///{self.whole}", ("no-product", "rejected", "broken", "miss"))
        )
        self.copy = folder / "copy.db"
        with sqlite3.connect(self.whole) as database:
            (self.events,) = database.execute("SELECT count(*) FROM ledger_event").fetchone()

    def after(self, *statements: tuple[str, tuple[object, ...]], head: str | None = None) -> Verification:
        shutil.copy(self.whole, self.copy)
        database = sqlite3.connect(self.copy)
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        for statement, values in statements:
            database.execute(statement, values)
        database.commit()
        database.close()

        async def look() -> Verification:
            ledger = await Ledger.open(f"sqlite:///{self.copy}", write=False)
            try:
                return await verify(ledger, expected_head=head)
            finally:
                await ledger.close()

        return asyncio.run(look())


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tampered]:
    yield Tampered(tmp_path_factory.mktemp("tampered"))


SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=20, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_change_of_any_row_is_named(tampered: Tampered, data: st.DataObject) -> None:
    seq = data.draw(st.integers(1, tampered.events))
    column = data.draw(st.sampled_from(TEXTS))
    value = SPOILT.get(column, "f" * 64)
    found = tampered.after((f"UPDATE ledger_event SET {column} = ? WHERE seq = ?", (value, seq)))
    assert any(f"event {seq}" in problem for problem in found.problems), found.problems


@settings(max_examples=8, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_removed_row_and_a_changed_order_are_named(tampered: Tampered, data: st.DataObject) -> None:
    seq = data.draw(st.integers(1, tampered.events - 1))
    gone = tampered.after(("DELETE FROM ledger_event WHERE seq = ?", (seq,)))
    assert f"event {seq}: missing" in gone.problems
    swapped = tampered.after(
        ("UPDATE ledger_event SET seq = -1 WHERE seq = ?", (seq,)),
        ("UPDATE ledger_event SET seq = ? WHERE seq = ?", (seq, seq + 1)),
        ("UPDATE ledger_event SET seq = ? WHERE seq = -1", (seq + 1,)),
    )
    assert any(f"event {seq}" in problem for problem in swapped.problems)
    assert any(f"event {seq + 1}" in problem for problem in swapped.problems)


def test_a_tail_that_was_cut_off_shows_by_the_head(tampered: Tampered) -> None:
    cut = ("DELETE FROM ledger_event WHERE seq > ?", (tampered.events - 1,))
    found = tampered.after(cut, head=tampered.head)
    assert any("tail was cut off" in problem for problem in found.problems)
    assert tampered.after(cut).problems, "the state tables still say what the cut-off event did"


def test_a_forger_who_makes_the_whole_chain_anew_is_known_by_the_head(tampered: Tampered) -> None:
    """He can: the hashes are no secret. What he cannot change is the head in a report or a backup."""
    database = sqlite3.connect(tampered.whole)
    columns = "seq, campaign, kind, version, at, body"
    rows = database.execute(f"SELECT {columns} FROM ledger_event ORDER BY seq").fetchall()
    database.close()
    statements, prev = [], "0" * 64
    for seq, campaign, kind, version, at, body in rows:
        forged = body.replace("pump 2 stalled", "pump 3 stalled")
        digest = chain_hash(prev, seq=seq, campaign=campaign, kind=kind, version=version, at=at, body=forged)
        change = "UPDATE ledger_event SET body = ?, prev_hash = ?, hash = ? WHERE seq = ?"
        statements.append((change, (forged, prev, digest, seq)))
        prev = digest
    found = tampered.after(*statements, head=tampered.head)
    assert any("not in this ledger" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("pattern", "UPDATE pattern SET body = replace(body, '0.1', '0.2')"),
        ("inbox", "UPDATE inbox SET body = replace(body, 'done', 'gone')"),
        ("inbox", "DELETE FROM inbox"),
        ("pattern", "DELETE FROM pattern"),
        ("experiment", "UPDATE experiment SET cause = 'chemistry'"),
        ("command", "DELETE FROM command"),
    ],
)
def test_what_the_events_rest_on_is_checked_too(tampered: Tampered, table: str, change: str) -> None:
    problems = tampered.after((change, ())).problems
    word = {"inbox": "inbox", "pattern": "pattern"}.get(table, table)
    assert any(word in problem for problem in problems), problems


INSERT = (
    "INSERT {more} INTO ledger_event (seq, campaign, kind, version, at, body, prev_hash, hash) "
    "SELECT {seq}, campaign, kind, version, at, body, {prev}, {hash} FROM ledger_event WHERE seq = 1"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_event SET body = '{}' WHERE seq = 2",
        "DELETE FROM ledger_event WHERE seq = 2",
        INSERT.format(more="", seq=999, prev="'a'", hash="'b'"),
        INSERT.format(more="", seq="(SELECT 1 + max(seq) FROM ledger_event)", prev="'a'", hash="'b'"),
        INSERT.format(more="", seq="(SELECT 1 + max(seq) FROM ledger_event)", prev="prev_hash", hash="'b'"),
    ],
    ids=["update", "delete", "gap", "fork", "same predecessor"],
)
async def test_the_database_refuses_what_is_no_next_event(ledger_url: str, statement: str) -> None:
    await build(ledger_url, ("rejected",))
    ledger = await Ledger.open(ledger_url)
    try:
        with pytest.raises(DBAPIError, match=r"append-only|must follow|permission denied"):
            async with ledger.engine.begin() as connection:
                await connection.execute(text(statement))
        assert (await verify(ledger)).problems == ()
    finally:
        await ledger.close()


async def test_sqlite_refuses_to_replace_a_row(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    await build(url, ("rejected",))
    database = sqlite3.connect(tmp_path / "ledger.db")
    with pytest.raises(sqlite3.IntegrityError, match="must follow"):
        database.execute(INSERT.format(more="OR REPLACE", seq=2, prev="'a'", hash="'b'"))
    database.close()


async def test_postgresql_has_taken_the_rights_away(request: pytest.FixtureRequest, ledger_url: str) -> None:
    if not ledger_url.startswith("postgresql"):
        pytest.skip("SQLite knows no rights")
    await build(ledger_url, ("rejected",))
    ledger = await Ledger.open(ledger_url)
    try:
        async with ledger.engine.connect() as connection:
            for right in ("UPDATE", "DELETE", "TRUNCATE"):
                granted = await connection.scalar(
                    text(
                        "SELECT count(*) FROM information_schema.role_table_grants "
                        "WHERE table_name = 'ledger_event' AND privilege_type = :right"
                    ),
                    {"right": right},
                )
                assert granted == 0, right
            with pytest.raises(DBAPIError, match=r"append-only|permission denied"):
                await connection.execute(text("TRUNCATE ledger_event"))
    finally:
        await ledger.close()
