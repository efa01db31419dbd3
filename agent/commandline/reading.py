"""How the verbs that only look open a ledger: for reading, beside an agent that may be writing it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from solvus.agent.commandline.console import fail
from solvus.agent.commandline.paths import default_ledger
from solvus.agent.ledger.engine import LedgerError, ledger_url
from solvus.agent.ledger.ledger import Ledger

Answer = TypeVar("Answer")


def read_ledger(
    given: str | None, work: Callable[[Ledger], Awaitable[Answer]], *, as_json: bool = False
) -> Answer:
    """What ``work`` finds in the ledger; ends the program with one sentence when it cannot be read.

    Parameters
    ----------
    given : the value of ``--ledger``; the default ledger when ``None``.
    """
    try:
        return asyncio.run(_read(given or default_ledger(), work))
    except (LedgerError, ValueError) as error:  # ValueError: an event that a newer Solvus wrote
        fail(str(error), as_json)


def demand_file(url: str) -> None:
    """Raise LedgerError when a SQLite ledger is not there or not ours to read; SQLite would make an empty one."""
    address = ledger_url(url)
    file = address.database if address.get_backend_name() == "sqlite" else None
    try:
        if file is not None and not Path(file).is_file():
            raise LedgerError(f"ledger: there is no file {file}; run a campaign first, or check --ledger")
    except PermissionError as error:
        raise LedgerError(
            f"ledger: you may not read {file}; ask its owner, or check --ledger "
            "(docs/controls.md says how to share one)"
        ) from error


async def _read(url: str, work: Callable[[Ledger], Awaitable[Answer]]) -> Answer:
    demand_file(url)
    ledger = await Ledger.open(url, write=False)
    try:
        return await work(ledger)
    finally:
        await ledger.close()
