"""The bench of how long the planner takes to answer."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.simulations.benchmarks.planner.asking import OUTPUTS, SPACE, known


def test_known_experiments_fit_the_space_and_follow_the_seed() -> None:
    assert all(SPACE.refusal(o.recipe) is None and len(o.descriptors) == OUTPUTS for o in known(20))
    assert known(5) == known(20)[:5] and known(5, seed=2) != known(5)


def test_one_document_with_times_and_memory() -> None:
    done = CliRunner().invoke(
        app, ["bench", "ask", "--experiments", "12", "--repeats", "1", "--no-ax", "--memory", "50", "--json"]
    )
    document = json.loads(done.stdout)
    assert [(a["planner"], a["recipes"]) for a in document["asked"]] == [("solvus", 1), ("solvus", 4)]
    assert all(a["median"] > 0 for a in document["asked"]) and set(document["memory_mb"]) == {"25", "50"}
