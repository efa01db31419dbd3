"""A thinned crash matrix: real processes killed on entering every state. The whole is ``solvus bench crashes``."""

from __future__ import annotations

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


def servers(database: str) -> dict[str, str | None]:
    if database == "sqlite":
        return {"sqlite": None}
    url = os.environ.get("SOLVUS_TEST_POSTGRES", "")
    require("postgres", bool(url), "SOLVUS_TEST_POSTGRES names no server")
    return {"postgresql": url}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "broker", "database"),
    [
        ("agent", "embedded", "sqlite"),
        ("agent", "mosquitto", "postgresql"),
        ("robot", "mosquitto", "sqlite"),
        ("broker", "embedded", "sqlite"),
    ],
)
async def test_killed_on_entering_every_state(
    request: pytest.FixtureRequest, tmp_path: Path, program: str, broker: str, database: str
) -> None:
    if broker == "mosquitto":
        request.getfixturevalue("mosquitto")
    matrix = await crash_matrix(
        brokers=[broker], servers=servers(database), programs=[program], keep=tmp_path / "kept"
    )
    (outcome,) = matrix.outcomes
    assert outcome.violations == []
    assert len(outcome.killed_at) >= 15, f"it did not come to {outcome.missed}"


@pytest.mark.slow
async def test_killed_at_random_moments_also_two_at_once(tmp_path: Path) -> None:
    matrix = await crash_matrix(
        brokers=["embedded"], servers=servers("sqlite"), programs=[], random_seeds=[1], keep=tmp_path / "kept"
    )
    (outcome,) = matrix.outcomes
    assert outcome.violations == []
    assert any(" and " in moment for moment in outcome.killed_at)
    assert set(outcome.kills) <= set(PROGRAMS)
