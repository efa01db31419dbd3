"""The journal keeps what it was told, over crashes, and never stops a device from starting."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvus.drivers.journal import Journal, JournalError
from solvus.drivers.messages import Event, Result
from solvus.models.pattern import Pattern


def event(command_id, kind):
    def draft(seq):
        return Event(
            boot_id="b",
            journal_id="j",
            seq=seq,
            command_id=command_id,
            kind=kind,
            cause="equipment" if kind == "failed" else None,
        )

    return draft


def result(command_id):
    curve = Pattern(x=range(1, 31), y=range(30))
    return lambda seq: Result(
        boot_id="b", journal_id="j", seq=seq, command_id=command_id, sample_id="s", pattern=curve
    )


def outbox(journal):
    found, seq = [], 0
    while (message := journal.next_after(seq)) is not None:
        found.append(message)
        seq = message.seq
    return found


def test_a_command_and_its_events_outlive_the_process(tmp_path):
    file = tmp_path / "deep" / "journal.sqlite"
    with Journal(file) as journal:
        first_id = journal.journal_id
        journal.record("c1", "accepted", [event("c1", "accepted")], "{}")
        journal.record("c1", "started", [event("c1", "started")])
        assert journal.record("c1", "done", [result("c1"), event("c1", "done")]) == 4
        journal.record("c2", "accepted", [event("c2", "accepted")], "{}")
        before = outbox(journal)
    with Journal(file) as journal:
        assert journal.journal_id == first_id and journal.last_seq == 5
        assert outbox(journal) == before  # byte for byte
        assert [message.channel for message in before] == ["event", "event", "result", "event", "event"]
        done = journal.command("c1")
        assert (done.status, done.terminal_seq) == ("done", 4)
        assert [record.command_id for record in journal.unfinished()] == ["c2"]
        assert journal.command("c3") is None


def test_a_receipt_prunes_the_outbox_but_not_what_is_known(tmp_path):
    with Journal(tmp_path / "j") as journal:
        for number in range(1, 6):
            journal.record(f"c{number}", "rejected", [event(f"c{number}", "rejected")])
        journal.receipt(3)
        journal.receipt(1)  # late, and without effect
        assert [message.seq for message in outbox(journal)] == [4, 5]
        assert journal.first_of("c2") is None and journal.first_of("c5") == 5
        journal.receipt(10**9)  # of more than there is: only what there is
        assert (outbox(journal), journal.receipted) == ([], 5)
        assert journal.command("c1").status == "rejected"
    with Journal(tmp_path / "j") as journal:
        assert (journal.receipted, journal.last_seq) == (5, 5)


@settings(max_examples=30)  # each step waits for the disk
@given(st.lists(st.sampled_from(["append", "record", "break", "receipt", "reopen"]), max_size=25))
def test_seq_has_no_gaps_whatever_happens(tmp_path_factory, steps):
    file = tmp_path_factory.mktemp("journal") / "j"
    journal, given_out = Journal(file), 0
    for step in steps:
        if step == "append":
            given_out += 1
            assert journal.append(event("c", "progress")) == given_out
        elif step == "record":
            given_out += 2
            assert journal.record("c", "done", [result("c"), event("c", "done")]) == given_out
        elif step == "break":

            def broken(seq):
                raise RuntimeError("no message")

            with pytest.raises(RuntimeError):
                journal.record("c", "failed", [event("c", "failed"), broken])
        elif step == "receipt":
            journal.receipt(given_out // 2)
        else:
            journal.close()
            journal = Journal(file)
        assert journal.last_seq == given_out
        assert [m.seq for m in outbox(journal)] == list(range(journal.receipted + 1, given_out + 1))
    journal.close()


def test_a_failed_transaction_changes_neither_status_nor_outbox(tmp_path):
    def broken(seq):
        raise RuntimeError("no message")

    with Journal(tmp_path / "j") as journal:
        journal.record("c", "accepted", [event("c", "accepted")])
        with pytest.raises(RuntimeError):
            journal.record("c", "done", [result("c"), broken])
        assert journal.command("c").status == "accepted" and len(outbox(journal)) == 1


@pytest.mark.parametrize("damage", ["noise", "truncated", "overwritten", "tables gone"])
def test_a_damaged_journal_is_moved_aside_and_a_new_one_begins(tmp_path, damage, caplog):
    file = tmp_path / "j"
    with Journal(file) as journal:
        old_id = journal.journal_id
        for number in range(200):
            journal.append(event(f"c{number}", "progress"))
    content = file.read_bytes()
    if damage == "noise":
        file.write_bytes(b"this is no database" * 100)
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "overwritten":
        file.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    else:
        database = sqlite3.connect(file)
        database.execute("DROP TABLE commands")
        database.close()
    with Journal(file) as journal:
        assert journal.journal_id != old_id and journal.last_seq == 0
    assert "is damaged" in caplog.text
    assert len(list(tmp_path.glob("j.damaged-*"))) >= 1
    with Journal(file) as again:
        assert again.journal_id == journal.journal_id


def test_one_journal_serves_one_process(tmp_path):
    file = tmp_path / "j"
    program = (
        f"from pathlib import Path; from solvus.drivers.journal import Journal; Journal(Path({str(file)!r}))"
    )
    with Journal(file):
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (
        "JournalError: journal:" in other.stderr and "every device needs a journal of its own" in other.stderr
    )
    assert not list(tmp_path.glob("*.damaged-*"))


def test_the_database_of_another_program_is_left_alone(tmp_path):
    file = tmp_path / "ledger.sqlite"
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE precious (x)")
    database.commit()
    database.close()
    before = file.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        Journal(file)
    assert list(tmp_path.glob("*.damaged-*")) == []
    database = sqlite3.connect(file)
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]
    database.close()
    assert len(file.read_bytes()) == len(before)


def test_a_folder_is_no_journal(tmp_path):
    with pytest.raises(JournalError, match="cannot be used"):
        Journal(tmp_path)
