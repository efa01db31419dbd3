"""Signatures of the catalogue, and the matched filter over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solvus.models.identify import identify
from solvus.models.pattern import Conditions, Pattern
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.compounds import candidates_of
from solvus.models.recognition.screening import Hit, screen, worth_refining
from solvus.models.recognition.signatures import (
    U_ISO,
    Signatures,
    encoded,
    shipped,
    signature,
    signatures_of,
)
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.settings import Settings
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record import Record
from solvus.models.structures.record_structure import structure_of

RANGE = (1.6, 20.0)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load(own_too=False)


def data_of(record: Record, *, stretch: float = 1.0, diameter: float | None = None) -> Data:
    """G(r) of a record under conditions of its own, without noise."""
    settings = Settings(
        rmax=25.0, rstep=0.02, qmin=0.7, qmax=21.0, qdamp=0.03, expansion=stretch, diameter=diameter
    )
    curves = calculate(structure_of(record, 0.006), settings)
    return Data(curves.r.numpy(), curves.g.numpy(), 0.7, 21.0)


@pytest.mark.parametrize("radiation", ["xray", "neutron"])
def test_every_structure_of_the_catalogue_has_its_signature(catalogue: Catalogue, radiation: str) -> None:
    """Of the present catalogue: after a change of it, ``solvus library build`` makes both."""
    held = shipped(radiation)  # type: ignore[arg-type]
    assert held.catalogue == catalogue.version
    missing = {item.name for item in catalogue.items} - set(held.names)
    assert len(missing) < 0.01 * len(catalogue.items)  # elements without a neutron scattering length


@pytest.mark.parametrize("name", ["CeO2 fluorite", "alpha-Keggin W12O40", "TiO2 anatase"])
def test_shipped_signatures_are_those_of_the_structures(catalogue: Catalogue, name: str) -> None:
    held = shipped("xray").subset([name])
    fresh = signature(catalogue.find(name), "xray")
    assert np.abs(held.f[0] - fresh).max() < 1e-4 * np.abs(fresh).max()


@pytest.mark.parametrize("name", ["CeO2 fluorite", "alpha-Keggin W12O40"])
def test_a_signature_gives_back_the_curve(catalogue: Catalogue, name: str) -> None:
    record = catalogue.find(name)
    held = shipped("xray").subset([name])
    r = np.arange(1.0, 20.0, 0.05)
    step = float(held.q[1] - held.q[0])
    inside = held.q < 22.0
    g = 2.0 / np.pi * step * (held.f[0, inside] @ np.sin(np.outer(held.q[inside], r)))
    settings = Settings(rmax=25.0, rstep=0.05, qmax=float(held.q[inside][-1]) + 0.5 * step)
    expected = calculate(structure_of(record, U_ISO), settings).g.numpy()[20:400]
    assert np.abs(g - expected).max() < 0.03 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "stretch", "diameter"),
    [("CeO2 fluorite", 1.012, 25.0), ("TiO2 anatase", 0.99, None), ("alpha-Keggin W12O40", 1.0, None)],
)
def test_a_structure_finds_itself(
    catalogue: Catalogue, name: str, stretch: float, diameter: float | None
) -> None:
    data = data_of(catalogue.find(name), stretch=stretch, diameter=diameter)
    best, *_ = screen(shipped("xray"), data, RANGE, qdamp=0.03)
    own = next(hit for hit in screen(shipped("xray").subset([name]), data, RANGE, qdamp=0.03))
    assert own.stretch == pytest.approx(stretch, abs=0.004)
    assert own.cosine > 0.98
    assert (
        best.cosine - own.cosine < 0.02
    )  # steps of stretch: a neighbour in the periodic table may be nearer
    if diameter is not None:
        assert 18.0 <= own.diameter <= 27.0


def test_files_of_signatures_are_the_same_bytes_twice(catalogue: Catalogue) -> None:
    records = [catalogue.find(name) for name in ("CeO2 fluorite", "TiO2 anatase", "Ni fcc")]
    made = {"xray": signatures_of(records, "xray")}
    assert encoded(made, "1") == encoded(made, "1")  # type: ignore[arg-type]
    assert encoded(made, "1")[1] != encoded(made, "2")[1]  # type: ignore[arg-type]


def test_one_type_does_not_crowd_out_the_others() -> None:
    hits = [Hit(f"{k}", 1.0 - 0.01 * k, 1.0, 20.0) for k in range(9)]
    kinds = ["rutile"] * 7 + ["spinel", "garnet"]
    kept = worth_refining(hits, kinds, most=4, each=2)
    assert [hit.name for hit in kept] == ["0", "1", "7", "8"]


def test_nothing_to_screen_is_no_hit() -> None:
    none = Signatures((), np.zeros(0, dtype=bool), np.zeros((0, 5), dtype=np.float32), "1")
    assert screen(none, Data(np.arange(1.0, 20.0, 0.1), np.ones(190), 0.5, 20.0), RANGE, qdamp=0.0) == []


def test_elements_are_an_upper_limit(catalogue: Catalogue) -> None:
    found = candidates_of(catalogue, frozenset({"Ti", "O"}))
    assert {"TiO2 anatase"} <= {item.name for item in found}
    assert all(item.elements <= {"Ti", "O"} for item in found)
    assert not any(item.type in {"fcc", "hcp", "bcc"} for item in found)


def test_an_own_structure_is_recognised_without_training(catalogue: Catalogue) -> None:
    """Bulk zinc selenide, which the shipped catalogue lacks."""
    own = Record(
        name="ZnSe sphalerite",
        family="compound",
        type="sphalerite",
        formula="ZnSe",
        species=("Zn", "Se"),
        positions=np.array([[0.0, 0, 0], [0.25, 0.25, 0.25]]),
        source="test",
        space_group=216,
        cell=(5.667, 5.667, 5.667, 90.0, 90.0, 90.0),
    )
    template = catalogue.item("CeO2 fluorite")
    item = replace(
        template,
        name=own.name,
        family="compound",
        type=own.type,
        formula=own.formula,
        elements=own.elements,
        origin="own",
        make=lambda: own,
    )
    wider = Catalogue([*catalogue.items, item], catalogue.version)
    data = data_of(own, stretch=1.004)
    pattern = Pattern(x=data.r[1:], y=data.g[1:], conditions=Conditions(qmin=0.7, qmax=21.0, qdamp=0.03))
    found = identify(pattern, elements=["Zn", "Se"], catalogue=wider).candidates[0]
    assert found.structure == "ZnSe sphalerite"
    assert found.parameters["a"] == pytest.approx(1.004 * 5.667, abs=0.01)


@pytest.mark.slow
def test_the_answer_does_not_depend_on_the_number_of_processes(catalogue: Catalogue) -> None:
    data = data_of(catalogue.find("TiO2 rutile"), stretch=1.003, diameter=40.0)
    pattern = Pattern(x=data.r[1:], y=data.g[1:], conditions=Conditions(qmin=0.7, qmax=21.0, qdamp=0.03))
    answers = [identify(pattern, catalogue=catalogue, processes=processes) for processes in (1, 2)]
    assert answers[0] == answers[1]
    assert answers[0].candidates[0].family in {"rutile", "distorted rutile"}
