"""Structures of other chemistry: sane, apart by split, and marked where X-rays cannot tell them from the library."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from scipy.spatial import cKDTree

from solvus.models.recognition.foreign.growth import grown
from solvus.models.recognition.foreign.liquids import liquids
from solvus.models.recognition.foreign.lookalikes import indistinguishable
from solvus.models.recognition.foreign.packing import Body, packed_box, volume
from solvus.models.recognition.foreign.prototypes import ForeignError, Split, crystals, whole_cell
from solvus.models.recognition.foreign.shapes import alkane, fused_rings, shaped
from solvus.models.recognition.foreign.splits import chemistry, foreign_records
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition.foreign_patterns import foreign_patterns

SPLITS: tuple[Split, ...] = ("training", "threshold", "test")
HYDROGEN_BOND, BOND = 0.7, 1.0
"""angstrom: no two atoms are nearer, with and without hydrogen."""
GRAM_PER_CM3 = 1.66054
"""Of one unit of mass per cubic angstrom."""


@cache
def known(split: Split) -> dict[str, Record]:
    return {record.name: record for record in crystals(split)}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_crystals_have_bonds_and_densities_of_matter(split: Split, every: int) -> None:
    for record in list(known(split).values())[::every]:
        atoms = record.atoms()
        first, second, distance = neighbor_list("ijd", atoms, 4.5)
        with_hydrogen = (atoms.numbers[first] == 1) | (atoms.numbers[second] == 1)
        assert distance[with_hydrogen].min(initial=9.0) > HYDROGEN_BOND, record.name
        assert distance[~with_hydrogen].min(initial=9.0) > BOND, record.name
        radii = covalent_radii[atoms.numbers]
        shortest = (distance / (radii[first] + radii[second])).min()
        assert 0.75 < shortest < 1.35, record.name
        density = GRAM_PER_CM3 * atoms.get_masses().sum() / atoms.get_volume()
        assert 0.5 < density < 20.0, record.name


def test_no_compound_and_no_chemistry_of_the_test_occurs_in_the_other_splits() -> None:
    names = [name for split in SPLITS for name in known(split)]
    assert len(set(names)) == len(names)
    for one, other in itertools.combinations(SPLITS, 2):
        mine, others = known(one).values(), known(other).values()
        shared = {record.formula for record in mine} & {record.formula for record in others}
        assert shared <= {"C"}  # C60 is a molecule of the test, graphite fixes the threshold
        assert not {chemistry(record) for record in mine} & {chemistry(record) for record in others}


@pytest.mark.parametrize(
    ("split", "name"),
    [
        ("training", "TiN rocksalt nitride"),  # a rocksalt oxide of Z = 25
        ("training", "KCl rocksalt halide"),  # equal ions: simple cubic
        ("training", "LaH2 fluorite hydride"),  # hydrogen is not seen: fcc
        ("test", "FeNi3 L1_2 intermetallic"),
        ("test", "TiFe B2 intermetallic"),
    ],
)
def test_what_has_the_sites_and_the_contrast_of_the_library_is_marked(split: Split, name: str) -> None:
    assert indistinguishable(known(split)[name])


@pytest.mark.parametrize(
    ("split", "name"),
    [
        ("training", "NaCl rocksalt halide"),
        ("training", "GaAs zincblende pnictide"),  # no such sites in the library, whatever the contrast
        ("test", "CuAu L1_0 intermetallic"),
        ("test", "AlNi B2 intermetallic"),
        ("test", "CdSe wurtzite chalcogenide"),
        ("test", "C C60 crystal"),
    ],
)
def test_other_sites_or_another_contrast_are_not_marked(split: Split, name: str) -> None:
    assert not indistinguishable(known(split).get(name) or known(split)["NiAl B2 intermetallic"])


def test_a_packing_is_dense_without_overlaps_and_the_same_again() -> None:
    ball = Body(("Ar",), np.zeros((1, 3)), np.array([1.9]))
    box = packed_box([ball] * 300, 0.55, (3, 1))
    species, places = box.droplet()
    again = packed_box([ball] * 300, 0.55, (3, 1)).droplet()[1]
    assert np.array_equal(places, again)
    assert 100 < len(species) < 200
    nearest = cKDTree(places).query(places, k=2)[0][:, 1]
    assert nearest.min() > 0.9 * 3.8
    assert volume(ball) * 300 / box.size**3 == pytest.approx(0.55)


def test_packed_molecules_keep_their_shape() -> None:
    atoms = shaped("tetrahedron", ("Ti", "Cl"), 2.17)
    body = Body(tuple(atoms.symbols), atoms.positions, np.array([2.0] + [1.8] * 4))
    species, places = packed_box([body] * 40, 0.5, (0,)).droplet()
    whole = places.reshape(-1, 5, 3)
    assert set(species[::5]) == {"Ti"}
    np.testing.assert_allclose(np.linalg.norm(whole[:, 1:] - whole[:, :1], axis=2), 2.17)


def test_a_grown_glass_touches_and_does_not_overlap() -> None:
    silicon = next(record for record in grown("threshold", 0) if record.formula == "Si")
    distances = cKDTree(silicon.positions).query(silicon.positions, k=4)[0][:, 1:]
    assert distances.min() == pytest.approx(2.40)
    assert (distances[:, 2] < 2.41).all()  # each touches three others at least


def test_molecules_are_built_with_all_their_hydrogen() -> None:
    assert alkane(8).get_chemical_formula() == "C8H18"
    assert fused_rings("0 0, 1 0, 0 1, 1 -1").get_chemical_formula() == "C16H10"
    crown = shaped("crown", ("S",), 2.055).get_all_distances()
    np.testing.assert_allclose(np.sort(crown, axis=1)[:, 1:3], 2.055)


def test_what_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(ForeignError, match=r"\[4\.0\] is no cell of space group 194"):
        whole_cell(194, (4.0,))
    with pytest.raises(ForeignError, match="the shape 'cube' is none of pair, line"):
        shaped("cube", ("A", "B"), 1.0)


def test_curves_of_nothing_are_noise_under_drawn_conditions(tmp_path: Path) -> None:
    draws = list(foreign_patterns("test", "noise", noise=0.01, seed=1, cache=tmp_path, count=3))
    assert len({draw.pattern.conditions.qmax for draw in draws}) == 3
    assert all(draw.conditions["indistinguishable"] == 0.0 and not draw.elements for draw in draws)


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_every_structure_of_a_split_is_sane_and_the_same_again(split: Split) -> None:
    records = foreign_records(split)
    assert len({record.name for record in records}) == len(records)
    assert {"training": 500, "threshold": 150, "test": 300}[split] < len(records)
    for record in records:
        if record.periodic:
            continue
        nearest, other = (found[:, 1] for found in cKDTree(record.positions).query(record.positions, k=2))
        light = np.array(record.species) == "H"
        with_hydrogen = light | light[other]
        assert nearest[with_hydrogen].min(initial=9.0) > HYDROGEN_BOND, record.name
        assert nearest[~with_hydrogen].min(initial=9.0) > BOND, record.name


@pytest.mark.slow
def test_a_liquid_metal_has_its_first_peak_where_it_should_be_and_no_order_beyond() -> None:
    copper = next(record for record in liquids("test", 0) if record.formula == "Cu")
    distances = cKDTree(copper.positions).sparse_distance_matrix(cKDTree(copper.positions), 9.0).tocoo().data
    counts, edges = np.histogram(distances, np.arange(1.5, 9.0, 0.1))
    middle = 0.5 * (edges[1:] + edges[:-1])
    density = counts / middle**2
    assert middle[density.argmax()] == pytest.approx(2.5, abs=0.2)
    far = density[middle > 7.0]
    assert far.std() / far.mean() < 0.15
