"""``solvus status`` and ``solvus audit`` read a ledger, also beside a writer, and name whatever was tampered with."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from solvus.agent import campaign_record
from solvus.agent.campaign_record import CampaignRecord, read_campaign
from solvus.agent.commandline.audit import audit_app
from solvus.agent.commandline.status import status
from solvus.agent.ledger.canonical import GENESIS, canonical, chain_hash
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import EventRow
from solvus.agent.ledger.verify import check_chain
from tests.agent.ledger_builder import LedgerBuilder, build

FATES = ("miss", "no-product", "untrusted", "hit", "confirms", "synthesising")

app = typer.Typer()
app.command()(status)
app.add_typer(audit_app, name="audit")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, str, str]:
    """A ledger file that no test may change, its campaign and its head."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    return (path, *asyncio.run(build(f"sqlite:///{path}", FATES, end=None)))


def run(path: Path, *arguments: str):
    return CliRunner().invoke(
        app, [*arguments, "--ledger", f"sqlite:///{path}"], env={"COLUMNS": "100", "NO_COLOR": "1"}
    )


def test_status_lists_campaigns(built):
    path, campaign, _ = built
    text = run(path, "status").stdout
    assert campaign in text and "running" in text and "6/40" in text and "4, 5" in text
    (document,) = json.loads(run(path, "status", "--json").stdout)
    assert document["campaign"] == campaign and document["best"] == 4 and document["found"] == [4, 5]
    assert document["target"] == "Au decahedron-1103"


def test_status_of_one_campaign_shows_experiments_and_open_orders(built):
    path, campaign, _ = built
    text = run(path, "status", campaign).stdout
    for words in (
        "no product",
        "not trusted",
        "hit",
        "repeats 4",
        "open orders",
        "experiment 6 on robot: started",
    ):
        assert words in text, words
    document = json.loads(run(path, "status", campaign, "--json").stdout)
    assert len(document["all_experiments"]) == 6
    assert [order["state"] for order in document["open_commands"]] == ["started"]


def test_status_is_of_one_moment_also_while_an_agent_writes(built, tmp_path: Path, monkeypatch):
    """The agent pauses after the experiments were read and before the pause is: they are read once more."""
    path, campaign, _ = built
    shutil.copy(path, tmp_path / "ledger.db")
    reads = []

    async def read_and_be_overtaken(ledger: Ledger, name: str) -> CampaignRecord:
        record = await read_campaign(ledger, name)
        reads.append(len(record.experiments))
        if len(reads) == 1:
            writer = await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
            async with writer.step() as step:
                await step.append(campaign, "campaign-paused", {"reason": "lunch", "by": "ben"})
            await writer.close()
        return record

    monkeypatch.setattr(campaign_record, "read_campaign", read_and_be_overtaken)
    document = json.loads(run(tmp_path / "ledger.db", "status", campaign, "--json").stdout)
    assert reads == [6, 6] and document["paused"]["reason"] == "lunch"


@pytest.mark.parametrize(
    "arguments", [("status",), ("audit", "list"), ("audit", "show", "1"), ("audit", "verify")]
)
def test_a_missing_ledger_is_one_sentence_and_leaves_no_file(tmp_path: Path, arguments):
    result = run(tmp_path / "none.db", *arguments)
    assert (
        result.exit_code == 2 and result.stderr.count("\n") == 1 and "run a campaign first" in result.stderr
    )
    assert list(tmp_path.iterdir()) == []
    assert (
        "run a campaign first" in json.loads(run(tmp_path / "none.db", *arguments, "--json").stdout)["error"]
    )


def test_what_is_not_there_is_one_sentence(built):
    path, campaign, _ = built
    assert campaign in run(path, "status", "gold-9").stderr
    assert "no event 9999" in run(path, "audit", "show", "9999").stderr
    assert "no kind of event" in run(path, "audit", "list", "--kind", "thing").stderr


def test_reading_works_beside_a_writer(tmp_path: Path):
    path = tmp_path / "ledger.db"

    async def beside() -> None:
        builder = await LedgerBuilder.start(f"sqlite:///{path}")
        await builder.experiment("miss")
        for arguments in (("status",), ("audit", "verify")):
            result = await asyncio.to_thread(run, path, *arguments)
            assert result.exit_code == 0, result.output
        await builder.experiment("miss")
        await builder.ledger.close()

    asyncio.run(beside())


def test_list_filters_and_counts(built):
    path, campaign, _ = built
    result = run(
        path, "audit", "list", "--kind", "experiment-proposed", "--last", "2", "--campaign", campaign
    )
    assert len(result.stdout.splitlines()) == 2 and "The last 2 of 6 events" in result.stderr
    everything = json.loads(run(path, "audit", "list", "--last", "0", "--json").stdout)
    assert [e["seq"] for e in everything] == list(range(1, len(everything) + 1))
    assert all(e["summary"] for e in everything)
    assert "target Au decahedron-1103" in everything[0]["summary"]


def test_every_event_can_be_shown(built):
    path, _, _ = built
    events = json.loads(run(path, "audit", "list", "--last", "0", "--json").stdout)
    kinds = {e["kind"]: e["seq"] for e in events}
    for kind, seq in kinds.items():
        text = run(path, "audit", "show", str(seq)).stdout
        shown = json.loads(run(path, "audit", "show", str(seq), "--json").stdout)
        assert kind in text and shown["hash"] in text and shown["prev_hash"] in text


async def test_a_proposal_is_shown_with_its_reasons(tmp_path: Path):
    path = tmp_path / "ledger.db"
    builder = await LedgerBuilder.start(f"sqlite:///{path}")
    builder.count = 8  # past the initial points
    await builder.experiment("rejected")
    await builder.ledger.close()
    text = await asyncio.to_thread(lambda: run(path, "audit", "show", "3").stdout)
    for words in (
        "surrogate",
        "0.94 ± 0.41",
        "passed over",
        "less likely to give a product",
        "at 0.11",
        "seed",
    ):
        assert words in text, words


def test_an_untouched_ledger_verifies(built):
    path, _, head = built
    result = run(path, "audit", "verify", "--head", head)
    assert result.exit_code == 0 and "chain whole" in result.stdout and head in result.stdout
    assert json.loads(run(path, "audit", "verify", "--json").stdout)["ok"] is True


FREE = "DROP TRIGGER ledger_event_no_update; DROP TRIGGER ledger_event_no_delete;"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (FREE + "UPDATE ledger_event SET body = replace(body, 'sobol', 'human') WHERE seq = 3", "event 3 "),
        (FREE + "UPDATE ledger_event SET at = '2020-01-01T00:00:00.000Z' WHERE seq = 7", "event 7 "),
        (FREE + "DELETE FROM ledger_event WHERE seq = 5", "event 5: missing"),
        (FREE + "DELETE FROM ledger_event WHERE seq IN (5, 6)", "events 5 to 6: missing"),
        (FREE + "DELETE FROM ledger_event WHERE seq = 1", "event 1: missing"),
        ("UPDATE pattern SET body = replace(body, '0.1', '0.2')", "its content was changed"),
        ("DELETE FROM pattern", "is missing"),
        (
            "UPDATE inbox SET body = replace(body, 'chemistry', 'equipment')",
            "message it rests on was changed",
        ),
        ("UPDATE experiment SET score = NULL WHERE number = 4", "'gold-decahedron-1', 4): score differ"),
        ("DELETE FROM experiment WHERE number = 4", "the table lacks it"),
        ("UPDATE campaign SET state = 'found'", "campaign ('gold-decahedron-1',): state differ"),
        ("UPDATE command SET state = 'done'", "state differ"),
    ],
)
def test_tampering_is_named(built, tmp_path: Path, sql: str, words: str):
    path = shutil.copy(built[0], tmp_path / "copy.db")
    with sqlite3.connect(path) as database:
        database.executescript(sql)
    database.close()
    result = run(path, "audit", "verify")
    assert result.exit_code == 1 and words in result.stdout, result.stdout
    assert json.loads(run(path, "audit", "verify", "--json").stdout)["ok"] is False


def test_events_refuse_to_be_changed_while_the_guard_stands(built, tmp_path: Path):
    database = sqlite3.connect(shutil.copy(built[0], tmp_path / "copy.db"))
    for sql in ("UPDATE ledger_event SET kind = 'x'", "DELETE FROM ledger_event"):
        with pytest.raises(sqlite3.IntegrityError):
            database.execute(sql)
    database.close()


def test_a_cut_tail_shows_only_with_the_head(built, tmp_path: Path):
    path = shutil.copy(built[0], tmp_path / "copy.db")
    with sqlite3.connect(path) as database:
        # The last experiment, whole, with its rows: nothing but the head hash of a report can tell.
        first = database.execute(
            "SELECT min(seq) FROM ledger_event WHERE kind = 'experiment-proposed' AND body LIKE '%\"number\":6,%'"
        ).fetchone()[0]
        database.executescript(
            f"{FREE} DELETE FROM ledger_event WHERE seq >= {first};"
            "DELETE FROM experiment WHERE number = 6; DELETE FROM command WHERE experiment = 6"
        )
    database.close()
    assert run(path, "audit", "verify").exit_code == 0
    result = run(path, "audit", "verify", "--head", built[2])
    assert result.exit_code == 1 and "its tail was cut off or replaced" in result.stdout


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON))
def test_canonical_text_survives_reading_and_ignores_order(value: dict):
    text = canonical(value)
    assert canonical(json.loads(text)) == text
    assert canonical(dict(reversed(value.items()))) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_json_number_is_refused(value: float):
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": value})


def chain_of(bodies: list[str]) -> list[EventRow]:
    rows, prev = [], GENESIS
    for seq, body in enumerate(bodies, 1):
        fields = {"seq": seq, "campaign": "c-1", "kind": "k", "version": 1, "at": "t", "body": body}
        digest = chain_hash(prev, **fields)
        rows.append(EventRow(**fields, prev_hash=prev, hash=digest))
        prev = digest
    return rows


BODIES = st.lists(JSON.map(canonical), min_size=2, max_size=6)


@given(BODIES, st.data())
def test_no_event_of_a_chain_can_be_changed_moved_or_taken_out(bodies: list[str], data: st.DataObject):
    rows = chain_of(bodies)
    assert check_chain(rows) == []
    at = data.draw(st.integers(0, len(rows) - 1))
    field = data.draw(st.sampled_from(["campaign", "kind", "at", "body", "prev_hash", "hash"]))
    changed = chain_of(bodies)
    setattr(changed[at], field, getattr(changed[at], field) + " ")
    assert check_chain(changed)
    if at < len(rows) - 1:
        assert check_chain(rows[:at] + rows[at + 1 :])
    forged = chain_of([*bodies[:at], bodies[at] + " ", *bodies[at + 1 :]])[at]  # rehashed, as a forger would
    assert at == len(rows) - 1 or check_chain([*rows[:at], forged, *rows[at + 1 :]])
