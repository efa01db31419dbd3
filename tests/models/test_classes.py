"""Classes: what the reference measurement cannot tell apart, and what it can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.structure import crystal
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.class_curves import REFERENCE, Measurement, pairs_of
from solvus.models.structures.classes import MEASUREMENT, NOISE, classes_of, misfit
from solvus.models.structures.classes_file import Class, encoded, read
from solvus.models.structures.elements import crystal_of
from solvus.models.structures.record import Record


def metal(element: str) -> Record:
    record = crystal_of(element)
    assert record is not None
    return record


def rutile(a: float, c: float, x: float, element: str = "Ti", name: str = "one") -> Record:
    return Record(
        name=name,
        family="oxide",
        type="rutile",
        formula=f"{element}O2",
        species=(element, "O"),
        positions=np.array([[0.0, 0.0, 0.0], [x, x, 0.0]]),
        source="test",
        space_group=136,
        cell=(a, a, c, 90.0, 90.0, 90.0),
    )


def test_the_curve_is_that_of_the_scattering_engine() -> None:
    """But for the form factors, which are those at Q = 0 here, one element has none; and but for the short cut."""
    record, measurement = metal("Pt"), Measurement()
    curve = measurement.curve(pairs_of(record), np.zeros(1), REFERENCE["u_iso"])
    settings = Settings(
        qmin=REFERENCE["qmin"], qmax=REFERENCE["qmax"], qdamp=REFERENCE["qdamp"], rmax=16.0, rstep=0.01
    )
    atoms = record.atoms()
    reference = calculate(
        crystal(list(atoms.symbols), atoms.get_scaled_positions(), atoms.cell[:], u_iso=REFERENCE["u_iso"]),
        settings,
    )
    expected = np.interp(measurement.r, torch.as_tensor(reference.r).numpy(), reference.g.numpy())
    assert np.linalg.norm(curve - expected) < 0.05 * np.linalg.norm(expected)


def test_metals_of_one_lattice_and_nearly_one_size_are_one_class() -> None:
    found = classes_of([metal(element) for element in ("Au", "Ag", "Ni", "Al", "Fe", "Cr")])
    groups = {frozenset(c.members) for c in found}
    assert groups == {
        frozenset({"Au fcc", "Ag fcc", "Al fcc"}),
        frozenset({"Ni fcc"}),
        frozenset({"Fe bcc", "Cr bcc"}),
    }


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (rutile(4.65, 2.92, 0.305), True),  # the cell is free along a and c
        (rutile(4.594, 2.959, 0.325), False),  # the coordinate is not
        (rutile(4.594, 2.959, 0.305, "Sn"), False),  # another contrast between metal and oxygen
        (rutile(4.594 * 1.1, 2.959 * 1.1, 0.305), False),  # too far
    ],
)
def test_cells_are_free_and_coordinates_and_contrast_are_not_of_others(other: Record, alike: bool) -> None:
    one = rutile(4.594, 2.959, 0.305)
    assert (misfit(pairs_of(one), pairs_of(other)) <= NOISE) is alike
    assert (misfit(pairs_of(other), pairs_of(one)) <= NOISE) is alike


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (rutile(4.65, 2.92, 0.32), True),  # a coordinate 0.1 angstrom away
        (rutile(4.65, 2.92, 0.335), False),  # a coordinate too far
        (rutile(4.65, 2.92, 0.305, "Sn"), False),
        (rutile(4.594 * 1.1, 2.959 * 1.1, 0.305), False),
    ],
)
def test_of_entries_built_alike_electrons_decide(other: Record, alike: bool) -> None:
    other = replace(other, name="other")
    assert (len(classes_of([rutile(4.594, 2.959, 0.305), other])) == 1) is alike


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("alpha-Keggin PW12O40", "alpha-Keggin SiW12O40", True),
        ("alpha-Keggin PW12O40", "alpha-Keggin BW12O40", False),
        ("Fe2O3 hematite", "Al2O3 corundum", False),
        ("Fe3O4 magnetite", "NiFe2O4 trevorite", True),
        ("CoIn2O4 inverse spinel", "CoIn2O4 spinel", False),
    ],
)
def test_known_cases(one: str, other: str, alike: bool) -> None:
    catalogue = Catalogue.load(own_too=False)
    assert (len(classes_of([catalogue.find(one), catalogue.find(other)])) == 1) is alike


def test_no_class_is_a_chain() -> None:
    """Four steps of 3 electrons: neighbours are alike, but only leaders bring an entry into a class."""
    steps = [rutile(4.594, 2.959, 0.305, element, element) for element in ("Ti", "V", "Cr", "Mn", "Fe", "Co")]
    found = classes_of(steps)
    assert len(found) > 1
    for group in found:
        leader = next(r for r in steps if r.name == group.leader)
        for name in group.members:
            alone = [leader, next(r for r in steps if r.name == name)][: 1 + (name != leader.name)]
            assert len(classes_of(alone)) == 1


def test_hypothetical_entries_lead_no_class_with_known_ones() -> None:
    known = rutile(4.6, 2.96, 0.305, name="z known")
    made = replace(rutile(4.62, 2.95, 0.305, name="a made"), hypothetical=True)
    (only,) = classes_of([made, known])
    assert only.leader == "z known"
    assert set(only.members) == {"z known", "a made"}


def test_clusters_and_crystals_are_kept_apart() -> None:
    atoms = metal("Au").atoms() * (3, 3, 3)
    cluster = Record("Au108", "metal", "cluster", "Au108", ("Au",) * 108, atoms.positions, "test")
    assert len(classes_of([metal("Au"), cluster])) == 2


def test_the_file_keeps_the_classes_of_several(tmp_path) -> None:
    path = tmp_path / "classes.json"
    path.write_bytes(encoded([Class("a", {"a": 0.0, "b": 0.01}), Class("c", {"c": 0.0})], "1.x", MEASUREMENT))
    members, version = read(path)
    assert version == "1.x"
    assert set(members) == {"a", "b"}


def test_the_shipped_classes_go_with_the_shipped_catalogue() -> None:
    catalogue = Catalogue.load(own_too=False)
    members, version = read()
    assert version == catalogue.version
    assert set(members) <= {item.name for item in catalogue.items}
    assert catalogue.alike("Au fcc") == sorted(set(members["Au fcc"].members) - {"Au fcc"})
