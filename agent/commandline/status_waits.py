"""The part of ``solvus status`` that says what a campaign waits for, since when, for whom, and how to answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlmodel import col

from solvus.agent.campaign import Campaign
from solvus.agent.ledger.control_tables import HoldRow, QuestionRow
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CampaignRow, CommandRow, ExperimentRow
from solvus.agent.ordering import took_something
from solvus.agent.questions import answers_to, given_of, in_words, question_of
from solvus.agent.requests import waiting_requests
from solvus.agent.stock import left
from solvus.agent.watch import silent_devices


@dataclass(frozen=True)
class Waits:
    """What holds a campaign up, as the ledger has it."""

    paused: HoldRow | None
    questions: tuple[QuestionRow, ...]
    recipes: dict[int, dict[str, Any]]
    silent: tuple[str, ...]
    unanswered: int
    """Requests that no agent has looked at yet."""
    stock: dict[str, tuple[float, str]]
    """What is left of each reagent, with its unit."""

    @property
    def count(self) -> int:
        return len(self.questions) + (self.paused is not None)


async def read_waits(ledger: Ledger, campaign: str) -> Waits:
    holds = await ledger.rows(HoldRow, HoldRow.campaign == campaign)
    questions = await ledger.rows(
        QuestionRow,
        QuestionRow.campaign == campaign,
        col(QuestionRow.is_open).is_(True),
        order_by=col(QuestionRow.experiment),
    )
    numbers = {row.experiment for row in questions}
    rows = await ledger.rows(ExperimentRow, ExperimentRow.campaign == campaign)
    return Waits(
        paused=holds[0] if holds and holds[0].paused else None,
        questions=tuple(questions),
        recipes={row.number: json.loads(row.recipe) for row in rows if row.number in numbers},
        silent=tuple(sorted(await silent_devices(ledger, campaign))),
        unanswered=len(await waiting_requests(ledger, campaign)),
        stock=await _stock(ledger, campaign),
    )


async def _stock(ledger: Ledger, campaign: str) -> dict[str, tuple[float, str]]:
    (row,) = await ledger.rows(CampaignRow, CampaignRow.campaign == campaign)
    inventory = Campaign.model_validate_json(row.config).inventory
    if not inventory:
        return {}
    commands = await ledger.rows(CommandRow, CommandRow.campaign == campaign, CommandRow.purpose == "make")
    made = [json.loads(c.body)["parameters"] for c in commands if took_something(c)]
    return {reagent.name: (left(reagent, made), reagent.unit) for reagent in inventory}


def as_document(waits: Waits) -> dict[str, Any]:
    """For ``--json``."""
    paused = waits.paused
    return {
        "paused": None
        if paused is None
        else {"by": paused.by, "since": paused.since, "reason": paused.reason},
        "waiting": [
            {
                "experiment": row.experiment,
                "subject": row.subject,
                "since": row.since,
                "why": question_of(row).why,
                "people": list(question_of(row).people),
                "needed": question_of(row).needed,
                "given": [g.by for g in given_of(row)],
                "edited_by": question_of(row).edited_by,
                "recipe": waits.recipes.get(row.experiment, {}),
                "answer_with": list(answers_to(row)),
            }
            for row in waits.questions
        ],
        "silent_devices": list(waits.silent),
        "unanswered_requests": waits.unanswered,
        "stock": {name: {"left": amount, "unit": unit} for name, (amount, unit) in waits.stock.items()},
    }


def as_lines(waits: Waits, campaign: str) -> list[str]:
    """For people."""
    lines = []
    if (paused := waits.paused) is not None:
        since = paused.since[:16].replace("T", " ")
        why = f": {paused.reason}" if paused.reason else ""
        lines += [f"paused by {paused.by} since {since} UTC{why}", f"  solvus resume {campaign}"]
    for row in waits.questions:
        recipe = ", ".join(
            f"{name} {value:.6g}" if isinstance(value, float | int) else f"{name} {value}"
            for name, value in waits.recipes.get(row.experiment, {}).items()
        )
        lines += [in_words(row), f"  {recipe}", *(f"  {command}" for command in answers_to(row))]
    lines += [f"{device} is silent: no order goes to it until it is heard" for device in waits.silent]
    if waits.unanswered:
        lines.append(f"{waits.unanswered} requests wait for an agent to answer them")
    lines += [f"{name}: {amount:.4g} {unit} left" for name, (amount, unit) in waits.stock.items()]
    return lines
