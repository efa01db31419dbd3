"""Verification: is the chain whole, and do the state tables say what the events say?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select

from solvus.agent.ledger.canonical import GENESIS, chain_hash, sha256_text
from solvus.agent.ledger.control_words import describe_control
from solvus.agent.ledger.ledger import TABLES, Ledger, decode
from solvus.agent.ledger.projections import LedgerEvent, project
from solvus.agent.ledger.tables import EventRow, InboxRow, PatternRow

Tables = dict[str, dict[tuple[Any, ...], dict[str, Any]]]


@dataclass(frozen=True)
class Verification:
    """``problems`` is empty when everything holds; ``head`` is the hash of the last event."""

    events: int
    head: str
    problems: tuple[str, ...]


def check_chain(rows: Iterable[EventRow]) -> list[str]:
    """One sentence for each event whose number, link or hash is not what the chain demands."""
    problems, expected_seq, prev = [], 1, GENESIS
    for row in rows:
        if row.seq != expected_seq:
            last = row.seq - 1
            which = f"event {last}" if last == expected_seq else f"events {expected_seq} to {last}"
            problems.append(f"{which}: missing")
        elif row.prev_hash != prev:
            problems.append(f"event {row.seq}: does not follow event {row.seq - 1}")
        digest = chain_hash(
            row.prev_hash,
            seq=row.seq,
            campaign=row.campaign,
            kind=row.kind,
            version=row.version,
            at=row.at,
            body=row.body,
        )
        if digest != row.hash:
            problems.append(f"event {row.seq} ({row.kind}): its content was changed after it was written")
        expected_seq, prev = row.seq + 1, row.hash
    return problems


def rebuild(events: Iterable[LedgerEvent]) -> Tables:
    """The state tables as the events alone give them."""
    tables: Tables = {name: {} for name in TABLES}
    for event in events:
        for change in project(event):
            tables[change.table].setdefault(change.key, {}).update(change.values)
    return tables


def _compare(name: str, expected: dict[tuple[Any, ...], dict[str, Any]], rows: Iterable[Any]) -> list[str]:
    keys = [c.name for c in TABLES[name].__table__.primary_key.columns]  # type: ignore[attr-defined]
    found = {tuple(getattr(row, k) for k in keys): row for row in rows}
    problems = [
        f"{name} {key}: the events make it, the table lacks it" for key in expected if key not in found
    ]
    for key, row in found.items():
        if key not in expected:
            problems.append(f"{name} {key}: no event makes it")
            continue
        wrong = [k for k, v in expected[key].items() if getattr(row, k) != v]
        if wrong:
            problems.append(f"{name} {key}: {', '.join(wrong)} differ from what the events say")
    return problems


def _check_contents(
    events: Iterable[LedgerEvent], patterns: Iterable[PatternRow], messages: Iterable[InboxRow]
) -> list[str]:
    """Patterns and inbound messages against the hashes that the events hold of them."""
    kept = {row.sha256: row.body for row in patterns}
    problems = [
        f"pattern {sha[:12]}: its content was changed"
        for sha, body in kept.items()
        if sha256_text(body) != sha
    ]
    inbox = {sha256_text(row.body) for row in messages}
    for event in events:
        message = event.body.get("message_sha256")
        named = {event.body.get(f"{which}_sha256") for which in ("pattern", "raw", "background")}
        missing = sorted(sha for sha in named if sha and sha not in kept)
        problems += [f"event {event.seq}: pattern {sha[:12]} is missing" for sha in missing]
        if message and message not in inbox:
            problems.append(
                f"event {event.seq}: the message it rests on was changed or removed from the inbox"
            )
    return problems


async def verify(ledger: Ledger, *, expected_head: str | None = None) -> Verification:
    """Check the whole ledger. ``expected_head`` (from a report) shows a cut-off tail.

    Everything is read in one transaction, so that an agent that goes on writing is no discrepancy.
    """
    async with ledger.snapshot() as session:
        rows = list((await session.exec(select(EventRow).order_by(col(EventRow.seq)))).all())
        problems = check_chain(rows)
        hashes = [row.hash for row in rows]
        if expected_head is not None and expected_head not in hashes:
            problems.append(
                f"head {expected_head[:12]}: not in this ledger; its tail was cut off or replaced"
            )
        if not problems:
            events = [decode(row) for row in rows]
            expected = rebuild(events)
            for name, table in TABLES.items():
                rows_of = (await session.exec(select(table))).all() if ledger.has(table) else ()
                problems += _compare(name, expected[name], rows_of)
            patterns = (await session.exec(select(PatternRow))).all()
            messages = (await session.exec(select(InboxRow))).all()
            problems += _check_contents(events, patterns, messages)
    return Verification(len(rows), hashes[-1] if hashes else GENESIS, tuple(problems))


def describe(event: LedgerEvent) -> str:  # noqa: C901 -- a flat table, one arm a kind
    """One line for lists."""
    b = event.body
    reason = f" ({b['reason']})" if b.get("reason") else ""
    match event.kind:
        case "campaign-started":
            return f"campaign started: target {_target(b['config'])}, {_budget(b['config'])}"
        case "campaign-resumed":
            return f"campaign resumed, {_budget(b['config'])}"
        case "campaign-retargeted":
            return f"campaign aimed at another target: {b['target']['title']}"
        case "campaign-ended":
            return f"campaign ended, {b['state']}{reason}"
        case "devices-met":
            said = [f"{d}{' (simulated)' if m['simulated'] else ''}" for d, m in b["devices"].items()]
            return f"devices met: {', '.join(said)}"
        case "experiment-proposed":
            return f"experiment {b['number']} proposed: {b['proposal']['explanation']}"
        case "experiment-moved":
            return f"experiment {b['number']} {b['to']}{reason}"
        case "pattern-reduced":
            return f"experiment {b['number']} reduced: {_reduced(b)}"
        case "experiment-identified":
            return f"experiment {b['number']} identified: {_identified(b['identification'])}"
        case "experiment-scored":
            return f"experiment {b['number']} scored: {b['summary']}"
        case "command-queued":
            return f"command {b['command_id'][:8]} queued: {b['purpose']} on {b['device']}"
        case "command-moved":
            return f"command {b['command_id'][:8]} {b['to']}{reason}"
        case "result-received":
            return f"result for command {b['command_id'][:8]}: pattern {b['pattern_sha256'][:12]}"
        case "signals-received":
            return f"experiment {b['experiment']} seen early: {_seen(b['signals'])}"
        case "stage-decided":
            said = b["decision"]
            return f"experiment {b['number']} {'worth' if said['measure'] else 'not worth'} measuring: {said['reason']}"
        case "message-late" | "message-refused":
            return f"{event.kind.replace('-', ' ')} from {b['device']}{reason}"
        case _:
            return describe_control(event) or json.dumps(b, sort_keys=True)[:160]


def _target(config: dict[str, Any]) -> str:
    target = config["target"]
    if target is None:
        return "none, to explore"
    return str(target["structure"] or target["file"] or target["pattern"])


def _budget(config: dict[str, Any]) -> str:
    return f"{config['budget']['experiments']} experiments"


def _seen(signals: dict[str, Any]) -> str:
    return ", ".join(f"{name} {s['value']:.4g} {s['unit']}".rstrip() for name, s in signals.items())


def _reduced(body: dict[str, Any]) -> str:
    s = body["settings"]
    background = body["background_sha256"]
    less = "no background" if background is None else f"less background {background[:12]}"
    return (
        f"I(Q) {body['raw_sha256'][:12]} {less} as {s['composition']} to G(r) {body['pattern_sha256'][:12]}"
    )


def _identified(identification: dict[str, Any]) -> str:
    if not identification["candidates"]:
        return ", ".join([identification["verdict"].replace("_", " "), *identification["reasons"]])
    best = identification["candidates"][0]
    words = f"{best['structure']}, p {best['probability']:.2f}, R_w {best['r_w']:.3f}"
    return (
        words
        if identification["verdict"] == "identified"
        else f"{identification['verdict']} (nearest {words})"
    )
