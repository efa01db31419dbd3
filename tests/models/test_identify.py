"""The way in and back: what is simulated from a structure is identified as it; what is none of these is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import Icosahedron

from solvus.models.identification import Identification
from solvus.models.identify import curve_of, identify, pattern_of
from solvus.models.pattern import Conditions, Pattern, PatternError
from solvus.models.pattern_files import read_gr
from solvus.models.structures.clusters import metals
from solvus.models.structures.library import Library, LibraryError

CONDITIONS = Conditions(qmin=0.8, qmax=22.0, qdamp=0.03)
R = np.arange(0.0, 50.0, 0.02)


def fractions(answer: Identification) -> dict[str, float]:
    return {
        name.removeprefix("fraction:"): value.mean
        for name, value in answer.descriptors.items()
        if name.startswith("fraction:")
    }


@pytest.mark.parametrize(
    ("name", "expansion"),
    [
        ("Au icosahedron-147", 0.985),
        ("Pt decahedron-5-5-0", 1.0),
        ("Au truncated-octahedron-586", 1.01),
        ("Co hcp-sphere-335", 1.0),
        ("Fe bcc-sphere-531", 1.005),
        ("Ni fcc-sphere-1433", 1.0),
    ],
)
def test_a_simulated_structure_is_found_again(name: str, expansion: float) -> None:
    library = Library.load()
    try:
        named = library.resolve(name)
    except LibraryError:
        named = library.resolve(f"Ni {library.nearest('Ni', 'fcc', 31.0).name}")
    answer = identify(
        pattern_of(str(named), CONDITIONS, R, expansion=expansion, u_iso=0.007), elements=[named.element]
    )
    bond = metals()[named.element] * expansion
    best = answer.candidates[0]
    assert answer.verdict == "identified"
    assert best.family == named.entry.family
    assert best.r_w < 0.02
    assert best.elements == (named.element,)
    assert best.parameters["u_iso"] == pytest.approx(0.007, abs=5e-4)
    assert answer.descriptors["bond_length"].mean == pytest.approx(bond, rel=1e-3)
    size = answer.descriptors["diameter"]
    assert size.mean == pytest.approx(named.entry.diameter * bond, abs=max(2 * size.sd, 0.5))
    assert not size.lower_bound
    shares = fractions(answer)
    assert max(shares, key=lambda family: shares[family]) == named.entry.family
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-6)
    assert sum(c.probability for c in answer.candidates) <= 1.0 + 1e-9


def test_atoms_and_name_give_the_same_pattern() -> None:
    by_name = pattern_of("Au icosahedron-309", CONDITIONS, R)
    atoms = Library.load().atoms("icosahedron-309", "Au")
    by_atoms = pattern_of(atoms, CONDITIONS, R)
    assert np.abs(by_name.y - by_atoms.y).max() < 3e-3 * np.abs(by_atoms.y).max()


def test_the_answer_is_deterministic() -> None:
    pattern = pattern_of("Au decahedron-4-3-1", CONDITIONS, R)
    assert identify(pattern, elements=["Au"]) == identify(pattern, elements=["Au"])


@pytest.mark.slow
def test_without_elements_the_bond_length_speaks() -> None:
    answer = identify(pattern_of("Pt icosahedron-147", CONDITIONS, R))
    assert answer.candidates[0].family == "icosahedral"
    assert "Pt" in answer.candidates[0].elements
    alike = identify(pattern_of("Au icosahedron-147", CONDITIONS, R)).candidates[0].elements
    assert {"Au", "Ag"} <= set(alike)


def test_the_composition_of_the_header_counts() -> None:
    conditions = CONDITIONS.model_copy(update={"composition": "Au144 S60 C180"})
    answer = identify(pattern_of("Au icosahedron-147", conditions, R))
    assert answer.candidates[0].elements == ("Au",)


def test_shares_of_a_mixture_follow_the_mixture() -> None:
    a, b = (pattern_of(f"Au {name}", CONDITIONS, R).y for name in ("icosahedron-309", "octahedron-489"))
    shares = []
    for amount in (0.0, 0.3, 0.7, 1.0):
        mixed = Pattern(x=R, y=(1 - amount) * a + amount * b, conditions=CONDITIONS)
        shares.append(fractions(identify(mixed, elements=["Au"])).get("fcc", 0.0))
    assert shares == sorted(shares)
    assert np.allclose(shares, [0.0, 0.3, 0.7, 1.0], atol=0.15)


def test_a_particle_beyond_the_data_has_a_lower_bound() -> None:
    entry = Library.load().nearest("Au", "fcc", 70.0)
    r = np.arange(0.0, 25.0, 0.02)
    size = identify(pattern_of(f"Au {entry.name}", CONDITIONS, r), elements=["Au"]).descriptors["diameter"]
    assert size.lower_bound
    assert size.mean <= 25.0


def test_noise_lowers_certainty_and_not_truth() -> None:
    clean = pattern_of("Au icosahedron-309", CONDITIONS, R)
    noise = np.random.default_rng(3).normal(0.0, 0.05 * np.abs(clean.y).max(), len(R))
    noisy = identify(Pattern(x=R, y=clean.y + noise, conditions=CONDITIONS), elements=["Au"])
    sure = identify(clean, elements=["Au"])
    assert noisy.verdict == "identified"
    assert noisy.candidates[0].family == "icosahedral"
    assert noisy.descriptors["bond_length"].sd > sure.descriptors["bond_length"].sd
    assert noisy.candidates[0].probability <= sure.candidates[0].probability


def test_a_wrong_element_is_refused_with_the_reason() -> None:
    answer = identify(pattern_of("Pt icosahedron-309", CONDITIONS, R), elements=["Ni"])
    assert answer.verdict == "none"
    assert "Ni does not fit" in " ".join(answer.reasons)
    assert "Pt" in " ".join(answer.reasons)
    assert answer.descriptors == {}


def test_what_the_library_lacks_is_none_of_these() -> None:
    carbon = bulk("C", "diamond", a=3.567, cubic=True).repeat(3)
    carbon.pbc = False
    answer = identify(pattern_of(carbon, CONDITIONS, R))
    assert answer.verdict == "none"
    assert "the best compound" in " ".join(answer.reasons)


@pytest.mark.slow
def test_an_oxide_particle_is_found_without_its_composition() -> None:
    """A cube of magnesia; that the library fits it by a sphere costs something."""
    rocksalt = bulk("MgO", "rocksalt", a=4.21, cubic=True).repeat(5)
    rocksalt.pbc = False
    answer = identify(pattern_of(rocksalt, CONDITIONS, R))
    assert (answer.verdict, answer.candidates[0].family) == ("identified", "rocksalt")
    assert answer.descriptors["a"].mean == pytest.approx(4.21, abs=0.01)
    assert "catalogue-" in answer.model_version


@pytest.mark.parametrize(
    ("r", "g", "words"),
    [
        (R, np.zeros_like(R), "flat"),
        (np.arange(0.0, 5.0, 0.02), np.sin(np.arange(0.0, 5.0, 0.02)), "covers only"),
        (R, 5.0 * R + np.sin(R), "slope"),
        (np.arange(0.0, 50.0, 0.4), np.sin(np.arange(0.0, 50.0, 0.4)), "too coarse"),
        (R, np.random.default_rng(0).normal(size=len(R)), "noise"),
    ],
)
def test_poor_data_are_called_so(r: np.ndarray, g: np.ndarray, words: str) -> None:
    answer = identify(Pattern(x=r, y=g, conditions=CONDITIONS))
    assert answer.verdict == "poor_data"
    assert words in answer.reasons[0]


def test_bad_questions_are_refused() -> None:
    pattern = pattern_of("Au icosahedron-55", CONDITIONS, R)
    with pytest.raises(LibraryError, match="'Xx' is not a chemical element"):
        identify(pattern, elements=["Xx"])
    with pytest.raises(PatternError, match="r_range"):
        identify(pattern, r_range=(20.0, 1.6))
    with pytest.raises(PatternError, match="expansion: 0 is not between"):
        identify(pattern, expansion=0.0)
    with pytest.raises(PatternError, match="G\\(r\\) is needed"):
        identify(Pattern(quantity="F", x_unit="1/angstrom", x=R, y=R))


def test_none_of_these_is_judged_against_the_declared_expansion() -> None:
    """Gold stretched by a fifth is no gold, unless a campaign holds such bond lengths possible."""
    atoms = Library.load().atoms("icosahedron-147", "Au")
    atoms.positions *= 1.2
    pattern = pattern_of(atoms, CONDITIONS, R)
    assert identify(pattern, elements=["Au"]).verdict == "none"
    answer = identify(pattern, elements=["Au"], expansion=0.3)
    assert answer.verdict == "identified"
    assert answer.candidates[0].family == "icosahedral"
    assert answer.candidates[0].parameters["expansion"] == pytest.approx(1.2, abs=0.005)


def test_curve_of_explains_its_r_w() -> None:
    pattern = pattern_of(Icosahedron("Au", 4), CONDITIONS, R)
    answer = identify(pattern, elements=["Au"])
    best = answer.candidates[0]
    inside = (R >= 1.6) & (R <= 20.0)
    observed = pattern.y[inside]
    misfit = np.linalg.norm(observed - curve_of(best, pattern, (1.6, 20.0))) / np.linalg.norm(observed)
    assert misfit == pytest.approx(best.r_w, abs=2e-3)


@pytest.mark.parametrize(
    ("name", "elements", "family", "limit"),
    [
        ("pt_nanoparticles_s1.gr", ["Pt"], "fcc", 0.12),
        ("pt_nanoparticles_s1.gr", None, "fcc", 0.12),
        ("au144_pet.gr", ["Au"], "icosahedral", 0.31),
        ("ni_powder.gr", None, "fcc", 0.06),
        ("au_lab_source.gr", ["Au"], "fcc", 0.6),
    ],
)
def test_measured_metals(
    shared: Path, name: str, elements: list[str] | None, family: str, limit: float
) -> None:
    answer = identify(read_gr(shared / "patterns" / name), elements=elements)
    assert answer.verdict == "identified"
    assert answer.candidates[0].family == family
    assert answer.candidates[0].r_w < limit


def without_composition(pattern: Pattern) -> Pattern:
    conditions = pattern.conditions.model_copy(update={"composition": None})
    return pattern.model_copy(update={"conditions": conditions})


@pytest.mark.parametrize("name", ["c60", "cdse_bulk"])
@pytest.mark.parametrize("with_header", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_measured_compounds_outside_the_library_are_none_of_these(
    shared: Path, name: str, with_header: bool
) -> None:
    pattern = read_gr(shared / "patterns" / f"{name}.gr")
    answer = identify(pattern if with_header else without_composition(pattern))
    assert answer.verdict == "none"
    assert answer.reasons


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("ceo2_nano", "fluorite"),
        ("alpha_keggin", "alpha-Keggin"),
        pytest.param("tio2_anatase_film", "anatase", marks=pytest.mark.slow),
        pytest.param("iro2_3nm", "rutile", marks=pytest.mark.slow),
        pytest.param("spinel_CoCuNiFeMn", "inverse spinel", marks=pytest.mark.slow),
        pytest.param("mno_neutron", "rocksalt", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("with_header", [True, False])
def test_measured_compounds_have_their_structure_type_first(
    shared: Path, name: str, family: str, with_header: bool
) -> None:
    """Normal and inverse spinel are one class for these data; the answer says the one that fits better."""
    pattern = read_gr(shared / "patterns" / f"{name}.gr")
    answer = identify(pattern if with_header else without_composition(pattern))
    assert answer.verdict == "identified"
    assert answer.candidates[0].family == family
    assert sum(c.probability for c in answer.candidates) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("name", "metals_there"),
    [
        ("ceo2_nano", {"La-Lu"}),
        ("alpha_keggin", {"W"}),
        ("tio2_anatase_film", {"Ti"}),
        ("mno_neutron", {"Mn"}),
        pytest.param("iro2_3nm", {"Ir"}, marks=pytest.mark.slow),
        pytest.param("spinel_CoCuNiFeMn", {"Co", "Cu", "Ni", "Fe", "Mn"}, marks=pytest.mark.slow),
    ],
)
def test_the_metals_of_measured_compounds_are_in_the_set(
    shared: Path, name: str, metals_there: set[str]
) -> None:
    """Also those of a solid solution of five, which no entry of the library is."""
    answer = identify(without_composition(read_gr(shared / "patterns" / f"{name}.gr")))
    assert answer.recognised is not None
    assert metals_there <= set(answer.recognised.metals)
    assert len(answer.recognised.metals) <= 15


def test_a_whole_keggin_ion_comes_before_its_fragments(shared: Path) -> None:
    answer = identify(read_gr(shared / "patterns" / "alpha_keggin.gr"), elements=["W", "O"])
    best = answer.candidates[0]
    assert best.family == "alpha-Keggin"
    assert best.structure.endswith("W12O40")
    assert all(c.r_w > best.r_w for c in answer.candidates if c.family != "alpha-Keggin")


@pytest.mark.parametrize("qdamp", [None, 0.06])
def test_a_compound_is_drawn_with_the_r_w_that_it_states(shared: Path, qdamp: float | None) -> None:
    pattern = read_gr(shared / "patterns" / "ceo2_nano.gr")
    best = identify(pattern, qdamp=qdamp).candidates[0]
    assert best.structure == "CeO2 fluorite"
    assert best.parameters["a"] == pytest.approx(5.405, abs=0.01)
    inside = (pattern.x >= 1.6 - 1e-9) & (pattern.x <= 20.0 + 1e-9)
    observed = pattern.y[inside]
    misfit = np.linalg.norm(observed - curve_of(best, pattern, (1.6, 20.0))) / np.linalg.norm(observed)
    assert misfit == pytest.approx(best.r_w, abs=2e-3)
