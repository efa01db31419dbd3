"""The two state machines of the loop, each as a table one can read.

An arrow that is not in the table does not happen: a late or repeated message is recorded but never moves a state
backwards. Several arrows skip states on purpose (``published -> done``): messages are complete but may be *read* out of
order after a crash, and what ended has ended whatever else has been heard of it.
"""

from __future__ import annotations

from enum import StrEnum

EARLY_SIGNAL = "early-signal"
"""Cause of an experiment that ended after its synthesis: an early signal said that measuring it would not help. It is
``failed`` in this table and nobody's failure: the planner, status and report call it not measured."""


class CommandState(StrEnum):
    QUEUED = "queued"
    PUBLISHED = "published"
    ACCEPTED = "accepted"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"


class ExperimentState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    SYNTHESISING = "synthesising"
    SYNTHESISED = "synthesised"
    MEASURING = "measuring"
    MEASURED = "measured"
    IDENTIFIED = "identified"
    SCORED = "scored"
    REJECTED = "rejected"
    FAILED = "failed"
    UNKNOWN = "unknown"


C, E = CommandState, ExperimentState

COMMAND_ENDS = frozenset({C.DONE, C.FAILED, C.REJECTED, C.EXPIRED, C.INTERRUPTED, C.UNKNOWN})
EXPERIMENT_ENDS = frozenset({E.SCORED, E.REJECTED, E.FAILED, E.UNKNOWN})

# A device's own word overrides our `unknown`, which only says that we had heard nothing.
_HEARD_ENDS = frozenset({C.DONE, C.FAILED, C.REJECTED, C.INTERRUPTED})

COMMAND_ARROWS: dict[CommandState, frozenset[CommandState]] = {
    # An order whose confirmation by the broker was lost is still `queued` here while the device acts on it.
    C.QUEUED: frozenset({C.PUBLISHED, C.ACCEPTED, C.STARTED, C.EXPIRED}) | _HEARD_ENDS,
    C.PUBLISHED: frozenset({C.ACCEPTED, C.STARTED, C.EXPIRED, C.UNKNOWN}) | _HEARD_ENDS,
    C.ACCEPTED: frozenset({C.STARTED, C.EXPIRED, C.UNKNOWN}) | _HEARD_ENDS,
    C.STARTED: frozenset({C.DONE, C.FAILED, C.INTERRUPTED, C.UNKNOWN}),
    C.UNKNOWN: _HEARD_ENDS,
    C.DONE: frozenset(),
    C.FAILED: frozenset(),
    C.REJECTED: frozenset(),
    C.EXPIRED: frozenset(),
    C.INTERRUPTED: frozenset(),
}

EXPERIMENT_ARROWS: dict[ExperimentState, frozenset[ExperimentState]] = {
    E.PROPOSED: frozenset({E.APPROVED, E.REJECTED}),
    E.APPROVED: frozenset({E.SYNTHESISING, E.FAILED}),
    E.SYNTHESISING: frozenset({E.SYNTHESISED, E.FAILED, E.UNKNOWN}),
    E.SYNTHESISED: frozenset({E.MEASURING, E.FAILED}),
    E.MEASURING: frozenset({E.MEASURED, E.FAILED, E.UNKNOWN}),
    E.MEASURED: frozenset({E.IDENTIFIED, E.FAILED}),
    E.IDENTIFIED: frozenset({E.SCORED}),
    E.SCORED: frozenset(),
    E.REJECTED: frozenset(),
    E.FAILED: frozenset(),
    E.UNKNOWN: frozenset(),
}


def may_move_command(now: CommandState, to: CommandState) -> bool:
    return to in COMMAND_ARROWS[now]


def may_move_experiment(now: ExperimentState, to: ExperimentState) -> bool:
    return to in EXPERIMENT_ARROWS[now]
