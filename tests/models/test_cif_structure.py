"""CIFs as they scatter: occupancies, mixed sites, displacements and their symmetry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.io import write

from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.powder import reflections
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.structure import crystal, from_ase
from solvus.models.structures.cif_structure import read_cif
from solvus.models.structures.structure_files import StructureFileError

HEAD = """data_x
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {c}
_cell_angle_alpha {alpha}
_cell_angle_beta {beta}
_cell_angle_gamma {gamma}
_space_group_name_H-M_alt '{group}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
"""
ANISO = """loop_
_atom_site_aniso_label
_atom_site_aniso_U_11
_atom_site_aniso_U_22
_atom_site_aniso_U_33
_atom_site_aniso_U_12
_atom_site_aniso_U_13
_atom_site_aniso_U_23
"""
SETTINGS = Settings(rmax=12.0, rstep=0.05, qmax=20.0)


def cif(path: Path, sites: str, group: str = "F m -3 m", aniso: str = "", **cell: float) -> Path:
    a = cell.get("a", 5.411)
    angles = {name: cell.get(name, 90.0) for name in ("alpha", "beta", "gamma")}
    head = HEAD.format(a=a, b=cell.get("b", a), c=cell.get("c", a), group=group, **angles)
    path.write_text(head + sites + (ANISO + aniso if aniso else ""))
    return path


def test_a_plain_crystal_is_what_ase_reads(tmp_path: Path) -> None:
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    write(tmp_path / "a.cif", salt)
    ours = read_cif(tmp_path / "a.cif", u_default=0.01)
    curve, expected = (calculate(s, SETTINGS).g for s in (ours.structure, from_ase(salt, u_iso=0.01)))
    assert torch.allclose(curve, expected, atol=1e-6)
    assert len(ours.assumed_u) == len(salt)


def test_mixed_and_partial_sites(tmp_path: Path) -> None:
    path = cif(
        tmp_path / "a.cif",
        "Ce1 Ce 0 0 0 0.75(2) 0.004\nZr1 Zr 0 0 0 0.25(2) 0.004\nO1 O 0.25 0.25 0.25 0.9 0.008\n",
    )
    made = read_cif(path).structure
    assert len(made.species) == 16
    assert float(made.occupancy.sum()) == pytest.approx(4 + 8 * 0.9)
    by_hand = crystal(
        ["Ce"] * 4 + ["Zr"] * 4 + ["O"] * 8,
        [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]] * 2
        + [[x, y, z] for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)],
        [5.411, 5.411, 5.411, 90, 90, 90],
        u_iso=[0.004] * 8 + [0.008] * 8,
        occupancy=[0.75] * 4 + [0.25] * 4 + [0.9] * 8,
    )
    assert torch.allclose(calculate(made, SETTINGS).g, calculate(by_hand, SETTINGS).g, atol=1e-9)


def test_tensors_turn_with_their_sites(tmp_path: Path) -> None:
    """A hexagonal crystal's curves do not change when its tensors are written for another image of the site."""
    hexagonal = {"a": 4.0, "c": 6.0, "gamma": 120.0}
    places = ["0.2 0.05 0.1", "-0.05 0.15 0.1"]  # the second is the first, turned by 120 degrees about c
    # In the frame of the axes the rotation takes (U11, U22, U12) to (U22, U11 + U22 - 2 U12, U22 - U12).
    tensors = ["0.02 0.01 0.015 0.003 0.001 0.0", "0.01 0.024 0.015 0.007 0.0 0.001"]
    made = [
        read_cif(
            cif(tmp_path / f"{k}.cif", f"Ni1 Ni {place} 1 .\n", "P 3", f"Ni1 {tensor}\n", **hexagonal)
        ).structure
        for k, (place, tensor) in enumerate(zip(places, tensors, strict=True))
    ]
    one, other = (calculate(structure, SETTINGS).g for structure in made)
    assert torch.allclose(one, other, atol=1e-6 * float(one.abs().max()))
    spectrum = torch.linalg.eigvalsh(made[0].u)
    assert torch.allclose(spectrum, spectrum[0].expand(3, 3))


def test_tensors_in_an_oblique_cell_against_the_engine(tmp_path: Path) -> None:
    cell = {"a": 4.0, "b": 5.0, "c": 6.0, "alpha": 80.0, "beta": 95.0, "gamma": 105.0}
    path = cif(
        tmp_path / "a.cif",
        "Ni1 Ni 0.1 0.2 0.3 1 .\nO1 O 0.6 0.5 0.8 1 0.01\n",
        "P 1",
        "Ni1 0.02 0.01 0.015 0.003 0.001 0.002\n",
        **cell,
    )
    made = read_cif(path).structure
    alone = crystal(
        ["Ni"], [[0.1, 0.2, 0.3]], list(cell.values()), u_aniso=[[0.02, 0.01, 0.015, 0.003, 0.001, 0.002]]
    )
    assert torch.allclose(made.u[0], alone.u[0], atol=1e-9)
    assert torch.allclose(made.u[1], 0.01 * torch.eye(3, dtype=torch.float64))


def test_symmetry_equivalent_reflections_stay_so(tmp_path: Path) -> None:
    path = cif(
        tmp_path / "a.cif", "Si1 Si 0 0 0 1 .\n", "F d -3 m:1", "Si1 0.006 0.006 0.006 0 0 0\n", a=5.43
    )
    lines = reflections(read_cif(path).structure, 8.0)
    assert len(read_cif(path).structure.species) == 8
    assert sorted(set(lines.multiplicity.astype(int)))[-1] in {24, 48}
    assert (np.abs(np.diff(lines.q)) > 0).all()


def test_ions_where_their_form_factor_is_known(tmp_path: Path) -> None:
    made = read_cif(cif(tmp_path / "a.cif", "Ce1 Ce4+ 0 0 0 1 0.004\nO1 O2- 0.25 0.25 0.25 1 ?\n"))
    assert set(made.structure.species) == {"Ce4+", "O2-"}
    assert made.assumed_u == ("O1",)
    other = read_cif(cif(tmp_path / "b.cif", "Au1 Au5+ 0 0 0 1 0.004\n"))
    assert set(other.structure.species) == {"Au"}


@pytest.mark.parametrize(
    ("sites", "group", "aniso", "words"),
    [
        ("Ce1 Ce 0 0 0 0.9 .\nZr1 Zr 0 0 0 0.9 .\n", "F m -3 m", "", "fill one place"),
        ("Ce1 Ce 0 0 0 1.5 .\n", "F m -3 m", "", "at most 1"),
        ("Ce1 Ce 0 0 0 1 .\n", "no group", "", "space group"),
        ("Ce1 Xx 0 0 0 1 .\n", "F m -3 m", "", "not a chemical element"),
        ("Ce1 Ce 0 0 ? 1 .\n", "F m -3 m", "", "finite"),
        ("Ce1 Ce 0 0 0 0 .\n", "F m -3 m", "", "no site is filled"),
        ("Ce1 Ce 0 0 0 1 .\n", "F m -3 m", "Ce1 0.01 -0.01 0.01 0 0 0\n", "not positive"),
    ],
)
def test_faults_are_named(tmp_path: Path, sites: str, group: str, aniso: str, words: str) -> None:
    with pytest.raises(StructureFileError, match=words) as caught:
        read_cif(cif(tmp_path / "a.cif", sites, group, aniso))
    assert "a.cif" in str(caught.value)


def test_what_is_no_cif(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="no such file"):
        read_cif(tmp_path / "none.cif")
    for text in ("loop_ loop_ nonsense", "", "data_x\n_cell_length_a 5\n", "\x00\xff"):
        (tmp_path / "b.cif").write_text(text)
        with pytest.raises(StructureFileError, match=r"b\.cif"):
            read_cif(tmp_path / "b.cif")
