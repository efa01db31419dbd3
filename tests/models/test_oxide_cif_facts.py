"""Conversion of a folder of CIFs into facts: settings, refusals, the same bytes twice."""

import json

import pytest

from solvus.models.structures.oxides.cif_facts import CifError, main, read_cif
from solvus.models.structures.oxides.facts import Oxide, read_sites

PBNM = [
    "x,y,z", "-x,-y,1/2+z", "1/2-x,1/2+y,1/2-z", "1/2+x,1/2-y,-z",
    "-x,-y,-z", "x,y,1/2-z", "1/2+x,1/2-y,1/2+z", "1/2-x,1/2+y,z",
]  # fmt: skip


def write_cif(path, *, operations, cell, sites, number="7654321"):
    lengths = "\n".join(
        f"_cell_{tag} {value}"
        for tag, value in zip(
            ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"),
            cell,
            strict=True,
        )
    )
    path.write_text(
        f"data_{number}\n_cod_database_code {number}\n_publ_author_name 'Doe, J.'\n"
        f"_journal_name_full 'Acta Nova'\n_journal_volume 3\n_journal_year 1999\n_journal_page_first 12\n{lengths}\n"
        "loop_\n_symmetry_equiv_pos_as_xyz\n" + "\n".join(f"'{text}'" for text in operations) + "\n"
        "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
        + "\n".join(sites)
        + "\n"
    )


@pytest.fixture
def perovskite(tmp_path):
    path = tmp_path / "GdFeO3.cif"
    write_cif(
        path,
        operations=PBNM,
        cell=("5.349(1)", "5.611(1)", "7.669(1)", 90, 90, 90),
        sites=[
            "Gd1 0.9844 0.0628 0.25 1",
            "Fe1 0.5 0 0 1",
            "O1 0.1005 0.4672 0.25 1",
            "O2 0.6966 0.3013 0.0505 1",
        ],
    )
    return path


def test_unusual_setting_is_brought_to_the_standard_one(perovskite):
    facts = read_cif(perovskite)
    assert (facts.space_group, facts.setting) == (62, 1)
    assert facts.parameters == pytest.approx((5.611, 7.669, 5.349), abs=1e-4)
    assert facts.key == "COD 7654321"
    assert facts.source == "COD 7654321; Doe, Acta Nova 3 (1999) 12"


def test_bond_lengths_survive_the_change_of_setting(perovskite):
    facts = read_cif(perovskite)
    ions = {"Gd": "Gd3+", "Fe": "Fe3+", "O": "O2-"}
    text = "; ".join(f"{ions[site.element]} {' '.join(map(str, site.position))}" for site in facts.sites)
    oxide = Oxide("x", "x", read_sites(text), 62, 1, facts.parameters, "test")
    atoms = oxide.record().atoms()
    iron = next(i for i, symbol in enumerate(atoms.symbols) if symbol == "Fe")
    oxygen = [i for i, symbol in enumerate(atoms.symbols) if symbol == "O"]
    shortest = sorted(atoms.get_distances(iron, oxygen, mic=True))[:6]
    assert shortest == pytest.approx([2.001, 2.001, 2.014, 2.014, 2.032, 2.032], abs=0.02)
    assert oxide.formula == "GdFeO3"


def test_command_keeps_the_good_files_and_names_the_bad(perovskite, tmp_path, capsys):
    (tmp_path / "broken.cif").write_text("data_x\nloop_\n_atom_site_label\nTi1\n")
    salt = ["Na1 0 0 0 1", "Cl1 .5 .5 .5 1"]
    write_cif(tmp_path / "salt.cif", operations=["x,y,z"], cell=(5, 5, 5, 90, 90, 90), sites=salt, number="1")
    (tmp_path / "empty.cif").write_text("")
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    assert main([str(tmp_path), str(first)]) == 0
    assert main([str(tmp_path), str(second)]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert list(json.loads(first.read_text())) == ["COD 7654321"]
    errors = capsys.readouterr().err
    for name in ("broken.cif", "salt.cif", "empty.cif"):
        assert f"left out: {name}" in errors


def test_wrong_arguments_show_the_usage(capsys):
    assert main(["only-one"]) == 2
    assert "FOLDER OUT.json" in capsys.readouterr().err


def test_file_without_symmetry_is_refused(tmp_path):
    path = tmp_path / "bare.cif"
    write_cif(path, operations=[], cell=(4, 4, 4, 90, 90, 90), sites=["Mg1 0 0 0 1", "O1 .5 .5 .5 1"])
    with pytest.raises(CifError, match=r"bare\.cif"):
        read_cif(path)
