"""The crash matrix: every state of both tables, every program, both brokers, both databases; and random moments."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy.engine import make_url

from solvus.simulations.benchmarks.crashes.campaign import PROGRAMS, STATES, CrashCampaign, Outcome
from solvus.simulations.benchmarks.crashes.programs import Site

EXPERIMENTS = 120
"""A budget that is never spent: when there is nothing left to kill at, the next samples hit."""
MOMENTS = 8


@dataclass
class Matrix:
    """All campaigns of one run."""

    outcomes: list[Outcome] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "campaigns": len(self.outcomes),
            "kills": sum(sum(o.kills.values()) for o in self.outcomes),
            "violations": sum(len(o.violations) for o in self.outcomes),
            "missed": sum(len(o.missed) for o in self.outcomes),
            "outcomes": [asdict(o) for o in self.outcomes],
        }

    def table(self) -> str:
        """In Markdown: for each state and program, on how many pairs of broker and database it was killed there."""
        by_state = [o for o in self.outcomes if o.program in PROGRAMS]
        pairs = sorted({(o.broker, o.database) for o in by_state})
        lines = [f"| entering | {' | '.join(PROGRAMS)} |", f"|---|{'---|' * len(PROGRAMS)}"]
        for state in STATES:
            cells = []
            for program in PROGRAMS:
                here = [o for o in by_state if o.program == program and state in o.killed_at]
                bad = sum(bool(o.violations) for o in here)
                cells.append(f"{len(here)} of {len(pairs)}" + (f", **{bad} violated**" if bad else ""))
            lines.append(f"| {state} | {' | '.join(cells)} |")
        lines += [
            "",
            "| program killed | broker | database | kills | events | s | violations |",
            "|---|---|---|---|---|---|---|",
        ]
        for o in self.outcomes:
            kills = sum(o.kills.values())
            row = (o.program, o.broker, o.database, kills, o.events, f"{o.seconds:.0f}", len(o.violations))
            lines.append(f"| {' | '.join(map(str, row))} |")
        return "\n".join(lines) + "\n"


async def crash_matrix(
    *,
    brokers: Sequence[str],
    servers: dict[str, str | None],
    programs: Iterable[str] = PROGRAMS,
    states: Sequence[str] = STATES,
    random_seeds: Iterable[int] = (),
    at_once: int = 1,
    keep: Path | None = None,
    done: Callable[[Outcome], None] = lambda _: None,
) -> Matrix:
    """Run the matrix.

    Parameters
    ----------
    servers : database by name, with the address of a PostgreSQL server in which databases may be made, or ``None`` for
        a SQLite file.
    random_seeds : seeds of campaigns with kills at random moments, for each broker and database.
    at_once : campaigns side by side.
    keep : folder for what the campaigns leave behind.
    """
    matrix, turn = Matrix(), asyncio.Semaphore(at_once)

    async def one(broker: str, database: str, victim: str, seed: int) -> None:
        async with turn:
            folder = Path(tempfile.mkdtemp(prefix="solvus-crashes-"))
            name = f"crash_{uuid4().hex[:12]}"
            url = await _make_database(servers[database], name, folder)
            site = Site(folder, url, broker, EXPERIMENTS, seed)
            try:
                campaign = CrashCampaign(
                    site,
                    database,
                    victim=victim,
                    states=states if victim else (),
                    moments=0 if victim else MOMENTS,
                )
                outcome = await campaign.run()
            finally:
                if keep is not None:
                    shutil.copytree(folder, keep / f"{victim or 'random'}-{broker}-{database}-{seed}")
                shutil.rmtree(folder, ignore_errors=True)
                await _drop_database(servers[database], name)
        matrix.outcomes.append(outcome)
        done(outcome)

    async with asyncio.TaskGroup() as group:
        for broker in brokers:
            for database in servers:
                for program in programs:
                    group.create_task(one(broker, database, program, 0))
                for seed in random_seeds:
                    group.create_task(one(broker, database, "", seed))
    matrix.outcomes.sort(key=lambda o: (o.program, o.broker, o.database))
    return matrix


async def _make_database(server: str | None, name: str, folder: Path) -> str:
    if server is None:
        return f"sqlite:///{folder / 'ledger.db'}"
    await _administer(server, f'CREATE DATABASE "{name}"')
    return make_url(server).set(drivername="postgresql", database=name).render_as_string(hide_password=False)


async def _drop_database(server: str | None, name: str) -> None:
    if server is not None:
        await _administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _administer(server: str, statement: str) -> None:
    address = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
