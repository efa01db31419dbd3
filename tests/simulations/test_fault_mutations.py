"""Each invariant has been seen to fail: the code made wrong on purpose, and the bench of faults finds it.

A mutation is caught when a schedule on which the right code passes shows the violation that it must lead to. Which
schedule that is changes with the code, as every message and commit moves the rest, so each mutation has a list of
schedules that is searched until one shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from solvus.agent.inbox import Inbox
from solvus.agent.outbox import Outbox
from solvus.agent.states import CommandState
from solvus.drivers.device import Device
from solvus.drivers.journal import Journal
from solvus.drivers.messages import Event, Execute, Result
from solvus.drivers.speaker import Speaker
from solvus.simulations.benchmarks.faults.run import run_schedule
from solvus.simulations.benchmarks.faults.schedule import (
    AGENT,
    PROGRAMS,
    ROBOT,
    Fault,
    Schedule,
    draw_schedule,
)

Patch = Callable[[pytest.MonkeyPatch], None]


def acknowledge_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The agent takes a message for safe once it has read it, and writes it down afterwards."""
    commit = Inbox.receive
    writing: set[asyncio.Task[None]] = set()

    async def receive(
        self: Inbox, device: str, channel: str, payload: bytes, *, damaged: bool = False
    ) -> None:
        if not damaged:
            with contextlib.suppress(ValueError):
                self._hold(device, (Event if channel == "event" else Result).model_validate_json(payload))

        async def later() -> None:
            await asyncio.sleep(0.3)
            await commit(self, device, channel, payload, damaged=damaged)

        task = asyncio.create_task(later())
        writing.add(task)
        task.add_done_callback(writing.discard)

    patch.setattr(Inbox, "receive", receive)


def forget_the_agents_outbox(patch: pytest.MonkeyPatch) -> None:
    """Orders that an earlier run of the agent has queued are not published."""
    attend = Outbox.attend

    async def forgetful(self: Outbox, rows: Any, present: frozenset[str]) -> None:
        mine = [row for row in rows if row.state != CommandState.QUEUED.value or self._boot_id in row.body]
        await attend(self, mine, present)

    patch.setattr(Outbox, "attend", forgetful)


def forget_the_devices_outbox(patch: pytest.MonkeyPatch) -> None:
    """A device that starts has forgotten what nobody has receipted."""
    start = Journal.__init__

    def forgetful(self: Journal, *args: Any, **options: Any) -> None:
        start(self, *args, **options)
        self.receipt(self.last_seq)

    patch.setattr(Journal, "__init__", forgetful)


def never_send_again(patch: pytest.MonkeyPatch) -> None:
    """A device says everything once, and neither a new connection nor a question makes it say it again."""

    async def on_connect(self: Speaker) -> None:
        self._state_due = self._describe_due = True
        self._wake.set()

    patch.setattr(Speaker, "_on_connect", on_connect)
    patch.setattr(Speaker, "repeat_from", lambda *_, **__: None)


def carry_out_whatever_comes(patch: pytest.MonkeyPatch) -> None:
    """A device that does not look whether it knows an order already."""

    def take(self: Device, order: Any) -> None:
        known = self._journal.command
        self._journal.command = lambda _: None  # type: ignore[method-assign]
        try:
            take_order(self, order)
        finally:
            self._journal.command = known  # type: ignore[method-assign]

    take_order = Device._take_order
    patch.setattr(Device, "_take_order", take)


def start_again_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    """A device that repeats by itself what it was doing when it went down."""
    own_up = Device._own_up

    def repeat(self: Device) -> None:
        rows = self._journal._rows("SELECT command_id, body FROM commands WHERE status = 'started'", ())
        own_up(self)
        for _, body in rows:
            self._background(self._work_again(Execute.model_validate_json(body)))  # type: ignore[attr-defined]

    async def work_again(self: Device, order: Any) -> None:
        await self._driver.execute(order, lambda *_: asyncio.sleep(0))

    patch.setattr(Device, "_work_again", work_again, raising=False)
    patch.setattr(Device, "_own_up", repeat)


RIGHT = dict.fromkeys(PROGRAMS, 0.0)
COMMITS = 40
"""More than a program makes from its start to the first measurement."""


def killed_at_each_commit(program: str, *, after: bool) -> list[Schedule]:
    """Calm weather in which a program is killed once, at its first commit, at its second, and so on: one of them is
    the moment that matters, wherever the code moves it."""
    return [
        Schedule(
            seed=number,
            forgetful=True,
            experiments=2,
            parallel=1,
            offsets=RIGHT,
            drifts=RIGHT,
            faults=(Fault("kill-at-commit", 0.0, 1.0, program, float(number), after),),
        )
        for number in range(1, COMMITS + 1)
    ]


def drawn(likely: int) -> list[Schedule]:
    """Schedules of the bench; first the one that showed it last."""
    return [draw_schedule(seed) for seed in (likely, *range(40))]


CAUGHT: list[tuple[Patch, list[Schedule], str]] = [
    (
        acknowledge_before_the_commit,
        killed_at_each_commit(AGENT, after=False),
        "neither in the ledger nor in its outbox",
    ),
    (forget_the_agents_outbox, killed_at_each_commit(AGENT, after=True), "did not end"),
    (
        forget_the_devices_outbox,
        killed_at_each_commit(ROBOT, after=True),
        "neither in the ledger nor in its outbox",
    ),
    (never_send_again, drawn(1), "did not end"),
    (carry_out_whatever_comes, drawn(10), "was carried out 2 times"),
    (start_again_after_a_crash, killed_at_each_commit(ROBOT, after=True), "was carried out 2 times"),
]
"""Mutation, schedules among which one must show it, and what it shows."""


def _cases() -> list[Any]:
    """Two are quick; the others search longer, or run until the campaign's patience is at its end."""
    quick = (carry_out_whatever_comes, start_again_after_a_crash)
    marks = {case[0]: () if case[0] in quick else (pytest.mark.slow,) for case in CAUGHT}
    return [pytest.param(*case, id=case[0].__name__, marks=marks[case[0]]) for case in CAUGHT]


@pytest.mark.parametrize(("mutate", "schedules", "shows"), _cases())
def test_a_mutation_is_caught(
    monkeypatch: pytest.MonkeyPatch, mutate: Patch, schedules: list[Schedule], shows: str
) -> None:
    for schedule in schedules:
        with monkeypatch.context() as patch:
            mutate(patch)
            found = run_schedule(schedule).violations
        if any(shows in violation for violation in found):
            assert run_schedule(schedule).violations == (), "the right code passes where the wrong one fails"
            return
    pytest.fail(f"no schedule has shown that {shows!r}")
