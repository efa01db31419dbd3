"""The user's own structures: files of every kind, duplicates in other settings, a folder that survives accidents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from ase.spacegroup import crystal

from solvus.models.structures.adding import Outcome, Shelf, add_files, structure_files
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.catalogue_file import CatalogueError
from solvus.models.structures.own import OwnLibrary, default_folder
from solvus.models.structures.record import Record
from solvus.models.structures.record_files import read_records
from solvus.models.structures.same import fingerprint, same
from solvus.models.structures.structure_files import StructureFileError

CERIA = """data_x
_cell_length_a 5.41(1)
_cell_length_b 5.41
_cell_length_c 5.41
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_chemical_name_mineral cerianite
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
Zr1 Zr4+ 0 0 0 0.2 0.006
Ce1 Ce4+ 0 0 0 0.8 0.005
O1 O2- .25 .25 .25 1 0.01
"""


def anatase(scale: float = 1.0):
    return crystal(
        ["Ti", "O"],
        [(0, 0, 0), (0, 0, 0.208)],
        spacegroup=141,
        cellpar=[3.785 * scale, 3.785 * scale, 9.514 * scale, 90, 90, 90],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One structure in three formats and cells, a cluster, a solid solution, and files that are none."""
    files = tmp_path / "files"
    files.mkdir()
    write(files / "anatase.cif", anatase())
    write(files / "POSCAR", anatase() * (2, 1, 1), format="vasp")
    primitive = anatase()
    write(files / "primitive.xyz", primitive)
    gold = bulk("Au", cubic=True) * (2, 2, 2)
    gold.pbc, gold.cell = False, None
    write(files / "gold.xyz", gold)
    (files / "ceria.cif").write_text(CERIA)
    (files / "broken.cif").write_text("data_x\n_cell_length_a 5\n")
    (files / "noise.xyz").write_text("three\natoms\n")
    (files / "notes.txt").write_text("not a structure")
    return files


def shelf(own: Path, *, keep_duplicates: bool = False) -> Shelf:
    return Shelf(OwnLibrary(own), Catalogue.load(own), keep_duplicates=keep_duplicates)


def added(files: Path, own: Path) -> dict[str, Outcome]:
    outcomes = add_files(structure_files([files]), shelf(own))
    return {Path(outcome.origin).name: outcome for outcome in outcomes}


def test_a_crystal_is_brought_into_its_standard_setting(folder: Path) -> None:
    (record,) = read_records(folder / "POSCAR", "mine")
    assert (record.name, record.family, record.formula, record.space_group) == ("mine", "oxide", "TiO2", 141)
    assert record.cell == pytest.approx((3.785, 3.785, 9.514, 90, 90, 90), abs=1e-4)
    assert len(record.species) == 2
    assert len(record.atoms()) == 12


def test_mixed_sites_displacements_and_the_name_come_from_the_cif(folder: Path) -> None:
    (record,) = read_records(folder / "ceria.cif")
    assert record.name == "Ce0.8Zr0.2O2 cerianite"
    assert record.species == ("Ce", "Zr", "O")
    assert record.occupancy == (0.8, 0.2, 1.0)
    assert record.space_group == 225
    assert record.u_iso == pytest.approx((0.005, 0.005, 0.01), abs=0.0011)


def test_good_files_are_kept_bad_ones_named_and_doubles_recognised(folder: Path, tmp_path: Path) -> None:
    outcomes = added(folder, tmp_path / "own")
    assert {name for name, o in outcomes.items() if o.status == "error"} == {"broken.cif", "noise.xyz"}
    assert "broken.cif" in outcomes["broken.cif"].message
    same_one = [outcomes[name] for name in ("POSCAR", "anatase.cif", "primitive.xyz")]
    assert len({o.name for o in same_one}) == 1  # whether added now or known from the shipped catalogue
    assert sum(o.status == "added" for o in same_one) <= 1
    assert outcomes["gold.xyz"].name == "Au32 gold"
    again = added(folder, tmp_path / "own")
    assert not any(o.status == "added" for o in again.values())
    names = {item.name for item in Catalogue.load(tmp_path / "own").select(origin="own")}
    assert {"Au32 gold", "Ce0.8Zr0.2O2 cerianite"} <= names


def test_a_name_that_is_taken_gets_a_number(folder: Path, tmp_path: Path) -> None:
    keeping = shelf(tmp_path / "own", keep_duplicates=True)
    outcomes = list(add_files([folder / "gold.xyz"] * 2, keeping))
    assert [o.name for o in outcomes] == ["Au32 gold", "Au32 gold (2)"]


@pytest.mark.parametrize(
    ("scale", "same_pattern"), [(1.0, True), (1.002, True), (1.01, False), (0.99, False)]
)
def test_a_slightly_larger_cell_is_the_same_and_a_larger_one_is_not(
    tmp_path: Path, scale: float, same_pattern: bool
) -> None:
    prints = []
    for value in (1.0, scale):
        write(tmp_path / "a.cif", anatase(value))
        (record,) = read_records(tmp_path / "a.cif")
        prints.append(fingerprint(record))
    assert same(*prints) is same_pattern
    assert same(*reversed(prints)) is same_pattern


def test_polymorphs_and_mirror_images(tmp_path: Path) -> None:
    rutile = crystal(
        ["Ti", "O"],
        [(0, 0, 0), (0.3053, 0.3053, 0)],
        spacegroup=136,
        cellpar=[4.594, 4.594, 2.959, 90, 90, 90],
    )
    quartz = [(0.4697, 0, 0), (0.4135, 0.2669, 0.1191)]
    cell = [4.916, 4.916, 5.4054, 90, 90, 120]
    structures = {
        "rutile": rutile,
        "anatase": anatase(),
        "left": crystal(["Si", "O"], quartz, spacegroup=152, cellpar=cell),
    }
    mirrored = structures["left"].copy()
    mirrored.set_scaled_positions(-mirrored.get_scaled_positions() % 1.0)
    structures["right"] = mirrored
    prints = {}
    for name, atoms in structures.items():
        write(tmp_path / f"{name}.cif", atoms)
        prints[name] = fingerprint(read_records(tmp_path / f"{name}.cif")[0])
    assert not same(prints["rutile"], prints["anatase"])
    assert same(prints["left"], prints["right"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.cif", "not a cif at all", "not a CIF"),
        ("b.cif", "data_x\n", "no atoms"),
        ("c.cif", CERIA.replace("'F m -3 m'", "'Q q q'"), "space group"),
        ("d.cif", CERIA.replace("Ce4+", "Qq4+").replace("Ce1", "Qq1"), "no element"),
        ("e.cif", CERIA.replace("5.41\n", "0.0\n"), "cell"),
        ("POSCAR", "x\n1\n1 0\n", "VASP"),
        ("gone.cif", None, "no such file"),
    ],
)
def test_each_bad_file_gets_one_sentence(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(StructureFileError, match=message) as caught:
        read_records(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_said_and_a_missing_one_left_to_the_reader(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"holds no \.cif"):
        structure_files([tmp_path])
    (missing,) = structure_files([tmp_path / "none"])
    with pytest.raises(StructureFileError, match="no such file or folder"):
        read_records(missing)


def test_removing_and_broken_own_files(folder: Path, tmp_path: Path) -> None:
    own = OwnLibrary(tmp_path / "own")
    (record,) = read_records(folder / "gold.xyz")
    path = own.add(record)
    own.add(replace(record, name="second"))
    path.write_text(path.read_text()[:100])
    (own.folder / ".left.part").write_text("half")
    catalogue = Catalogue.load(own.folder)
    assert [item.name for item in catalogue.select(origin="own")] == ["second"]
    assert len(catalogue.warnings) == 1
    own.remove("second")
    with pytest.raises(CatalogueError, match="not one of your own"):
        own.remove("second")


def test_the_folder_is_the_one_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLVUS_LIBRARY", str(tmp_path / "here"))
    assert default_folder() == tmp_path / "here"
    monkeypatch.delenv("SOLVUS_LIBRARY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder().name == "library"


def test_a_cluster_keeps_its_shape(folder: Path) -> None:
    (record,) = read_records(folder / "gold.xyz")
    assert not record.periodic
    assert np.allclose(record.positions.mean(axis=0), 0.0, atol=1e-9)
    assert len(record.species) == 32


def test_a_shared_site_holds_what_fills_most_of_it(tmp_path: Path) -> None:
    record = Record(
        name="mixed",
        family="oxide",
        type="rocksalt",
        formula="Mg3Ni7O10",
        species=("Mg", "Ni", "O"),
        positions=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
        occupancy=(0.3, 0.7, 1.0),
        source="test",
        space_group=225,
        cell=(4.19, 4.19, 4.19, 90.0, 90.0, 90.0),
    )
    atoms = record.atoms()
    assert atoms.get_chemical_formula() == "Ni4O4"
    write(tmp_path / "mixed.cif", atoms)
    (back,) = read_records(tmp_path / "mixed.cif")
    assert dict(zip(back.species, back.occupancy, strict=True)) == {"Ni": 0.7, "Mg": 0.3, "O": 1.0}
