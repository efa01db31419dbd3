"""What a device's word does to the states: each function writes its arrows into one ledger step.

Late, repeated and impossible words are recorded and change nothing. What a device says is tied to an experiment by
``command_id`` alone.
"""

from __future__ import annotations

from typing import Any

from solvus.agent.ledger.canonical import sha256_text
from solvus.agent.ledger.ledger import Step
from solvus.agent.ledger.tables import CommandRow, EarlySignalRow, ExperimentRow, PatternRow
from solvus.agent.states import (
    CommandState,
    ExperimentState,
    may_move_command,
    may_move_experiment,
)
from solvus.drivers.messages import Event, Result, Signals
from solvus.models.pattern import Pattern

C, E = CommandState, ExperimentState

COMMAND_STATE_OF: dict[str, CommandState] = {
    "accepted": C.ACCEPTED,
    "rejected": C.REJECTED,
    "expired": C.EXPIRED,
    "started": C.STARTED,
    "done": C.DONE,
    "failed": C.FAILED,
    "interrupted": C.INTERRUPTED,
}

# What the end of a command means for its experiment, by purpose; `done` of a measurement also needs the pattern.
_EXPERIMENT_STATE_OF: dict[CommandState, ExperimentState] = {
    C.FAILED: E.FAILED,
    C.REJECTED: E.FAILED,
    C.EXPIRED: E.FAILED,
    C.INTERRUPTED: E.UNKNOWN,
    C.UNKNOWN: E.UNKNOWN,
}


async def move_experiment(step: Step, row: ExperimentRow, to: ExperimentState, **body: Any) -> bool:
    """Write the arrow to ``to`` if the table has it; say whether it did."""
    if not may_move_experiment(ExperimentState(row.state), to):
        return False
    await step.append(
        row.campaign, "experiment-moved", {"number": row.number, "from": row.state, "to": to.value, **body}
    )
    return True


async def move_command(step: Step, row: CommandRow, to: CommandState, **body: Any) -> bool:
    """Write the arrow to ``to`` if the table has it, with what follows for the experiment."""
    if not may_move_command(CommandState(row.state), to):
        return False
    await step.append(
        row.campaign,
        "command-moved",
        {
            "command_id": row.command_id,
            "experiment": row.experiment,
            "from": row.state,
            "to": to.value,
            **body,
        },
    )
    await _follow(step, row, to, reason=body.get("reason", ""), cause=body.get("cause"))
    return True


async def _follow(
    step: Step, command: CommandRow, to: CommandState, *, reason: str, cause: str | None
) -> None:
    experiment = await step.get(ExperimentRow, command.campaign, command.experiment)
    if experiment is None:
        return
    if to is C.DONE and command.purpose == "make":
        await move_experiment(step, experiment, E.SYNTHESISED)
    elif to is C.DONE and command.pattern_sha256 is not None:
        await move_experiment(step, experiment, E.MEASURED, pattern_sha256=command.pattern_sha256)
    elif to in _EXPERIMENT_STATE_OF:
        what = f"{command.purpose} {to.value}" + (f": {reason}" if reason else "")
        await move_experiment(
            step, experiment, _EXPERIMENT_STATE_OF[to], reason=what, cause=cause or "equipment"
        )


async def record(step: Step, campaign: str, kind: str, device: str, message_sha256: str, reason: str) -> None:
    """Note a message that changes nothing."""
    await step.append(
        campaign, kind, {"device": device, "message_sha256": message_sha256, "reason": reason[:500]}
    )


async def record_refused(step: Step, campaign: str, device: str, message_sha256: str, reason: str) -> None:
    """Note a result that cannot be what was ordered."""
    await step.append(
        campaign,
        "message-refused",
        {
            "device": device,
            "channel": "result",
            "message_sha256": message_sha256,
            "reason": reason[:500],
        },
    )


async def end_without_result(step: Step, command_id: str) -> None:
    """A measurement that is done and of which no usable result will come: its experiment has failed."""
    command = await step.get(CommandRow, command_id)
    if command is None or command.purpose != "measure" or command.state != C.DONE.value:
        return
    experiment = await step.get(ExperimentRow, command.campaign, command.experiment)
    if experiment is not None and command.pattern_sha256 is None:
        reason = f"{command.device} measured and sent no usable result"
        await move_experiment(step, experiment, E.FAILED, reason=reason, cause="equipment")


async def apply_event(step: Step, campaign: str, device: str, event: Event, text: str) -> None:
    """One ``event`` of a device. ``progress`` and ``answer`` are no arrows and leave no trace here."""
    if event.kind in ("progress", "answer"):
        return
    digest = sha256_text(text)
    row = await step.get(CommandRow, event.command_id)
    if row is None or row.device != device:
        await record(
            step, campaign, "message-late", device, digest, f"{event.kind} for a command that is not ours"
        )
        return
    extra = {"cause": event.cause} if event.cause else {}
    moved = await move_command(
        step, row, COMMAND_STATE_OF[event.kind], reason=event.reason, message_sha256=digest, **extra
    )
    if not moved:
        reason = f"{event.kind} for command {row.command_id[:8]}, which is {row.state} already"
        await record(step, row.campaign, "message-late", device, digest, reason)


async def apply_result(
    step: Step, campaign: str, device: str, result: Result, pattern: Pattern | None, text: str
) -> None:
    """A measurement: keep the pattern, and go on when the command has ended too; keep the signals beside it."""
    digest = sha256_text(text)
    row = await step.get(CommandRow, result.command_id)
    experiment = None if row is None else await step.get(ExperimentRow, row.campaign, row.experiment)
    if row is None or row.device != device or experiment is None:
        await record(step, campaign, "message-late", device, digest, "result for a command that is not ours")
        return
    if result.sample_id != experiment.sample_id:
        reason = f"sample_id: {result.sample_id} was measured, {experiment.sample_id} was ordered"
        await record_refused(step, row.campaign, device, digest, reason)
        return
    if row.pattern_sha256 is not None:
        await record(step, row.campaign, "message-late", device, digest, "a second result for one command")
        return
    if pattern is None and row.purpose != "make":
        reason = "pattern: is missing; a measurement gives one, or a reference to it"
        await record_refused(step, row.campaign, device, digest, reason)
        return
    if result.signals:
        await _keep_signals(step, row, result.signals, digest)
    if pattern is None:
        return
    body = pattern.canonical_json
    sha256 = sha256_text(body)
    if await step.get(PatternRow, sha256) is None:
        step.session.add(PatternRow(sha256=sha256, body=body))
    await step.append(
        row.campaign,
        "result-received",
        {
            "command_id": row.command_id,
            "experiment": row.experiment,
            "pattern_sha256": sha256,
            "message_sha256": digest,
        },
    )
    if row.state == C.DONE.value:
        await move_experiment(step, experiment, E.MEASURED, pattern_sha256=sha256)


async def _keep_signals(step: Step, command: CommandRow, signals: Signals, message_sha256: str) -> None:
    """Cheap signals of a sample; the first word on it counts."""
    if await step.get(EarlySignalRow, command.campaign, command.experiment) is not None:
        reason = f"experiment {command.experiment} has its signals already"
        await record(step, command.campaign, "message-late", command.device, message_sha256, reason)
        return
    await step.append(
        command.campaign,
        "signals-received",
        {
            "command_id": command.command_id,
            "experiment": command.experiment,
            "signals": {name: signal.model_dump(mode="json") for name, signal in signals.items()},
            "message_sha256": message_sha256,
        },
    )
