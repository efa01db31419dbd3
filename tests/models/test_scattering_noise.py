"""Errors of simulated measurements: drawn as their covariance says, for the reasons the docstrings give."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from ase.build import bulk
from ase.cluster import Icosahedron
from hypothesis import given, settings
from hypothesis import strategies as st

from solvus.models.pattern import Pattern
from solvus.models.reduction.correction import Polynomial
from solvus.models.reduction.reduce import reduce
from solvus.models.reduction.settings import ReductionSettings
from solvus.models.scattering.composition import Composition, composition_of, scattering_power
from solvus.models.scattering.curves import Curves
from solvus.models.scattering.error_propagation import Errors, correction_basis
from solvus.models.scattering.exact import exact_curves
from solvus.models.scattering.noise import NoiseModel, bin_envelope, errors_of, measured
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.structure import from_ase

SETTINGS = Settings(qmin=0.7, qmax=20.0, qdamp=0.03, rmax=20.0, rstep=0.05)
PARTICLE = from_ase(Icosahedron("Au", 3))
CURVES = exact_curves(PARTICLE, SETTINGS)
GOLD = composition_of(PARTICLE)
R = torch.arange(0.1, 20.0, 0.41, dtype=torch.float64)
FULL = NoiseModel(counts=1e5, drift=0.01, normalisation=0.02)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def repeated(errors: Errors, times: int) -> Errors:
    return replace(errors, counts=errors.counts.expand(times, -1))


@pytest.mark.parametrize(
    "model",
    [
        NoiseModel(counts=1e5, rpoly=0.0),
        NoiseModel(counts=1e5, background=0.0, growth=0.0),
        FULL,
        NoiseModel(counts=200.0, background_time=0.0),  # few enough counts to be far from Gaussian
    ],
)
def test_draws_have_the_analytic_covariance(model: NoiseModel) -> None:
    errors = errors_of(CURVES, GOLD, SETTINGS, model)
    times = 6000
    draws = repeated(errors, times).draw_g(R, seeded())
    covariance = errors.covariance(R)
    deviation = errors.deviation(R)
    assert torch.allclose(covariance.diagonal().sqrt(), deviation)
    scale = torch.outer(deviation, deviation)
    seen = draws.T @ draws / times
    # Elements of a sampled correlation matrix scatter by sqrt((1 + rho^2) / times): 0.018 at most.
    assert ((seen - covariance) / scale).abs().max() < 5 * math.sqrt(2 / times)
    assert (draws.mean(dim=0) / deviation).abs().max() < 5 / math.sqrt(times)


def test_neighbours_are_correlated_over_the_width_of_a_ripple() -> None:
    errors = errors_of(CURVES, GOLD, SETTINGS, NoiseModel(rpoly=0.0))
    r = 10.0 + torch.tensor([0.0, 0.02, math.pi / 20.0, 3.0], dtype=torch.float64)
    covariance = errors.covariance(r)
    correlation = covariance[0] / covariance[0, 0].sqrt() / covariance.diagonal().sqrt()
    assert correlation[1] > 0.9
    assert correlation[2] < 0.5
    assert abs(correlation[3]) < 0.1


@given(st.floats(0.0, 5.0), st.floats(0.0, 2.0))
@settings(max_examples=10)
def test_g_noise_falls_with_the_square_root_of_the_counts(decades: float, growth: float) -> None:
    model = NoiseModel(counts=1e4, growth=growth)
    few = errors_of(CURVES, GOLD, SETTINGS, model).deviation(R[5::4])
    many = errors_of(CURVES, GOLD, SETTINGS, model.model_copy(update={"counts": 1e4 * 10**decades}))
    assert torch.allclose(
        few / many.deviation(R[5::4]), torch.tensor(10 ** (decades / 2), dtype=torch.float64)
    )


def test_the_same_seed_gives_the_same_measurement() -> None:
    one, same, other = (measured(CURVES, GOLD, SETTINGS, FULL, seeded(s)).curves.g for s in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_relative_error_is_what_is_counted() -> None:
    model = NoiseModel(rpoly=0.0).at_relative_error(0.01, 20.0, GOLD)
    wide = replace(SETTINGS, qmax=25.0)
    errors = errors_of(exact_curves(PARTICLE, wide), GOLD, wide, model)
    at = int((errors.q - 20.0).abs().argmin())
    power = scattering_power(GOLD, errors.q)
    # F = Q (S - 1) of a sample without structure: dF = Q dI / <f>^2.
    expected = 0.01 * errors.q[at] * power.smooth()[at] / power.square_mean[at]
    assert errors.deviation_f()[at] == pytest.approx(float(expected), rel=0.05)
    with pytest.raises(SettingsError, match="relative error"):
        model.at_relative_error(0.0, 20.0, GOLD)


def test_counts_at_the_reference_are_as_asked() -> None:
    flat = replace(CURVES, f=torch.zeros_like(CURVES.f))
    errors = errors_of(flat, GOLD, SETTINGS, NoiseModel(counts=12345.0, background=3.0))
    assert errors.counts[int((errors.q - 10.0).abs().argmin())] == pytest.approx(12345.0, rel=1e-3)


def test_background_makes_errors_larger_and_area_detectors_spread_them() -> None:
    def at(model: NoiseModel) -> torch.Tensor:
        return errors_of(CURVES, GOLD, SETTINGS, model).deviation_f()

    plain = NoiseModel(background=0.0, rpoly=0.0)
    assert (at(plain.model_copy(update={"background": 5.0})) > at(plain))[1:-1].all()
    known = NoiseModel(background=5.0, background_time=0.0, rpoly=0.0)
    assert (at(known.model_copy(update={"background_time": 1.0})) > at(known))[1:-1].all()
    ratio = at(plain.model_copy(update={"growth": 0.0})) / at(plain)
    assert ratio[50] < 1 < ratio[-50]  # a fixed time per step counts more at small Q, less at large


def test_the_correction_takes_out_what_no_distance_makes() -> None:
    drifting = NoiseModel(counts=1e12, drift=0.01, slow=0.5)
    uncorrected = drifting.model_copy(update={"rpoly": 0.0})
    low = R[R < 0.6]
    before, after = (errors_of(CURVES, GOLD, SETTINGS, m).deviation(low) for m in (uncorrected, drifting))
    assert (after < 0.05 * before).all()


@pytest.mark.parametrize("rpoly", [0.5, 0.9, 1.27])
def test_the_correction_is_that_of_the_reduction(rpoly: float) -> None:
    q = torch.arange(1, 1000, dtype=torch.float64) * 0.02
    window = torch.stack([torch.ones_like(q), (q > 0.8) & (q < 14.0)]).to(q)
    basis, weight = correction_basis(q, window, rpoly)
    f = torch.randn(len(q), generator=seeded(), dtype=torch.float64)
    for row in range(2):
        inside = window[row] > 0
        ours = f - basis[row] @ (weight[row] * (basis[row].T @ f))
        x = q[inside].numpy()
        theirs = Polynomial.of(x, max(1.0, rpoly * x[-1] / math.pi)).take_out(f[inside].numpy())
        assert torch.allclose(ours[inside], torch.from_numpy(theirs), atol=1e-9)


def test_a_reduction_of_the_counts_errs_as_said() -> None:
    """Counts drawn in I(Q) and taken through `reduce`: its scale is its own (it subtracts no Compton scattering before
    it normalises), the errors relative to it are those stated here."""
    errors = errors_of(CURVES, GOLD, SETTINGS, NoiseModel(counts=2e4))
    settings = ReductionSettings(
        composition="Au", qmin=0.7, qmax=20.0, rpoly=0.9, rmin=0.05, rmax=19.9, rstep=0.05, tilt=0.0
    )
    assert errors.blank is not None
    per_intensity = scattering_power(GOLD, errors.q).square_mean / errors.q
    draw, q, made = seeded(), errors.q.numpy(), []
    for _ in range(60):
        counts, blank = (torch.poisson(v, generator=draw) for v in (errors.counts, errors.blank[0]))
        raw, background = (
            Pattern(quantity="I", x_unit="1/angstrom", x=q, y=(v * per_intensity).numpy())
            for v in (counts * errors.per_count, blank * errors.blank[1])
        )
        made.append(reduce(raw, settings, background).g)
    r, curves = torch.tensor(made[0].x), torch.stack([torch.tensor(g.y) for g in made])
    far = r > 1.5
    clean, mean = CURVES.g[1 : 1 + len(r)][far], curves.mean(dim=0)[far]
    scale = float(mean @ clean / (clean @ clean))
    assert 0.6 < scale < 1.0
    assert float((mean - scale * clean).norm() / (scale * clean).norm()) < 0.1
    ratio = curves.std(dim=0)[far] / (scale * errors.deviation(r)[far])
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.05)


def test_bins_damp_far_distances() -> None:
    step, distance = 0.1, 18.0
    settings = Settings(qmin=0.0, qmax=20.0, rmax=25.0, rstep=0.01)
    q = torch.arange(1, 4001, dtype=torch.float64) * 0.005
    r = settings.r()
    f = torch.exp(-0.01 * q**2) * torch.sin(q * distance) / distance
    clean = Curves(r, r * 0.0, q, f)
    errors = errors_of(clean, GOLD, settings, NoiseModel(counts=1e15, step=step, background=0.0, rpoly=0.0))
    binned = measured(clean, GOLD, settings, NoiseModel(step=step, counts=1e15), seeded()).curves
    fine = errors_of(clean, GOLD, settings, NoiseModel(step=0.01, counts=1e15))
    sharp = measured(clean, GOLD, settings, NoiseModel(step=0.01, counts=1e15), seeded()).curves
    at = int((r - distance).abs().argmin())
    height, full = errors.to_g(binned.f, r)[at], fine.to_g(sharp.f, r)[at]
    expected = bin_envelope(torch.tensor([distance], dtype=torch.float64), step)
    assert height / full == pytest.approx(float(expected), rel=1e-2)


def test_a_batch_is_its_members() -> None:
    qmax = torch.tensor([14.0, 20.0], dtype=torch.float64)
    batch = replace(SETTINGS, qmax=qmax, qmin=torch.tensor([0.5, 1.5], dtype=torch.float64))
    counts = torch.tensor([1e4, 1e6], dtype=torch.float64)
    together = errors_of(exact_curves(PARTICLE, batch), GOLD, batch, FULL, counts=counts)
    for k in range(2):
        alone = replace(SETTINGS, qmax=float(qmax[k]), qmin=float(batch.qmin[k]))
        model = FULL.model_copy(update={"counts": float(counts[k])})
        errors = errors_of(exact_curves(PARTICLE, alone), GOLD, alone, model)
        assert torch.allclose(together.deviation(R)[k], errors.deviation(R), rtol=1e-3, atol=1e-9)
    assert together.covariance(R).shape == (2, len(R), len(R))


def test_neutrons_and_compounds() -> None:
    salt = from_ase(bulk("NaCl", "rocksalt", a=5.64))
    for radiation in ("xray", "neutron"):
        settings = replace(SETTINGS, radiation=radiation)
        made = measured(exact_curves(salt, settings), composition_of(salt), settings, FULL, seeded())
        assert torch.isfinite(made.curves.g).all()
        assert torch.isfinite(made.errors.deviation(R)).all()
    vanadium = Composition(("V",), torch.ones(1, dtype=torch.float64))
    q = torch.ones(1, dtype=torch.float64)
    power = scattering_power(vanadium, q, "neutron")
    assert power.inelastic > 10 * power.mean_square  # vanadium scatters neutrons incoherently


def test_compton_scattering_is_none_forward_and_of_every_electron_far_out() -> None:
    power = scattering_power(GOLD, torch.tensor([1e-6, 70.0], dtype=torch.float64))
    assert float(power.inelastic[0]) == pytest.approx(0.0, abs=1e-3)
    assert float(power.inelastic[1]) == pytest.approx(79.0, rel=0.02)


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(SettingsError, match="step: bins"):
        errors_of(CURVES, GOLD, SETTINGS, NoiseModel(step=0.2))
    with pytest.raises(SettingsError, match="qmax"):
        errors_of(CURVES, GOLD, replace(SETTINGS, qmax=None), NoiseModel())
    with pytest.raises(SettingsError, match="counts"):
        errors_of(CURVES, GOLD, SETTINGS, NoiseModel(), counts=torch.zeros(2, dtype=torch.float64))


def test_a_model_round_trips_through_json() -> None:
    assert NoiseModel.model_validate_json(FULL.model_dump_json()) == FULL
