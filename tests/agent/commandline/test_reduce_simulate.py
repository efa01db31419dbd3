"""``solvus reduce``, ``calibrate`` and ``simulate`` from outside."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from solvus.drivers.laboratory import Calibration
from solvus.models.formats.read import read_pattern
from solvus.models.identify import identify
from solvus.models.pattern_files import read_gr

runner = CliRunner()


def run(*arguments: object):
    return runner.invoke(app, [str(a) for a in arguments])


def test_raw_nickel_becomes_the_reference(shared: Path, tmp_path: Path) -> None:
    folder = shared / "patterns"
    raw, background = folder / "ni_powder.chi", folder / "kapton_background.chi"
    before = hashlib.sha256(raw.read_bytes() + background.read_bytes()).digest()
    made, picture = tmp_path / "ni.gr", tmp_path / "ni.png"
    done = run(
        *("reduce", raw, "--background", background, "--composition", "Ni", "--qmax", 25, "-o", made),
        *("--plot", picture, "--tilt", 0),
    )
    assert done.exit_code == 0, done.stderr
    assert "first column read as 1/angstrom" in done.stderr
    ours, reference = read_gr(made), read_gr(folder / "ni_powder.gr")
    inside = (reference.x >= 1.5) & (reference.x <= 30)
    y = np.interp(reference.x[inside], ours.x, ours.y)
    assert (
        np.corrcoef(y, reference.y[inside])[0, 1] >= 0.995
    )  # 0.998 once the rings are mended, which takes longer
    assert ours.dy is not None
    assert picture.stat().st_size > 10_000
    assert hashlib.sha256(raw.read_bytes() + background.read_bytes()).digest() == before


def test_a_structure_factor_is_transformed_and_the_column_named(shared: Path, tmp_path: Path) -> None:
    done = run("reduce", shared / "patterns/au_lab_source.sq", "-o", tmp_path / "au.gr", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["quantity"] == "G"
    assert any("S(Q) - 1" in note for note in document["notes"])
    ours, reference = read_gr(tmp_path / "au.gr"), read_gr(shared / "patterns/au_lab_source.gr")
    # The reference writes r with rounding errors, so the grids agree by value only.
    difference = np.interp(reference.x, ours.x, ours.y) - reference.y
    assert np.abs(difference).max() < 1e-3 * np.abs(reference.y).max()


def test_units_are_asked_for_and_taken(shared: Path, tmp_path: Path) -> None:
    raw, made = shared / "patterns/ceo2_lab_mo.xy", tmp_path / "ceria.sq"
    asked = run("reduce", raw, "--composition", "CeO2", "-o", made)
    assert asked.exit_code == 2
    assert "--unit 1/angstrom, 1/nm or 2theta" in asked.stderr
    assert not made.exists()
    given = run(
        *("reduce", raw, "--composition", "CeO2", "-o", made),
        *("--unit", "2theta", "--wavelength", 0.7107, "--qmin", 1.0, "--qmax", 14.0),
    )
    assert given.exit_code == 0, given.stderr
    s = read_pattern(made).pattern
    assert s.x[s.y.argmax()] == pytest.approx(2 * np.pi * np.sqrt(3) / 5.411, abs=0.01)


def test_a_standard_gives_the_block_of_a_laboratory(shared: Path, tmp_path: Path) -> None:
    made = tmp_path / "calibration.yaml"
    done = run("calibrate", shared / "patterns/ni_powder.gr", "--structure", "Ni", "-o", made)
    assert done.exit_code == 0, done.stderr
    assert yaml.safe_load(done.stdout) == yaml.safe_load(made.read_text())
    block = Calibration(**yaml.safe_load(made.read_text())["calibration"])
    assert block.qdamp == pytest.approx(0.045, abs=0.003)


def test_what_is_simulated_is_identified(tmp_path: Path) -> None:
    made = tmp_path / "au.gr"
    done = run("simulate", "Au icosahedron-147", "--qdamp", 0.03, "-o", made, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["atoms"] == 147
    assert identify(read_gr(made)).candidates[0].structure == "icosahedron-147"


@pytest.mark.parametrize(
    ("technique", "ending", "quantity"),
    [("pdf", "gr", "G"), ("sq", "sq", "S"), ("powder", "xy", "I"), ("powder", "h5", "I")],
)
def test_crystals(tmp_path: Path, technique: str, ending: str, quantity: str) -> None:
    bulk("Ni", cubic=True).write(tmp_path / "ni.cif")
    made, picture = tmp_path / f"ni.{ending}", tmp_path / "ni.png"
    done = run("simulate", tmp_path / "ni.cif", "--technique", technique, "-o", made, "--plot", picture)
    assert done.exit_code == 0, done.stderr
    pattern = read_pattern(made).pattern
    assert pattern.quantity == quantity
    if technique == "powder":
        assert pattern.x[pattern.y.argmax()] == pytest.approx(2 * np.pi * np.sqrt(3) / 3.52, abs=0.003)
    if technique == "pdf":
        assert pattern.x[np.argmax(np.where(pattern.x < 3, pattern.y, 0))] == pytest.approx(
            3.52 / 2**0.5, abs=0.02
        )
    assert picture.exists()


def test_small_angles_of_a_particle(tmp_path: Path) -> None:
    made = tmp_path / "au.csv"
    done = run("simulate", "Au icosahedron-147", "--technique", "saxs", "-o", made)
    assert done.exit_code == 0, done.stderr
    assert (np.diff(read_pattern(made).pattern.y[:200]) < 0).all()


ZIRCONIA = """data_x
_cell_length_a 5.38
_cell_length_b 5.38
_cell_length_c 5.38
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
Ce1 Ce 0 0 0 0.75 0.004
Zr1 Zr 0 0 0 0.25 0.004
O1 O 0.25 0.25 0.25 1 0.008
"""


def test_partial_occupancies_noise_and_its_seed(tmp_path: Path) -> None:
    crystal = tmp_path / "cz.cif"
    crystal.write_text(ZIRCONIA)
    curves = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made = tmp_path / f"{name}.gr"
        done = run(
            *("simulate", crystal, "--rstep", 0.05, "--rmax", 15),
            *("--noise", 1e4, "--drift", 0.01, "--seed", seed, "-o", made, "--json"),
        )
        assert done.exit_code == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["seed"] == seed
        assert document["conditions"]["composition"] == "Ce3O8Zr"
        curves.append(read_gr(made))
    assert (curves[0].y == curves[1].y).all()
    assert (curves[0].y != curves[2].y).any()
    assert curves[0].dy is not None
    drawn = json.loads(
        run(
            "simulate", crystal, "--noise", 1e4, "-o", tmp_path / "d.sq", "--technique", "sq", "--json"
        ).stdout
    )
    assert drawn["seed"] >= 0


def test_a_mixture_lies_between_its_parts(tmp_path: Path) -> None:
    def g(*options: object) -> np.ndarray:
        done = run("simulate", *options, "--rstep", 0.05, "--rmax", 15, "-o", tmp_path / "a.gr")
        assert done.exit_code == 0, done.stderr
        return read_gr(tmp_path / "a.gr").y

    one, other = g("Au icosahedron-55"), g("Au octahedron-44")
    both = g("Au icosahedron-55", "--with", "Au octahedron-44", "--fraction", 0.25)
    assert np.allclose(both, 0.75 * one + 0.25 * other, atol=1e-3 * np.abs(one).max())
    of_mass = g(
        "Au icosahedron-55", "--with", "Au octahedron-44", "--fraction", 0.25, "--fraction-by", "mass"
    )
    assert np.allclose(of_mass, both, atol=1e-6)


def test_sizes_have_a_spread(tmp_path: Path) -> None:
    bulk("Ni", cubic=True).write(tmp_path / "ni.cif")

    def curve(*options: object, to: str = "a.gr") -> np.ndarray:
        done = run("simulate", *options, "-o", tmp_path / to)
        assert done.exit_code == 0, done.stderr
        return read_pattern(tmp_path / to).pattern.y

    short = ("--rstep", 0.05, "--diameter", 20)
    single = curve(tmp_path / "ni.cif", *short)
    narrow = curve(tmp_path / "ni.cif", *short, "--sigma-diameter", 1e-5)
    wide = curve(tmp_path / "ni.cif", *short, "--sigma-diameter", 0.3)
    assert np.allclose(narrow, single, atol=1e-3)
    assert np.abs(single[-150:]).max() < 1e-9 < np.abs(wide[-150:]).max()
    family = curve("Au icosahedron-55", "--sigma-diameter", 0.2, "--rstep", 0.05)
    assert not np.allclose(family, curve("Au icosahedron-55", "--rstep", 0.05), atol=1e-2)
    minima = [
        curve(tmp_path / "ni.cif", "--technique", "saxs", *short[2:], "--sigma-diameter", s, to="s.csv").min()
        for s in (0.0, 0.2)
    ]
    assert minima[0] < 0.01 * minima[1]  # a spread fills the zeros of the sphere


def test_structures_of_the_catalogue_by_name(tmp_path: Path) -> None:
    anatase = run("simulate", "tio2 anatase", "--rstep", 0.05, "-o", tmp_path / "a.gr", "--json")
    assert anatase.exit_code == 0, anatase.stderr
    assert json.loads(anatase.stdout)["atoms"] == 12
    g = read_gr(tmp_path / "a.gr")
    assert g.x[np.argmax(np.where(g.x < 2.5, g.y, 0))] == pytest.approx(1.95, abs=0.06)
    keggin = run("simulate", "alpha-Keggin W12O40", "--rstep", 0.05, "-o", tmp_path / "k.gr", "--json")
    assert keggin.exit_code == 0, keggin.stderr
    assert json.loads(keggin.stdout)["atoms"] == 52


def test_one_calculation_as_s_f_and_intensity_of_q(tmp_path: Path) -> None:
    curves = {}
    for ending in ("sq", "fq", "iq"):
        made = tmp_path / f"k.{ending}"
        done = run("simulate", "alpha-Keggin W12O40", "--technique", "sq", "--qmin", 0, "-o", made)
        assert done.exit_code == 0, done.stderr
        curves[ending] = read_pattern(made).pattern
    s, f, i = (curves[ending] for ending in ("sq", "fq", "iq"))
    assert (s.quantity, f.quantity, i.quantity) == ("S", "F", "I")
    assert np.allclose(f.y, s.x * (s.y - 1), atol=1e-9)
    assert i.y[0] == pytest.approx((12 * 74 + 40 * 8) ** 2 / 52, rel=0.01)  # all electrons in phase
    assert (i.y > 0).all()


def test_partials_add_up_and_srreals_convention_is_near(tmp_path: Path) -> None:
    short = ("--rstep", 0.05, "--rmax", 12, "--delta2", 1.5)

    def curve(*options: object) -> np.ndarray:
        done = run("simulate", "TiO2 anatase", "-o", tmp_path / "a.gr", *short, *options)
        assert done.exit_code == 0, done.stderr
        return read_gr(tmp_path / "a.gr").y

    whole = curve()
    parts = [curve("--pair", pair) for pair in ("Ti,Ti", "Ti,O", "O,O")]
    assert np.allclose(sum(parts), whole, atol=1e-9 * np.abs(whole).max())
    neutron = [curve("--radiation", "neutron", "--convention", c) for c in ("exact", "srreal")]
    assert 1e-6 < np.abs(neutron[0] - neutron[1]).max() < 0.05 * np.abs(neutron[0]).max()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("simulate", "icosahedron-561", "-o", "a.gr"), "as in 'Au icosahedron-561'"),
        (("simulate", "TiO2 anatas", "-o", "a.gr"), "did you mean 'TiO2 anatase'"),
        (("simulate", "TiO2 anatase", "--sigma-diameter", "0.1", "-o", "a.gr"), "no family of sizes"),
        (("simulate", "ni.cif", "--pair", "Ni", "-o", "a.gr"), "two elements"),
        (("simulate", "ni.cif", "--pair", "Ni,O", "-o", "a.gr"), "'O' is not in the structure"),
        (("simulate", "ni.cif", "--pair", "Ni,Ni", "--noise", "1e5", "-o", "a.gr"), "noise-free"),
        (("simulate", "ni.cif", "--technique", "sq", "-o", "a.iq"), "--technique powder"),
        (("simulate", "ni.cif", "--technique", "powder", "--delta2", "1", "-o", "a.xy"), "of no effect"),
        (("calibrate", "ni.gr", "--qmax", "-1"), "--qmax"),
        (("calibrate", "ni.gr", "--qmin", "nan"), "--qmin"),
        (("simulate", "Au icosahedron-56", "-o", "a.gr"), "did you mean"),
        (("simulate", "none.cif", "-o", "a.gr"), "no such file"),
        (("simulate", "Au icosahedron-55", "-o", "a.sq"), "holds S, not G"),
        (("simulate", "Au icosahedron-55", "--technique", "powder", "-o", "a.xy"), "crystal"),
        (("simulate", "ni.cif", "--technique", "saxs", "-o", "a.csv"), "finite particle"),
        (("simulate", "ni.cif", "--qmin", "5", "--qmax", "4", "-o", "a.gr"), "qmin"),
        (("simulate", "ni.cif", "--technique", "powder", "--wavelength", "2", "-o", "a.xy"), "beyond 4 pi"),
        (("simulate", "ni.cif", "-o", "ni.cif"), "is the structure itself"),
        (("simulate", "ni.cif", "-o", "a.gr", "--plot", "a.doc"), "--plot"),
        (("simulate", "ni.cif", "-o", "a.gr", "--seed", "1"), "without --noise"),
        (("simulate", "ni.cif", "--with", "ni.cif", "-o", "a.gr"), "--fraction"),
        (("simulate", "ni.cif", "--with", "ni.cif", "--fraction", "0.5", "-o", "ni.cif"), "structure itself"),
        (("simulate", "ni.cif", "--sigma-diameter", "0.1", "-o", "a.gr"), "needs --diameter"),
        (("simulate", "Au icosahedron-55", "--diameter", "9", "-o", "a.gr"), "cut from crystals"),
        (("simulate", "ni.cif", "--diameter", "9", "--technique", "sq", "-o", "a.sq"), "diameter"),
        (("simulate", "ni.cif", "--diameter", "9", "--technique", "powder", "-o", "a.xy"), "--fwhm"),
        (("reduce", "none.chi", "-o", "a.gr"), "no such file"),
        (("reduce", "raw.iq", "-o", "raw.iq"), "never overwritten"),
        (("reduce", "raw.iq", "-o", "a.gr"), "--composition"),
        (("reduce", "raw.iq", "--composition", "Xx", "-o", "a.gr"), "not a chemical element"),
        (("reduce", "raw.iq", "--composition", "Ni", "--scale", "much", "-o", "a.gr"), "--scale"),
        (("reduce", "raw.iq", "--composition", "Ni", "--unit", "inch", "-o", "a.gr"), "--unit"),
        (("reduce", "raw.iq", "--composition", "Ni", "-o", "a.doc"), "ending"),
        (("calibrate", "none.gr"), "no such file"),
    ],
)
def test_faults_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    bulk("Ni", cubic=True).write("ni.cif")
    rows = "\n".join(f"{q:.2f} {100 + q:.3f}" for q in np.arange(0.5, 20, 0.05))
    Path("raw.iq").write_text(f"#L Q(1/A) I\n{rows}\n")
    Path("ni.gr").write_text("\n".join(f"{r:.2f} {np.sin(r):.3f}" for r in np.arange(0.5, 30, 0.05)))
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"ni.cif", "ni.gr", "raw.iq"}
