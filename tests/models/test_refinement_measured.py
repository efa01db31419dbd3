"""Refinement of measured patterns: no worse than plain fits by other programs, and no more than the data say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from solvus.models.formats.read import read_pattern
from solvus.models.pattern_files import read_gr
from solvus.models.refinement.refine import Options, refine
from solvus.models.refinement.refinement import Refinement
from solvus.models.refinement.rietveld import PowderOptions, refine_powder
from solvus.models.structures.record import Record

Site = tuple[str, float, float, float]
CUBIC = (90.0, 90.0, 90.0)


def crystal(name: str, group: int, cell: tuple[float, ...], sites: list[Site], setting: int = 1) -> Record:
    a, b, c, alpha, beta, gamma = cell
    return Record(
        name=name, family="oxide", type=name, formula=name, species=tuple(s[0] for s in sites),
        positions=np.array([s[1:] for s in sites]), source="textbook values", space_group=group, setting=setting,
        cell=(a, b, c, alpha, beta, gamma),
    )  # fmt: skip


PLATINUM = crystal("Pt", 225, (3.924, 3.924, 3.924, *CUBIC), [("Pt", 0, 0, 0)])
NICKEL = crystal("Ni", 225, (3.524, 3.524, 3.524, *CUBIC), [("Ni", 0, 0, 0)])
CERIA = crystal("CeO2", 225, (5.411, 5.411, 5.411, *CUBIC), [("Ce", 0, 0, 0), ("O", 0.25, 0.25, 0.25)])
IRIDIA = crystal("IrO2", 136, (4.505, 4.505, 3.159, *CUBIC), [("Ir", 0, 0, 0), ("O", 0.308, 0.308, 0)])
RUTILE = crystal("TiO2 rutile", 136, (4.594, 4.594, 2.959, *CUBIC), [("Ti", 0, 0, 0), ("O", 0.305, 0.305, 0)])
ANATASE = crystal(
    "TiO2 anatase", 141, (3.785, 3.785, 9.514, *CUBIC), [("Ti", 0, 0.75, 0.125), ("O", 0, 0.75, 0.3334)], 2
)
SPINEL = crystal(
    "Fe3O4",
    227,
    (8.39, 8.39, 8.39, *CUBIC),
    [("Fe", 0.125, 0.125, 0.125), ("Fe", 0.5, 0.5, 0.5), ("O", 0.255, 0.255, 0.255)],
    2,
)
MANGANOSITE = crystal("MnO", 166, (3.14, 3.14, 7.59, 90, 90, 120), [("Mn", 0, 0, 0), ("O", 0, 0, 0.5)])


def fit(shared: Path, file: str, record: Record, **changes: object) -> Refinement:
    options = Options(**changes)  # type: ignore[arg-type]
    return refine(read_gr(shared / "patterns" / file), record, options)


@pytest.mark.parametrize(
    ("file", "record", "window", "r_w", "cell"),
    [
        ("pt_nanoparticles_s1.gr", PLATINUM, (1.6, 20.0), 0.108, {"a": 3.93}),
        ("ceo2_nano.gr", CERIA, (1.6, 20.0), 0.17, {"a": 5.404}),
        ("iro2_3nm.gr", IRIDIA, (1.6, 20.0), 0.38, {"a": 4.52, "c": 3.13}),
        ("spinel_CoCuNiFeMn.gr", SPINEL, (1.6, 14.0), 0.14, {"a": 8.38}),
        ("tio2_anatase_film.gr", ANATASE, (1.6, 20.0), 0.20, {"a": 3.785, "c": 9.51}),
        ("ni_powder.gr", NICKEL, (1.6, 20.0), 0.05, {"a": 3.52}),
    ],
)
def test_a_measured_pattern_is_fitted_as_well_as_by_others(
    shared: Path, file: str, record: Record, window: tuple[float, float], r_w: float, cell: dict[str, float]
) -> None:
    found = fit(shared, file, record, window=window)
    assert found.converged
    assert found.r_w <= r_w + 0.01
    for name, value in cell.items():
        assert found[name] == pytest.approx(value, abs=0.01)


def test_platinum_and_ceria_have_their_size(shared: Path) -> None:
    assert fit(shared, "pt_nanoparticles_s1.gr", PLATINUM)["diameter"] == pytest.approx(29.0, abs=2.0)
    assert fit(shared, "ceo2_nano.gr", CERIA)["diameter"] == pytest.approx(20.0, abs=2.0)


def test_polymorphs_separate(shared: Path) -> None:
    anatase = fit(shared, "tio2_anatase_film.gr", ANATASE)
    rutile = fit(shared, "tio2_anatase_film.gr", RUTILE)
    assert rutile.r_w - anatase.r_w >= 0.4


def test_what_neutrons_see_of_magnetism_is_no_second_phase(shared: Path) -> None:
    found = fit(shared, "mno_neutron.gr", MANGANOSITE, free=("scale", "lattice", "u", "delta2", "qdamp"))
    assert found.converged
    assert found.r_w < 0.3
    # Mn has a negative length: with X-ray weights the same structure cannot follow the data.
    assert found["a"] == pytest.approx(3.150, abs=0.01)
    assert any("magnetic" in note and "second phase" in note for note in found.notes)


def test_a_laboratory_powder_pattern_gives_the_lattice(shared: Path) -> None:
    reading = read_pattern(shared / "patterns/ceo2_lab_mo.xy", x_unit="2theta", wavelength=0.709317)
    found = refine_powder(reading.pattern, CERIA, PowderOptions(source="MoKa"))
    assert found.converged
    assert found["a"] == pytest.approx(5.41, abs=0.01)
    assert found.r_w < 0.07
