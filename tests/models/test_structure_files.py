"""Reading the user's clusters, and refusing what cannot be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import Icosahedron
from ase.io import write

from solvus.models.structures.structure_files import StructureFileError, read_cluster


def test_an_xyz_is_read(tmp_path: Path) -> None:
    atoms = Icosahedron("Au", 3)
    write(tmp_path / "a.xyz", atoms)
    read = read_cluster(tmp_path / "a.xyz")
    assert list(read.symbols) == list(atoms.symbols)
    assert np.allclose(read.positions, atoms.positions, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xyz", "2\n\nXx 0 0 0\nAu 0 0 3\n", "'Xx' is not a chemical element"),
        ("a.xyz", "2\n\nAu 0 0 zero\nAu 0 0 3\n", "cannot be read"),
        ("a.xyz", "2\n\nAu 0 0 0\nAu 0 0 0.01\n", "lies on another"),
        ("a.xyz", "2\n\nAu 0 0 0\nAu 0 0 nan\n", "finite"),
        ("a.txt", "nothing of the kind\n", "not a structure file"),
        ("a.xyz", "", "a.xyz"),
    ],
)
def test_faults_are_named(tmp_path: Path, name: str, content: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(StructureFileError, match=words) as caught:
        read_cluster(path)
    assert name in str(caught.value)


def test_a_crystal_and_a_missing_file(tmp_path: Path) -> None:
    write(tmp_path / "a.cif", bulk("Au"))
    with pytest.raises(StructureFileError, match="finite cluster is needed"):
        read_cluster(tmp_path / "a.cif")
    with pytest.raises(StructureFileError, match="no such file"):
        read_cluster(tmp_path / "b.cif")
