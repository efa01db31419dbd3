"""What a device answers to every kind of order, over a real broker, with a real driver."""

from __future__ import annotations

from datetime import timedelta

import pytest

from solvus.drivers.data import load_pattern
from solvus.drivers.journal import JournalError
from solvus.drivers.messages import Cancel, Describe, Query, Receipt, Resend, now
from solvus.drivers.topics import device_topic

# The answers do not depend on the broker; the contract tests cover both, and a full run these too.
pytestmark = pytest.mark.parametrize(
    "broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.slow)], indirect=True
)
SOON = timedelta(minutes=1)


async def test_an_order_is_accepted_started_and_done(running, listener, make_order):
    order = make_order(seconds=0.3)
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["done"])
    assert listener.kinds(order.command_id) == ["accepted", "started", "progress", "done"]
    assert listener.event(order.command_id, "progress").fraction == 0.5
    states = [state.state for state, retained in listener.states if not retained]
    await listener.until(lambda: listener.state == "ready")
    assert "busy" in states
    assert running.moves[:3] == ["open", f"begin {order.command_id}", f"end {order.command_id}"]


async def test_a_measurement_is_published_before_its_done(running, listener, make_order):
    order = make_order("measure", points=3000)
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["done"])
    assert listener.kinds(order.command_id) == ["accepted", "started", "result", "done"]
    (result,) = [m for m in listener.heard.values() if hasattr(m, "pattern")]
    assert result.sample_id == order.sample_id and len(result.pattern.x) == 3000


async def test_a_large_pattern_travels_as_a_reference_to_its_content(running, listener, make_order, tmp_path):
    order = make_order("measure", points=100_000)
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["done"])
    (result,) = [m for m in listener.heard.values() if hasattr(m, "pattern")]
    pattern = load_pattern(tmp_path / "data", result.reference)
    assert len(pattern.x) == 100_000 and pattern.sha256 == result.reference.sha256


OUT_OF_BOUNDS = [
    ({"action": "anneal"}, "action: 'anneal' is none"),
    ({"parameters": {"seconds": 61.0, "fate": "fine"}}, "outside 0 to 60"),
    ({"parameters": {"seconds": "long", "fate": "fine"}}, "needs a number"),
    ({"parameters": {"seconds": 1.0, "fate": "boiling"}}, "is not one of"),
    ({"parameters": {"seconds": 1.0}}, "fate: missing"),
    ({"parameters": {"seconds": 1.0, "fate": "fine", "colour": 1.0}}, "colour: make takes no such"),
    ({"expires_at": now() - timedelta(seconds=1)}, "expired at"),
]


async def test_an_order_out_of_bounds_is_refused_and_nothing_moves(running, listener, make_order):
    await listener.until(lambda: listener.state == "ready")
    for changes, words in OUT_OF_BOUNDS:
        order = make_order().model_copy(update=changes)
        await listener.send(order)
        await listener.until(lambda: listener.kinds(order.command_id))  # noqa: B023 -- awaited here
        kind = "expired" if "expires_at" in changes else "rejected"
        assert words in listener.event(order.command_id, kind).reason
    assert running.moves == ["open"]


async def test_the_device_judges_expiry_by_its_own_clock(running, listener, make_order, later):
    await running.stop()
    running.options["clock"] = later(3600.0)
    await running.start()
    order = make_order()
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id) == ["expired"])


async def test_a_second_order_is_rejected_as_busy(running, listener, make_order):
    first, second = make_order(seconds=0.4), make_order()
    await listener.until(lambda: listener.state == "ready")
    await listener.send(first)
    await listener.send(second)
    await listener.until(lambda: listener.kinds(second.command_id) == ["rejected"])
    assert f"busy with {first.command_id}" in listener.event(second.command_id, "rejected").reason
    await listener.until(lambda: listener.kinds(first.command_id)[-1:] == ["done"])


@pytest.mark.parametrize(
    ("fate", "cause", "words"),
    [
        ("chemistry", "chemistry", "nothing precipitated"),
        ("equipment", "equipment", "the pump is blocked"),
        ("bug", "equipment", "KeyError: 'forgotten'"),
    ],
)
async def test_a_failure_makes_the_hardware_safe_and_names_its_cause(
    running, listener, make_order, fate, cause, words
):
    order = make_order(fate=fate)
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["failed"])
    failed = listener.event(order.command_id, "failed")
    assert (failed.cause, failed.reason) == (cause, words)
    assert running.moves[-1] == "idle"
    await listener.until(lambda: listener.state == "ready")
    again = make_order()
    await listener.send(again)
    await listener.until(lambda: listener.kinds(again.command_id)[-1:] == ["done"])


async def test_hardware_that_cannot_be_made_safe_stays_a_fault_and_takes_no_orders(
    running, listener, make_order
):
    await running.stop()
    await running.start(idle_fails=True)
    await listener.until(lambda: listener.state == "ready")
    order, next_order = make_order(fate="equipment"), make_order()
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["failed"])
    assert "the valve does not answer" in listener.event(order.command_id, "failed").reason
    await listener.until(lambda: listener.state == "fault")
    await listener.send(next_order)
    await listener.until(lambda: listener.kinds(next_order.command_id) == ["rejected"])


async def test_hardware_that_does_not_open_is_a_fault(running, listener, make_order):
    await running.stop()
    await running.start(open_fails=True)
    await listener.until(lambda: listener.state == "fault")
    assert "no such port" in listener.states[-1][0].detail


async def test_cancel_stops_the_running_order_only(running, listener, make_order):
    order = make_order(seconds=30.0)
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: "started" in listener.kinds(order.command_id))
    await listener.send(Cancel(boot_id="a", command_id=order.command_id, expires_at=now() - SOON))
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["failed"])
    failed = listener.event(order.command_id, "failed")
    assert (failed.cause, failed.reason) == ("equipment", "cancelled")
    assert running.moves == ["open", f"begin {order.command_id}", "idle"]


async def test_an_order_cancelled_before_it_arrived_is_never_carried_out(running, listener, make_order):
    order = make_order()
    await listener.until(lambda: listener.state == "ready")
    await listener.send(Cancel(boot_id="a", command_id=order.command_id, expires_at=now() + SOON))
    await listener.send(order)
    await listener.until(lambda: listener.repeats)
    assert listener.kinds(order.command_id) == ["rejected"]
    assert running.moves == ["open"]


async def test_a_repeated_order_is_answered_and_done_once(running, listener, make_order):
    order = make_order()
    await listener.until(lambda: listener.state == "ready")
    for _ in range(3):
        await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["done"])
    done = listener.event(order.command_id, "done")
    receipt = Receipt(boot_id="a", expires_at=now() + SOON, journal_id=done.journal_id, up_to_seq=done.seq)
    await listener.send(receipt)
    await listener.send(order)  # after the receipt the events are gone, what became of it is not
    await listener.until(lambda: "answer" in listener.kinds(order.command_id))
    (answer,) = listener.event(order.command_id, "answer").answers
    assert (answer.status, answer.terminal_seq) == ("done", done.seq)
    assert running.moves.count(f"begin {order.command_id}") == 1


async def test_query_tells_what_became_of_each_command(running, listener, make_order):
    done, refused = make_order(), make_order(seconds=99.0)
    await listener.until(lambda: listener.state == "ready")
    await listener.send(refused)
    await listener.send(done)
    await listener.until(lambda: listener.kinds(done.command_id)[-1:] == ["done"])
    ids = (done.command_id, refused.command_id, "never-sent")
    query = Query(boot_id="a", expires_at=now() + SOON, command_ids=ids)
    await listener.send(query)
    await listener.until(lambda: listener.kinds(query.command_id) == ["answer"])
    answers = {a.command_id: a for a in listener.event(query.command_id, "answer").answers}
    assert [answers[i].status for i in ids] == ["done", "rejected", "unheard"]
    assert answers[done.command_id].terminal_seq == listener.event(done.command_id, "done").seq


async def test_resend_repeats_what_is_not_receipted_and_nothing_else(running, listener, make_order):
    order = make_order()
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["done"])
    journal_id, last = max(listener.heard)
    common = {"boot_id": "a", "expires_at": now() + SOON}
    await listener.send(Receipt(**common, journal_id="another-journal", up_to_seq=last))
    await listener.send(Receipt(**common, journal_id=journal_id, up_to_seq=2))
    listener.order_heard.clear()
    await listener.send(Resend(**common, from_seq=1))
    await listener.until(lambda: (journal_id, last) in listener.order_heard)
    assert [seq for _, seq in listener.order_heard] == list(range(3, last + 1))
    await listener.until(lambda: listener.states[-1][0].receipted == 2)


async def test_noise_on_the_command_topic_is_ignored(running, listener, make_order):
    await listener.until(lambda: listener.state == "ready")
    order = make_order()
    for noise in (b"", b"\xff\x00", b"[]", b'{"kind": "execute"}', b"[" * 5000, b'{"kind": "__class__"}'):
        await listener.send(noise)
    await listener.send(order.model_dump_json(by_alias=True).replace('"fine"', "NaN").encode())
    await listener.send(order.model_copy(update={"command_id": "retained"}), retain=True)
    await listener.send(order)
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["done"])
    assert {m.command_id for m in listener.heard.values()} <= {order.command_id, "retained"}
    assert not running.task.done()


async def test_a_retained_command_is_not_carried_out_by_a_device_that_comes_later(
    running, listener, make_order
):
    await running.stop()
    order = make_order()
    await listener.send(order, retain=True)
    await running.start()
    await listener.until(lambda: listener.state == "ready")
    probe = make_order("measure")
    await listener.send(probe)
    await listener.until(lambda: listener.kinds(probe.command_id)[-1:] == ["done"])
    assert listener.kinds(order.command_id) == []
    await listener.connection.publish(device_topic("test-lab", "furnace", "command"), b"", retain=True)


async def test_the_description_has_the_limits_and_says_that_it_is_simulated(running, listener):
    await listener.until(lambda: listener.describes)
    described = Describe.model_validate_json(listener.describes[-1])
    assert described.simulated and described.driver == "slow-driver"
    make = next(c for c in described.capabilities if c.action == "make")
    assert (make.parameters[0].lower, make.parameters[0].upper, make.parameters[0].unit) == (0.0, 60.0, "s")


async def test_a_stop_cancels_makes_safe_closes_and_says_goodbye(running, listener, make_order):
    order = make_order(seconds=30.0)
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: "started" in listener.kinds(order.command_id))
    await running.stop()
    await listener.until(lambda: listener.state == "lost")
    assert listener.states[-1][0].detail == "stopped"
    assert listener.event(order.command_id, "failed").reason == "the device was stopped"
    assert running.moves[-3:] == ["idle", "idle", "close"]


async def test_without_its_journal_the_device_stops_and_does_not_move(running, listener, make_order):
    await listener.until(lambda: listener.state == "ready")
    running.journal.close()  # as good as a full or broken disk: nothing can be written any more
    await listener.send(make_order())
    with pytest.raises(JournalError, match="journal: "):
        await running.task
    await listener.until(lambda: listener.state == "lost")
    assert running.moves == ["open", "idle", "close"]


async def test_heartbeats_go_on_while_nothing_happens(running, listener):
    await listener.until(lambda: listener.state == "ready")
    before = len(listener.states)
    await listener.until(lambda: len(listener.states) >= before + 3, patience=5.0)
    beats = [state.heartbeat_at for state, _ in listener.states[-3:]]
    assert beats == sorted(beats) and beats[0] < beats[-1]
    assert {state.boot_id for state, _ in listener.states[-3:]} == {running.device.boot_id}
