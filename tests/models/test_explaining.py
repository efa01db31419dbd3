"""Which compounds are refined: the hopeless are left out, siblings follow the best, and a declared prior counts."""

from __future__ import annotations

import numpy as np
import pytest

from solvus.models.identify import identify
from solvus.models.pattern import Conditions, Pattern
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.compounds import Chosen, Compound, Terms, explain
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.settings import Settings
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record_structure import structure_of

QMIN, QMAX, QDAMP = 0.7, 21.0, 0.03
RANGE = (1.6, 20.0)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load(own_too=False)


def pattern_of(catalogue: Catalogue, name: str, stretch: float = 1.0) -> Pattern:
    settings = Settings(
        rmax=25.0, rstep=0.02, qmin=QMIN, qmax=QMAX, qdamp=QDAMP, expansion=stretch, diameter=60.0
    )
    curves = calculate(structure_of(catalogue.find(name), 0.006), settings)
    conditions = Conditions(qmin=QMIN, qmax=QMAX, qdamp=QDAMP)
    return Pattern(x=curves.r.numpy()[1:], y=curves.g.numpy()[1:], conditions=conditions)


def explained(
    catalogue: Catalogue,
    pattern: Pattern,
    misfits: dict[str, float],
    terms: Terms,
    relatives: tuple[str, ...] = (),
) -> list[Compound]:
    data = Data(pattern.x, pattern.y, QMIN, QMAX)
    chosen = [Chosen(catalogue.item(name), 1.0, 60.0, misfit) for name, misfit in misfits.items()]
    nearness = dict.fromkeys(relatives, 0.0)
    return explain(pattern, data, RANGE, chosen, terms, relatives=nearness, catalogue=catalogue)


def test_what_cannot_explain_the_pattern_is_not_refined(catalogue: Catalogue) -> None:
    pattern = pattern_of(catalogue, "TiO2 anatase")
    misfits = {"TiO2 anatase": 0.1, "TiO2 rutile": 0.9, "CeO2 fluorite": 0.95, "MgO rocksalt": 0.95}
    found = [c.item.name for c in explained(catalogue, pattern, misfits, Terms(QDAMP))]
    assert found[0] == "TiO2 anatase"
    assert set(found) == {"TiO2 anatase", "TiO2 rutile"}  # the first two are always tried


def test_siblings_of_the_best_type_follow_with_their_own_metals(catalogue: Catalogue) -> None:
    pattern = pattern_of(catalogue, "VO2 anatase")
    relatives = ("VO2 anatase", "CrO2 anatase", "CeO2 fluorite")
    found = explained(catalogue, pattern, {"TiO2 anatase": 0.1}, Terms(QDAMP, siblings=2), relatives)
    assert found[0].item.name == "VO2 anatase"
    assert {c.item.name for c in found} == {"TiO2 anatase", "VO2 anatase", "CrO2 anatase"}
    best = {c.item.name: c.r_w for c in found}
    assert best["VO2 anatase"] < 0.01 < best["TiO2 anatase"]
    none = explained(catalogue, pattern, {"TiO2 anatase": 0.1}, Terms(QDAMP), relatives)
    assert [c.item.name for c in none] == ["TiO2 anatase"]


def test_within_a_declared_range_a_cell_costs_nothing_and_beyond_it_more(catalogue: Catalogue) -> None:
    pattern = pattern_of(catalogue, "CeO2 fluorite", stretch=1.02)
    data = Data(pattern.x, pattern.y, QMIN, QMAX)
    chosen = [Chosen(catalogue.item("CeO2 fluorite"), 1.02, 60.0, 0.05)]

    def price(expansion: float | None) -> tuple[float, float]:
        (found,) = explain(pattern, data, RANGE, chosen, Terms(QDAMP, expansion))
        return found.log_prior, found.outside

    usual, wide, narrow = price(None), price(0.03), price(0.005)
    assert usual[0] == pytest.approx(wide[0] - 0.5 * 2.0**2, abs=0.1)  # two standard deviations of 1 %
    assert wide[1] == 0.0 and usual[1] == 0.0
    assert narrow[1] == pytest.approx(-0.5 * (0.015 / 0.0025) ** 2, rel=0.05)


@pytest.mark.slow
def test_none_of_these_is_judged_against_declared_cells(catalogue: Catalogue) -> None:
    pattern = pattern_of(catalogue, "CeO2 fluorite", stretch=1.03)
    assert identify(pattern, expansion=0.04).candidates[0].family == "fluorite"
    answer = identify(pattern, expansion=0.002)
    assert answer.recognised is not None
    assert "CeO2 fluorite" not in [c.structure for c in answer.candidates if c.probability > 0.5]


def test_elements_of_which_nothing_is_made_end_in_a_sentence() -> None:
    """Gold shown to someone who allows germanium and oxygen only: no metal, and no compound comes near."""
    from solvus.models.identify import pattern_of as cluster_pattern

    conditions = Conditions(qmin=0.8, qmax=22.0, qdamp=0.03)
    pattern = cluster_pattern("Au icosahedron-147", conditions, np.arange(0.0, 40.0, 0.02))
    for elements in (["Ge", "O"], ["Te", "O"]):
        answer = identify(pattern, elements=elements)
        assert answer.verdict == "none"
        assert "nothing of" in answer.reasons[0]
