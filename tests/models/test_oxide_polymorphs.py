"""The published oxides are physically possible and are what they are called."""

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers

from solvus.models.structures.oxides.bond_valence import bonding
from solvus.models.structures.oxides.facts import Oxide
from solvus.models.structures.oxides.polymorphs import published
from solvus.models.structures.oxides.radii import RadiusError, split_ion
from solvus.models.structures.oxides.symmetry import equivalent, lattice
from solvus.models.structures.symmetry_search import symmetry_dataset

OXIDES = published()
NAMES = {oxide.name: oxide for oxide in OXIDES}
DALTON_PER_CUBIC_ANGSTROM = 1.66054


def found_space_group(oxide: Oxide) -> int:
    """Space group that spglib sees in the whole cell, sites with equal occupants taken as equal."""
    occupants: dict[tuple[float, float, float], list[tuple[str, float]]] = {}
    for site in oxide.sites:
        occupants.setdefault(site.position, []).append((site.element, round(site.occupancy, 3)))
    kinds = sorted({tuple(sorted(kind)) for kind in occupants.values()})
    positions, numbers = [], []
    for position, kind in occupants.items():
        images = equivalent(oxide.space_group, oxide.setting, position)
        positions += list(images)
        numbers += [kinds.index(tuple(sorted(kind))) + 1] * len(images)
    return int(symmetry_dataset(lattice(oxide.cell), positions, numbers, 1e-4).number)


def test_collection_is_large_and_varied():
    assert len(OXIDES) >= 100
    assert len({site.element for oxide in OXIDES for site in oxide.sites} - {"O"}) >= 45
    assert len({oxide.type for oxide in OXIDES}) >= 50
    assert all(oxide.source for oxide in OXIDES)
    assert not any(oxide.hypothetical for oxide in OXIDES)


@pytest.mark.parametrize(
    ("name", "space_group", "cell"),
    [
        ("TiO2 rutile", 136, (4.594, 2.958)),
        ("TiO2 anatase", 141, (3.785, 9.514)),
        ("TiO2 brookite", 61, (9.184, 5.447, 5.145)),
        ("CeO2 fluorite", 225, (5.411,)),
        ("IrO2 rutile", 136, (4.505, 3.159)),
        ("Fe3O4 magnetite", 227, (8.394,)),
        ("Mn3O4 hausmannite", 141, (5.765, 9.442)),
        ("WO3 monoclinic", 14, (7.306, 7.540, 7.692, 90.88)),
        ("ZrO2 baddeleyite", 14, (5.150, 5.212, 5.317, 99.23)),
        ("LaMnO3 orthorhombic perovskite", 62, (5.747, 7.693, 5.537)),
    ],
)
def test_well_known_structures_have_their_cells(name, space_group, cell):
    oxide = NAMES[name]
    assert oxide.space_group == space_group
    assert oxide.parameters == pytest.approx(cell, abs=2e-3)


@pytest.mark.parametrize("oxide", OXIDES, ids=lambda oxide: oxide.name)
def test_structure_is_possible(oxide):
    charge = sum(split_ion(ion)[1] * number for ion, number in oxide.contents().items())
    if oxide.name != "YBa2Cu3O6.91":  # copper is partly trivalent there
        assert charge == pytest.approx(0.0, abs=0.05)
    mass = sum(
        atomic_masses[atomic_numbers[split_ion(ion)[0]]] * number for ion, number in oxide.contents().items()
    )
    density = mass / abs(np.linalg.det(lattice(oxide.cell))) * DALTON_PER_CUBIC_ANGSTROM
    assert 1.9 < density < 15.0
    if "Nb2+" in oxide.contents():
        return  # metal-metal bonds in NbO, no valence of its own
    found = bonding(oxide)
    assert found.metal_oxygen > 1.55
    assert found.oxygen_oxygen > 2.35
    for cation in found.cations:
        assert cation.valence == pytest.approx(
            cation.charge, rel=0.65
        )  # a minor occupant is squeezed or loose


def test_bond_valences_are_near_the_charges_in_most():
    misses = []
    for oxide in OXIDES:
        try:
            misses += [abs(cation.valence - cation.charge) for cation in bonding(oxide).cations]
        except RadiusError:
            continue
    assert np.mean(np.array(misses) < 0.6) > 0.9
    assert np.median(misses) < 0.2


@pytest.mark.parametrize("oxide", OXIDES, ids=lambda oxide: oxide.name)
def test_space_group_is_found_again_in_the_whole_cell(oxide):
    assert found_space_group(oxide) == oxide.space_group


@pytest.mark.parametrize("oxide", OXIDES[::5], ids=lambda oxide: oxide.name)
def test_record_expands_to_the_cell_contents(oxide):
    atoms = oxide.record().atoms()
    sites = zip(oxide.sites, oxide.multiplicities, strict=True)
    one_per_position = {site.position: count for site, count in sites}
    assert len(atoms) == sum(one_per_position.values())


def test_formulas_are_written_as_usual():
    for name, formula in [
        ("LiMn2O4 spinel", "LiMn2O4"),
        ("La2CuO4 orthorhombic", "La2CuO4"),
        ("CuAlO2 delafossite", "CuAlO2"),
        ("Fe2O3 maghemite", "Fe2O3"),
        ("BaFe12O19 magnetoplumbite", "BaFe12O19"),
        ("PbZr0.65Ti0.35O3 cubic perovskite", "PbZr0.65Ti0.35O3"),
        ("Li4Ti5O12 spinel", "Li4Ti5O12"),
    ]:
        assert NAMES[name].formula == formula


def test_mixed_valence_of_one_element_scatters_as_one_site():
    record = NAMES["Fe3O4 magnetite"].record()
    assert record.species == ("Fe", "Fe", "O")
    assert record.occupancy == pytest.approx((1.0, 1.0, 1.0))
