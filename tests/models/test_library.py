"""The library of geometries: what is in it, how it is named, and that its tables are the structures' own scattering."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from ase.cluster import Icosahedron
from ase.neighborlist import neighbor_list

from solvus.models.scattering.debye import pair_histogram, structure_factor
from solvus.models.scattering.unit_factor import unit_factor, unit_factor_slope
from solvus.models.structures.build import row_of, rows_of, scattering_of
from solvus.models.structures.clusters import ALL_FAMILIES, FAMILIES, all_clusters, bond_length, metals
from solvus.models.structures.elements import CONTACT, crystal_of, metal_crystals
from solvus.models.structures.further_clusters import further_clusters
from solvus.models.structures.library import Library, LibraryError, _load
from solvus.models.structures.library_file import LibraryFileError, encoded, read, rounded
from solvus.models.structures.stacking import faulted_sphere, twinned_sphere


@pytest.fixture(scope="module")
def library() -> Library:
    return Library.load()


def test_loads_at_once_and_holds_every_family(library: Library) -> None:
    start = time.process_time()
    _load.__wrapped__("all")
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
    clusters = [*all_clusters(), *further_clusters()]
    assert len({cluster.name for cluster in clusters}) == len(clusters)
    for cluster in clusters[::9]:
        if cluster.n_atoms < 1200:
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


def test_build_is_reproducible_on_any_number_of_processes(tmp_path: Path) -> None:
    small = [cluster for cluster in (*all_clusters(), *further_clusters()) if cluster.n_atoms < 20]
    files = {encoded(rows_of(small, processes=processes)) for processes in (1, 2)}
    assert len(files) == 1
    (content, version), path = files.pop(), tmp_path / "small.npz"
    path.write_bytes(content)
    rows, held = read(path)
    assert held == version
    for row, made in zip(rows, rows_of(small), strict=True):
        assert (row.name, row.span) == (made.name, made.span)
        assert np.array_equal(row.scattering.samples, made.scattering.samples)
        assert np.array_equal(row.scattering.near_pairs, made.scattering.near_pairs)


def test_rounding_hides_the_last_digits_of_a_processor() -> None:
    """Positions that differ by what another order of summation makes give the same file."""
    rng = np.random.default_rng(0)
    clusters = [c for c in all_clusters() if 500 < c.n_atoms < 700]
    for cluster in clusters:
        positions = cluster.build()
        noisy = positions * (1.0 + rng.uniform(-2e-15, 2e-15, positions.shape))
        (steps, unit), (noisy_steps, noisy_unit) = scattering_of(positions), scattering_of(noisy)
        assert steps == noisy_steps
        assert np.array_equal(rounded(unit).samples, rounded(noisy_unit).samples)
        assert np.array_equal(rounded(unit).near_distance, rounded(noisy_unit).near_distance)


def test_the_shipped_file_is_what_build_makes() -> None:
    everything = Library.load("all")
    held = {entry.name: entry for entry in everything.entries}
    for cluster in (*all_clusters()[::50], *further_clusters()[::80]):
        if cluster.n_atoms > 3000 or cluster.name not in held:
            continue
        row = row_of(cluster)
        assert held[cluster.name].span == row.span
        shipped = everything.scattering(held[cluster.name])
        assert np.array_equal(shipped.samples, row.scattering.samples), cluster.name


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "library.npz"
    np.savez_compressed(path, format=np.array(1))
    with pytest.raises(LibraryFileError, match="format 1"):
        read(path)
    with pytest.raises(LibraryFileError, match="solvus library build"):
        read(tmp_path / "none.npz")


def test_the_core_is_apart_from_the_further_geometries(library: Library) -> None:
    everything = Library.load("all")
    assert all(entry.core for entry in library.entries)
    assert everything.entries[: len(library.entries)] == library.entries
    further = everything.entries[len(library.entries) :]
    assert not any(entry.core for entry in further)
    assert library.families == FAMILIES
    assert everything.families == ALL_FAMILIES
    assert min(entry.n_atoms for entry in further) == 5
    assert len({entry.name for entry in everything.entries}) == len(everything.entries)
    with pytest.raises(LibraryError, match="did you mean"):
        library.entry("sc-sphere-81")


@pytest.mark.parametrize(("stacking", "share"), [("c", 0.0), ("h", 1.0), ("hc", 0.5), ("hhc", 2 / 3)])
def test_stackings_have_their_share_of_hexagonal_layers(stacking: str, share: float) -> None:
    """Across an h layer two layers are aligned, with neighbours at sqrt(8/3), which fcc has not."""
    sites = faulted_sphere(6.0, stacking)
    inner = np.linalg.norm(sites, axis=1) < 4.0
    distances = np.linalg.norm(sites[inner][:, None] - sites[None], axis=2)
    aligned = (np.abs(distances - math.sqrt(8.0 / 3.0)) < 1e-6).sum(axis=1)
    touching = (np.abs(distances - 1.0) < 1e-6).sum(axis=1)
    assert (touching == 12).all()
    assert aligned.mean() / 2 == pytest.approx(share, abs=0.12)


def test_metals_without_close_packing_have_their_own_contact() -> None:
    """Published nearest contacts (Donohue, 1974)."""
    published = {
        "Sn": 3.02,
        "Ga": 2.44,
        "In": 3.25,
        "Bi": 3.07,
        "Sb": 2.91,
        "Hg": 3.01,
        "U": 2.75,
        "Mn": 2.24,
    }
    for element, shortest in published.items():
        contact = bond_length(element)
        assert contact is not None
        assert shortest - 0.01 <= contact <= CONTACT * shortest, element
        crystal = crystal_of(element)
        assert crystal is not None
        atoms = crystal.atoms()
        assert neighbor_list("d", atoms, 4.0).min() == pytest.approx(shortest, abs=0.03), element
    assert len(list(metal_crystals())) == len(metals()) >= 70
