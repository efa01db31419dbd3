"""The bodies of the verbs by which people control a campaign: find what waits, hand in a request, tell the answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

import typer
from pydantic import ValidationError
from sqlmodel import col

from solvus.agent.commandline.console import err, fail, out, print_json
from solvus.agent.commandline.paths import default_ledger
from solvus.agent.commandline.reading import demand_file, read_ledger
from solvus.agent.ledger.control_tables import AnswerRow, QuestionRow
from solvus.agent.ledger.engine import LedgerError
from solvus.agent.ledger.ledger import Ledger, utc_now
from solvus.agent.ledger.tables import CampaignRow, ExperimentRow
from solvus.agent.planner.search_space import Recipe
from solvus.agent.questions import recipe_hash
from solvus.agent.requests import PROMPT_FOR, Request, RequestDesk

REFUSED = 1
"""Exit status where the agent has refused what was asked."""
NO_ANSWER = 3
"""Exit status where no agent has answered: what was asked stands, and nothing has come of it yet."""
ENDED = ("found", "exhausted")


@dataclass(frozen=True)
class Waiting:
    """An experiment that waits for a person, as the ledger has it now."""

    number: int
    recipe: Recipe

    @property
    def recipe_sha256(self) -> str:
        return recipe_hash(self.recipe)


def soon() -> datetime:
    """Until when an agent that runs now may take to hear of it."""
    return utc_now() + timedelta(seconds=PROMPT_FOR)


def waiting(
    ledger: str | None, campaign: str, experiment: int | None, subject: str, as_json: bool
) -> Waiting:
    """The experiment that is meant; ends the program with one sentence when there is none or more than one."""
    try:
        return read_ledger(
            ledger, lambda opened: _waiting(opened, campaign, experiment, subject), as_json=as_json
        )
    except LookupError as error:
        fail(str(error.args[0]), as_json)


async def _waiting(ledger: Ledger, campaign: str, experiment: int | None, subject: str) -> Waiting:
    await demand_campaign(ledger, campaign)
    rows = await ledger.rows(
        QuestionRow,
        QuestionRow.campaign == campaign,
        col(QuestionRow.is_open).is_(True),
        QuestionRow.subject == subject,
        order_by=col(QuestionRow.experiment),
    )
    numbers = [row.experiment for row in rows]
    what = "approval" if subject == "approval" else "word of what became of it"
    listed = ", ".join(map(str, numbers)) or "none does"
    if experiment is None and len(numbers) != 1:
        raise LookupError(f"experiment: say which waits for {what} ({listed})")
    number = numbers[0] if experiment is None else experiment
    if number not in numbers:
        raise LookupError(f"experiment: {number} does not wait for {what} ({listed})")
    (row,) = await ledger.rows(
        ExperimentRow, ExperimentRow.campaign == campaign, ExperimentRow.number == number
    )
    return Waiting(number, json.loads(row.recipe))


async def demand_campaign(ledger: Ledger, campaign: str) -> CampaignRow:
    """The campaign's row. Raises LedgerError, naming those there are, when there is none of that id."""
    rows = await ledger.rows(CampaignRow)
    found = next((row for row in rows if row.campaign == campaign), None)
    if found is None:
        known = ", ".join(sorted(row.campaign for row in rows)) or "none yet"
        raise LedgerError(f"campaign: {campaign!r} is not in this ledger; it has {known}")
    return found


def parse_changes(changes: list[str], recipe: Recipe, as_json: bool) -> Recipe:
    """``name=value`` pairs as a part of a recipe: numbers where the recipe has numbers."""
    parsed: Recipe = {}
    for change in changes:
        name, equals, value = change.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not value:
            fail(f"{change}: write PARAMETER=VALUE", as_json)
        if name not in recipe:
            fail(f"{name}: is no parameter of the recipe; it has {', '.join(recipe)}", as_json)
        if isinstance(recipe[name], str):
            parsed[name] = value
            continue
        try:
            parsed[name] = float(value)
        except ValueError:
            fail(f"{name}: needs a number, not {value!r}", as_json)
    return parsed


def ask(ledger: str | None, campaign: str, request: Request, wait: float, as_json: bool) -> None:
    """Hand in a request, wait for the answer and tell it."""
    url = ledger or default_ledger()
    try:
        row = asyncio.run(_check_and_hand_in(url, campaign, request, wait))
    except (LedgerError, ValidationError) as error:
        fail(str(error), as_json)
    if row is None:
        _tell_silence(request, wait, as_json)
    if as_json:
        print_json({"accepted": row.accepted, "words": row.words, "verb": request.verb, "by": request.who})
    elif row.accepted:
        out.print(row.words, markup=False, highlight=False, soft_wrap=True)
    else:
        err.print(f"refused: {row.words}", markup=False, highlight=False, soft_wrap=True)
    if not row.accepted:
        raise typer.Exit(REFUSED)


async def _check_and_hand_in(url: str, campaign: str, request: Request, wait: float) -> AnswerRow | None:
    demand_file(url)
    opened = await Ledger.open(url, write=False)
    try:
        row = await demand_campaign(opened, campaign)
    finally:
        await opened.close()
    if row.state in ENDED:
        raise LedgerError(f"campaign: {campaign} has ended ({row.state}); there is nothing to ask of it")
    async with RequestDesk(url) as desk:
        request_id = await desk.hand_in(campaign, request)
        return await desk.answer(request_id, wait)


def _tell_silence(request: Request, wait: float, as_json: bool) -> NoReturn:
    stays = "it is answered when the campaign is taken up with `solvus run ... --resume`"
    if not hasattr(request, "expires_at"):
        words = f"no agent has answered within {wait:g} s; the request stands: {stays}"
    else:
        words = (
            f"no agent has answered within {wait:g} s, so none seems to run; the request is void in {PROMPT_FOR:g} s. "
            "An emergency needs no agent: `solvus stop --emergency LAB.yaml`"
        )
    if as_json:
        print_json({"accepted": None, "words": words, "verb": request.verb, "by": request.who})
    else:
        err.print(words, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(NO_ANSWER)
