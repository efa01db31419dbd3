"""``solvus latent`` from outside: structures as files, maps, ways, and a ledger's patterns placed anew."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.agent.latent import recorded
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.verify import verify
from solvus.models.identify import pattern_of
from solvus.models.latent.weights import shipped
from solvus.models.pattern import Conditions
from solvus.models.pattern_files import write_gr
from tests.agent.ledger_builder import build

runner = CliRunner()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("patterns") / "gold.gr"
    conditions = Conditions(qmin=0.8, qmax=22.0, qdamp=0.03)
    write_gr(pattern_of("Au icosahedron-55", conditions, np.arange(0.02, 25.0, 0.02)), path)
    return path


def test_structures_become_files(measured: Path, tmp_path: Path) -> None:
    result = runner.invoke(
        app, ["latent", "decode", str(measured), "-o", str(tmp_path / "made"), "--samples", "40", "--json"]
    )
    assert result.exit_code == 0
    (answer,) = json.loads(result.stdout)["files"]
    first = answer["hypotheses"][0]
    assert (first["structure"], first["n_atoms"]) == ("icosahedral-55", 55)
    assert answer["posterior"]["version"] == shipped().version
    file = tmp_path / "made" / "gold-1-icosahedral-55.xyz"
    assert str(file) in answer["structures"]
    assert len(read(file)) == 55
    comment = file.read_text().splitlines()[1]
    assert "probability" in comment
    assert "R_w" in comment
    assert (tmp_path / "made" / "gold-1-icosahedral-55-relaxed.xyz").is_file()


def test_a_file_that_is_none_ends_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "empty.gr"
    file.write_text("")
    result = runner.invoke(app, ["latent", "decode", str(file)])
    assert result.exit_code == 2
    assert "empty.gr: is empty" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("ending", ["png", "html"])
def test_a_map(measured: Path, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"map.{ending}"
    result = runner.invoke(app, ["latent", "map", "--pattern", str(measured), "--quick", "-o", str(output)])
    assert result.exit_code == 0, result.stderr
    assert output.stat().st_size > 20_000
    if ending == "html":
        text = output.read_text()
        assert "__DATA__" not in text
        assert "http" not in text.replace(
            "http://www.w3.org/2000/svg", ""
        )  # nothing is loaded from elsewhere
        data = json.loads(
            text.partition("const data = ")[2].partition(";\nconst svg")[0].replace("<\\/", "</")
        )
        assert {p["name"] for p in data["patterns"]} == {"gold"}
        assert any(point["atoms"] for point in data["points"])


def test_a_map_of_another_kind_is_refused(tmp_path: Path) -> None:
    result = runner.invoke(app, ["latent", "map", "-o", str(tmp_path / "map.doc")])
    assert result.exit_code == 2
    assert "--output: map.doc needs the ending" in result.stderr


def test_a_way(tmp_path: Path) -> None:
    result = runner.invoke(
        app,
        ["latent", "walk", "fcc-sphere-79", "hcp-sphere-57", "--steps", "5", "-o", str(tmp_path), "--json"],
    )
    assert result.exit_code == 0, result.stderr
    steps = json.loads(result.stdout)["steps"]
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5]
    assert all(step["physical"] for step in steps)
    assert len(list(tmp_path.glob("*.xyz"))) == len(list(tmp_path.glob("*.gr"))) == 5


def test_a_structure_that_is_none_is_told(tmp_path: Path) -> None:
    result = runner.invoke(app, ["latent", "walk", "icosahedron-56", "icosahedron-55"])
    assert result.exit_code == 2
    assert "did you mean icosahedron-55" in result.stderr


def test_a_ledger_is_placed_whole_and_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    campaign, _ = asyncio.run(build(url))
    first = runner.invoke(app, ["latent", "reembed", "--ledger", url, "--json"])
    assert first.exit_code == 0, first.stderr
    document = json.loads(first.stdout)
    assert document["version"] == shipped().version
    (row,) = document["campaigns"]
    assert row["campaign"] == campaign
    assert row["patterns"] > 0
    again = runner.invoke(app, ["latent", "reembed", "--ledger", url])
    assert "as recorded before" in again.stdout

    async def look() -> tuple[set[str], bool]:
        ledger = await Ledger.open(url, write=False)
        try:
            places = await recorded(ledger, campaign)
            report = await verify(ledger)
            return {place.version for place in places.values()}, report.problems == ()
        finally:
            await ledger.close()

    versions, sound = asyncio.run(look())
    assert versions == {shipped().version}
    assert sound
    drawn = runner.invoke(
        app,
        ["latent", "map", "--campaign", campaign, "--ledger", url, "-o", str(tmp_path / "path.png")],
    )
    assert drawn.exit_code == 0, drawn.stderr


def test_a_ledger_that_is_missing_is_told(tmp_path: Path) -> None:
    result = runner.invoke(app, ["latent", "reembed", "--ledger", f"sqlite:///{tmp_path / 'none.db'}"])
    assert result.exit_code == 2
    assert "there is no file" in result.stderr
    assert not (tmp_path / "none.db").exists()
