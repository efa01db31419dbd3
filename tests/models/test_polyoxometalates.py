"""Polyoxometalates: composition, point group, bonds and published distances of every structure that is built."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

from solvus.models.structures.polyoxometalates.catalogue import members, polyoxometalates, record_of
from solvus.models.structures.polyoxometalates.identity import Identity
from solvus.models.structures.polyoxometalates.symmetry import group_of, kept_by, reflection, rotation
from solvus.models.structures.polyoxometalates.valence import R0, SOFTNESS, length_of
from solvus.models.structures.record import Floats, Record

ORDER = {"C1": 1, "Cs": 2, "C2": 2, "C2v": 4, "C2h": 4, "D2": 4, "C3v": 6, "D3": 6, "D2h": 8, "D2d": 8}
ORDER |= {"C5v": 10, "T": 12, "D3h": 12, "D3d": 12, "D4h": 16, "D4d": 16, "Td": 24, "Th": 24, "Oh": 48}
WITH_INVERSION = {"C2h", "D2h", "D3d", "D4h", "Th", "Oh"}
BOND = 2.8
"""angstrom: no metal-oxygen bond is longer, no pair without a bond is nearer."""

Built = list[tuple[Identity, str, str, Record]]


@pytest.fixture(scope="module")
def built() -> Built:
    return [(*member, record) for member, record in zip(members(), polyoxometalates(), strict=True)]


def _places(record: Record, element: str) -> Floats:
    return record.positions[np.array(record.species) == element]


def _named(built: Built, name: str) -> Record:
    return next(record for *_, record in built if record.name == name)


def _links(record: Record, metal: str, below: float) -> Floats:
    """The distances between the metals up to a length, each once, angstrom."""
    apart = np.sort(pdist(_places(record, metal)))
    return apart[apart < below]


def test_at_least_twenty_identities_and_no_name_twice(built: Built) -> None:
    names = [record.name for *_, record in built]
    assert len({record.type for *_, record in built}) >= 35
    assert len(set(names)) == len(names) >= 120
    assert {"W", "Mo", "V", "Nb", "Ta"} <= {metal for _, metal, *_ in built}


@pytest.mark.parametrize(
    ("name", "atoms"),
    [
        ("alpha-Keggin PW12O40", 53),
        ("beta-Keggin SiW12O40", 53),
        ("gamma-Keggin SiW12O40", 53),
        ("alpha-Keggin W12O40", 52),
        ("alpha-Keggin, monolacunary XM11O39 PW11O39", 51),
        ("gamma-Keggin, dilacunary XM10O36 SiW10O36", 47),
        ("A-alpha-Keggin, trilacunary XM9O34 PW9O34", 44),
        ("B-alpha-Keggin, trilacunary XM9O34 PW9O34", 44),
        ("B-alpha-Keggin, trilacunary XM9O33 with a lone pair AsW9O33", 43),
        ("alpha-Wells-Dawson P2W18O62", 82),
        ("alpha1-Wells-Dawson, monolacunary X2M17O61 P2W17O61", 80),
        ("alpha2-Wells-Dawson, monolacunary X2M17O61 P2W17O61", 80),
        ("alpha-Wells-Dawson, trilacunary X2M15O56 P2W15O56", 73),
        ("alpha-Wells-Dawson, hexalacunary X2M12O48 P2W12O48", 62),
        ("Preyssler NaP5W30O110", 146),
        ("Lindqvist Mo6O19", 25),
        ("Anderson-Evans TeMo6O24", 31),
        ("Evans-Showell Co2Mo10O38", 50),
        ("Waugh MnMo9O32", 42),
        ("heptamolybdate Mo7O24", 31),
        ("heptaniobate Nb7O22", 29),
        ("alpha-octamolybdate Mo8O26", 34),
        ("beta-octamolybdate Mo8O26", 34),
        ("decavanadate V10O28", 38),
        ("Strandberg P2Mo5O23", 30),
        ("paratungstate B W12O42", 54),
        ("decatungstate W10O32", 42),
        ("Peacock-Weakley EuW10O36", 47),
        ("Dexter-Silverton CeMo12O42", 55),
        ("octadecavanadate, rhombicuboctahedral V18O42", 60),
        ("bicapped alpha-Keggin PV14O42", 57),
        ("metavanadate V4O12", 16),
        ("dimetalate Cr2O7", 9),
    ],
)
def test_formula_and_number_of_atoms(built: Built, name: str, atoms: int) -> None:
    record = _named(built, name)
    assert len(record.species) == len(record.positions) == atoms
    assert record.formula == name.split()[-1]
    assert not record.periodic


def test_each_record_says_how_it_was_made(built: Built) -> None:
    for identity, _, _, record in built:
        assert record.family == "polyoxometalate"
        assert f"point group {identity.point_group}" in record.source
        assert identity.reference in record.source
        assert "without hydrogen" in record.source


def test_the_point_group_maps_each_structure_onto_itself(built: Built) -> None:
    for identity, metal, hetero, record in built:
        group = identity.build(metal, hetero[:-1]).group
        assert len(group) == ORDER[identity.point_group], record.name
        inverted = any(np.allclose(operation, -np.eye(3)) for operation in group)
        assert inverted == (identity.point_group in WITH_INVERSION), record.name
        assert len(kept_by(group, record.species, record.positions, tolerance=0.01)) == len(group), (
            record.name
        )


def test_no_two_atoms_are_too_near(built: Built) -> None:
    for *_, record in built:
        assert pdist(record.positions).min() > 1.3, record.name
        assert pdist(_places(record, "O")).min() > 2.25, record.name


def test_bonds_lie_within_the_ranges_of_published_structures(built: Built) -> None:
    for identity, metal, hetero, record in built:
        apart = cdist(_places(record, metal), _places(record, "O"))
        bonds = apart[apart < BOND]
        assert 1.59 < bonds.min() < 1.85, record.name
        bound = [n for n in identity.build(metal, hetero[:-1]).coordination if n]
        centres = Counter(bound)
        assert len(bonds) <= sum(n * count for n, count in centres.items()), record.name
        if hetero:
            element, oxidation = hetero[:-1], int(hetero[-1])
            around = np.sort(cdist(_places(record, element), _places(record, "O")), axis=1)
            number = {4: 4, 3: 3}.get(
                int((around[0] < around[0, 0] + 0.4).sum()), int((around[0] < 2.8).sum())
            )
            wanted = length_of(element, oxidation, oxidation / number)
            assert np.abs(around[:, :number] - wanted).max() < 0.1, record.name


def test_bond_valences_of_each_metal_add_up_to_its_oxidation_state(built: Built) -> None:
    for identity, metal, hetero, record in built:
        oxidation = identity.chemistry(metal, hetero).oxidation[metal]
        apart = cdist(_places(record, metal), _places(record, "O"))
        valence = np.where(apart < BOND, np.exp((R0[metal, oxidation] - apart) / SOFTNESS), 0.0)
        error = float(np.abs(valence.sum(axis=1) - oxidation).max())
        assert error < 0.1 + 2.0 * identity.twist, record.name


def test_alpha_keggin_has_its_published_distances(built: Built) -> None:
    """Brown et al., Acta Cryst. B33, 1038 (1977): W-W 3.42 and 3.70, P-O 1.53, W-O 1.70, 1.91 and 2.44 angstrom."""
    record = _named(built, "alpha-Keggin PW12O40")
    links = _links(record, "W", below=4.0)
    assert len(links) == 24
    assert links[:12] == pytest.approx(3.42, abs=0.02)
    assert links[12:] == pytest.approx(3.70, abs=0.02)
    bonds = np.sort(cdist(_places(record, "W"), _places(record, "O")), axis=1)[:, :6]
    assert bonds == pytest.approx(np.tile([1.70, 1.91, 1.91, 1.91, 1.91, 2.44], (12, 1)), abs=0.03)
    assert pdist(_places(record, "O")).max() == pytest.approx(10.4, abs=0.2)


def test_bonds_alternate_in_phosphomolybdate(built: Built) -> None:
    """D'Amour and Allmann, Z. Kristallogr. 143, 1 (1976): bridging Mo-O of about 1.83 and 1.99 angstrom."""
    record = _named(built, "alpha-Keggin (alternating) PMo12O40")
    bonds = np.sort(cdist(_places(record, "Mo"), _places(record, "O")), axis=1)[:, :6]
    assert bonds == pytest.approx(np.tile([1.68, 1.84, 1.84, 1.98, 1.98, 2.43], (12, 1)), abs=0.03)
    assert not record.hypothetical


def test_antimonate_has_its_published_distances(built: Built) -> None:
    """Lee and Sasaki, Bull. Korean Chem. Soc. 8, 1 (1987): W-W and Sb-W 3.259, W-O 1.73, 1.95 and 2.20, Sb-O 1.97."""
    record = _named(built, "Anderson-Evans SbW6O24")
    assert _links(record, "W", below=4.0) == pytest.approx(3.259, abs=0.02)
    bonds = np.sort(cdist(_places(record, "W"), _places(record, "O")), axis=1)[:, :6]
    assert bonds == pytest.approx(np.tile([1.73, 1.73, 1.95, 1.95, 2.20, 2.20], (6, 1)), abs=0.03)
    assert np.sort(cdist(_places(record, "Sb"), _places(record, "O")))[0, :6] == pytest.approx(1.97, abs=0.05)


def test_lindqvist_has_its_published_distances(built: Built) -> None:
    """Nagano and Sasaki, Acta Cryst. B35, 2387 (1979): Mo-Mo 3.28, Mo-O 1.68, 1.93 and 2.32 angstrom."""
    record = _named(built, "Lindqvist Mo6O19")
    assert _links(record, "Mo", below=4.0) == pytest.approx(3.28, abs=0.02)
    bonds = np.sort(cdist(_places(record, "Mo"), _places(record, "O")), axis=1)[:, :6]
    assert bonds == pytest.approx(np.tile([1.68, 1.93, 1.93, 1.93, 1.93, 2.32], (6, 1)), abs=0.03)


def test_isomers_of_the_keggin_ion_differ_in_their_links(built: Built) -> None:
    """Turning a triad makes edges of corners only from the second one on: Baker and Figgis, JACS 92, 3794 (1970)."""
    links = {
        kind: _links(_named(built, f"{kind}-Keggin SiW12O40"), "W", below=4.0)
        for kind in ("alpha", "beta", "gamma")
    }
    assert [int((links[kind] < 3.25).sum()) for kind in ("alpha", "beta", "gamma")] == [0, 0, 1]
    assert [len(links[kind]) for kind in ("alpha", "beta", "gamma")] == [24, 24, 23]
    longest = [pdist(_places(_named(built, f"{kind}-Keggin SiW12O40"), "W")) for kind in ("alpha", "beta")]
    assert np.abs(np.sort(longest[0]) - np.sort(longest[1])).max() > 0.3


def test_lacunary_ions_are_parts_of_the_whole_one(built: Built) -> None:
    whole = Counter(_named(built, "alpha-Keggin PW12O40").species)
    parts = ["alpha-Keggin, monolacunary XM11O39 PW11O39", "A-alpha-Keggin, trilacunary XM9O34 PW9O34"]
    for larger, smaller in pairwise([whole, *[Counter(_named(built, part).species) for part in parts]]):
        assert smaller < larger


def test_the_same_structure_is_built_again() -> None:
    member = next(member for member in members() if member[0].type == "beta-octamolybdate")
    first, second = record_of(*member), record_of(*member)
    assert first.source == second.source
    assert np.array_equal(first.positions, second.positions)


@pytest.mark.parametrize(
    "kind", ["alpha-Keggin", "Strandberg", "Lindqvist", "Anderson-Evans", "Preyssler", "decavanadate"]
)
def test_what_is_kept_is_what_relaxation_gives(built: Built, kind: str) -> None:
    """In its distances: how an ion is turned is left open. The sodium of Preyssler's ion slides along its channel at
    next to no cost, so that another processor puts it 0.05 angstrom away."""
    identity, metal, hetero, kept = next(row for row in built if row[0].type == kind)
    fresh = record_of(identity, metal, hetero)
    assert fresh.species == kept.species
    bound = np.array([name != "Na" for name in kept.species])
    framework, whole = (
        np.abs(pdist(fresh.positions[which]) - pdist(kept.positions[which])).max()
        for which in (bound, np.ones_like(bound))
    )
    assert framework < 0.02
    assert whole < 0.1


@given(
    order=st.integers(2, 6),
    axis=st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1),
)
def test_a_group_is_closed(order: int, axis: tuple[float, float, float]) -> None:
    group = group_of(rotation(axis, order), reflection(axis))
    assert len(group) == 2 * order
    for first, second in combinations(group, 2):
        assert any(np.allclose(first @ second, member, atol=1e-9) for member in group)


def test_generators_of_no_point_group_are_refused() -> None:
    with pytest.raises(ValueError, match="check their axes"):
        group_of(rotation([0, 0, 1], 7), rotation([1, 0, 0], 7))
