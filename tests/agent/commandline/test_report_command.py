"""``solvus report`` writes a report from nothing but the ledger, and keeps those of different ledgers apart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from tests.agent.ledger_builder import build


def run(ledger: Path, *arguments: str):
    return CliRunner().invoke(app, ["report", "--ledger", f"sqlite:///{ledger}", *arguments])


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two ledgers whose campaigns have the same id."""
    folder = tmp_path_factory.mktemp("ledgers")
    paths = folder / "a.db", folder / "b.db"
    for path, fates in zip(paths, (("miss", "hit"), ("miss", "near")), strict=True):
        asyncio.run(build(f"sqlite:///{path}", fates, end="stopped"))
    return paths


def test_reports_of_different_ledgers_lie_side_by_side(
    ledgers: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = [json.loads(run(path, "--json").stdout) for path in ledgers]
    again = json.loads(run(ledgers[0], "--json", "--campaign", told[0]["campaign"]).stdout)
    assert told[0]["campaign"] == told[1]["campaign"] and told[0]["report"] != told[1]["report"]
    assert again == told[0]
    for document in told:
        path = Path(document["report"])
        assert document["head"] in path.read_text() and path.is_relative_to("solvus-data/reports")
        assert json.loads((path.parent / "report.json").read_text())["r_w_to_target"] > 0.0


def test_a_report_goes_where_it_is_wanted(ledgers: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(ledgers[0], "-o", str(tmp_path / "here"))
    assert done.exit_code == 0 and "here/report.html" in done.stdout.replace("\n", "")
    assert (tmp_path / "here/report.html").is_file()


def test_what_cannot_be_reported_is_refused(ledgers: tuple[Path, Path], tmp_path: Path) -> None:
    unknown = run(ledgers[0], "--campaign", "silver-1", "--json")
    assert unknown.exit_code == 2 and "gold-decahedron-1" in json.loads(unknown.stdout)["error"]
    assert run(tmp_path / "none.db").exit_code == 2
    (tmp_path / "file").write_text("")
    blocked = run(ledgers[0], "-o", str(tmp_path / "file"), "--json")
    assert blocked.exit_code == 2 and "cannot be written" in json.loads(blocked.stdout)["error"]
