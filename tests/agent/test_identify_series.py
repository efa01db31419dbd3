"""``solvus identify-series`` from outside: a table for people, one JSON document, one sentence for faults."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from solvus.agent.commandline.identify_series import identify_series
from solvus.models.pattern import Conditions, Pattern
from solvus.models.pattern_files import read_gr, write_gr
from solvus.models.scattering.mixture import mixed, phases_of
from solvus.models.scattering.settings import Settings
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record_structure import structure_of

app = typer.Typer()
app.command()(identify_series)
runner = CliRunner()
TRUTH = (0.0, 0.25, 0.5, 0.75, 1.0)
STATED = Conditions(qmin=0.8, qmax=20.0, qdamp=0.03)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Anatase on its way to rutile."""
    import torch

    folder, catalogue = tmp_path_factory.mktemp("heating"), Catalogue.load(own_too=False)
    wanted = Settings(rmax=22.0, rstep=0.02, qmin=0.8, qmax=20.0, qdamp=0.03, diameter=40.0)
    structures = [structure_of(catalogue.find(name), 0.006) for name in ("TiO2 anatase", "TiO2 rutile")]
    phases, written = phases_of(structures, wanted), []
    for number, x in enumerate(TRUTH):
        curves = mixed(phases, torch.tensor([1.0 - x, x], dtype=torch.float64))
        path = folder / f"scan-{number}.gr"
        write_gr(Pattern(x=curves.r.numpy(), y=curves.g.numpy(), conditions=STATED), path)
        written.append(str(path))
    return written


@pytest.fixture(scope="module")
def answered(files: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("answer")
    wishes = ["--elements", "Ti,O", "--save", str(folder / "made"), "--plot", str(folder / "series.png")]
    return runner.invoke(app, [*files, *wishes, "--json"]), folder


def test_one_json_document_with_components_and_shares(
    files: list[str], answered: tuple[Result, Path]
) -> None:
    result, _ = answered
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["number_of_components"] == 2
    assert document["support"]["2"] >= 0.8
    families = [c["identification"]["candidates"][0]["family"] for c in document["components"]]
    assert families == ["anatase", "rutile"]
    assert [entry["file"] for entry in document["series"]] == files
    assert [entry["shares"][1] for entry in document["series"]] == pytest.approx(TRUTH, abs=0.01)


def test_components_are_saved_as_patterns_and_drawn(answered: tuple[Result, Path]) -> None:
    _, folder = answered
    for number in (1, 2):
        component = read_gr(folder / "made" / f"component-{number}.gr")
        assert component.conditions == STATED
    assert (folder / "series.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_table_for_people(files: list[str]) -> None:
    result = runner.invoke(app, [*files, "--elements", "Ti,O"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    for words in ("5 patterns, 2 components", "TiO2 anatase", "TiO2 rutile", "scan-3.gr", "0.750"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["FILES2"], "at least 3"),
        (["FILES", "--elements", "Xx"], "'Xx' is unknown"),
        (["FILES", "--components", "5"], "components: 5 cannot be found in 5 patterns"),
        (["FILES", "--range", "20", "2"], "no range"),
        (["FILES", "absent.gr"], "no such file"),
        (["FILES", "FLAT"], "flat.gr: the pattern is flat"),
        (["FILES", "NEUTRON"], "X-ray and neutron"),
        (["FILES", "--plot", "a.txt"], ".png"),
    ],
)
def test_bad_input_is_one_sentence(
    files: list[str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    good = read_gr(files[0])
    write_gr(Pattern(x=good.x, y=np.full_like(good.y, 2.0), conditions=STATED), tmp_path / "flat.gr")
    neutron = STATED.model_copy(update={"radiation": "neutron"})
    write_gr(good.model_copy(update={"conditions": neutron}), tmp_path / "neutron.gr")
    stand_ins = {
        "FILES": files,
        "FILES2": files[:2],
        "FLAT": [str(tmp_path / "flat.gr")],
        "NEUTRON": [str(tmp_path / "neutron.gr")],
    }
    result = runner.invoke(app, [word for given in arguments for word in stand_ins.get(given, [given])])
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
