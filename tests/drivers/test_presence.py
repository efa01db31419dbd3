"""Who is there: wills that come late, boots that follow each other, heartbeats that stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from solvus.drivers.messages import State
from solvus.drivers.presence import SILENCE, Presence, is_current

AT = datetime(2026, 1, 1, tzinfo=UTC)


def state(boot="b1", name="ready", seq=0, journal="j"):
    return State(boot_id=boot, journal_id=journal, seq=seq, state=name)


def test_a_will_is_believed_of_the_current_boot_only():
    assert is_current(state("b1", "lost"), "b1")
    assert not is_current(state("b1", "lost"), "b2")
    assert is_current(state("b1", "lost"), None)
    assert is_current(state("b2", "ready"), "b1")


def test_present_while_the_heart_beats():
    presence = Presence()
    assert not presence.is_present("oven", AT)
    presence.hear_state("oven", state(), AT)
    assert presence.is_present("oven", AT + SILENCE)
    assert not presence.is_present("oven", AT + SILENCE + timedelta(seconds=1))
    presence.hear_state("oven", state(name="lost"), AT)
    assert not presence.is_present("oven", AT)
    presence.hear_state("oven", state(), AT)  # the same boot, back after a broken connection
    assert presence.is_present("oven", AT)


def test_a_retained_state_is_no_sign_of_life():
    presence = Presence()
    presence.hear_state("oven", state(), AT, retained=True)
    assert presence.devices["oven"].state is not None
    assert not presence.is_present("oven", AT)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["ready", "busy", "lost"])), max_size=20))
def test_a_boot_once_replaced_never_comes_back(heard):
    """Whatever order messages come in, the current boot only changes to one never seen before."""
    presence, seen = Presence(), []
    for number, name in heard:
        presence.hear_state("oven", state(f"b{number}", name), AT)
        current = presence.devices["oven"].boot_id
        if current is not None and (not seen or seen[-1] != current):
            assert current not in seen
            seen.append(current)


def test_the_highest_announced_number_is_kept_per_journal():
    presence = Presence()
    for seq in (5, 9, 7):
        presence.hear_state("oven", state(seq=seq), AT)
    assert presence.devices["oven"].announced_seq == 9
    presence.hear_state("oven", state(seq=2, journal="new"), AT)
    assert (presence.devices["oven"].journal_id, presence.devices["oven"].announced_seq) == ("new", 2)
