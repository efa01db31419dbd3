"""The library of geometries: what is in it, how it is named, and that its tables are the structures' own scattering."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from ase.cluster import Icosahedron

from solvus.models.scattering.debye import pair_histogram, structure_factor
from solvus.models.scattering.unit_factor import unit_factor, unit_factor_slope
from solvus.models.structures.build import build, scattering_of
from solvus.models.structures.clusters import FAMILIES, all_clusters, bond_length, metals, twinned_sphere
from solvus.models.structures.library import Library, LibraryError, _load


@pytest.fixture(scope="module")
def library() -> Library:
    return Library.load()


def test_loads_at_once_and_holds_every_family(library: Library) -> None:
    start = time.process_time()
    _load.__wrapped__()
    assert time.process_time() - start < 1.0
    for family in FAMILIES:
        sizes = [entry.n_atoms for entry in library.subset(family=family)]
        assert min(sizes) <= 15
        assert max(sizes) > 25_000
        assert max(sizes) <= 31_000


def test_neighbouring_spheres_differ_measurably(library: Library) -> None:
    for family in ("fcc", "hcp", "bcc"):
        sizes = [e.diameter for e in library.subset(family=family) if e.shape == "sphere"]
        ratios = np.array(sizes[1:]) / np.array(sizes[:-1])
        assert ratios.min() > 1.03
        assert ratios[4:].max() < 1.14


@pytest.mark.parametrize(
    "name", ["icosahedron-147", "decahedron-4-3-1", "fcc-sphere-201", "hcp-sphere-335", "bcc-sphere-531"]
)
def test_tables_equal_the_debye_sum_of_the_atoms(library: Library, name: str) -> None:
    entry, bond = library.entry(name), metals()["Pt"]
    atoms = library.atoms(name, "Pt")
    assert len(atoms) == entry.n_atoms
    q = np.linspace(0.5, 30.0, 500)
    _, f = structure_factor(pair_histogram(atoms.positions), q, u_iso=0.0)
    tabulated = unit_factor(library.scattering(entry), q * bond) / bond
    assert np.abs(f.numpy() - tabulated).max() < 2e-4 * np.abs(tabulated).max()


def test_slope_is_the_derivative(library: Library) -> None:
    unit = library.scattering(library.entry("icosahedron-309"))
    q = np.linspace(1.0, 60.0, 200)
    differences = (unit_factor(unit, q + 1e-4) - unit_factor(unit, q - 1e-4)) / 2e-4
    assert np.abs(unit_factor_slope(unit, q) - differences).max() < 1e-3 * np.abs(differences).max()


def test_bond_lengths_are_those_of_the_crystals() -> None:
    assert bond_length("Au") == pytest.approx(2.885, abs=0.005)
    assert bond_length("Pt") == pytest.approx(2.772, abs=0.005)
    assert bond_length("Fe") == pytest.approx(2.485, abs=0.005)
    assert bond_length("Co") == pytest.approx(2.50, abs=0.01)
    assert bond_length("C") is None
    with pytest.raises(KeyError):
        bond_length("Xx")


def test_every_build_has_its_size_and_touching_atoms() -> None:
    clusters = all_clusters()
    assert len({cluster.name for cluster in clusters}) == len(clusters)
    for cluster in clusters[::7]:
        if cluster.n_atoms < 3000:
            positions = cluster.build()
            assert len(positions) == cluster.n_atoms, cluster.name
            distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
            np.fill_diagonal(distances, 9.0)
            assert 0.9 < distances.min() <= 1.001, cluster.name


@pytest.mark.parametrize("twins", [1, 2])
def test_a_twin_keeps_near_neighbours_and_density(twins: int) -> None:
    positions = twinned_sphere(4.0, twins)
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    inner = np.linalg.norm(positions, axis=1) < 2.9
    coordination = ((distances > 0.5) & (distances < 1.01)).sum(axis=1)
    assert (coordination[inner] == 12).all()


def test_names_resolve_and_suggest(library: Library) -> None:
    named = library.resolve("Au icosahedron-561")
    assert (named.entry.n_atoms, named.element, str(named)) == (561, "Au", "Au icosahedron-561")
    with pytest.raises(LibraryError, match="did you mean icosahedron-561"):
        library.resolve("Au icosahedron-560")
    with pytest.raises(LibraryError, match="'Xx' is not a chemical element"):
        library.resolve("Xx icosahedron-561")
    with pytest.raises(LibraryError, match="O has no"):
        library.resolve("O icosahedron-561")
    with pytest.raises(LibraryError, match="needs an element and a name"):
        library.resolve("icosahedron-561")
    with pytest.raises(LibraryError, match="family"):
        library.subset(family="cubic")


def test_nearest_is_nearest(library: Library) -> None:
    entry = library.nearest("Au", "icosahedral", 26.0)
    assert entry.name == "icosahedron-561"
    assert all(e.n_atoms >= 500 for e in library.subset(family="fcc", smallest=500))


def test_an_icosahedron_of_ase_has_the_library_diameter(library: Library) -> None:
    """The diameter is that of the sphere of equal volume; the circumscribed one is a little larger."""
    positions = Icosahedron("Au", 6, latticeconstant=4.08).positions
    circumscribed = 2 * np.linalg.norm(positions, axis=1).max()
    own = library.entry("icosahedron-561").diameter * metals()["Au"]
    assert own < circumscribed + 2.9
    assert own > 0.8 * circumscribed


def test_build_is_reproducible(tmp_path: Path, library: Library) -> None:
    small = [cluster for cluster in all_clusters() if cluster.n_atoms < 60]
    versions = {build(tmp_path / f"{i}.npz", small) for i in range(2)}
    assert len(versions) == 1
    assert (tmp_path / "0.npz").read_bytes() == (tmp_path / "1.npz").read_bytes()


def test_the_shipped_file_is_what_build_makes(library: Library) -> None:
    for cluster in all_clusters()[::40]:
        if cluster.n_atoms > 3000 or cluster.name not in {e.name for e in library.entries}:
            continue
        span, unit = scattering_of(cluster.build())
        entry = library.entry(cluster.name)
        shipped = library.scattering(entry)
        assert entry.span == pytest.approx(span)
        assert np.allclose(shipped.samples, unit.samples, atol=1e-5 * np.abs(unit.samples).max())
