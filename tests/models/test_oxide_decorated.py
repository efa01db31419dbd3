"""Prototypes times metals: sensible, distinct, reproducible, and as near to nature as claimed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from solvus.models.structures.oxides import decorate
from solvus.models.structures.oxides.bond_valence import bonding
from solvus.models.structures.oxides.catalogue import decorated, oxides, polymorphs
from solvus.models.structures.oxides.cells import left_out
from solvus.models.structures.oxides.decorate import decorated_oxides, known_members
from solvus.models.structures.oxides.polymorphs import published
from solvus.models.structures.oxides.prototypes import known_cells, named_prototype, prototypes
from solvus.models.structures.oxides.relax import carried, neighbours, relaxed
from solvus.models.structures.oxides.symmetry import lattice


@pytest.fixture(scope="module")
def records():
    return list(oxides())


def lines(records):
    return [
        (r.name, r.formula, r.species, r.positions.tobytes(), r.cell, r.occupancy, r.source, r.hypothetical)
        for r in records
    ]


def test_library_is_large(records):
    assert len(records) >= 1200
    assert len({element for record in records for element in record.elements} - {"O"}) >= 60
    assert len(prototypes()) >= 25
    assert {prototype.type for prototype in prototypes()} <= {record.type for record in records}
    assert sum(not record.hypothetical for record in records) >= 500


def test_names_are_unique_and_nothing_stands_twice(records):
    assert len({record.name for record in records}) == len(records)
    real = {(record.formula, record.type) for record in polymorphs()}
    made = [(record.formula, record.type) for record in decorated()]
    assert len(set(made)) == len(made)
    assert not real & set(made)


def test_polymorphs_come_first_and_keep_their_numbers(records):
    first = records[: len(published())]
    assert lines(first) == lines(polymorphs())


def test_same_numbers_every_time(records):
    for cached in (decorated_oxides, decorate._rules, decorate._members):
        cached.cache_clear()
    assert lines(oxides()) == lines(records)


def test_known_cells_are_used_unchanged():
    found = {(oxide.formula, oxide.type): oxide for oxide in decorated_oxides()}
    assert found["Eu2Sn2O7", "pyrochlore"].parameters == (10.474,)
    assert not found["Eu2Sn2O7", "pyrochlore"].hypothetical
    assert "Subramanian" in found["Eu2Sn2O7", "pyrochlore"].source
    assert found["Ho2Ir2O7", "pyrochlore"].hypothetical


def test_every_known_cell_is_in_the_library_or_behind_a_published_structure(records):
    names = {(record.formula, record.type) for record in records if not record.hypothetical}
    for kind, members in known_cells().items():
        prototype = named_prototype(kind)
        for ions, (cell, source) in members.items():
            built = decorate.build(decorate.Decoration(prototype, ions, cell, source))
            assert (built.formula, built.type) in names


def test_left_out_cells_are_predicted_within_a_percent():
    errors = [
        np.abs(error)
        for prototype in prototypes()
        for error in left_out(prototype, known_members(prototype)).values()
    ]
    everything = np.concatenate(errors)
    assert len(everything) > 800
    assert np.median(everything) < 0.006
    assert np.percentile(everything, 90) < 0.025


def test_no_known_cell_is_far_from_its_relatives():
    """A slip of the pen in the table would stand out from the line of the large families."""
    for kind in ("garnet", "pyrochlore", "bixbyite", "spinel", "zircon"):
        for ions, error in left_out(named_prototype(kind), known_members(named_prototype(kind))).items():
            assert np.abs(error).max() < 0.02, (kind, ions)


def test_distances_and_valences_are_sane():
    found = [(oxide, bonding(oxide)) for oxide in decorated_oxides()]
    for oxide, bonds in found:
        assert bonds.metal_oxygen > 1.6, oxide.name
        assert bonds.oxygen_oxygen > 2.3, oxide.name
        assert bonds.instability < 1.0, oxide.name
    instability = [bonds.instability for _, bonds in found]
    assert np.median(instability) < 0.25
    assert np.mean(np.array(instability) < 0.6) > 0.93


@pytest.mark.parametrize(
    "name", ["YVO4 zircon", "LiCoO2 layered", "Y3Al5O12 garnet", "GdFeO3 orthorhombic perovskite"]
)
def test_published_structure_is_its_own_relaxation(name):
    oxide = next(o for o in published() if o.name == name)
    still = relaxed(oxide, carried(oxide), neighbours(oxide))
    for before, after in zip(oxide.sites, still.sites, strict=True):
        assert after.position == pytest.approx(before.position, abs=1e-5)


def test_relaxation_finds_a_displaced_oxygen_again():
    """The oxygen of a delafossite lies on its axis where the valences say, whatever the start."""
    oxide = next(o for o in published() if o.name == "CuAlO2 delafossite")
    copper, aluminium, oxygen = oxide.sites
    moved = replace(oxide, sites=(copper, aluminium, replace(oxygen, position=(0.0, 0.0, 0.113))))
    back = relaxed(moved, carried(oxide), neighbours(oxide)).sites[2].position
    assert back[:2] == (0.0, 0.0)
    assert abs(back[2] - 0.1099) * oxide.cell[2] < 0.02


def test_sites_keep_their_symmetry():
    for oxide in decorated_oxides()[::7]:
        assert replace(oxide, counts=()).multiplicities == named_prototype(oxide.type).counts, oxide.name


def test_cells_follow_the_lanthanide_contraction():
    found = {oxide.formula: oxide for oxide in decorated_oxides() if oxide.type == "garnet"}
    order = ["Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu"]
    volumes = [abs(np.linalg.det(lattice(found[f"{metal}3Fe5O12"].cell))) for metal in order]
    assert all(larger > smaller for larger, smaller in pairwise(volumes))
