"""A thinned crash matrix: real processes killed on entering every state. The whole is ``solvus bench crashes``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from solvus.agent.states import COMMAND_ARROWS, EXPERIMENT_ARROWS
from solvus.simulations.benchmarks.crashes.campaign import PROGRAMS, STATES, Outcome
from solvus.simulations.benchmarks.crashes.matrix import Matrix, crash_matrix
from tests.conftest import require


def test_every_state_of_both_tables_is_in_the_matrix() -> None:
    assert len(STATES) == len(COMMAND_ARROWS) + len(EXPERIMENT_ARROWS) == len(set(STATES))


def test_the_table_counts_what_was_killed_and_shows_what_was_violated() -> None:
    fine = Outcome("agent", "embedded", "sqlite", killed_at=["command queued"], kills={"agent": 1})
    bad = Outcome(
        "agent", "mosquitto", "sqlite", killed_at=["command queued"], violations=["it was done twice"]
    )
    table = Matrix([fine, bad]).table()
    assert "| command queued | 2 of 2, **1 violated** | 0 of 2 | 0 of 2 | 0 of 2 |" in table
    document = Matrix([fine, bad]).document()
    assert (document["campaigns"], document["kills"], document["violations"]) == (2, 1, 1)


async def killed(
    program: str, broker: str, database: str, folder: Path, *, url: str | None = None
) -> Outcome:
    """One campaign: a program killed on entering every state, or all of them at random moments."""
    by_state = program in PROGRAMS
    matrix = await crash_matrix(
        brokers=[broker],
        servers={database: url},
        programs=[program] if by_state else [],
        random_seeds=[] if by_state else [1],
        keep=folder / "kept",
    )
    (outcome,) = matrix.outcomes
    assert outcome.violations == []
    return outcome


@pytest.mark.slow
@pytest.mark.usefixtures("mosquitto")
async def test_killed_on_entering_every_state_and_at_random_moments(tmp_path: Path) -> None:
    """Four campaigns side by side, as each mostly waits for a program to come back."""
    chosen = [("agent", "embedded"), ("robot", "mosquitto"), ("broker", "embedded"), ("random", "embedded")]
    *by_state, random = await asyncio.gather(*(killed(*one, "sqlite", tmp_path) for one in chosen))
    for outcome in by_state:
        assert outcome.missed == [], f"the {outcome.program} was not killed on entering all states"
    assert any(" and " in moment for moment in random.killed_at), "two at once"
    assert set(random.kills) <= set(PROGRAMS)


@pytest.mark.slow
@pytest.mark.usefixtures("mosquitto")
async def test_killed_on_entering_every_state_on_postgresql(tmp_path: Path) -> None:
    url = os.environ.get("SOLVUS_TEST_POSTGRES", "")
    require("postgres", bool(url), "SOLVUS_TEST_POSTGRES names no server")
    outcome = await killed("agent", "mosquitto", "postgresql", tmp_path, url=url)
    assert outcome.missed == []
