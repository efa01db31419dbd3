"""Refinement of simulated patterns: what made the data comes back, with uncertainties that mean what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.cluster import Icosahedron
from ase.io import read
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from solvus.models.pattern import Conditions, Pattern
from solvus.models.refinement.export import text_of, with_uncertainty, write_structure
from solvus.models.refinement.marquardt import minimise
from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.pdf_model import PdfConditions, PdfModel
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.refine import Options, refine, refine_from
from solvus.models.refinement.rietveld import PowderOptions, refine_powder
from solvus.models.refinement.small_angle_model import refine_small_angle
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.small_angle import lognormal_spheres
from solvus.models.structures.record import Record
from solvus.models.structures.record_structure import structure_of
from solvus.simulations.benchmarks.refinement import (
    RECORDED,
    TRUTH,
    ceria,
    clean,
    fitted,
    noisy,
    options,
    random_starts,
    z_scores,
)

RUTILE = Record(
    name="TiO2 rutile", family="oxide", type="rutile", formula="TiO2", species=("Ti", "O"),
    positions=np.array([[0.0, 0.0, 0.0], [0.305, 0.305, 0.0]]), source="test", space_group=136,
    cell=(4.594, 4.594, 2.959, 90.0, 90.0, 90.0),
)  # fmt: skip
R = np.arange(32, 401) * 0.05


def gold(shells: int) -> Record:
    atoms = Icosahedron("Au", shells)
    return Record(
        name="gold icosahedron", family="metal", type="icosahedron", formula=f"Au{len(atoms)}",
        species=("Au",) * len(atoms), positions=atoms.positions, source="test",
    )  # fmt: skip


def simulated(
    records: list[Record],
    values: dict[str, float],
    *,
    radiation: str = "xray",
    qmin: float = 0.0,
    level: float = 0.0,
) -> Pattern:
    labels = [str(k + 1) if len(records) > 1 else "" for k in range(len(records))]
    phases = [(label, Phase.of(record)) for label, record in zip(labels, records, strict=True)]
    model = PdfModel(
        R, phases, PdfConditions(22.0, qmin, radiation, 0.03), list(values),
        shaped=[name.partition("@")[2] for name in values if name.startswith("diameter")],
    )  # fmt: skip
    curve, _ = model.curve({p.name: p.value for p in model.parameters} | values, ())
    noise = np.random.default_rng(3).standard_normal(len(R))
    conditions = Conditions(radiation=radiation, qmin=qmin, qmax=22.0, qdamp=0.03)
    return Pattern(x=R, y=curve + level * np.abs(curve).max() * noise, conditions=conditions)


@given(st.integers(0, 10_000), st.integers(2, 6))
@hypothesis_settings(max_examples=25)
def test_a_bounded_linear_problem_is_solved(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    matrix, target = random.normal(size=(20, size)), random.normal(size=20)
    lower, upper = -np.abs(random.normal(size=size)) * 0.1, np.abs(random.normal(size=size)) * 0.1
    found = minimise(lambda x: (matrix @ x - target, matrix), np.zeros(size), lower, upper, np.ones(size))
    assert found.verdict == "converged"
    slope = matrix.T @ found.residual
    inside = (found.x > lower) & (found.x < upper)
    assert ((found.x >= lower) & (found.x <= upper)).all()
    # At the minimum the gradient vanishes inside and points outwards on the bounds.
    scale = np.linalg.norm(matrix, axis=0) * np.sqrt(found.cost / 10)
    assert (np.abs(slope[inside]) < 0.02 * scale[inside]).all()
    assert (slope[found.x == lower] >= 0).all()
    assert (slope[found.x == upper] <= 0).all()


def test_the_recorded_uncertainties_of_srfit_come_out() -> None:
    pattern = noisy(clean(2850, "srreal"), np.random.default_rng(1), white_in_q=False)
    fit = fitted(pattern, form_factors="constant", noise="independent")
    assert fit.converged
    assert fit.r_w == pytest.approx(0.0426, abs=0.002)
    for name, recorded in RECORDED.items():
        assert fit.uncertainty(name) == pytest.approx(recorded, rel=0.15)
        if name != "a":  # the two conventions cut the transform differently, by a few of its uncertainties
            assert abs(fit[name] - TRUTH[name]) < 4 * recorded


@pytest.mark.parametrize("white_in_q", [True, False])
def test_uncertainties_mean_what_they_say(white_in_q: bool) -> None:
    rows = list(z_scores(60, white_in_q=white_in_q))
    # 60 draws know a standard deviation to 9 % and a mean to 0.13: three of those.
    assert all(abs(row.value) < 0.4 for row in rows if row.name.startswith("mean"))
    assert all(0.75 < row.value < 1.28 for row in rows if row.name.startswith("sd"))


@pytest.mark.slow
@pytest.mark.parametrize("white_in_q", [True, False])
def test_uncertainties_over_two_hundred_draws(white_in_q: bool) -> None:
    assert all(row.passed for row in z_scores(200, white_in_q=white_in_q))


def test_the_classical_formula_is_wrong_for_a_finely_written_transform() -> None:
    pattern = noisy(clean(2850, "exact"), np.random.default_rng(2), white_in_q=True)
    classical = fitted(pattern, noise="independent").uncertainty("a")
    honest = fitted(pattern).uncertainty("a")
    white = fitted(pattern, noise="transform").uncertainty("a")
    # A point every 0.01 angstrom where pi / Qmax = 0.126 holds one value: too small by the root of 12.6.
    assert honest / classical == pytest.approx(np.sqrt(np.pi / 25.0 / 0.01), rel=0.25)
    assert white / classical == pytest.approx(np.sqrt(np.pi / 25.0 / 0.01), rel=0.15)


def test_far_starts_reach_one_minimum_after_a_scan() -> None:
    row = next(random_starts(12))
    assert row.value == 12
    assert row.passed


def test_coordinates_size_and_displacements_come_back() -> None:
    truth = {
        "scale": 0.7,
        "a": 4.61,
        "c": 2.97,
        "x_O": 0.309,
        "u_Ti": 0.006,
        "u_O": 0.012,
        "delta2": 1.8,
        "diameter": 32.0,
    }
    pattern = simulated([RUTILE], truth, level=0.003)
    fit = refine(pattern, RUTILE, Options(free=("scale", "lattice", "positions", "u", "delta2", "diameter")))
    assert fit.converged
    assert fit.r_w < 0.02
    for name, value in truth.items():
        assert abs(fit[name] - value) < 4 * fit.uncertainty(name)
    assert fit.records[""].cell[0] == pytest.approx(fit["a"])
    assert fit.records[""].positions[1] == pytest.approx([fit["x_O"], fit["x_O"], 0.0])


def test_spheroids_spreads_and_occupancies_come_back() -> None:
    truth = {"scale": 0.9, "diameter": 24.0, "elongation": 1.8}
    pattern = simulated([RUTILE], truth, level=1e-3)
    # Below its shortest diameter a spheroid's function has two coefficients: a long and a flat one share it.
    starts = [{"elongation": 0.6}, {"elongation": 1.5, "diameter": 25.0}]
    fits = refine_from(
        pattern, RUTILE, starts, Options(free=("scale", "diameter", "elongation"), capture=0.0)
    )
    flat, long = sorted(fits, key=lambda fit: fit["elongation"])
    assert long["elongation"] == pytest.approx(1.8, abs=0.1)
    assert flat["elongation"] == pytest.approx(0.645, abs=0.05)
    assert flat.r_w == pytest.approx(long.r_w, rel=1e-3)
    truth = {"scale": 0.9, "diameter": 24.0, "spread": 0.2}
    fit = refine(
        simulated([RUTILE], truth, level=1e-3), RUTILE, Options(free=("scale", "diameter", "spread"))
    )
    assert fit["spread"] == pytest.approx(0.2, abs=0.02)
    pattern = simulated([RUTILE], {"occ_O": 0.85}, level=1e-3, radiation="neutron")
    fit = refine(pattern, RUTILE, Options(free=("scale", "u", "occ_O")))
    assert fit["occ_O"] == pytest.approx(0.85, abs=4 * fit.uncertainty("occ_O"))


def test_phases_come_back_with_their_shares_from_xrays_and_neutrons_together() -> None:
    records = [ceria(5.41, 0.004, 0.008), RUTILE]
    shares = {"fraction@2": 0.7, "a@1": 5.42, "a@2": 4.60}
    patterns = [
        simulated(records, shares, level=0.01),
        simulated(records, shares, level=0.01, radiation="neutron"),
    ]
    fit = refine(patterns, records, Options(free=("scale", "fraction", "a", "u")))
    assert fit.converged
    assert set(fit.free) >= {"scale@1", "scale@2", "fraction@2", "a@1", "a@2", "u_Ce@1", "u_O@2"}
    assert abs(fit["fraction@2"] - 0.7) < 4 * fit.uncertainty("fraction@2")
    alone = refine(patterns[0], records, Options(free=("scale", "fraction", "a", "u")))
    assert fit.uncertainty("fraction@2") < alone.uncertainty("fraction@2")


def test_a_cluster_and_its_free_atoms_come_back() -> None:
    record = gold(3)
    pattern = simulated([record], {"scale": 0.8, "expansion": 1.013, "u_Au": 0.008}, qmin=0.8, level=0.003)
    fit = refine(pattern, record, Options(free=("scale", "lattice", "u")))
    assert fit["expansion"] == pytest.approx(1.013, abs=4 * fit.uncertainty("expansion"))
    moved = np.array(record.positions)
    moved[40] += [0.15, 0.0, 0.0]
    pattern = simulated([Record(**{**vars(record), "positions": moved})], {"scale": 0.8}, qmin=0.8)
    rigid = refine(pattern, record, Options(free=("scale", "u"), capture=0.0))
    free = refine(pattern, record, Options(free=("scale", "u", "x41", "y41", "z41"), capture=0.0))
    assert free.r_w < 0.3 * rigid.r_w
    every = refine(pattern, gold(2), Options(free=("scale", "positions"), capture=0.0, most=30))
    places = every.records[""].positions
    nearest = np.sort(np.linalg.norm(places - places[6], axis=1))[1:4]
    assert (nearest > 2.2).all()  # the restraints keep the atoms apart, whatever the data say


def test_bulk_says_that_it_shows_no_size_and_too_much_freedom_is_named() -> None:
    pattern = simulated([RUTILE], {"scale": 0.7}, level=0.01)
    fit = refine(pattern, RUTILE, Options(free=("scale", "diameter"), start={"diameter": 60.0}))
    assert any("diameter stands on its bound" in text for text in fit.warnings) or fit["diameter"] > 150
    pattern = simulated([gold(3)], {"scale": 0.7}, level=0.01, qmin=0.8)
    fit = refine(pattern, gold(3), Options(free=("scale", "occ_Au", "u")))
    assert any("correlated" in text for text in fit.warnings)
    short = pattern.model_copy(update={"x": pattern.x[:30], "y": pattern.y[:30]})
    fit = refine(short, gold(3), Options(free=("scale", "lattice", "u", "delta2", "qdamp", "qbroad")))
    assert any("too few data" in text for text in fit.warnings)


def test_several_starts_come_back_in_order() -> None:
    pattern = simulated([RUTILE], {"scale": 0.7}, level=0.01)
    fits = refine_from(
        pattern, RUTILE, [{"a": 4.75}, {"a": 4.6}], Options(free=("scale", "lattice"), capture=0.0)
    )
    assert fits[0].r_w <= fits[1].r_w
    assert fits[0]["a"] == pytest.approx(4.594, abs=0.002)


def test_a_powder_pattern_of_both_lines_comes_back() -> None:
    from solvus.models.refinement.powder_model import SOURCES, PowderConditions, PowderModel

    angle = np.arange(20.0, 100.0, 0.04)
    model = PowderModel(angle, [("", Phase.of(RUTILE))], PowderConditions(SOURCES["CuKa"]))
    truth = {
        "scale": 30.0,
        "a": 4.61,
        "c": 2.965,
        "x_O": 0.309,
        "zero": 0.03,
        "caglioti_w": 0.03,
        "background_0": 20.0,
    }
    curve, _ = model.curve({p.name: p.value for p in model.parameters} | truth, ())
    counts = np.random.default_rng(4).poisson(100 * curve) / 100.0
    wavelength = SOURCES["CuKa"][0][0]
    q = 4 * np.pi / wavelength * np.sin(np.radians(angle / 2))
    pattern = Pattern(
        quantity="I", x_unit="1/angstrom", x=q, y=counts, dy=np.sqrt(counts / 100.0),
        conditions=Conditions(wavelength=wavelength),
    )  # fmt: skip
    free = ("scale", "background", "lattice", "positions", "zero", "u", "caglioti_w", "eta")
    fit = refine_powder(pattern, RUTILE, PowderOptions(source="CuKa", free=free))
    assert fit.converged
    assert fit.chi_square == pytest.approx(fit.degrees, rel=0.1)
    for name in ("a", "c", "x_O", "zero", "caglioti_w"):
        assert abs(fit[name] - truth[name]) < 4 * fit.uncertainty(name)


def test_a_size_distribution_comes_back_from_small_angles() -> None:
    q = np.arange(0.005, 0.4, 0.002)
    clean_curve = lognormal_spheres(q, 25.0, 0.12)
    y = 500.0 * clean_curve / clean_curve[0] + 0.3
    dy = 0.02 * y
    y = y + dy * np.random.default_rng(5).standard_normal(len(q))
    fit = refine_small_angle(Pattern(quantity="I", x_unit="1/angstrom", x=q, y=y, dy=dy))
    assert fit["diameter"] == pytest.approx(50.0, abs=4 * fit.uncertainty("diameter") + 0.02)
    assert fit["spread"] == pytest.approx(0.12, abs=0.005)
    assert fit["background"] == pytest.approx(0.3, abs=4 * fit.uncertainty("background"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"free": ("foo",)}, "free: 'foo' is no parameter"),
        ({"window": (40.0, 50.0)}, "range: only 0 points"),
        ({"window": (5.0, 1.0)}, "range"),
        ({"start": {"a": 9.0}}, "a: 9 lies outside"),
        ({"start": {"b": 9.0}}, "start: 'b'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(changes: dict, message: str) -> None:
    pattern = simulated([RUTILE], {})
    with pytest.raises(RefinementError, match=message):
        refine(pattern, RUTILE, Options(**{"free": ("scale",), **changes}))


def test_a_pattern_without_qmax_is_refused() -> None:
    pattern = simulated([RUTILE], {})
    blind = pattern.model_copy(update={"conditions": Conditions()})
    with pytest.raises(RefinementError, match="qmax"):
        refine(blind, RUTILE, Options(free=("scale",)))


def test_exports_hold_the_shares_of_sites(tmp_path) -> None:
    mixed = replace(
        RUTILE,
        species=("Ti", "Sn", "O"),
        positions=np.vstack([RUTILE.positions[:1], RUTILE.positions]),
        occupancy=(0.7, 0.3, 1.0),
        u_iso=(0.005, 0.005, 0.008),
    )
    fit = refine(simulated([mixed], {}, level=0.01), mixed, Options(free=("scale", "a")))
    for form in ("xyz", "cif", "stru"):
        write_structure(fit, tmp_path / f"fit.{form}")
    atoms = read(tmp_path / "fit.xyz")
    assert sorted(atoms.arrays["occupancy"][[s == "Sn" for s in atoms.symbols]]) == [0.3, 0.3]
    assert read(tmp_path / "fit.cif").info["occupancy"]["0"] == {"Ti": 0.7, "Sn": 0.3}
    assert text_of(fit, "stru").count(" 0.3000") == 2


def test_exports_hold_the_refined_structure(tmp_path) -> None:
    truth = {"scale": 0.7, "a": 4.61, "x_O": 0.309}
    fit = refine(simulated([RUTILE], truth, level=0.01), RUTILE, Options(free=("scale", "a", "positions")))
    for form in ("cif", "xyz"):
        write_structure(fit, tmp_path / f"fit.{form}")
        atoms = read(tmp_path / f"fit.{form}")
        assert len(atoms) == 6
        assert atoms.cell.lengths()[0] == pytest.approx(fit["a"], abs=1e-3)
        assert np.sort(atoms.get_all_distances(mic=True)[0])[1] == pytest.approx(1.96, abs=0.04)
    stru = text_of(fit, "stru")
    assert "ncell  1, 1, 1, 6" in stru
    assert stru.count("\nO ") == 4
    with pytest.raises(RefinementError, match="endings"):
        write_structure(fit, tmp_path / "fit.doc")
    with pytest.raises(RefinementError, match="cluster"):
        text_of(refine(simulated([gold(2)], {}, qmin=0.8), gold(2), Options(free=("scale",))), "cif")


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (5.40790, 0.0016, "5.4079(16)"),
        (5.4079, 0.0021, "5.408(2)"),
        (29.94, 0.7, "29.9(7)"),
        (0.5, None, "0.5"),
    ],
)
def test_numbers_are_written_as_journals_ask(value: float, sd: float | None, text: str) -> None:
    assert with_uncertainty(value, sd) == text


def test_the_bench_options_are_the_five_parameters() -> None:
    assert options().free == tuple(TRUTH)


def test_a_resolution_that_starts_at_zero_is_found() -> None:
    nickel = Record(
        name="Ni", family="metal", type="fcc", formula="Ni", species=("Ni",), positions=np.zeros((1, 3)),
        source="test", space_group=225, cell=(3.524, 3.524, 3.524, 90.0, 90.0, 90.0),
    )  # fmt: skip
    settings = Settings(rmin=1.5, rmax=40.0, rstep=0.05, qmax=22.0, qdamp=0.04, qbroad=0.02, u_iso=0.006)
    curves = calculate(structure_of(nickel), settings)
    measured = Pattern(x=curves.r.numpy(), y=curves.g.numpy(), conditions=Conditions(qmin=0.0, qmax=22.0))
    fit = refine(measured, nickel, Options(free=("scale", "a", "u", "qdamp", "qbroad"), window=(1.5, 39.0)))
    found = {name: value.value for name, value in fit.values.items()}
    assert found["qdamp"] == pytest.approx(0.04, rel=0.02)
    assert found["qbroad"] == pytest.approx(0.02, rel=0.05)
