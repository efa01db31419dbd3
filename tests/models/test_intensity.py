"""Absolute intensities against the sum over atoms that defines them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.form_factors import form_factors
from solvus.models.scattering.intensity import intensity
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.structure import cluster

PLACES = np.array([[0.0, 0, 0], [1.9, 0, 0], [0.3, 2.1, 0.2], [1.0, 1.1, 2.4]])
NAMES = ["Ti", "O", "O", "W"]


@pytest.mark.parametrize("radiation", ["xray", "neutron"])
def test_it_is_debyes_sum_with_the_atoms_themselves(radiation: str) -> None:
    settings = Settings(qmax=20.0, rmax=10.0, radiation=radiation)  # type: ignore[arg-type]
    molecule = cluster(NAMES, PLACES, u_iso=0.004)
    curves = calculate(molecule, settings)
    q = curves.q.numpy()
    f = form_factors(NAMES, q, radiation)  # type: ignore[arg-type]
    d = np.linalg.norm(PLACES[:, None] - PLACES, axis=-1)
    damped = np.exp(-0.004 * q**2) * np.sinc(d[..., None] * q / np.pi)
    damped[np.diag_indices(4)] = 1.0
    expected = np.einsum("im,jm,ijm->m", f, f, damped) / 4
    np.testing.assert_allclose(intensity(molecule, curves, settings.radiation), expected, rtol=1e-4)


def test_forward_scattering_is_the_square_of_the_electrons() -> None:
    molecule = cluster(NAMES, PLACES, u_iso=0.0)
    curves = calculate(molecule, Settings(qmax=10.0, rmax=150.0))
    total = (22 + 8 + 8 + 74) ** 2 / 4
    assert float(intensity(molecule, curves)[0]) == pytest.approx(total, rel=2e-3)


def test_several_expansions_are_refused() -> None:
    molecule = cluster(NAMES, PLACES)
    several = Settings(rmax=10.0, u_iso=0.005, expansion=torch.tensor([0.99, 1.0]))
    with pytest.raises(SettingsError, match="expansion"):
        intensity(molecule, calculate(molecule, several))
