"""Reduction against measured data reduced by others, and against simulated intensities whose answer is known."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j0

from solvus.models.formats.read import read_pattern
from solvus.models.pattern import Conditions, Pattern
from solvus.models.pattern_files import read_gr
from solvus.models.reduction.calibrate import calibrate
from solvus.models.reduction.correction import Polynomial
from solvus.models.reduction.reduce import reduce
from solvus.models.reduction.settings import ReductionError, parse_composition, settings_of
from solvus.models.reduction.transform import kernel, r_grid, to_pdf
from solvus.models.scattering.form_factors import form_factors

Q = np.arange(0.5, 24.0, 0.02)
WAVELENGTH = 0.18


def correlation(ours: Pattern, reference: Pattern, low: float = 1.5, high: float = 30.0) -> float:
    inside = (reference.x >= low) & (reference.x <= high)
    return float(np.corrcoef(np.interp(reference.x[inside], ours.x, ours.y), reference.y[inside])[0, 1])


@cache
def nickel() -> tuple[np.ndarray, np.ndarray]:
    """r and G(r) of fcc nickel as an instrument with Qdamp 0.06 sees it, by direct counting of neighbours."""
    r, half = np.arange(0.01, 70.0, 0.02), np.arange(-42, 43)
    squares = sum(np.meshgrid(half**2, half**2, half**2))[sum(np.meshgrid(half, half, half)) % 2 == 0]
    values, counts = np.unique(squares[(squares > 0) & (squares < 40**2)], return_counts=True)
    g = -4 * np.pi * 4 / 3.52**3 * r
    for d, n in zip(1.76 * np.sqrt(values), counts, strict=True):
        near = np.abs(r - d) < 0.8
        g[near] += n / d / 0.11 / np.sqrt(2 * np.pi) * np.exp(-0.5 * ((r[near] - d) / 0.11) ** 2)
    return r, g * np.exp(-0.5 * (0.06 * r) ** 2)


def f_of_peaks(q: np.ndarray, smear: np.ndarray | None = None) -> np.ndarray:
    """F(Q) of nickel; optionally with rings smeared by the amplitude ``smear`` in Q."""
    r, g = nickel()
    waves = np.sin(np.outer(q, r)) * (1 if smear is None else j0(np.outer(smear, r)))
    return 0.02 * waves @ g


def intensity(
    f: np.ndarray, scale: float = 7.0, rng: np.random.Generator | None = None, every: int = 1
) -> Pattern:
    """What a detector would count: coherent scattering with a slowly varying addition."""
    form = form_factors(["Ni"], Q)[0] ** 2
    counts = scale * (form * (1 + f / Q) + 3 * Q + 0.5 * Q**2) * 100
    noise = np.zeros(len(Q)) if rng is None else rng.normal(0, np.sqrt(counts))
    return Pattern(
        quantity="I",
        x_unit="1/angstrom",
        x=Q[::every],
        y=(counts + noise)[::every],
        dy=np.sqrt(counts)[::every],
        conditions=Conditions(wavelength=WAVELENGTH),
    )


def test_measured_nickel_as_a_person_reduced_it(shared: Path) -> None:
    folder = shared / "patterns"
    raw, background = read_pattern(folder / "ni_powder.chi"), read_pattern(folder / "kapton_background.chi")
    reference = read_gr(folder / "ni_powder.gr")
    ranges = settings_of(composition="Ni", qmin=0.5, qmax=25.0, rpoly=0.9)
    done = reduce(raw.pattern, ranges, background.pattern, header_tilt=raw.tilt_degrees)
    assert correlation(done.g, reference) >= 0.998
    assert any("tilt" in note and "--tilt 0" in note for note in done.notes)
    plain = reduce(raw.pattern, ranges.model_copy(update={"tilt": 0.0}), background.pattern)
    assert correlation(plain.g, reference) == pytest.approx(0.9953, abs=3e-4)
    assert plain.notes == ()
    # Without any mending the amplitude is that of the reference to a few percent.
    inside = (reference.x > 2) & (reference.x < 12)
    ours = np.interp(reference.x[inside], plain.g.x, plain.g.y)
    assert float(ours @ reference.y[inside]) / float(ours @ ours) == pytest.approx(1.0, abs=0.1)


def test_measured_gold_transformed_as_a_person_did(shared: Path) -> None:
    s = read_pattern(shared / "patterns/au_lab_source.sq").pattern
    reference = read_gr(shared / "patterns/au_lab_source.gr")
    g = to_pdf(s, reference.x)
    assert np.abs(g.y - reference.y).max() < 1e-3 * np.abs(reference.y).max()


def test_what_varies_slowly_is_taken_out() -> None:
    f = f_of_peaks(Q)
    done = reduce(intensity(f), settings_of(composition="Ni", qmax=23.9))
    truth = kernel(Q, done.g.x) @ f
    inside = done.g.x > 1.5
    assert np.corrcoef(truth[inside], done.g.y[inside])[0, 1] > 0.9998
    assert done.degree == pytest.approx(0.9 * 23.9 / np.pi, abs=0.02)


@given(scale=st.floats(0.1, 30.0), share=st.floats(0.2, 3.0))
@settings(max_examples=6)
def test_exposure_and_stated_background_do_not_matter(scale: float, share: float) -> None:
    sample, other = intensity(f_of_peaks(Q)), 5000.0 * np.exp(-0.5 * (Q - 1.5) ** 2) + 200.0
    background = Pattern(quantity="I", x_unit="1/angstrom", x=Q, y=other / share)
    mixed = Pattern(
        quantity="I", x_unit="1/angstrom", x=Q, y=scale * (sample.y + other), conditions=sample.conditions
    )
    one = reduce(sample, settings_of(composition="Ni", rstep=0.1))
    two = reduce(mixed, settings_of(composition="Ni", rstep=0.1, background_scale=scale * share), background)
    np.testing.assert_allclose(two.g.y, one.g.y, atol=1e-6 * np.abs(one.g.y).max())


def test_a_background_scale_is_fitted() -> None:
    sample = intensity(f_of_peaks(Q))
    other = sample.y.max() * np.exp(-0.5 * ((Q - 1.5) / 0.4) ** 2) + 1.0
    background = Pattern(quantity="I", x_unit="1/angstrom", x=Q, y=other)
    mixed = sample.model_copy(update={"y": sample.y + 0.6 * other})
    done = reduce(mixed, settings_of(composition="Ni", background_scale="fit"), background)
    # What the sample itself scatters between its peaks is all that can be missed.
    assert 0.6 <= done.background_scale < 0.75
    assert any("fitted" in note for note in done.notes)


def test_uncertainties_are_those_of_repeated_measurements() -> None:
    f, rng = f_of_peaks(Q), np.random.default_rng(5)
    ranges = settings_of(composition="Ni", qmax=20.0, rmax=20.0, rstep=0.1)
    curves = [reduce(intensity(f, 0.05, rng), ranges).g.y for _ in range(60)]
    stated = reduce(intensity(f, 0.05), ranges).g
    assert stated.dy is not None
    far = stated.x > 2.0
    assert np.median(np.std(curves, axis=0)[far] / stated.dy[far]) == pytest.approx(1.0, abs=0.1)


def test_smeared_rings_are_found_and_mended() -> None:
    angle = 2 * np.arcsin(Q * WAVELENGTH / (4 * np.pi))
    amplitude = np.radians(0.6) * 2 * np.pi / WAVELENGTH * np.cos(angle / 2) * np.sin(angle) ** 2
    rng = np.random.default_rng(3)
    smeared, sharp = (intensity(f_of_peaks(Q, smear=s), 20.0, rng, every=2) for s in (amplitude, None))
    ranges = settings_of(composition="Ni", qmax=20.0, qmaxinst=23.9, rstep=0.1)
    truth = kernel(Q[Q <= 20.0], r_grid(0, 30, 0.1)) @ f_of_peaks(Q)[Q <= 20.0]
    broken = reduce(smeared, ranges)
    mended = reduce(smeared, ranges, header_tilt=0.6)
    inside = mended.g.x > 1.5
    before, after = (np.corrcoef(g.g.y[inside], truth[inside])[0, 1] for g in (broken, mended))
    assert 1 - after < 0.5 * (1 - before)
    assert mended.tilt == pytest.approx(0.6, abs=0.1)
    # A tilt in the header that the integration did take out leaves the data alone.
    assert reduce(sharp, ranges, header_tilt=0.6).tilt == 0.0


def test_lorch_window_calms_the_ripples() -> None:
    raw = intensity(f_of_peaks(Q))
    hard, soft = (reduce(raw, settings_of(composition="Ni", qmax=12.0, lorch=on)).g for on in (False, True))
    empty = (hard.x > 1.0) & (hard.x < 1.9)
    assert np.std(np.diff(soft.y[empty])) < 0.3 * np.std(np.diff(hard.y[empty]))


@given(degree=st.floats(1.0, 12.0))
def test_polynomials_are_taken_out_whole(degree: float) -> None:
    polynomial = Polynomial.of(Q, degree)
    low = int(degree)
    f = sum((-1.0) ** k * (Q / Q[-1]) ** k for k in range(1, low + 1))
    assert np.abs(polynomial.take_out(f)).max() < 1e-8


def test_the_standard_calibrates_its_instrument(shared: Path) -> None:
    fit = calibrate(read_gr(shared / "patterns/ni_powder.gr"), "Ni")
    assert fit.r_w < 0.05
    assert fit.parameters["a"] == pytest.approx(3.524, abs=0.003)
    assert fit.parameters["qdamp"] == pytest.approx(0.045, abs=0.003)
    assert 0.005 < fit.parameters["qbroad"] < 0.03
    assert fit.uncertainties["qdamp"] < 0.002


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"composition": "Xx"}, "not a chemical element"),
        ({"composition": "Ca(OH)2"}, "no brackets"),
        ({"qmin": 5.0, "qmax": 4.0}, "qmin"),
        ({"qmax": 40.0}, "beyond the data"),
        ({"qmin": 0.1}, "before the data"),
        ({"qmax": 10.0, "qmaxinst": 9.0}, "qmaxinst"),
        ({"background_scale": -1.0}, "background_scale"),
        ({"tilt": 45.0}, "re-integrate"),
        ({"rmin": 5.0, "rmax": 4.0}, "rmin"),
        ({"qmin": 2.0, "qmax": 2.2}, "points"),
    ],
)
def test_impossible_settings_are_one_sentence(change: dict, words: str) -> None:
    with pytest.raises(ReductionError) as caught:
        reduce(intensity(f_of_peaks(Q)), settings_of(**({"composition": "Ni"} | change)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_impossible_data_are_one_sentence() -> None:
    raw, ni = intensity(f_of_peaks(Q)), settings_of(composition="Ni")
    short = Pattern(quantity="I", x_unit="1/angstrom", x=Q[:500], y=raw.y[:500])
    with pytest.raises(ReductionError, match="covers Q"):
        reduce(raw, ni, short)
    with pytest.raises(ReductionError, match="exceeds the sample"):
        reduce(raw, ni.model_copy(update={"background_scale": 3.0}), raw)
    with pytest.raises(ReductionError, match="I\\(Q\\) is reduced"):
        reduce(Pattern(quantity="F", x_unit="1/angstrom", x=Q, y=f_of_peaks(Q)), ni)
    with pytest.raises(ReductionError, match="S\\(Q\\) or F\\(Q\\)"):
        to_pdf(raw, r_grid(0, 10, 0.1))
    with pytest.raises(ReductionError, match="needs at least 20"):
        calibrate(reduce(raw, settings_of(composition="Ni", rmax=10.0)).g, "Ni")
    with pytest.raises(ReductionError, match="fcc, bcc or diamond"):
        calibrate(reduce(raw, ni).g, "Xx")


def test_compositions() -> None:
    assert parse_composition("CeO2") == pytest.approx({"Ce": 1 / 3, "O": 2 / 3})
    assert parse_composition("Ce O2") == parse_composition("Ce2 O4")
    assert sum(parse_composition("Co0.33Cu0.33Ni0.33FeMnO4").values()) == pytest.approx(1.0)
