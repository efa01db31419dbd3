"""``solvus identify`` from outside: tables for people, one JSON document for programs, one sentence for faults."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from solvus.agent.commandline.identify import identify
from solvus.models.identify import pattern_of
from solvus.models.pattern import Conditions
from solvus.models.pattern_files import write_gr

app = typer.Typer()
app.command()(identify)
runner = CliRunner()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("patterns") / "gold.gr"
    conditions = Conditions(qmin=0.8, qmax=22.0, qdamp=0.03, composition="Au")
    write_gr(pattern_of("Au icosahedron-147", conditions, np.arange(0.0, 30.0, 0.02)), path)
    return path


def test_a_table_for_people(measured: Path) -> None:
    result = runner.invoke(app, [str(measured)], env={"COLUMNS": "140"})
    assert result.exit_code == 0
    for word in ("gold.gr", "identified", "icosahedron-147", "icosahedral", "R_w", "diameter"):
        assert word in result.stdout


def test_one_json_document_for_programs(measured: Path) -> None:
    result = runner.invoke(app, [str(measured), "--json", "--elements", "Au,Ag", "--top", "2"])
    assert result.exit_code == 0
    (entry,) = json.loads(result.stdout)["files"]
    assert entry["file"] == str(measured)
    assert entry["verdict"] == "identified"
    assert len(entry["candidates"]) <= 2
    best = entry["candidates"][0]
    assert (best["structure"], best["family"]) == ("icosahedron-147", "icosahedral")
    assert set(best["elements"]) == {"Au", "Ag"}
    assert {"scale", "bond_length", "u_iso", "diameter", "n_atoms", "expansion"} <= set(best["parameters"])


def test_a_good_file_beside_a_bad_one(measured: Path, tmp_path: Path) -> None:
    bad = tmp_path / "empty.gr"
    bad.write_text("")
    result = runner.invoke(app, [str(measured), str(bad), "--json"])
    assert result.exit_code == 2
    good, failed = json.loads(result.stdout)["files"]
    assert good["verdict"] == "identified"
    assert failed == {"file": str(bad), "error": "empty.gr: is empty"}
    assert "empty.gr: is empty" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.gr"], "no such file"),
        (["GOOD", "--elements", "Xx"], "elements: 'Xx' is unknown"),
        (["GOOD", "--elements", ","], "name at least one"),
        (["GOOD", "--range", "20", "2"], "no range"),
        (["GOOD", "--plot", "a.txt"], ".png"),
        (["GOOD", "--expansion", "2"], "expansion: 2 is not between 0 and 0.6"),
    ],
)
def test_bad_input_is_one_sentence(measured: Path, arguments: list[str], words: str) -> None:
    arguments = [str(measured) if argument == "GOOD" else argument for argument in arguments]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""
    as_json = runner.invoke(app, [*arguments, "--json"])
    assert as_json.exit_code == 2
    assert words in json.loads(as_json.stdout)["error"]


def test_a_figure(measured: Path, tmp_path: Path) -> None:
    figure = tmp_path / "fit.png"
    result = runner.invoke(app, [str(measured), str(measured), "--plot", str(figure)])
    assert result.exit_code == 0
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_help_has_an_example() -> None:
    result = runner.invoke(app, ["--help"], env={"COLUMNS": "120"})
    assert "solvus identify sample.gr" in result.stdout
