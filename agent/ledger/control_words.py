"""What people decided, in one line for lists and in labelled lines for `audit show`."""

from __future__ import annotations

from typing import Any

from solvus.agent.ledger.projections import LedgerEvent


def _because(body: dict[str, Any]) -> str:
    return f": {body['reason']}" if body.get("reason") else ""


def _recipe(recipe: dict[str, Any]) -> str:
    return ", ".join(f"{n} {v:.6g}" if isinstance(v, float) else f"{n} {v}" for n, v in recipe.items())


def describe_control(event: LedgerEvent) -> str | None:
    """One line, or ``None`` for an event of another kind."""
    b = event.body
    match event.kind:
        case "question-asked":
            what = "approval" if b["question"]["subject"] == "approval" else "word of what became of it"
            return f"experiment {b['number']} waits for {what}: {b['question']['why']}"
        case "approval-given":
            return (
                f"experiment {b['number']} approved by {', '.join(g['by'] for g in b['given'])}, more needed"
            )
        case "question-answered":
            return f"experiment {b['number']} {b['answer']['verdict']} by {b['answer']['by']}{_because(b['answer'])}"
        case "experiment-edited":
            changed = {k: v for k, v in b["recipe"].items() if b["before"].get(k) != v}
            return f"experiment {b['number']} edited by {b['by']} to {_recipe(changed)}{_because(b)}"
        case "outcome-resolved":
            return f"experiment {b['number']} resolved by {b['by']} as {b['outcome']}{_because(b)}"
        case "campaign-paused":
            return f"campaign paused by {b['by']}{_because(b)}"
        case "campaign-unpaused":
            return f"campaign goes on, by {b['by']}{_because(b)}"
        case "request-answered":
            verdict = "" if b["accepted"] else "refused: "
            return f"{b['verb']} by {b['by']}: {verdict}{b['words']}"
        case "device-silent":
            return f"{b['device']} is silent: no order goes to it until it is heard"
        case "device-heard":
            return f"{b['device']} is heard again"
        case _:
            return None
