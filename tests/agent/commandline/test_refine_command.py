"""``solvus refine`` at its edge: answers, files and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.models.formats.write import write_pattern
from solvus.models.pattern import Pattern
from solvus.models.pattern_files import write_gr
from solvus.simulations.benchmarks.refinement import clean, noisy

CIF = """data_CeO2
_cell_length_a 5.40
_cell_length_b 5.40
_cell_length_c 5.40
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
_space_group_IT_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Ce Ce 0 0 0 1
O O 0.25 0.25 0.25 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pattern = noisy(clean(570, "exact"), np.random.default_rng(1), white_in_q=True)
    write_gr(pattern, tmp_path / "ceria.gr")
    (tmp_path / "ceria.cif").write_text(CIF)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["refine", *words])
    return result.exit_code, result.stdout, result.stderr


def test_a_fit_is_printed_drawn_and_exported(folder: Path) -> None:
    before = (folder / "ceria.gr").read_bytes()
    code, out, _ = run(
        "ceria.gr", "-s", "ceria.cif", "--free", "scale,lattice,u,delta2", "--range", "1.6", "25",
        "--plot", "fit.png", "--export", "cif", "--export", "stru", "--export", "other.xyz",
    )  # fmt: skip
    assert code == 0
    assert "converged" in out
    assert "5.412" in out
    assert (folder / "fit.png").stat().st_size > 10_000
    assert "5.412" in (folder / "ceria-refined.cif").read_text()
    assert (folder / "ceria-refined.stru").is_file()
    assert (folder / "other.xyz").is_file()
    assert (folder / "ceria.gr").read_bytes() == before


def test_one_json_document(folder: Path) -> None:
    code, out, _ = run("ceria.gr", "-s", "ceria.cif", "--free", "scale,a,u_Ce,u_O,delta2", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["verdict"] == "converged"
    assert document["parameters"]["a"]["value"] == pytest.approx(5.412, abs=1e-3)
    assert document["parameters"]["a"]["uncertainty"] < 1e-3
    assert document["parameters"]["qdamp"]["free"] is False
    assert "u_Ce scale" in document["correlations"]


def test_small_angles_need_no_structure(folder: Path) -> None:
    from solvus.models.scattering.small_angle import lognormal_spheres

    q = np.arange(0.005, 0.3, 0.002)
    y = lognormal_spheres(q, 30.0, 0.1)
    pattern = Pattern(quantity="I", x_unit="1/angstrom", x=q, y=y / y[0])
    write_pattern(pattern, folder / "spheres.iq")
    code, out, err = run("spheres.iq", "--unit", "1/angstrom", "--plot", "spheres.png")
    assert code == 0, err
    assert "diameter" in out
    assert (folder / "spheres.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing.gr", "-s", "ceria.cif"), "no such file"),
        (("ceria.gr",), "--structure"),
        (("ceria.gr", "-s", "nothing.cif"), "no such file"),
        (("ceria.gr", "-s", "ceria.cif", "--free", "foo"), "foo"),
        (("ceria.gr", "-s", "ceria.cif", "--set", "a"), "NAME=NUMBER"),
        (("ceria.gr", "-s", "ceria.cif", "--range", "80", "90"), "range"),
        (("ceria.gr", "-s", "ceria.cif", "--export", "fit.doc"), "endings"),
        (("ceria.gr", "-s", "ceria.cif", "--plot", "fit.doc"), "--plot"),
        (("ceria.gr", "-s", "ceria.cif", "--source", "MoKb"), "--source: 'MoKb' is unknown"),
        (("ceria.gr", "-s", "ceria.cif", "--source", "MoKa"), "for powder patterns"),
    ],
)
def test_refusals_are_one_sentence(folder: Path, words: tuple[str, ...], message: str) -> None:
    code, _, err = run(*words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
