"""The benchmark of the refinement runs through and says what it compares with."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.simulations.benchmarks.refinement import NOISE, clean, noisy


def test_both_kinds_of_noise_have_the_stated_level() -> None:
    pattern = clean(570, "exact")
    level = NOISE * np.abs(pattern.y).max()
    for white_in_q in (True, False):
        draws = [
            noisy(pattern, np.random.default_rng(seed), white_in_q=white_in_q).y - pattern.y
            for seed in range(20)
        ]
        assert np.std(draws) == pytest.approx(level, rel=0.05)


def test_the_command_prints_one_json_document() -> None:
    result = CliRunner().invoke(
        app, ["bench", "refinement", "--repeats", "1", "--draws", "10", "--starts", "3", "--json"]
    )
    rows = json.loads(result.stdout)
    assert result.exit_code == 0
    assert any(row["name"].startswith("fit of 570 points") for row in rows)
    # Without the peer the row stands with the reason in place of a figure.
    assert all(row["value"] is not None or row["note"] for row in rows)
    assert all(row["passed"] for row in rows if row["name"].startswith("uncertainty"))
