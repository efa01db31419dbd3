"""The fit: its Jacobian is the derivative, it recovers what made the data, and its uncertainties cover the truth."""

from __future__ import annotations

import numpy as np
import pytest

from solvus.models.identify import pattern_of
from solvus.models.pattern import Conditions
from solvus.models.recognition.candidates import Data
from solvus.models.refinement.least_squares import f_and_slopes, f_of, fit
from solvus.models.structures.clusters import metals
from solvus.models.structures.library import Library

R = np.arange(1.0, 30.0, 0.02)
CONDITIONS = Conditions(qmin=0.8, qmax=22.0, qdamp=0.04)


@pytest.mark.parametrize("name", ["icosahedron-147", "fcc-sphere-201", "decahedron-4-3-1"])
@pytest.mark.parametrize("delta2", [0.0, 2.5, 9.0])
def test_slopes_are_derivatives(name: str, delta2: float) -> None:
    library = Library.load()
    unit = library.scattering(library.entry(name))
    q = np.linspace(0.8, 25.0, 300)
    at = np.array([2.8, 0.005, delta2])
    slopes = f_and_slopes(unit, q, *at)
    assert np.allclose(slopes[0], f_of(unit, q, *at), atol=1e-10)
    for k, step in enumerate((1e-6, 1e-8, 1e-6)):
        if k == 2 and delta2 == 0.0:
            continue
        shift = step * np.eye(3)[k]
        differences = (f_of(unit, q, *(at + shift)) - f_of(unit, q, *(at - shift))) / (2 * step)
        assert np.abs(slopes[k + 1] - differences).max() < 1e-4 * np.abs(differences).max()


def test_a_fit_recovers_what_made_the_data() -> None:
    library = Library.load()
    entry, bond = library.entry("octahedron-231"), metals()["Pt"] * 1.004
    clean = pattern_of("Pt octahedron-231", CONDITIONS, R, expansion=1.004, u_iso=0.008)
    rng = np.random.default_rng(5)
    noisy = 0.7 * clean.y + rng.normal(0.0, 0.01 * np.abs(clean.y).max(), len(R))
    window = Data(R, noisy, 0.8, 22.0).window((1.6, 20.0), entry.span * bond)
    found = fit(library.scattering(entry), window, bond_range=(2.6, 2.9), bond_start=bond * 1.004, qdamp=0.04)
    truth = {"scale": 0.7, "bond_length": bond, "u_iso": 0.008, "delta2": 0.0}
    for name, value in truth.items():
        assert abs(found[name] - value) < 4 * found.uncertainties[name] + 1e-9, name
    assert found["bond_length"] == pytest.approx(bond, rel=3e-4)
    assert found.r_w < 0.1


def test_an_unknown_damping_is_refined() -> None:
    library = Library.load()
    entry, bond = library.entry("octahedron-891"), metals()["Pt"]
    clean = pattern_of("Pt octahedron-891", CONDITIONS, R)
    window = Data(R, clean.y, 0.8, 22.0).window((1.6, 25.0), entry.span * bond)
    found = fit(library.scattering(entry), window, bond_range=(2.7, 2.85), bond_start=bond, qdamp=None)
    assert found["qdamp"] == pytest.approx(0.04, abs=0.005)
