"""``solvus train``: what it says before hours of work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from solvus.agent.commandline.app import app

runner = CliRunner()
COMMAND = ["train", "recognition"]


@pytest.mark.parametrize(
    ("text", "named"), [("steps: 0", "steps"), ("widht: 64", "widht"), ("shares: [1, 2]", "shares")]
)
def test_a_configuration_that_is_none_is_refused_before_anything_is_made(
    text: str, named: str, tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(text)
    work = tmp_path / "work"
    result = runner.invoke(app, [*COMMAND, "--config", str(config), "--work", str(work), "--json"])
    assert result.exit_code == 2
    assert named in json.loads(result.stdout)["error"]
    assert not work.exists()


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    result = runner.invoke(app, [*COMMAND, "--config", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "none.yaml" in result.output


def test_the_help_has_an_example() -> None:
    result = runner.invoke(app, [*COMMAND, "--help"])
    assert result.exit_code == 0
    assert "Example: solvus train recognition" in result.output
