"""A second phase is found with its share where there is one, and nowhere else."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from solvus.models.identify import identify
from solvus.models.pattern import Conditions, Pattern
from solvus.models.pattern_files import read_gr
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.quality import assess
from solvus.models.recognition.second_phase import SecondPhase, record_of_metal, second_phase
from solvus.models.scattering.mixture import fractions_of_atoms, mixed, phases_of
from solvus.models.scattering.settings import Settings
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record_structure import structure_of

RANGE = (1.6, 20.0)
QMAX = 22.0
TITANIA = frozenset({"Ti", "O"})
MEASURED = {
    "ceo2_nano": "CeO2 fluorite",
    "tio2_anatase_film": "TiO2 anatase",
    "iro2_3nm": "IrO2 rutile",
    "mno_neutron": "MnO rocksalt",
    "pt_nanoparticles_s1": "Pt fcc",
    "ni_powder": "Ni fcc",
    "au144_pet": "Au icosahedron-55",
    "alpha_keggin": "alpha-Keggin (alternating) W12O40",
}


@cache
def catalogue() -> Catalogue:
    return Catalogue.load(own_too=False)


def mixture(
    names: tuple[str, str],
    second: float,
    *,
    noise: float = 0.01,
    seed: int = 1,
    radiation: str = "xray",
    by: str = "atoms",
) -> Pattern:
    """Two phases as particles of 45 and 35 angstrom; ``noise`` as a share of max |G| per independent point."""
    phases = phases_of(
        [structure_of(catalogue().find(name), 0.006) for name in names],
        [
            Settings(rmax=25.0, rstep=0.02, qmin=0.8, qmax=QMAX, qdamp=0.03, diameter=d, radiation=radiation)
            for d in (45.0, 35.0)
        ],
    )
    curves = mixed(phases, fractions_of_atoms(phases.compositions, [1.0 - second, second], by=by))
    r, g = curves.r.numpy(), curves.g.numpy()
    at = np.arange(0.0, 25.0, np.pi / QMAX)
    white = np.random.default_rng(seed).normal(size=len(at)) * noise * np.abs(g).max()
    g = g + np.sinc((r[:, None] - at) * QMAX / np.pi) @ white
    return Pattern(x=r, y=g, conditions=Conditions(qmin=0.8, qmax=QMAX, qdamp=0.03, radiation=radiation))


def looked_for(
    pattern: Pattern, first: str, elements: frozenset[str] | None, qdamp: float = 0.03
) -> SecondPhase | None:
    quality = assess(pattern, RANGE)
    data = Data(pattern.x, pattern.y, quality.qmin, quality.qmax)
    return second_phase(
        pattern,
        data,
        catalogue().find(first),
        None,
        RANGE,
        elements=elements,
        qdamp=qdamp,
        catalogue=catalogue(),
    )


@pytest.mark.parametrize(
    ("names", "share", "first", "radiation"),
    [
        (("TiO2 anatase", "TiO2 rutile"), 0.1, 0, "xray"),
        (("TiO2 anatase", "TiO2 rutile"), 0.5, 0, "xray"),
        (("TiO2 anatase", "TiO2 rutile"), 0.9, 1, "xray"),
        (("TiO2 anatase", "TiO2 rutile"), 0.3, 0, "neutron"),
        (("Ni fcc", "NiO rocksalt"), 0.3, 0, "xray"),
        (("Ni fcc", "NiO rocksalt"), 0.7, 0, "xray"),
        (("Cu fcc", "Cu2O cuprite"), 0.4, 0, "neutron"),
    ],
)
def test_a_second_phase_is_found_with_its_share(
    names: tuple[str, str], share: float, first: int, radiation: str
) -> None:
    pattern = mixture(names, share, radiation=radiation)
    elements = frozenset().union(*(catalogue().item(name).elements for name in names))
    found = looked_for(pattern, names[first], elements)
    assert found is not None
    assert found.item.name == names[1 - first]
    truth = share if first == 0 else 1.0 - share
    assert found.atoms.mean == pytest.approx(truth, abs=3.0 * found.atoms.sd)
    assert found.atoms.sd < 0.03
    assert found.r_w < 0.5 * found.r_w_alone


def test_shares_by_mass_are_those_that_were_weighed() -> None:
    found = looked_for(mixture(("Ni fcc", "NiO rocksalt"), 0.5, by="mass"), "Ni fcc", frozenset({"Ni", "O"}))
    assert found is not None
    assert found.mass.mean == pytest.approx(0.5, abs=3.0 * found.mass.sd)
    assert found.atoms.mean > found.mass.mean


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
@pytest.mark.parametrize(
    ("name", "elements"),
    [("TiO2 anatase", TITANIA), ("TiO2 rutile", TITANIA), ("Ni fcc", frozenset({"Ni", "O"}))],
)
def test_one_phase_stays_one(name: str, elements: frozenset[str], noise: float) -> None:
    assert looked_for(mixture((name, "TiO2 brookite"), 0.0, noise=noise), name, elements) is None


def test_without_elements_the_whole_catalogue_is_looked_through() -> None:
    found = looked_for(mixture(("TiO2 anatase", "TiO2 rutile"), 0.35), "TiO2 anatase", None)
    assert found is not None
    assert found.item.type == "rutile"


def test_a_metal_found_as_a_cluster_stands_as_its_crystal_or_as_itself() -> None:
    crystal = record_of_metal("Ni", "fcc", "fcc-sphere-1433", catalogue())
    assert crystal is not None
    assert (crystal.name, crystal.periodic) == ("Ni fcc", True)
    small = record_of_metal("Au", "icosahedral", "icosahedron-55", catalogue())
    assert small is not None
    assert len(small.species) == 55
    assert record_of_metal("Au", "icosahedral", "icosahedron-2869", catalogue()) is None
    assert record_of_metal("Au", "icosahedral", "no-such-geometry", catalogue()) is None


def test_the_answer_is_deterministic() -> None:
    pattern = mixture(("TiO2 anatase", "TiO2 rutile"), 0.3)
    one, two = (looked_for(pattern, "TiO2 anatase", TITANIA) for _ in range(2))
    assert one is not None
    assert two is not None
    assert (one.atoms, one.evidence, one.fit.r_w) == (two.atoms, two.evidence, two.fit.r_w)


@pytest.mark.parametrize("any_element", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MEASURED)
def test_measured_samples_of_one_phase_have_no_second(shared: Path, name: str, any_element: bool) -> None:
    pattern = read_gr(shared / "patterns" / f"{name}.gr")
    elements = None if any_element else catalogue().item(MEASURED[name]).elements | {"O"}
    assert looked_for(pattern, MEASURED[name], elements, qdamp=0.035) is None


def test_identify_names_both_phases_with_their_shares() -> None:
    answer = identify(mixture(("TiO2 anatase", "TiO2 rutile"), 0.4), elements=["Ti", "O"])
    assert {phase.structure for phase in answer.phases} == {"TiO2 anatase", "TiO2 rutile"}
    shares = {phase.structure: phase.atoms for phase in answer.phases}
    assert shares["TiO2 rutile"].mean == pytest.approx(0.4, abs=0.03)
    assert sum(share.mean for share in shares.values()) == pytest.approx(1.0)
    assert not identify(mixture(("TiO2 anatase", "TiO2 rutile"), 0.0), elements=["Ti", "O"]).phases
