"""Ledgers that older versions wrote stay readable: recorded ones, as SQL, with the tables and events of their time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from solvus.agent.ledger import projections
from solvus.agent.ledger.backup import backup, restore
from solvus.agent.ledger.export import as_csv, as_json, read
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CampaignRow, ExperimentRow, QuarantineRow
from solvus.agent.ledger.verify import rebuild, verify

RECORDED = Path(__file__).parent / "data" / "ledger-0001.sql"
"""Six experiments, two refused messages and a late one, written by the first tables (revision 0001)."""
HEAD = "fe21d3f4b8b2703eb18cb3075bfce15c48e7b5b2ecec868e426daaf098687738"
EVENTS = 80


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    file = tmp_path / "recorded.db"
    with sqlite3.connect(file) as database:
        database.executescript(RECORDED.read_text())
    database.close()
    return f"sqlite:///{file}"


async def test_an_old_ledger_is_read_as_it_is(recorded: str) -> None:
    ledger = await Ledger.open(recorded, write=False)
    found = await verify(ledger, expected_head=HEAD)
    assert (found.events, found.head, found.problems) == (EVENTS, HEAD, ())
    events = await ledger.events()
    assert not ledger.has(QuarantineRow)
    await ledger.close()
    refused = [e.body for e in events if e.kind == "message-refused"]
    assert [(b["channel"], b["reason"]) for b in refused] == [
        ("event", "boot_id: Field required"),
        ("event", "event: Invalid JSON: expected value at line 1 column 1"),
    ]
    assert all("head" not in body for body in refused)


async def test_an_old_ledger_is_migrated_and_written_on(recorded: str) -> None:
    ledger = await Ledger.open(recorded)
    assert ledger.head == (EVENTS, HEAD)
    async with ledger.step() as step:
        await step.append("gold-decahedron-1", "campaign-ended", {"state": "stopped", "reason": "again"})
    found = await verify(ledger, expected_head=HEAD)
    assert found.problems == () and found.events == EVENTS + 1
    assert [row.state for row in await ledger.rows(CampaignRow)] == ["stopped"]
    assert ledger.has(QuarantineRow)
    await ledger.close()


async def test_the_state_tables_of_an_old_ledger_are_what_its_events_give(recorded: str) -> None:
    ledger = await Ledger.open(recorded, write=False)
    tables = rebuild(await ledger.events())
    rows = await ledger.rows(ExperimentRow)
    await ledger.close()
    assert {number: row["state"] for (_, number), row in tables["experiment"].items()} == {
        row.number: row.state for row in rows
    }
    assert [row.state for row in rows] == ["failed", "rejected", "failed", "scored", "scored", "scored"]


async def test_every_step_of_an_upcast_is_taken(recorded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two versions on: the body goes through both, the stored text and its hash stay."""
    monkeypatch.setitem(projections.VERSIONS, "campaign-ended", 3)
    monkeypatch.setitem(
        projections.UPCASTS, ("campaign-ended", 1), lambda b: b | {"state": b["state"].upper()}
    )
    monkeypatch.setitem(
        projections.UPCASTS, ("campaign-ended", 2), lambda b: b | {"state": b["state"].lower() + "!"}
    )
    ledger = await Ledger.open(recorded, write=False)
    (end,) = [e for e in await ledger.events() if e.kind == "campaign-ended"]
    assert end.body["state"] == "found!"
    found = await verify(ledger)
    await ledger.close()
    assert found.head == HEAD and all(
        "campaign" in problem for problem in found.problems
    )  # the table says found


async def test_a_newer_event_is_refused_in_a_sentence(recorded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(projections.VERSIONS, "campaign-ended", 0)
    ledger = await Ledger.open(recorded, write=False)
    with pytest.raises(ValueError, match="newer Solvus; upgrade"):
        await ledger.events()
    await ledger.close()


async def test_an_old_ledger_goes_into_a_backup_and_from_there_anywhere(
    recorded: str, tmp_path: Path, ledger_url: str
) -> None:
    file = tmp_path / "safe.db"
    assert (await backup(recorded, file)).head == HEAD
    assert (await restore(file, ledger_url)).problems == ()
    first, second = await Ledger.open(recorded, write=False), await Ledger.open(ledger_url, write=False)
    try:
        one, two = await read(first), await read(second)
        assert as_json(one) == as_json(two) and as_csv(one) == as_csv(two)
    finally:
        await first.close()
        await second.close()
