"""From events to rows: the one reducer used while the agent runs and again when the ledger is verified.

An event names what happened; :func:`project` says which rows that changes. It reads nothing but the event, so that
folding all events from the first on always gives the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from solvus.agent.ledger.canonical import canonical

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Change:
    """Set ``values`` in the row ``key`` of ``table``, making the row when it is new."""

    table: str
    key: Key
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LedgerEvent:
    """One event as code sees it: ``body`` decoded and upcast to the present version of its kind."""

    seq: int
    campaign: str
    kind: str
    at: str
    body: dict[str, Any]


VERSIONS: dict[str, int] = {"message-refused": 2, "campaign-started": 2, "campaign-resumed": 2}
"""Version written with new events of a kind; 1 where it is not named. Older ones are upcast when read, never
rewritten."""


def version_of(kind: str) -> int:
    return VERSIONS.get(kind, 1)


KINDS = frozenset(
    {
        "campaign-started",
        "campaign-resumed",
        "campaign-retargeted",
        "campaign-ended",
        "devices-met",
        "experiment-proposed",
        "experiment-moved",
        "latent-embedded",
        "pattern-reduced",
        "experiment-identified",
        "experiment-scored",
        "command-queued",
        "command-moved",
        "result-received",
        "signals-received",
        "stage-decided",
        "message-late",
        "message-refused",
        "question-asked",
        "approval-given",
        "question-answered",
        "experiment-edited",
        "outcome-resolved",
        "campaign-paused",
        "campaign-unpaused",
        "request-answered",
        "device-silent",
        "device-heard",
    }
)


def upcast(kind: str, version: int, body: dict[str, Any]) -> dict[str, Any]:
    """The body of an older event in today's form. Raises ValueError for an event from a newer Solvus."""
    if version > version_of(kind) or kind not in KINDS:
        raise ValueError(
            f"event {kind} version {version} was written by a newer Solvus; upgrade to read this ledger"
        )
    for older in range(version, version_of(kind)):
        body = UPCASTS[kind, older](body)
    return body


def _message_refused_1(body: dict[str, Any]) -> dict[str, Any]:
    """Version 1 said the channel in its reason only, and kept the beginning of the message, which is in quarantine
    now."""
    said, _, reason = body["reason"].partition(" refused: ")
    known = bool(reason) and said in ("event", "result")
    kept = {name: value for name, value in body.items() if name != "head"}
    return kept | {"channel": said if known else "result", "reason": reason if known else body["reason"]}


def _without_lessons(body: dict[str, Any]) -> dict[str, Any]:
    """Version 1 was written by agents whose planner learnt from identifications alone, not from the patterns too."""
    return body | {"lessons": False}


UPCASTS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("message-refused", 1): _message_refused_1,
    ("campaign-started", 1): _without_lessons,
    ("campaign-resumed", 1): _without_lessons,
}
"""For each kind and older version, the way to the next."""


def _campaign_started(e: LedgerEvent) -> Iterable[Change]:
    yield Change(
        "campaign",
        (e.campaign,),
        {
            "name": e.body["name"],
            "state": "running",
            "started_at": e.at,
            "config": canonical(e.body["config"]),
        },
    )


def _campaign_resumed(e: LedgerEvent) -> Iterable[Change]:
    yield Change("campaign", (e.campaign,), {"state": "running", "config": canonical(e.body["config"])})


def _campaign_ended(e: LedgerEvent) -> Iterable[Change]:
    yield Change("campaign", (e.campaign,), {"state": e.body["state"]})


def _experiment_proposed(e: LedgerEvent) -> Iterable[Change]:
    b = e.body
    yield Change(
        "experiment",
        (e.campaign, b["number"]),
        {
            "state": "proposed",
            "sample_id": b["sample_id"],
            "recipe": canonical(b["recipe"]),
            "replicate_of": b["replicate_of"],
            "replicate": b["replicate"],
            "reason": "",
            "cause": None,
            "pattern_sha256": None,
            "identification": None,
            "score": None,
        },
    )


def _experiment_moved(e: LedgerEvent) -> Iterable[Change]:
    b = e.body
    values: dict[str, Any] = {"state": b["to"], "reason": b.get("reason", "")}
    values |= {k: b[k] for k in ("cause", "pattern_sha256") if k in b}
    yield Change("experiment", (e.campaign, b["number"]), values)


def _pattern_reduced(e: LedgerEvent) -> Iterable[Change]:
    yield Change("experiment", (e.campaign, e.body["number"]), {"pattern_sha256": e.body["pattern_sha256"]})


def _experiment_identified(e: LedgerEvent) -> Iterable[Change]:
    yield Change(
        "experiment",
        (e.campaign, e.body["number"]),
        {"state": "identified", "identification": canonical(e.body["identification"])},
    )


def _experiment_scored(e: LedgerEvent) -> Iterable[Change]:
    yield Change(
        "experiment",
        (e.campaign, e.body["number"]),
        {"state": "scored", "score": canonical(e.body["score"])},
    )


def _command_queued(e: LedgerEvent) -> Iterable[Change]:
    b = e.body
    yield Change(
        "command",
        (b["command_id"],),
        {
            "campaign": e.campaign,
            "experiment": b["experiment"],
            "device": b["device"],
            "purpose": b["purpose"],
            "state": "queued",
            "reason": "",
            "pattern_sha256": None,
            "body": canonical(b["command"]),
        },
    )


def _command_moved(e: LedgerEvent) -> Iterable[Change]:
    yield Change(
        "command", (e.body["command_id"],), {"state": e.body["to"], "reason": e.body.get("reason", "")}
    )


def _result_received(e: LedgerEvent) -> Iterable[Change]:
    yield Change("command", (e.body["command_id"],), {"pattern_sha256": e.body["pattern_sha256"]})


def _signals_received(e: LedgerEvent) -> Iterable[Change]:
    key = (e.campaign, e.body["experiment"])
    yield Change("early_signal", key, {"signals": canonical(e.body["signals"]), "decision": None})


def _stage_decided(e: LedgerEvent) -> Iterable[Change]:
    key = (e.campaign, e.body["number"])
    yield Change("early_signal", key, {"decision": canonical(e.body["decision"])})


def _question_asked(e: LedgerEvent) -> Iterable[Change]:
    b = e.body
    yield Change(
        "question",
        (e.campaign, b["number"]),
        {
            "subject": b["question"]["subject"],
            "is_open": True,
            "since": e.at,
            "body": canonical(b["question"]),
            "given": "[]",
            "answer": None,
        },
    )


def _approval_given(e: LedgerEvent) -> Iterable[Change]:
    yield Change("question", (e.campaign, e.body["number"]), {"given": canonical(e.body["given"])})


def _question_answered(e: LedgerEvent) -> Iterable[Change]:
    yield Change(
        "question",
        (e.campaign, e.body["number"]),
        {"is_open": False, "answer": canonical(e.body["answer"])},
    )


def _experiment_edited(e: LedgerEvent) -> Iterable[Change]:
    yield Change("experiment", (e.campaign, e.body["number"]), {"recipe": canonical(e.body["recipe"])})


def _outcome_resolved(e: LedgerEvent) -> Iterable[Change]:
    yield Change("experiment", (e.campaign, e.body["number"]), {"cause": e.body["cause"]})


def _campaign_paused(e: LedgerEvent) -> Iterable[Change]:
    b = e.body
    values = {"paused": True, "reason": b["reason"], "by": b["by"], "since": e.at}
    yield Change("hold", (e.campaign,), values)


def _campaign_unpaused(e: LedgerEvent) -> Iterable[Change]:
    b = e.body
    values = {"paused": False, "reason": b["reason"], "by": b["by"], "since": e.at}
    yield Change("hold", (e.campaign,), values)


def _request_answered(e: LedgerEvent) -> Iterable[Change]:
    b = e.body
    yield Change(
        "answer",
        (b["request_id"],),
        {"campaign": e.campaign, "accepted": b["accepted"], "words": b["words"], "at": e.at},
    )


_REDUCERS: dict[str, Callable[[LedgerEvent], Iterable[Change]]] = {
    "campaign-started": _campaign_started,
    "campaign-resumed": _campaign_resumed,
    "campaign-ended": _campaign_ended,
    "experiment-proposed": _experiment_proposed,
    "experiment-moved": _experiment_moved,
    "pattern-reduced": _pattern_reduced,
    "experiment-identified": _experiment_identified,
    "experiment-scored": _experiment_scored,
    "command-queued": _command_queued,
    "command-moved": _command_moved,
    "result-received": _result_received,
    "signals-received": _signals_received,
    "stage-decided": _stage_decided,
    "question-asked": _question_asked,
    "approval-given": _approval_given,
    "question-answered": _question_answered,
    "experiment-edited": _experiment_edited,
    "outcome-resolved": _outcome_resolved,
    "campaign-paused": _campaign_paused,
    "campaign-unpaused": _campaign_unpaused,
    "request-answered": _request_answered,
}


def project(event: LedgerEvent) -> list[Change]:
    """The row changes of one event; events that only record (late or refused messages) change none."""
    reducer = _REDUCERS.get(event.kind)
    return [] if reducer is None else list(reducer(event))
