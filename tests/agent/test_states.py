"""The two state machines, read as tables."""

from __future__ import annotations

from itertools import pairwise

import pytest

from solvus.agent.states import (
    COMMAND_ARROWS,
    COMMAND_ENDS,
    EXPERIMENT_ARROWS,
    EXPERIMENT_ENDS,
    CommandState,
    ExperimentState,
    may_move_command,
)


@pytest.mark.parametrize("arrows", [COMMAND_ARROWS, EXPERIMENT_ARROWS])
def test_every_state_is_in_the_table_and_no_path_returns(arrows: dict) -> None:
    states = set(next(iter(arrows)).__class__)
    assert set(arrows) == states

    def reach(state: object, seen: frozenset) -> None:
        assert state not in seen, f"{state} can come back to itself"
        for following in arrows[state]:
            reach(following, seen | {state})

    for state in states:
        reach(state, frozenset())


def test_ends_are_where_nothing_leaves() -> None:
    assert {s for s, to in EXPERIMENT_ARROWS.items() if not to} == EXPERIMENT_ENDS
    leaving = {s for s, to in COMMAND_ARROWS.items() if not to}
    assert leaving == COMMAND_ENDS - {CommandState.UNKNOWN}


def test_the_designed_paths_exist() -> None:
    command = [CommandState(s) for s in ("queued", "published", "accepted", "started", "done")]
    experiment = [
        ExperimentState(s)
        for s in (
            [
                "proposed",
                "approved",
                "synthesising",
                "synthesised",
                "measuring",
                "measured",
                "identified",
                "scored",
            ]
        )
    ]
    for path, arrows in ((command, COMMAND_ARROWS), (experiment, EXPERIMENT_ARROWS)):
        for now, to in pairwise(path):
            assert to in arrows[now]


def test_a_late_word_never_moves_a_state_backwards() -> None:
    for end in COMMAND_ENDS - {CommandState.UNKNOWN}:
        for state in CommandState:
            assert not may_move_command(end, state)
    assert not may_move_command(CommandState.STARTED, CommandState.ACCEPTED)
    assert may_move_command(CommandState.UNKNOWN, CommandState.DONE), "the device's own word counts"
