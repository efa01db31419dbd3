"""The particles of the gold world are real atoms at real distances, for every size."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from solvus.simulations.gold_particles import BIN, BOND, DIAMETERS, FAMILIES, SizeSeries, atoms_of, body

CRYSTALLINE = ("decahedral", "icosahedral", "fcc")


@pytest.mark.parametrize("family", FAMILIES)
def test_no_two_atoms_overlap(family: str) -> None:
    nearest = cKDTree(body(family)).query(body(family), 2)[0][:, 1]
    assert nearest.min() > 0.95 * BOND


@pytest.mark.parametrize("family", CRYSTALLINE)
@pytest.mark.parametrize("diameter", [18.0, 35.0, 55.0])
def test_particles_are_compact_and_of_the_size_they_claim(family: str, diameter: float) -> None:
    atoms = body(family)[: atoms_of(diameter)]
    extent = np.ptp(atoms, axis=0) + BOND
    assert np.all(extent > 0.85 * diameter)
    assert np.all(extent < 1.30 * diameter)
    contacts = 2 * len(cKDTree(atoms).query_pairs(1.2 * BOND)) / len(atoms)
    # 12 neighbours inside, fewer on the surface; a loose heap would have far fewer.
    assert contacts > 9.0


@pytest.mark.parametrize("family", CRYSTALLINE)
def test_mean_bond_is_that_of_gold(family: str) -> None:
    atoms = body(family)[:1000]
    pairs = cKDTree(atoms).query_pairs(1.2 * BOND, output_type="ndarray")
    mean = np.linalg.norm(atoms[pairs[:, 0]] - atoms[pairs[:, 1]], axis=1).mean()
    assert mean == pytest.approx(BOND, rel=1e-3)


def test_families_differ_in_symmetry_and_void() -> None:
    """A five-fold turn about its axis maps a decahedron onto itself, and fcc not; a hollow particle has no core."""
    angle = 2.0 * np.pi / 5.0
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])

    def mapped(family: str) -> float:
        atoms = body(family)[:1000]
        return float((cKDTree(body(family)).query(atoms @ turn.T)[0] < 0.05).mean())

    assert mapped("decahedral") > 0.99
    assert mapped("fcc") < 0.1
    assert np.linalg.norm(body("hollow"), axis=1).min() > 9.0


@pytest.mark.parametrize("family", FAMILIES)
def test_nested_histograms_count_every_pair_once(family: str) -> None:
    series = SizeSeries(family)
    k = 32  # 18.8 angstrom, reached through 32 smaller sizes
    row = series.row(k)
    hole = atoms_of(18.0) if family == "hollow" else 0
    n = max(55, atoms_of(float(DIAMETERS[k])) - hole)
    distances = pdist(body(family)[:n])
    assert row.sum() == pytest.approx(n - 1, rel=1e-9)
    assert (row * np.arange(len(row)) * BIN).sum() == pytest.approx(2.0 * distances.sum() / n, rel=1e-9)
