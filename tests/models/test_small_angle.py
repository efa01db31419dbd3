"""Small-angle curves: limits that theory gives exactly, and atoms against a sphere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvus.models.scattering.debye import pair_histogram
from solvus.models.scattering.form_factors import form_factors
from solvus.models.scattering.small_angle import cluster, lognormal_spheres, radius_of_gyration, sphere
from solvus.models.structures.library import Library


@given(radius=st.floats(5.0, 200.0))
def test_a_sphere_starts_at_its_volume_and_has_its_radius_of_gyration(radius: float) -> None:
    q = np.linspace(0, 0.2 / radius, 30)
    curve = sphere(q, radius, 2.0)
    assert curve[0] == pytest.approx((2.0 * 4 / 3 * np.pi * radius**3) ** 2, rel=1e-9)
    assert radius_of_gyration(q, curve, 0.2 / radius) == pytest.approx(np.sqrt(0.6) * radius, rel=1e-3)


def test_the_series_joins_the_formula() -> None:
    x = np.array([0.999e-3, 1.001e-3])
    low, high = sphere(x, 1.0)
    assert low == pytest.approx(high, rel=1e-8)


def test_a_spread_of_sizes_fills_the_minima_and_keeps_the_moment() -> None:
    q = np.linspace(0, 0.5, 500)
    one, many = sphere(q, 20.0), lognormal_spheres(q, 20.0, 0.1)
    assert many.min() > 10 * one.min()
    # <V^2> of a lognormal: the sixth moment, exp(18 spread^2).
    assert many[0] / one[0] == pytest.approx(np.exp(18 * 0.1**2), rel=2e-3)
    np.testing.assert_array_equal(lognormal_spheres(q, 20.0, 0.0), one)


def test_a_cluster_is_a_sphere_of_its_electrons() -> None:
    atoms = Library.load().atoms("icosahedron-561", "Au")
    histogram = pair_histogram(atoms.positions, list(atoms.symbols))
    q = np.linspace(0, 0.6, 200)
    curve = cluster(histogram, q)
    assert curve[0] == pytest.approx((561 * form_factors(["Au"], [0.0])[0, 0]) ** 2, rel=1e-6)
    rg = float(np.sqrt(((atoms.positions - atoms.positions.mean(0)) ** 2).sum(1).mean()))
    assert radius_of_gyration(q, curve, 0.05) == pytest.approx(rg, rel=0.01)


def test_cluster_is_the_direct_sum() -> None:
    rng = np.random.default_rng(1)
    places, symbols = rng.uniform(0, 12, (20, 3)), ["Ce"] * 8 + ["O"] * 12
    q = np.linspace(0.05, 8, 60)
    f = form_factors(["Ce", "O"], q)[[0] * 8 + [1] * 12]
    d = np.linalg.norm(places[:, None] - places[None], axis=-1)
    direct = np.einsum("im,jm,ijm->m", f, f, np.sinc(d[:, :, None] * q / np.pi))
    np.testing.assert_allclose(cluster(pair_histogram(places, symbols), q), direct, rtol=1e-5)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="radius"):
        sphere([0.1], 0.0)
    with pytest.raises(ValueError, match="spread"):
        lognormal_spheres([0.1], 10.0, 2.0)
    with pytest.raises(ValueError, match="rises"):
        radius_of_gyration([0.1, 0.2, 0.3], [1, 2, 3], 1.0)
