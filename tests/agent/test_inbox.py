"""The inbox and what messages do to the states, on both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvus.agent.inbox import Held, Inbox
from solvus.agent.ledger.explanations import explain
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CommandRow, EarlySignalRow, ExperimentRow, InboxRow, PatternRow
from solvus.agent.ledger.verify import describe, verify
from solvus.drivers.messages import Event, Result, Signal
from solvus.models.pattern import Pattern

PATTERN = Pattern(x=np.arange(30) * 0.1, y=np.sin(np.arange(30)))


def event(seq: int, kind: str, command_id: str = "make", **more: Any) -> bytes:
    made = Event(boot_id="b", journal_id="j", seq=seq, command_id=command_id, kind=kind, **more)  # type: ignore[arg-type]
    return made.model_dump_json(by_alias=True).encode()


def result(seq: int, *, sample_id: str = "sample", command_id: str = "measure") -> bytes:
    made = Result(
        boot_id="b", journal_id="j", seq=seq, command_id=command_id, sample_id=sample_id, pattern=PATTERN
    )
    return made.model_dump_json(by_alias=True).encode()


@pytest.fixture
async def inbox(ledger: Ledger) -> Inbox:
    """One experiment whose synthesis is published, and a measurement of another that is."""
    async with ledger.step() as step:
        await step.append("c", "campaign-started", {"name": "c", "config": {}})
        for number, (command, purpose, states) in enumerate(
            [
                ("make", "make", ("approved", "synthesising")),
                ("measure", "measure", ("approved", "synthesising", "synthesised", "measuring")),
            ],
            start=1,
        ):
            await step.append(
                "c",
                "experiment-proposed",
                {
                    "number": number,
                    "sample_id": "sample",
                    "recipe": {},
                    "replicate_of": None,
                    "replicate": 0,
                    "proposal": {"explanation": ""},
                },
            )
            for to in states:
                await step.append("c", "experiment-moved", {"number": number, "to": to})
            await step.append(
                "c",
                "command-queued",
                {
                    "command_id": command,
                    "experiment": number,
                    "device": "robot",
                    "purpose": purpose,
                    "command": {},
                },
            )
            await step.append("c", "command-moved", {"command_id": command, "to": "published"})
    made = Inbox(ledger, "c", Path("nowhere"))
    await made.load()
    await made.meet("robot", "j", 0)
    return made


async def test_what_arrives_is_stamped_by_the_ledgers_clock(ledger: Ledger, inbox: Inbox) -> None:
    ledger.clock = lambda: datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    await inbox.receive("robot", "event", event(1, "accepted"))
    (row,) = await ledger.rows(InboxRow)
    assert row.received_at == "2031-05-06T07:08:09.000Z"


async def state_of(ledger: Ledger, number: int) -> ExperimentRow:
    return next(row for row in await ledger.rows(ExperimentRow) if row.number == number)


async def test_a_synthesis_runs_its_course(inbox: Inbox, ledger: Ledger) -> None:
    for seq, kind in enumerate(("accepted", "started", "progress", "done"), start=1):
        await inbox.receive("robot", "event", event(seq, kind))
    await inbox.work()
    assert (await state_of(ledger, 1)).state == "synthesised"
    assert inbox.up_to("robot", "j") == 4
    assert (await verify(ledger)).problems == ()


async def test_what_comes_twice_counts_once(inbox: Inbox, ledger: Ledger) -> None:
    for _ in range(3):
        await inbox.receive("robot", "event", event(1, "done"))
        await inbox.work()
    assert len(await ledger.rows(InboxRow)) == 1
    kinds = [e.kind for e in await ledger.events("c")]
    assert kinds.count("command-moved") == 3 and "message-late" not in kinds


async def test_a_result_and_its_done_in_either_order(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.receive("robot", "event", event(2, "done", "measure"))
    await inbox.work()
    assert (await state_of(ledger, 2)).state == "measuring", "done without a pattern is not measured"
    await inbox.receive("robot", "result", result(1))
    await inbox.work()
    row = await state_of(ledger, 2)
    assert row.state == "measured" and row.pattern_sha256 == PATTERN.sha256
    (stored,) = await ledger.rows(PatternRow)
    assert Pattern.model_validate_json(stored.body) == PATTERN
    assert (await verify(ledger)).problems == ()


async def test_a_late_event_is_recorded_and_moves_nothing(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.receive("robot", "event", event(2, "done"))
    await inbox.work()
    await inbox.receive("robot", "event", event(1, "started"))
    await inbox.work()
    (command,) = await ledger.rows(CommandRow, CommandRow.command_id == "make")
    assert command.state == "done"
    assert [e.kind for e in await ledger.events("c")][-1] == "message-late"


async def test_failures_say_whose_fault_it_was(inbox: Inbox, ledger: Ledger) -> None:
    failed = event(1, "failed", cause="chemistry", reason="nothing precipitated")
    await inbox.receive("robot", "event", failed)
    await inbox.work()
    row = await state_of(ledger, 1)
    assert (row.state, row.cause) == ("failed", "chemistry") and "nothing precipitated" in row.reason


async def test_an_interrupted_order_leaves_its_experiment_unknown(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.receive("robot", "event", event(1, "interrupted", reason="power cut"))
    await inbox.work()
    assert (await state_of(ledger, 1)).state == "unknown"


async def test_the_wrong_sample_is_refused(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.receive("robot", "result", result(1, sample_id="another"))
    await inbox.work()
    assert (await state_of(ledger, 2)).state == "measuring"
    last = (await ledger.events("c"))[-1]
    assert last.kind == "message-refused" and "another" in last.body["reason"]


async def test_another_device_cannot_end_our_command(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.receive("imposter", "event", event(1, "done"))
    await inbox.work()
    assert (await state_of(ledger, 1)).state == "synthesising"


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"\xff\xfe", b'{"seq": NaN}', b"[]", b"null", b'{"kind": "done"}']
)
async def test_what_is_no_message_is_noted_and_harmless(inbox: Inbox, ledger: Ledger, payload: bytes) -> None:
    before = len(await ledger.events("c"))
    await inbox.receive("robot", "event", payload)
    await inbox.receive("robot", "result", payload)
    await inbox.work()
    kinds = [e.kind for e in await ledger.events("c")][before:]
    assert kinds == ["message-refused", "message-refused"]
    assert (await verify(ledger)).problems == ()


def damaged(message: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(message) | changes).encode()


async def test_a_refused_result_is_refused_once_and_ends_its_experiment(inbox: Inbox, ledger: Ledger) -> None:
    # A driver that sends nanometres sends the same bytes again as long as they are not receipted.
    wrong = damaged(result(1), pattern={"quantity": "G", "x_unit": "nm", "x": [1.0], "y": [1.0]})
    for _ in range(3):
        await inbox.receive("robot", "result", wrong)
    assert inbox.up_to("robot", "j") == 1, "what is kept can be receipted, and the device stops sending it"
    await inbox.receive("robot", "event", event(2, "done", "measure"))
    await inbox.work()
    row = await state_of(ledger, 2)
    assert (row.state, row.cause) == ("failed", "equipment") and "no usable result" in row.reason
    assert [e.kind for e in await ledger.events("c")].count("message-refused") == 1
    assert (await verify(ledger)).problems == ()


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_a_measurement_without_a_usable_result_fails_in_either_order(
    inbox: Inbox, ledger: Ledger, order: tuple[int, int]
) -> None:
    reference = {"uri": f"solvus-data:{'0' * 64}", "sha256": "0" * 64, "size": 1}
    lost = damaged(result(1), pattern=None, reference=reference)
    messages = {1: ("result", lost), 2: ("event", event(2, "done", "measure"))}
    for seq in order:
        await inbox.receive("robot", *messages[seq])
        await inbox.work()
    assert (await state_of(ledger, 2)).state == "failed"


async def test_a_device_that_measured_nothing_does_not_hold_up_the_campaign(
    inbox: Inbox, ledger: Ledger
) -> None:
    await inbox.receive("robot", "event", event(1, "done", "measure"))
    await inbox.work()
    assert (await state_of(ledger, 2)).state == "failed"


async def test_a_device_may_act_on_what_is_still_queued_here(inbox: Inbox, ledger: Ledger) -> None:
    # The broker delivered the order and died before it confirmed it.
    command = {"command_id": "late", "experiment": 1, "device": "robot", "purpose": "make", "command": {}}
    async with ledger.step() as step:
        await step.append("c", "command-queued", command)
    for seq, kind in enumerate(("accepted", "started", "done"), start=1):
        await inbox.receive("robot", "event", event(seq, kind, "late"))
    await inbox.work()
    assert (await state_of(ledger, 1)).state == "synthesised"
    assert "message-late" not in [e.kind for e in await ledger.events("c")]


@pytest.mark.parametrize(
    "changes", [{"seq": 2**70}, {"sent_at": "9999-12-31T23:59:59-10:00"}, {"seq": 2**31}]
)
async def test_numbers_and_times_beyond_the_database_are_refused(
    inbox: Inbox, ledger: Ledger, changes: dict[str, Any]
) -> None:
    await inbox.receive("robot", "event", damaged(event(1, "done"), **changes))
    assert [e.kind for e in await ledger.events("c")][-1] == "message-refused"


async def test_another_agent_finds_what_this_one_held(inbox: Inbox, ledger: Ledger) -> None:
    for seq in (1, 2, 4):
        await inbox.receive("robot", "event", event(seq, "progress"))
    again = Inbox(ledger, "c", Path("nowhere"))
    await again.load()
    assert again.up_to("robot", "j") == 2
    await again.receive("robot", "event", event(3, "progress"))
    assert again.up_to("robot", "j") == 4


@given(st.integers(1, 5), st.lists(st.integers(1, 12)))
def test_held_counts_the_unbroken_run(base: int, seqs: list[int]) -> None:
    held = Held(base)
    for seq in seqs:
        held.add(seq)
    expected = base - 1
    while expected + 1 in seqs:
        expected += 1
    assert held.up_to == expected


def seen(seq: int, value: float, command_id: str = "make") -> bytes:
    made = Result(
        boot_id="b",
        journal_id="j",
        seq=seq,
        command_id=command_id,
        sample_id="sample",
        signals={"absorbance": Signal(value=value, sd=0.01)},
    )
    return made.model_dump_json(by_alias=True).encode()


async def test_the_signals_of_a_synthesis_are_kept_with_its_experiment(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.receive("robot", "result", seen(1, 0.8))
    await inbox.receive("robot", "event", event(2, "done"))
    await inbox.receive("robot", "result", seen(3, 0.9))
    await inbox.work()
    (row,) = await ledger.rows(EarlySignalRow)
    assert (row.experiment, row.decision) == (1, None)
    assert json.loads(row.signals) == {"absorbance": {"sd": 0.01, "unit": "", "value": 0.8}}
    assert (await state_of(ledger, 1)).state == "synthesised"
    told = {e.kind: e for e in await ledger.events("c")}
    assert describe(told["signals-received"]) == "experiment 1 seen early: absorbance 0.8"
    assert "has its signals already" in told["message-late"].body["reason"]
    assert ("signals", "absorbance 0.8 ± 0.01") in explain(told["signals-received"])
    assert (await verify(ledger)).problems == ()


async def test_a_measurement_needs_its_pattern(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.receive("robot", "result", seen(1, 0.8, "measure"))
    await inbox.receive("robot", "event", event(2, "done", "measure"))
    await inbox.work()
    row = await state_of(ledger, 2)
    assert (row.state, row.cause) == ("failed", "equipment")
    assert not await ledger.rows(EarlySignalRow)
    [refused] = [e for e in await ledger.events("c") if e.kind == "message-refused"]
    assert "pattern: is missing" in refused.body["reason"]
