"""What people ask of a running campaign, from a process and under a login of their own.

A request is one row that is added to the ledger's database and never changed; the running agent alone turns it into
events. So there is one writer of the ledger, one order in which things happened, and nothing is lost when the agent is
down: what was asked meanwhile is answered when it is back. The database says who may ask (file permissions, or roles of
PostgreSQL), and everything that reads the ledger sees what was asked, by whom, and what became of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from solvus.agent.approval import Person
from solvus.agent.ledger.canonical import canonical
from solvus.agent.ledger.control_tables import AnswerRow, RequestRow
from solvus.agent.ledger.engine import LedgerError, as_ledger_error, ledger_url, make_engine
from solvus.agent.ledger.ledger import Ledger, timestamp, utc_now
from solvus.agent.planner.search_space import Recipe

Reason = Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)]
RecipeHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
POLL = 0.2
"""Seconds between looks for an answer."""


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    who: Person
    reason: Reason = ""


class _AboutExperiment(_Request):
    experiment: int = Field(ge=1)


class Approve(_AboutExperiment):
    """Make the experiment, with exactly the recipe of that hash."""

    verb: Literal["approve"] = "approve"
    recipe_sha256: RecipeHash


class Reject(_AboutExperiment):
    verb: Literal["reject"] = "reject"
    reason: Annotated[Reason, StringConstraints(min_length=1)]


class Edit(_AboutExperiment):
    """Make it with these values instead; what is not named stays as in the recipe of that hash."""

    verb: Literal["edit"] = "edit"
    recipe_sha256: RecipeHash
    changes: Recipe = Field(min_length=1)


class Resolve(_AboutExperiment):
    """What became of an experiment that nobody has heard the end of."""

    verb: Literal["resolve"] = "resolve"
    outcome: Literal["discard", "no-product", "again"]


class Pause(_Request):
    verb: Literal["pause"] = "pause"


class _Prompt(_Request):
    """What is meant for the agent that runs now, not for one that starts tomorrow."""

    expires_at: datetime


class Unpause(_Prompt):
    verb: Literal["resume"] = "resume"


class Stop(_Prompt):
    verb: Literal["stop"] = "stop"


Request = Approve | Reject | Edit | Resolve | Pause | Unpause | Stop
REQUEST = TypeAdapter[Request](Annotated[Request, Field(discriminator="verb")])
PROMPT_FOR = 60.0
"""Seconds after which `stop` and `resume` are too old to be heeded."""


def login_name() -> str:
    """The login of this process, from the system and not from the environment, which anybody may set."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        import getpass

        return getpass.getuser()


async def waiting_requests(ledger: Ledger, campaign: str) -> Sequence[RequestRow]:
    """What was asked of a campaign and has no answer, in the order in which it was asked."""
    answered = select(AnswerRow.request_id)
    return await ledger.rows(
        RequestRow,
        RequestRow.campaign == campaign,
        col(RequestRow.request_id).not_in(answered),
        order_by=col(RequestRow.id),
    )


class RequestDesk:
    """A person's side: hand in a request, and see what became of it. Use as an async context manager.

    Raises
    ------
    LedgerError
        When the ledger cannot be reached or written to, or was made by a Solvus without requests.
    """

    def __init__(self, url: str) -> None:
        self._address = ledger_url(url)
        self._engine: AsyncEngine = make_engine(self._address, write=True)

    async def __aenter__(self) -> RequestDesk:
        try:
            async with self._engine.connect() as connection:
                known = await connection.run_sync(lambda c: inspect(c).has_table("request"))
        except (SQLAlchemyError, OSError) as error:
            await self._engine.dispose()
            raise as_ledger_error(self._address, error) from error
        if not known:
            await self._engine.dispose()
            raise LedgerError(
                "ledger: it was made by an older Solvus, which took no requests; "
                "`solvus run ... --resume` brings it up to date"
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._engine.dispose()

    async def hand_in(self, campaign: str, request: Request) -> str:
        """Add a request; returns its id. It stands when this returns, whoever is running."""
        request_id = uuid4().hex
        row = RequestRow(
            request_id=request_id,
            at=timestamp(utc_now()),
            campaign=campaign,
            verb=request.verb,
            who=request.who,
            body=canonical(request.model_dump(mode="json")),
        )
        try:
            async with AsyncSession(self._engine) as session:
                session.add(row)
                await session.commit()
        except (SQLAlchemyError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            raise LedgerError(
                f"ledger: the request could not be written ({str(cause).splitlines()[0]}); "
                "you need the right to add to the table `request` (docs/controls.md)"
            ) from error
        return request_id

    async def answer(self, request_id: str, patience: float) -> AnswerRow | None:
        """What the agent made of it; ``None`` when it has said nothing within ``patience`` seconds."""
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            async with AsyncSession(self._engine) as session:
                found = await session.get(AnswerRow, request_id)
            if found is not None or asyncio.get_running_loop().time() >= deadline:
                return found
            await asyncio.sleep(POLL)
