"""The virtual measurement obeys the physics it claims, and its noise is what it says."""

import numpy as np
import pytest

from solvus.models.scattering.debye import pair_histogram, pdf, structure_factor
from solvus.simulations import diffraction
from solvus.simulations.chance import generator
from solvus.simulations.gold import GoldWorld, scattering_sample
from solvus.simulations.gold_particles import BIN, SizeSeries, atoms_of, body
from solvus.simulations.world import Instrument, Product

QUIET = Instrument(counts=1e12)


def product(family: str = "decahedral", diameter: float = 35.0, bond_length: float = 2.88) -> Product:
    return Product(
        world="gold",
        composition="Au",
        fractions={family: 1.0},
        diameter=diameter,
        relative_width=0.06,
        bond_length=bond_length,
        u_iso=0.009,
        delta2=2.0,
    )


def test_agrees_with_the_other_implementation_of_debyes_equation() -> None:
    row = SizeSeries("icosahedral").row(20)
    used = np.flatnonzero(row)
    sample = diffraction.Sample("Au", used * BIN, row[used], u_iso=0.01, delta2=2.0)
    q = np.arange(40, 1001) * 0.02
    ours = diffraction.reduced_structure_function(sample, q)
    n = atoms_of(10.0 * 1.02**20)
    _, theirs = structure_factor(pair_histogram(body("icosahedral")[:n]), q, u_iso=0.01, delta2=2.0)
    r = np.arange(1.0, 30.0, 0.02)
    g = pdf(q, theirs, r).numpy()
    assert np.abs(pdf(q, theirs.new_tensor(ours), r).numpy() - g).max() < 2e-3 * np.abs(g).max()


@pytest.mark.parametrize("bond_length", [2.85, 2.88, 2.90])
@pytest.mark.parametrize("family", ["decahedral", "icosahedral", "fcc"])
def test_first_peak_is_the_bond_length(family: str, bond_length: float) -> None:
    pattern = GoldWorld().measure(
        product(family, bond_length=bond_length), QUIET, seed=0, experiment=1, replicate=0
    )
    near = (pattern.x > 2.5) & (pattern.x < 3.3)
    x, y = pattern.x[near], np.maximum(pattern.y[near], 0.0)
    assert (x * y).sum() / y.sum() == pytest.approx(bond_length, rel=5e-3)


@pytest.mark.parametrize("diameter", [16.0, 28.0, 45.0])
def test_pattern_ends_with_the_particle(diameter: float) -> None:
    pattern = GoldWorld().measure(product("fcc", diameter), QUIET, seed=0, experiment=1, replicate=0)
    power = pattern.y**2
    beyond = power[pattern.x > 1.35 * diameter].sum()
    assert beyond < 1e-3 * power[pattern.x > 2.0].sum()


@pytest.mark.parametrize("family", ["decahedral", "icosahedral", "fcc"])
def test_noise_is_three_to_eight_per_cent_of_the_signal(family: str) -> None:
    """Counting noise at the standard exposure, against the curve without it, from 1.6 angstrom to the diameter."""
    instrument = Instrument()
    sample = scattering_sample(product(family))
    q, r, kernel = diffraction._kernel(instrument)
    clean = diffraction.reduced_structure_function(sample, q, instrument.qbroad) @ kernel
    seen = (r > 1.6) & (r < 35.0)
    measured = [diffraction.measure(sample, instrument, generator(s, "noise")).y for s in range(8)]
    ratios = [np.linalg.norm((m - clean)[seen]) / np.linalg.norm(clean[seen]) for m in measured]
    assert 0.03 < float(np.median(ratios)) < 0.08


def test_stated_uncertainty_is_the_spread_of_the_counting_noise() -> None:
    sample = scattering_sample(product())
    instrument = Instrument()
    q, r, kernel = diffraction._kernel(instrument)
    f = diffraction.reduced_structure_function(sample, q, instrument.qbroad)
    noise = diffraction.counting_noise("Au", q, f, instrument)
    draws = generator(0, "spread").normal(size=(300, len(q))) * noise @ kernel
    stated = diffraction.measure(sample, instrument, generator(0, "x")).dy
    assert stated is not None
    far = r > 2.0
    assert np.median(draws.std(axis=0)[far] / stated[far]) == pytest.approx(1.0, abs=0.05)


def test_noise_grows_with_q_and_falls_with_exposure() -> None:
    q = np.array([2.0, 8.0, 20.0])
    one = diffraction.counting_noise("Au", q, np.zeros(3), Instrument(exposure=60.0))
    four = diffraction.counting_noise("Au", q, np.zeros(3), Instrument(exposure=240.0))
    assert np.all(np.diff(one) > 0)
    assert four == pytest.approx(one / 2.0)


def test_an_impossible_instrument_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wavelength: 0.9 angstrom cannot reach qmax 20"):
        Instrument(wavelength=0.9)
