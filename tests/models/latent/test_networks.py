"""Invariants, posteriors and positions: what must hold whatever the weights are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from solvus.models.latent.placing import invariants_of
from solvus.models.latent.posterior import LatentPosterior, Mode, Normals
from solvus.models.latent.restrained import restrained
from solvus.models.refinement.least_squares import Fit, Window, calculated
from solvus.models.structures.build import scattering_of
from solvus.models.structures.library import Library


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_invariants_know_neither_order_nor_rotation(seed: int) -> None:
    generator = np.random.default_rng(seed)
    places = Library.load().atoms("decahedron-3-2-1", "Au").positions / 2.88
    turned = Rotation.random(random_state=seed).apply(-places)[generator.permutation(len(places))]
    one, other = (invariants_of([p], [scattering_of(p)[1]])[0] for p in (places, turned))
    assert other == pytest.approx(one, abs=2e-4)


def _normals(seed: int) -> Normals:
    generator = np.random.default_rng(seed)
    factors = generator.normal(0.0, 0.5, (3, 4, 4))
    covariance = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(4)
    return Normals(generator.dirichlet([1.0, 1.0, 1.0]), generator.normal(0.0, 2.0, (3, 4)), covariance)


def test_regions_hold_what_they_promise() -> None:
    generator = np.random.default_rng(3)
    normals = _normals(3)
    levels = [normals.level(z, generator) for z in normals.sample(400, generator)]
    assert np.mean(np.array(levels) <= 0.9) == pytest.approx(0.9, abs=0.05)


@given(st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_a_posterior_keeps_its_modes_through_json(seed: int) -> None:
    posterior = LatentPosterior.of(_normals(seed), "latent-test")
    again = LatentPosterior.model_validate_json(posterior.model_dump_json())
    assert again == posterior
    assert [m.weight for m in again.modes] == sorted((m.weight for m in again.modes), reverse=True)


def test_a_posterior_without_sense_is_refused() -> None:
    with pytest.raises(ValidationError, match="as many rows"):
        Mode(weight=1.0, mean=(0.0, 1.0), covariance=((1.0,),))
    with pytest.raises(ValidationError, match="add up to one"):
        LatentPosterior(modes=(Mode(weight=0.5, mean=(0.0,), covariance=((1.0,),)),), version="v")


def test_displaced_atoms_are_found_again() -> None:
    """The surface of an icosahedron drawn in by 2 %: most of the error goes, and R_w with it."""
    places = Library.load().atoms("icosahedron-55", "Au").positions / 2.88
    places -= places.mean(axis=0)
    true = places * 2.88
    true[np.linalg.norm(true, axis=1) > 4.5] *= 0.98
    parameters = {"scale": 1.0, "bond_length": 2.88, "u_iso": 0.005, "delta2": 0.0, "qdamp": 0.03}
    r = np.arange(1.6, 20.0, 0.1)
    unit = scattering_of(true / 2.88)[1]
    window = Window.of(r, np.zeros(len(r)), 0.7, 22.0, 20.0)
    observed = calculated(unit, window, parameters)
    found = restrained(
        places, Fit(parameters, {}, 0.3), Window(r, observed, window.q, window.kernel), noise=0.01
    )
    before = np.abs(places * 2.88 - true).mean()
    after = np.abs(found.positions - (true - true.mean(axis=0))).mean()
    assert after < 0.3 * before
    assert found.r_w < 0.05
