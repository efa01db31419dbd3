"""Mixtures and size distributions: limits, conservation and gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from ase.build import bulk
from ase.cluster import Icosahedron, Octahedron
from hypothesis import given
from hypothesis import strategies as st

from solvus.models.scattering.composition import composition_of, scattering_power
from solvus.models.scattering.exact import exact_curves
from solvus.models.scattering.mixture import (
    fractions_of_atoms,
    mixed,
    mixed_intensity,
    mixture,
    phases_of,
    whole_composition,
)
from solvus.models.scattering.noise import NoiseModel, errors_of, measured
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.size_distribution import (
    Lognormal,
    cluster_family,
    member_fractions,
    polydisperse,
    shape_function,
    sphere_diameter,
)
from solvus.models.scattering.structure import StructureError, cluster, from_ase

SETTINGS = Settings(qmin=0.7, qmax=18.0, qdamp=0.03, rmax=15.0, rstep=0.05)
GOLD = from_ase(Icosahedron("Au", 3))
SALT = from_ase(bulk("NaCl", "rocksalt", a=5.64, cubic=True))
R = torch.arange(0.0, 100.0, 0.5, dtype=torch.float64)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(st.lists(st.floats(0.01, 10.0), min_size=2, max_size=4))
def test_a_mixture_of_a_structure_with_itself_is_itself(shares: list[float]) -> None:
    phases = phases_of([GOLD] * len(shares), SETTINGS)
    both = mixed(phases, fractions_of_atoms(phases.compositions, shares))
    alone = exact_curves(GOLD, SETTINGS)
    assert torch.allclose(both.g, alone.g, atol=2e-5 * float(alone.g.abs().max()))


def test_the_whole_of_one_phase_is_that_phase() -> None:
    phases = phases_of([GOLD, SALT], SETTINGS)
    for shares, structure in (((1.0, 0.0), GOLD), ((0.0, 1.0), SALT)):
        both, alone = mixed(phases, tensor(*shares)), exact_curves(structure, SETTINGS)
        assert torch.allclose(both.g, alone.g, atol=2e-5 * float(alone.g.abs().max()))


def test_intensities_of_unlike_phases_add() -> None:
    """One particle of two far apart halves scatters as their mixture, its cross terms being beyond the range of r."""
    left, right = Icosahedron("Au", 3), Octahedron("Ni", 5)
    right.positions += [400.0, 0.0, 0.0]
    whole = exact_curves(from_ase(left + right), SETTINGS)
    parts = mixture([from_ase(left), from_ase(right)], [len(left), len(right)], SETTINGS)
    assert torch.allclose(parts.g, whole.g, atol=2e-3 * float(whole.g.abs().max()))
    plain = sum(
        len(a) / (len(left) + len(right)) * exact_curves(from_ase(a), SETTINGS).g for a in (left, right)
    )
    assert (plain - whole.g).abs().max() > 0.05 * whole.g.abs().max()


def test_intensity_is_the_sum_of_the_phases() -> None:
    metal = from_ase(bulk("Au", cubic=True))
    phases, shares = phases_of([metal, SALT], SETTINGS), tensor(0.3, 0.7)
    q, total = mixed_intensity(phases, shares)
    expected = torch.zeros_like(q)
    for curves, composition, share in zip(phases.curves, phases.compositions, shares, strict=True):
        power = scattering_power(composition, q)
        s = 1.0 + curves.f[: len(q)] / q
        expected += share * (power.mean_square + power.square_mean * (s - 1.0))
    assert torch.allclose(total, expected, rtol=1e-9)


def test_shares_by_mass() -> None:
    compositions = [composition_of(GOLD), composition_of(SALT)]
    shares = fractions_of_atoms(compositions, [0.5, 0.5], by="mass")
    assert float(shares.sum()) == pytest.approx(1.0)
    # An atom of the salt weighs 58.44 / 2 on average, one of gold 196.97.
    assert float(shares[1] / shares[0]) == pytest.approx(196.967 / 29.22, rel=1e-3)
    with pytest.raises(SettingsError, match="neither atoms nor mass"):
        fractions_of_atoms(compositions, [0.5, 0.5], by="volume")  # type: ignore[arg-type]


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=2).filter(lambda v: sum(v) > 1e-6))
def test_shares_sum_to_one(shares: list[float]) -> None:
    for by in ("atoms", "mass"):
        found = fractions_of_atoms([composition_of(GOLD), composition_of(SALT)], shares, by=by)
        assert float(found.sum()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("shares", [[0.5], [0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0]])
def test_shares_that_cannot_be(shares: list[float]) -> None:
    with pytest.raises(SettingsError, match="fractions"):
        mixture([GOLD, SALT], shares, SETTINGS)


def test_phases_are_measured_together() -> None:
    with pytest.raises(SettingsError, match="qmax"):
        phases_of([GOLD, SALT], [SETTINGS, replace(SETTINGS, qmax=20.0)])
    with pytest.raises(SettingsError, match="settings"):
        phases_of([GOLD, SALT], [SETTINGS])
    own = mixture(
        [SALT, SALT], [0.4, 0.6], [replace(SETTINGS, diameter=10.0), replace(SETTINGS, diameter=30.0)]
    )
    small, large = (exact_curves(SALT, replace(SETTINGS, diameter=d)).g for d in (10.0, 30.0))
    assert torch.allclose(own.g, 0.4 * small + 0.6 * large, atol=1e-4)


def test_batches_of_mixtures_and_conditions() -> None:
    settings = replace(SETTINGS, qmax=tensor(14.0, 18.0, 16.0), qdamp=tensor(0.01, 0.02, 0.03), qmin=0.5)
    shares = torch.stack([tensor(0.2, 0.8), tensor(0.5, 0.5), tensor(1.0, 0.0)])
    many = mixture([GOLD, SALT], shares, settings)
    for k in range(3):
        one = replace(settings, qmax=float(settings.qmax[k]), qdamp=float(settings.qdamp[k]))
        alone = mixture([GOLD, SALT], shares[k], one)
        assert torch.allclose(many.g[k], alone.g, atol=5e-5 * float(alone.g.abs().max()))


def test_phases_of_a_mixture_may_expand_each_by_itself() -> None:
    own = [replace(SETTINGS, expansion=1.02), replace(SETTINGS, expansion=tensor(0.98, 1.0))]
    both = mixture([GOLD, SALT], [0.4, 0.6], own)
    ends = [mixture([GOLD, SALT], shares, own).g for shares in ([1.0, 0.0], [0.0, 1.0])]
    assert torch.allclose(ends[0], exact_curves(GOLD, own[0]).g, atol=1e-5)
    assert torch.allclose(ends[1], exact_curves(SALT, own[1]).g, atol=1e-5)
    assert both.g.shape == (2, len(both.r))


def test_precision_of_a_mixture_is_that_of_its_structures() -> None:
    single = mixture([GOLD.to(dtype=torch.float32), SALT.to(dtype=torch.float32)], [0.4, 0.6], SETTINGS)
    double = mixture([GOLD, SALT], [0.4, 0.6], SETTINGS)
    assert single.g.dtype == torch.float32
    assert torch.allclose(single.g.double(), double.g, atol=1e-4 * float(double.g.abs().max()))


def test_mixtures_are_measured_by_their_own_composition() -> None:
    phases = phases_of([GOLD, SALT], SETTINGS)
    shares = torch.stack([tensor(1.0, 0.0), tensor(0.2, 0.8)])
    curves = mixed(phases, shares)
    whole = whole_composition(phases.compositions, shares)
    model = NoiseModel(counts=1e4)
    many = errors_of(curves, whole, SETTINGS, model).deviation(curves.r[10::40])
    alone = errors_of(exact_curves(GOLD, SETTINGS), composition_of(GOLD), SETTINGS, model)
    assert torch.allclose(many[0], alone.deviation(curves.r[10::40]), rtol=1e-3)
    assert not torch.allclose(many[1], many[0], rtol=0.05)
    made = measured(curves, whole, SETTINGS, model, torch.Generator().manual_seed(1))
    assert made.curves.g.shape == curves.g.shape


def test_gradients_of_fractions() -> None:
    small = replace(SETTINGS, rmax=6.0, rstep=0.15)
    phases = phases_of([from_ase(Icosahedron("Au", 2)), SALT], small)

    def g(fractions: torch.Tensor) -> torch.Tensor:
        return mixed(phases, fractions_of_atoms(phases.compositions, fractions, by="mass")).g

    assert torch.autograd.gradcheck(g, (tensor(0.3, 0.7).requires_grad_(),))


@given(st.floats(5.0, 80.0), st.sampled_from(["number", "volume"]))
def test_without_spread_all_particles_are_one_size(diameter: float, weighting: str) -> None:
    x = R / diameter
    single = torch.where(x < 1, 1 - 1.5 * x + 0.5 * x**3, 0.0)
    for spread, tolerance in ((0.0, 1e-12), (1e-4, 1e-3)):
        shape = shape_function(Lognormal(diameter, spread, weighting), R)  # type: ignore[arg-type]
        assert torch.allclose(shape, single, atol=tolerance)


@pytest.mark.parametrize("weighting", ["number", "volume"])
@pytest.mark.parametrize(("median", "spread"), [(20.0, 0.1), (30.0, 0.4), (10.0, 0.8)])
def test_the_shape_function_is_the_mean_of_those_of_the_spheres(
    median: float, spread: float, weighting: str
) -> None:
    t = torch.linspace(-9.0, 9.0, 20001, dtype=torch.float64)
    diameters = median * torch.exp(spread * t)
    weight = torch.exp(-0.5 * t**2) * (diameters**3 if weighting == "number" else 1.0)
    x = R[:, None] / diameters
    spheres = torch.where(x < 1, 1 - 1.5 * x + 0.5 * x**3, 0.0)
    expected = (spheres * weight).sum(dim=1) / weight.sum()
    shape = shape_function(Lognormal(median, spread, weighting), R)  # type: ignore[arg-type]
    assert torch.allclose(shape, expected, atol=1e-6)


def test_mean_and_deviation_are_those_of_the_diameters() -> None:
    of = Lognormal.from_mean(30.0, 6.0)
    median, spread = float(torch.as_tensor(of.median)), float(torch.as_tensor(of.spread))
    assert median * math.exp(spread**2 / 2) == pytest.approx(30.0)
    assert 30.0 * math.sqrt(math.expm1(spread**2)) == pytest.approx(6.0)
    assert float(torch.as_tensor(Lognormal.from_mean(30.0, 0.0).spread)) == 0.0


def test_gradients_of_a_size_distribution() -> None:
    r = tensor(0.5, 5.0, 15.0, 40.0)

    def shape(median: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
        return shape_function(Lognormal(median, spread), r)

    def by_mean(mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
        return shape_function(Lognormal.from_mean(mean, deviation, "volume"), r)

    assert torch.autograd.gradcheck(
        shape, (tensor(20.0, 30.0).requires_grad_(), tensor(0.1, 0.5).requires_grad_())
    )
    assert torch.autograd.gradcheck(by_mean, (tensor(20.0).requires_grad_(), tensor(4.0).requires_grad_()))

    def fractions(median: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
        return member_fractions(Lognormal(median, spread), [10.0, 14.0, 20.0], [55, 147, 309])

    assert torch.autograd.gradcheck(fractions, (tensor(13.0).requires_grad_(), tensor(0.2).requires_grad_()))


def test_spheres_of_many_sizes() -> None:
    single = exact_curves(SALT, replace(SETTINGS, diameter=20.0))
    assert torch.allclose(polydisperse(SALT, SETTINGS, Lognormal(20.0, 0.0)).g, single.g)
    many = polydisperse(SALT, SETTINGS, Lognormal(tensor(20.0, 30.0), tensor(0.1, 0.2)))
    assert many.g.shape == (2, len(single.r))
    with pytest.raises(StructureError, match="cluster_family"):
        polydisperse(GOLD, SETTINGS, Lognormal(20.0, 0.1))
    with pytest.raises(SettingsError, match="diameter"):
        polydisperse(SALT, replace(SETTINGS, diameter=3.0), Lognormal(20.0, 0.1))


def test_a_family_of_clusters() -> None:
    members = [from_ase(Icosahedron("Au", n)) for n in (2, 3, 4)]
    sizes = [sphere_diameter(m) for m in members]
    narrow = cluster_family(members, Lognormal(sizes[1], 0.001), SETTINGS)
    alone = exact_curves(members[1], SETTINGS)
    assert torch.allclose(narrow.g, alone.g, atol=2e-5 * float(alone.g.abs().max()))
    of_number = member_fractions(Lognormal(sizes[1], 0.3), sizes, [13, 55, 147])
    of_volume = member_fractions(Lognormal(sizes[1], 0.3, "volume"), sizes, [13, 55, 147])
    assert float(of_number.sum()) == pytest.approx(1.0)
    assert of_number[2] > of_volume[2]
    assert of_number[2] / of_number[1] == pytest.approx(float(of_volume[2] / of_volume[1]) * 147 / 55)


def test_a_sphere_has_its_own_diameter() -> None:
    grid = torch.cartesian_prod(*[torch.arange(-9.0, 10.0, dtype=torch.float64)] * 3)
    inside = grid[grid.norm(dim=1) <= 9.0] * 3.0
    assert sphere_diameter(cluster(["Au"] * len(inside), inside)) == pytest.approx(54.0, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0, 0.1), "median"),
        ((10.0, -0.1), "spread"),
        ((10.0, 2.0), "spread"),
        ((10.0, 0.1, "mass"), "weighting"),
    ],
)
def test_distributions_that_cannot_be(arguments: tuple[float, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Lognormal(*arguments)
    with pytest.raises(SettingsError, match="increase"):
        member_fractions(Lognormal(10.0, 0.1), [10.0, 10.0], [13, 55])
