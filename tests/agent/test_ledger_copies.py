"""Export, backup and restore, beside an agent that goes on writing; on both databases."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.agent.ledger.backup import backup, restore
from solvus.agent.ledger.canonical import GENESIS, chain_hash
from solvus.agent.ledger.engine import LedgerError
from solvus.agent.ledger.export import as_csv, as_json, read, write_crate
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import InboxRow
from solvus.agent.ledger.verify import verify
from tests.agent.ledger_builder import LedgerBuilder, build

SHORT = ("no-product", "miss", "hit")


async def test_a_backup_is_taken_while_the_agent_writes(tmp_path: Path, ledger_url: str) -> None:
    builder = await LedgerBuilder.start(ledger_url)
    await builder.experiment("miss")
    busy = True

    async def go_on() -> None:
        while busy:
            await builder.experiment("rejected")

    writing = asyncio.create_task(go_on())
    copies = []
    for number in range(3):
        file = tmp_path / f"backup-{number}.db"
        copies.append((await backup(ledger_url, file), file))
    busy = False
    await writing
    await builder.ledger.close()
    for found, file in copies:
        copy = await Ledger.open(f"sqlite:///{file}", write=False)
        again = await verify(copy)
        await copy.close()
        assert again.problems == () and again.head == found.head
    source = await Ledger.open(ledger_url, write=False)
    for found, _ in copies:
        assert (await verify(source, expected_head=found.head)).problems == (), (
            "a backup is a beginning of the ledger"
        )
    await source.close()


async def test_a_restored_ledger_is_the_same_and_goes_on(tmp_path: Path, ledger_url: str) -> None:
    url = f"sqlite:///{tmp_path / 'original.db'}"
    _, head = await build(url, SHORT, end=None)
    await backup(url, tmp_path / "safe.db")
    found = await restore(tmp_path / "safe.db", ledger_url)
    assert found.head == head and found.problems == ()
    with pytest.raises(LedgerError, match="there is a ledger with"):
        await restore(tmp_path / "safe.db", ledger_url)
    ledger = await Ledger.open(ledger_url)
    async with ledger.step() as step:
        await step.append("gold-decahedron-1", "campaign-ended", {"state": "stopped", "reason": ""})
        step.session.add(
            InboxRow(
                device="robot",
                journal_id="j",
                seq=1,
                channel="event",
                message_id="m",
                received_at="",
                body="{}",
                handled=True,
            )
        )
    assert (await verify(ledger, expected_head=head)).problems == ()
    await ledger.close()


async def test_a_backup_never_overwrites_and_a_spoilt_one_is_not_restored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'original.db'}"
    await build(url, ("miss",), end=None)
    safe = tmp_path / "safe.db"
    await backup(url, safe)
    with pytest.raises(LedgerError, match="exists already"):
        await backup(url, safe)
    with pytest.raises(LedgerError, match="there is no file"):
        await restore(tmp_path / "none.db", url)
    spoilt = bytearray(safe.read_bytes())
    at = spoilt.index(b"experiment-proposed")
    spoilt[at : at + 10] = b"experiMent"
    safe.write_bytes(bytes(spoilt))
    with pytest.raises(LedgerError, match="does not verify"):
        await restore(safe, f"sqlite:///{tmp_path / 'new.db'}")
    assert not list(tmp_path.glob(".*.part*"))


async def test_a_restore_beside_a_running_agent_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'original.db'}"
    await build(url, ("miss",), end=None)
    await backup(url, tmp_path / "safe.db")
    running = await Ledger.open(f"sqlite:///{tmp_path / 'busy.db'}")
    with pytest.raises(LedgerError, match="another agent is writing"):
        await restore(tmp_path / "safe.db", f"sqlite:///{tmp_path / 'busy.db'}")
    await running.close()


async def test_exports_say_what_the_ledger_says(tmp_path: Path, ledger_url: str) -> None:
    _, head = await build(ledger_url, SHORT)
    ledger = await Ledger.open(ledger_url, write=False)
    contents = await read(ledger, "gold-decahedron-1")
    await ledger.close()
    exported = json.loads(as_json(contents))
    assert exported["head"] == head
    prev = GENESIS
    for event in exported["events"]:  # whoever has the export can check the chain without Solvus
        named = {k: event[k] for k in ("seq", "campaign", "kind", "version", "at", "body")}
        assert event["prev_hash"] == prev and chain_hash(prev, **named) == event["hash"]
        prev = event["hash"]
    lines = list(csv.DictReader(io.StringIO(as_csv(contents))))
    assert [line["state"] for line in lines] == ["failed", "scored", "scored"]
    assert float(lines[2]["diameter"]) > 0 and lines[2]["recipe:capping_agent"] == "pvp"
    write_crate(contents, tmp_path / "crate")
    metadata = json.loads((tmp_path / "crate" / "ro-crate-metadata.json").read_text())
    graph = {entity["@id"]: entity for entity in metadata["@graph"]}
    assert graph["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    named = {part["@id"] for part in graph["./"]["hasPart"]}
    present = {str(f.relative_to(tmp_path / "crate")) for f in (tmp_path / "crate").rglob("*") if f.is_file()}
    assert named == present - {"ro-crate-metadata.json"} and named <= graph.keys()
    assert sum(name.startswith("patterns/") for name in named) == 3  # two measured, one of the target


def test_an_export_without_a_ledger_or_a_place_is_one_sentence(tmp_path: Path) -> None:
    run = CliRunner().invoke
    url = f"sqlite:///{tmp_path / 'original.db'}"
    wrong = run(
        app, ["audit", "export", "--format", "json", "--ledger", url, "--json", "-o", str(tmp_path / "x")]
    )
    assert wrong.exit_code == 2 and "there is no file" in json.loads(wrong.stdout)["error"]
    wrong = run(app, ["audit", "export", "--format", "ro-crate", "--json"])
    assert wrong.exit_code == 2 and "--output" in json.loads(wrong.stdout)["error"]


def test_export_backup_and_restore_from_the_command_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'original.db'}"
    _, head = asyncio.run(build(url, SHORT))
    run = CliRunner().invoke
    shown = run(app, ["audit", "export", "--format", "csv", "--ledger", url])
    assert shown.exit_code == 0 and shown.stdout.count("\n") == 4
    crate = run(
        app, ["audit", "export", "--format", "ro-crate", "-o", str(tmp_path / "c"), "--ledger", url, "--json"]
    )
    assert json.loads(crate.stdout)["head"] == head
    saved = run(app, ["audit", "backup", str(tmp_path / "safe.db"), "--ledger", url, "--json"])
    assert json.loads(saved.stdout)["head"] == head
    new = f"sqlite:///{tmp_path / 'new.db'}"
    back = run(app, ["audit", "restore", str(tmp_path / "safe.db"), "--ledger", new, "--json"])
    assert json.loads(back.stdout)["head"] == head
    assert json.loads(run(app, ["audit", "verify", "--ledger", new, "--json"]).stdout)["ok"]
    assert "No message" in run(app, ["audit", "quarantine", "--ledger", new]).stdout
    for number in range(1, 40, 6):  # every event has plain words
        told = run(app, ["audit", "show", str(number), "--ledger", url])
        assert told.exit_code == 0 and "{" not in told.stdout.replace("{}", ""), told.stdout
