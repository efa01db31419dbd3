"""What must hold after every schedule, by the devices' own journals and logs rather than by our ledger."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.projections import LedgerEvent
from solvus.agent.ledger.tables import CampaignRow, CommandRow, ExperimentRow, InboxRow, PatternRow
from solvus.agent.ledger.verify import verify
from solvus.agent.states import COMMAND_ENDS, EXPERIMENT_ENDS, CommandState, ExperimentState

TERMINAL = frozenset({"done", "failed", "rejected", "expired", "interrupted"})
"""Kinds of event that end a command."""
ENDED = frozenset({"found", "exhausted"})


@dataclass(frozen=True)
class Journalled:
    """What one device's journal knows at the end, and what its log says it did."""

    device: str
    status: dict[str, str]
    unreceipted: dict[str, list[str]]
    """By command, the kinds (an event's, or ``result``) of what nobody has receipted."""
    begun: Counter[str] = field(default_factory=Counter)
    measured: dict[str, str] = field(default_factory=dict)
    """Hash of the pattern by command; a pattern whose command ends ``done`` is a result."""


def read_device(device: str, journal: Path, log: Iterable[list[str]]) -> Journalled:
    """The oracle of one device: its journal and, where it keeps one, the log of what it did."""
    begun: Counter[str] = Counter()
    measured: dict[str, str] = {}
    for words in log:
        if words[0] == "begin":
            begun[words[1]] += 1
        elif len(words) > 2:
            measured[words[1]] = words[2]
    waiting: dict[str, list[str]] = defaultdict(list)
    connection = sqlite3.connect(journal)
    try:
        status = dict(connection.execute("SELECT command_id, status FROM commands"))
        for channel, command_id, payload in connection.execute(
            "SELECT channel, command_id, payload FROM outbox"
        ):
            waiting[command_id].append("result" if channel == "result" else json.loads(payload)["kind"])
    finally:
        connection.close()
    return Journalled(device, status, dict(waiting), begun, measured)


async def violations(url: str, devices: Iterable[Journalled], *, must_end: bool = True) -> list[str]:
    """One sentence for each invariant that does not hold."""
    ledger = await Ledger.open(url, write=False)
    try:
        found = [f"ledger: {problem}" for problem in (await verify(ledger)).problems]
        events = await ledger.events()
        commands = {row.command_id: row for row in await ledger.rows(CommandRow)}
        experiments = {row.number: row for row in await ledger.rows(ExperimentRow)}
        inbox = await ledger.rows(InboxRow)
        patterns = {row.sha256 for row in await ledger.rows(PatternRow)}
        state = next((row.state for row in await ledger.rows(CampaignRow)), "never begun")
    finally:
        await ledger.close()
    heard = _heard(inbox)
    for device in devices:
        found += _once(device, commands)
        found += _one_end(device, commands, heard)
        found += _no_result_lost(device, commands, patterns)
    found += _experiments(experiments, commands, events)
    if must_end and state not in ENDED:
        found.append(f"campaign: {state}, neither found nor exhausted")
    if state in ENDED:
        found += [
            f"experiment {number}: still {row.state} at the end of the campaign"
            for number, row in experiments.items()
            if ExperimentState(row.state) not in EXPERIMENT_ENDS
        ]
    return found


def _heard(inbox: Iterable[InboxRow]) -> dict[str, list[str]]:
    """Kinds of the events that the ledger holds, by command."""
    heard: dict[str, list[str]] = defaultdict(list)
    for row in inbox:
        if row.channel != "event":
            continue
        try:
            said = json.loads(row.body)
        except ValueError:
            continue
        if isinstance(said, dict) and said.get("kind") != "answer":
            heard[str(said.get("command_id"))].append(str(said.get("kind")))
    return heard


def _once(device: Journalled, commands: dict[str, CommandRow]) -> Iterator[str]:
    """Nothing is carried out twice, and nothing that was not ordered."""
    for command_id, times in device.begun.items():
        if times > 1:
            yield f"{device.device}: {command_id[:8]} was carried out {times} times"
        if command_id not in commands:
            yield f"{device.device}: {command_id[:8]} was carried out and is not in the ledger"
        elif commands[command_id].device != device.device:
            yield f"{device.device}: {command_id[:8]} was ordered from {commands[command_id].device}"


def _one_end(
    device: Journalled, commands: dict[str, CommandRow], heard: dict[str, list[str]]
) -> Iterator[str]:
    """What was begun ends in exactly one terminal event, and ledger and journal agree which."""
    for command_id in device.begun:
        if device.status.get(command_id) not in TERMINAL:
            yield f"{device.device}: {command_id[:8]} was begun and its journal says {device.status.get(command_id)}"
    for command_id, status in device.status.items():
        row = commands.get(command_id)
        if row is None or status not in TERMINAL:
            continue
        said = [kind for kind in heard.get(command_id, []) if kind in TERMINAL]
        waits = [kind for kind in device.unreceipted.get(command_id, []) if kind in TERMINAL]
        if len(said) > 1 or len(waits) > 1:
            yield f"{device.device}: {command_id[:8]} has ended {len(said)} times ({', '.join(said)})"
        if not said and not waits:
            yield f"{device.device}: the end of {command_id[:8]} ({status}) is neither in the ledger nor in its outbox"
        if said and row.state != said[0]:
            yield f"{device.device}: {command_id[:8]} is {row.state} in the ledger, {said[0]} on the device"


def _no_result_lost(device: Journalled, commands: dict[str, CommandRow], patterns: set[str]) -> Iterator[str]:
    for command_id, sha in device.measured.items():
        if device.status.get(command_id) != "done" or command_id not in commands:
            continue
        in_ledger = sha in patterns and commands[command_id].pattern_sha256 == sha
        if not in_ledger and "result" not in device.unreceipted.get(command_id, []):
            yield f"{device.device}: the result of {command_id[:8]} is neither in the ledger nor in its outbox"


def _experiments(
    experiments: dict[int, ExperimentRow], commands: dict[str, CommandRow], events: Iterable[LedgerEvent]
) -> Iterator[str]:
    """Each number once; each experiment made and measured once; a measured one is never given up for nothing."""
    if sorted(experiments) != list(range(1, len(experiments) + 1)):
        yield f"experiments: numbered {sorted(experiments)}"
    ordered = Counter((row.experiment, row.purpose) for row in commands.values())
    yield from (
        f"experiment {number}: {times} orders to {purpose}"
        for (number, purpose), times in ordered.items()
        if times > 1
    )
    for row in commands.values():
        ended = CommandState(row.state) in COMMAND_ENDS
        if not ended and ExperimentState(experiments[row.experiment].state) in EXPERIMENT_ENDS:
            yield f"experiment {row.experiment}: has ended while its order is {row.state}"
        if row.pattern_sha256 is not None and row.state == "done":
            state = experiments[row.experiment].state
            if state not in ("measured", "identified", "scored", "unknown"):
                yield f"experiment {row.experiment}: was measured and is {state}"
    scored = Counter(event.body["number"] for event in events if event.kind == "experiment-scored")
    yield from (f"experiment {number}: scored {times} times" for number, times in scored.items() if times > 1)
