"""``solvus evaluate recognition`` from outside: a report for people, one JSON document for programs, one sentence for
faults."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.models.identify import pattern_of
from solvus.models.pattern import Conditions, Pattern
from solvus.models.pattern_files import write_gr
from solvus.simulations.benchmarks.recognition import rows
from solvus.simulations.benchmarks.recognition.bench import Bench
from solvus.simulations.benchmarks.recognition.results import Claim, Measured
from solvus.simulations.benchmarks.recognition.rows import Row

runner = CliRunner()
COMMAND = ["evaluate", "recognition"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def _patterns(folder: Path, curve: Pattern, elements: str, structure: str, answer: str) -> Path:
    """A folder with one pattern and its list."""
    patterns = folder / "patterns"
    patterns.mkdir()
    write_gr(curve, patterns / "sample.gr")
    (patterns / "truth.csv").write_text(
        "file,kind,elements,structure,what_a_right_answer_says\n"
        f"sample.gr,G(r),{elements},{structure},{answer}\n"
        "sample.chi,I(Q),Au,,reduction\n"
    )
    return patterns


def _measured(patterns: Path) -> dict[str, Any]:
    arguments = [*COMMAND, "--only", "measured", "--patterns", str(patterns), "-o", "here", "--json"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["rows"]
    return dict(row)


def test_a_row_alone_with_its_report(folder: Path) -> None:
    r = np.arange(0.0, 30.0, 0.02)
    slope = Pattern(x=r, y=r + 0.01 * np.sin(7.0 * r), conditions=Conditions(qmax=20.0))
    row = _measured(_patterns(folder, slope, "C", "molecular C60", "none of these"))
    # A pattern that cannot be judged is not one of other chemistry.
    assert (row["key"], row["met"]) == ("measured", False)
    assert row["remarks"] == ["sample.gr: poor_data; no type; metals none: wrong verdict."]
    assert json.loads((folder / "here" / "report.json").read_text())["rows"] == [row]
    assert "wrong verdict" in (folder / "here" / "report.html").read_text()
    assert "wrong verdict" in (folder / "here" / "report.md").read_text()


@pytest.mark.slow
def test_a_measured_pattern_that_is_named_rightly(folder: Path) -> None:
    conditions = Conditions(qmin=0.8, qmax=22.0, qdamp=0.03, composition="Au")
    gold = pattern_of("Au icosahedron-147", conditions, np.arange(0.0, 30.0, 0.02))
    row = _measured(_patterns(folder, gold, "Au", "icosahedral core", "icosahedral"))
    met = {figure["name"]: figure["met"] for figure in row["figures"]}
    assert met["type within the first three"]
    assert row["remarks"][0].startswith("sample.gr: identified; icosahedral")


def test_a_missing_peer_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffpy.pdffit2", None)
    result = runner.invoke(app, [*COMMAND, "--only", "oxides", "--quick", "-o", "here"])
    assert result.exit_code == 2
    assert "pip install 'solvus[bench]'" in result.stderr
    assert "Traceback" not in result.output
    assert "not installed" in (folder / "here" / "report.html").read_text()


def test_ctrl_c_leaves_the_rows_that_are_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(bench: Bench) -> Measured:
        raise KeyboardInterrupt

    done = Row(Claim("done", "done test", "", "", ""), lambda bench: Measured((), remarks=("It is done.",)))
    monkeypatch.setattr(rows, "ROWS", (done, Row(Claim("stopped", "other test", "", "", ""), stopped)))
    result = runner.invoke(app, [*COMMAND, "-o", "here", "--json"])
    assert result.exit_code == 130
    assert json.loads(result.stdout)["not_done"] == ["stopped"]
    assert "interrupted" in result.stderr
    assert "It is done." in (folder / "here" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "oxydes"], "did you mean 'oxides'"),
        (["--recogniser", "oracel"], "is none"),
        (["--quick", "--count", "3"], "--quick"),
        (["--patterns", "nowhere"], "no folder nowhere"),
        (["-o", "taken"], "is a file"),
        (["--only", "measured"], "--patterns"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], words: str, folder: Path) -> None:
    (folder / "taken").write_text("")
    result = runner.invoke(app, [*COMMAND, *arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
