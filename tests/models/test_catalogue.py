"""The catalogue: what is found by which condition, how names are resolved, and that its file keeps records whole."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvus.models.structures import catalogue_file, shipped
from solvus.models.structures.catalogue import Catalogue, _shipped
from solvus.models.structures.catalogue_file import CatalogueError, encoded
from solvus.models.structures.library import Library
from solvus.models.structures.own import OwnLibrary
from solvus.models.structures.record import Record
from solvus.models.structures.record_json import RecordError, from_document, to_document, trusted

ANATASE = Record(
    name="TiO2 anatase of mine",
    family="oxide",
    type="anatase",
    formula="TiO2",
    species=("Ti4+", "O2-"),
    positions=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.208]]),
    source="test",
    space_group=141,
    cell=(3.785, 3.785, 9.514, 90.0, 90.0, 90.0),
)


@pytest.fixture
def mine(tmp_path: Path) -> Catalogue:
    own = OwnLibrary(tmp_path / "own")
    own.add(ANATASE)
    return Catalogue.load(tmp_path / "own")


def test_loads_in_less_than_a_second() -> None:
    start = time.process_time()
    _shipped.__wrapped__()
    assert time.process_time() - start < 1.0


def test_every_shipped_record_says_where_it_comes_from_and_makes_its_atoms() -> None:
    catalogue = Catalogue.load(own_too=False)
    assert {item.family for item in catalogue.items} == {"metal", "oxide", "polyoxometalate"}
    for item in catalogue.items[::41]:
        atoms = item.record.atoms()
        assert item.source
        assert len(atoms) == item.n_atoms
        assert set(atoms.symbols) <= item.elements


def test_elements_are_an_upper_and_containing_a_lower_limit(mine: Catalogue) -> None:
    only = mine.select(elements=["Ti", "O", "Sn"], origin="own")
    assert [item.name for item in only] == [ANATASE.name]
    assert mine.select(elements=["Ti"], origin="own") == []
    assert [i.name for i in mine.select(containing=["O"], origin="own")] == [ANATASE.name]
    assert mine.select(containing=["O", "Sn"], origin="own") == []
    for item in mine.select(elements=["Au", "Sn"]):
        assert item.elements <= {"Au", "Sn"}
    for item in mine.select(containing=["Au"]):
        assert item.elements >= {"Au"}


def test_the_other_conditions_narrow(mine: Catalogue) -> None:
    assert [i.name for i in mine.select(family="metal", space_group=141)] == ["Sn white tin"]
    assert [i.name for i in mine.select(type="WHITE TIN")] == ["Sn white tin"]
    assert [i.name for i in mine.select(text="tin white donohue")] == ["Sn white tin"]
    sizes = [i.n_atoms for i in mine.select(elements=["Au"], smallest=50, largest=60)]
    assert sizes
    assert all(50 <= n <= 60 for n in sizes)
    spans = [i.span for i in mine.select(elements=["Au"], span=(10.0, 12.0))]
    assert spans
    assert all(span is not None and 10.0 <= span <= 12.0 for span in spans)
    assert not any(i.hypothetical for i in mine.select(elements=["Ti", "O"], hypothetical=False))


def test_metal_clusters_appear_once_their_metal_is_named(mine: Catalogue) -> None:
    geometries = len(Library.load("all").entries)
    assert mine.select(origin="clusters") == []
    assert len(mine.select(elements=["Au", "O"], origin="clusters")) == geometries
    record = mine.find("Au icosahedron-55")
    assert len(record.species) == 55
    item = mine.item("Au icosahedron-55")
    distances = np.linalg.norm(record.positions[:, None] - record.positions[None], axis=2)
    assert item.span == pytest.approx(distances.max(), abs=0.02)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Sn whte tin", "did you mean 'Sn white tin'"),
        ("Au icosahedron-56", "did you mean 'Au icosahedron-55"),
        ("qqqqqqqq", "solvus library list"),
    ],
)
def test_unknown_names_get_suggestions(mine: Catalogue, given: str, message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        mine.find(given)


def test_unknown_conditions_get_suggestions(mine: Catalogue) -> None:
    with pytest.raises(CatalogueError, match="did you mean oxide"):
        mine.select(family="oxides")
    with pytest.raises(CatalogueError, match="did you mean"):
        mine.select(elements=["Tx"])
    with pytest.raises(CatalogueError, match="230"):
        mine.select(space_group=231)
    with pytest.raises(CatalogueError, match="anatase"):
        mine.select(type="anatas")


def test_the_case_of_names_does_not_matter_and_own_names_win(tmp_path: Path) -> None:
    own = OwnLibrary(tmp_path)
    own.add(replace(ANATASE, name="Sn white tin"))
    catalogue = Catalogue.load(tmp_path)
    assert catalogue.find("sn WHITE tin").formula == "TiO2"
    assert Catalogue.load(own_too=False).find("sn WHITE tin").formula == "Sn"


def test_the_file_is_the_same_in_any_order_and_names_are_unique() -> None:
    entries = shipped.entries_from("metals")
    assert encoded(entries) == encoded(reversed(entries))
    with pytest.raises(CatalogueError, match="two records"):
        encoded([entries[0], entries[0]])


def test_the_shipped_metals_are_what_build_makes() -> None:
    held, _ = catalogue_file.read()
    by_name = {entry["record"]["name"]: entry for entry in held}
    for entry in shipped.entries_from("metals"):
        assert by_name[entry["record"]["name"]] == entry


@pytest.mark.slow
def test_the_shipped_file_is_what_build_makes() -> None:
    assert shipped.difference(shipped.catalogue(processes=2)) is None


def test_a_damaged_file_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.json.gz"
    with pytest.raises(CatalogueError, match="missing"):
        catalogue_file.read(path)
    path.write_bytes(catalogue_file.DATA.read_bytes()[:300])
    with pytest.raises(CatalogueError, match="damaged"):
        catalogue_file.read(path)


@given(
    sites=st.lists(
        st.tuples(
            st.sampled_from(["Ti", "O2-", "W", "H+"]),
            st.tuples(*[st.floats(-50, 50)] * 3),
            st.floats(0.01, 1.0),
            st.floats(0.001, 0.1),
        ),
        min_size=1,
        max_size=6,
    ),
    cell=st.none() | st.tuples(*[st.floats(2.0, 30.0)] * 3, *[st.floats(60.0, 120.0)] * 3),
    hypothetical=st.booleans(),
    setting=st.sampled_from([1, 2]),
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
)
def test_records_round_trip(sites, cell, hypothetical, setting, name) -> None:
    record = Record(
        name=name,
        family="compound",
        type="any",
        formula="X",
        species=tuple(site[0] for site in sites),
        positions=np.array([site[1] for site in sites]),
        source="drawn",
        occupancy=tuple(site[2] for site in sites),
        hypothetical=hypothetical,
        space_group=None if cell is None else 1,
        setting=setting,
        cell=cell,
        u_iso=tuple(site[3] for site in sites),
    )
    document = to_document(record)
    for back in (from_document(document), trusted(document)):
        assert to_document(back) == document
        assert np.allclose(back.positions, record.positions, atol=1e-6)
        assert (back.name, back.species, back.setting) == (record.name, record.species, record.setting)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"positions": [[0, 0, 0]]}, "positions"),
        ({"cell": [1, 2, 3]}, "cell"),
        ({"space_group": 231}, "space_group"),
        ({"family": "salt"}, "family"),
        ({"surprise": 1}, "surprise"),
        ({"positions": [[0, 0, float("nan")], [0, 0, 0]]}, "positions"),
    ],
)
def test_documents_that_are_no_records_are_refused(change: dict[str, object], field: str) -> None:
    with pytest.raises(RecordError, match=field):
        from_document(to_document(ANATASE) | change)
