"""Radii, formulas, cells and sites: what the oxide library reads and refuses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvus.models.structures.oxides.facts import FactError, expand_cell, read_sites, reduced_formula
from solvus.models.structures.oxides.polymorphs import published
from solvus.models.structures.oxides.prototypes import known_cells, named_prototype, prototypes
from solvus.models.structures.oxides.radii import (
    RadiusError,
    bond_constant,
    bond_length,
    ions,
    radius,
    split_ion,
)
from solvus.models.structures.oxides.symmetry import equivalent


def test_shannon_radii():
    assert radius("Ti4+", 6) == 0.605
    assert radius("La3+", 12) == 1.36
    assert radius("Fe3+", 6) == 0.645  # high spin
    assert radius("Co3+", 6) == 0.545  # low spin


def test_radius_does_not_shrink_much_with_coordination():
    """The largest step back, 0.08 for U6+, is where the nearest tabulated coordination changes."""
    steps = [radius(ion, n + 1) - radius(ion, n) for ion in ions() for n in range(2, 12)]
    assert min(steps) > -0.1


@given(st.sampled_from(ions()))
def test_bond_constant_agrees_with_the_radius(ion):
    """Two tables by different authors; lone pairs and Jahn-Teller ions set the tolerance."""
    _, charge = split_ion(ion)
    from_radius = bond_length(ion, 6) + 0.37 * math.log(charge / 6)
    assert bond_constant(ion) == pytest.approx(from_radius, abs=0.35)


@pytest.mark.parametrize("ion", ["Ti", "4+", "Xx4", "ti4+", ""])
def test_what_is_no_ion_is_refused(ion):
    with pytest.raises(RadiusError, match="needs an element and a charge"):
        split_ion(ion)


def test_unknown_ion_is_named():
    with pytest.raises(RadiusError, match=r"Au7\+"):
        radius("Au7+", 6)


@given(
    st.dictionaries(st.sampled_from(["Ba", "Ti", "Fe", "Y"]), st.integers(1, 6), min_size=1),
    st.integers(1, 6),
    st.integers(1, 8),
)
def test_formula_does_not_depend_on_the_size_of_the_cell(metals, oxygen, factor):
    counts = {**{metal: float(n) for metal, n in metals.items()}, "O": float(oxygen)}
    larger = {element: factor * n for element, n in counts.items()}
    assert reduced_formula(larger, factor) == reduced_formula(counts, 1)


def test_cells_of_every_system():
    assert expand_cell((4.2,), 225) == (4.2, 4.2, 4.2, 90, 90, 90)
    assert expand_cell((4.6, 2.9), 136) == (4.6, 4.6, 2.9, 90, 90, 90)
    assert expand_cell((5.0, 13.8), 167) == (5.0, 5.0, 13.8, 90, 90, 120)
    assert expand_cell((5.4, 55.0), 167, 2) == (5.4, 5.4, 5.4, 55, 55, 55)
    assert expand_cell((5.1, 5.2, 5.3, 99.0), 14) == (5.1, 5.2, 5.3, 90, 99.0, 90)
    with pytest.raises(FactError, match="cubic"):
        expand_cell((4.2, 5.0), 225)


@pytest.mark.parametrize(
    "text", ["Ti4+ 0 0", "Ti4+ a b c", "Qq4+ 0 0 0", "Ti4+ 0 0 0 0", "Ti4+ 0 0 0 1.5", "Ti4+ 1/0 0 0"]
)
def test_unreadable_sites_are_refused(text):
    with pytest.raises(FactError, match="sites"):
        read_sites(text)


def test_sites_take_fractions_and_occupancies():
    first, second = read_sites("La3+ 1/3 2/3 0.25; O2- 0 0 0 0.75")
    assert first.position == pytest.approx((1 / 3, 2 / 3, 0.25))
    assert second.occupancy == 0.75


def test_multiplicities_are_those_of_the_tables():
    assert len(equivalent(227, 2, (0.125, 0.125, 0.125))) == 8
    assert len(equivalent(227, 2, (0.26, 0.26, 0.26))) == 32
    assert len(equivalent(230, 1, (0.03, 0.05, 0.15))) == 96


def test_prototypes_describe_their_published_members():
    """Each prototype that has a published structure in its own description recognises it."""
    recognised = {
        oxide.type for oxide in published() for p in prototypes() if p.type == oxide.type and p.assign(oxide)
    }
    assert {
        "rutile",
        "garnet",
        "spinel",
        "inverse spinel",
        "pyrochlore",
        "scheelite",
        "delafossite",
    } <= recognised
    assert len(recognised) >= 45


def test_every_known_cell_belongs_to_a_prototype_and_fits_it():
    for kind, members in known_cells().items():
        prototype = named_prototype(kind)
        for known, (cell, source) in members.items():
            assert len(known) == len(prototype.roles)
            assert expand_cell(cell, prototype.space_group, prototype.setting)
            charges = tuple(split_ion(ion)[1] for ion in known)
            assert source
            assert charges in prototype.charges, (kind, known)
