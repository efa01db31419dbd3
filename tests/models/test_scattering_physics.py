"""What must hold for any correct calculation of G(r): symmetries, limits, gradients, and clear refusals."""

from __future__ import annotations

import json
import math
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest
import torch
from ase.cluster import Icosahedron
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from solvus.models.scattering.calculate import calculate, radial_distribution
from solvus.models.scattering.exact import curves_of, table_for
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.structure import Structure, cluster, crystal, from_ase

SHORT = Settings(rmax=8.0, rstep=0.05, qmin=0.7, qmax=14.0, qdamp=0.03)
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def ceria(a: float = 5.411) -> Structure:
    oxygen = np.array([[x, y, z] for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)])
    return crystal(
        ["Ce"] * 4 + ["O"] * 8,
        np.vstack([FCC, oxygen]),
        [a, a, a, 90, 90, 90],
        u_iso=[0.004] * 4 + [0.008] * 8,
    )


def tungsten_trioxide(a: float = 3.77) -> Structure:
    """Cubic, as an idealised WO3."""
    places = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return crystal(["W", "O", "O", "O"], places, [a, a, a, 90, 90, 90], u_iso=[0.004] + [0.009] * 3)


def monoclinic() -> Structure:
    rng = np.random.default_rng(5)
    return crystal(
        ["Fe", "Fe", "O", "O", "O"],
        rng.permutation(np.arange(5))[:, None] * 0.2 + rng.uniform(0, 0.08, (5, 3)),
        [5.1, 5.6, 6.0, 90.0, 103.0, 90.0],
        u_iso=[0.004, 0.006, 0.009, 0.010, 0.012],
        occupancy=[1.0, 0.9, 1.0, 0.8, 1.0],
    )


def monoclinic_of_few_kinds() -> Structure:
    one = monoclinic()
    return replace(one, u=torch.full((len(one.species),), 0.006, dtype=torch.float64))


def particle() -> Structure:
    places = Icosahedron("Au", 3).positions  # type: ignore[no-untyped-call]
    return cluster(["Au"] * 40 + ["Pt"] * 15, places, u_iso=0.006)


def deviation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@given(st.integers(0, 2**31 - 1), st.sampled_from(["exact", "srreal"]))
@settings(max_examples=8)
def test_rotation_translation_and_order_of_a_cluster_do_not_matter(seed: int, convention: Any) -> None:
    rng = np.random.default_rng(seed)
    places = Icosahedron("Au", 3).positions + rng.normal(0, 0.05, (55, 3))
    names = rng.choice(["Pt", "Ni", "O"], 55)
    order = rng.permutation(55)
    moved = Rotation.random(random_state=seed).apply(places)[order] + rng.uniform(-50, 50, 3)
    g = calculate(cluster(names, places), SHORT, convention=convention).g
    other = calculate(cluster(names[order], moved), SHORT, convention=convention).g
    assert deviation(other, g) < 1e-6


@given(st.integers(0, 2**31 - 1), st.sampled_from(["exact", "srreal"]))
@settings(max_examples=8)
def test_rotation_origin_and_order_of_a_crystal_do_not_matter(seed: int, convention: Any) -> None:
    rng = np.random.default_rng(seed)
    one = monoclinic()
    order = rng.permutation(5).tolist()
    turn = torch.from_numpy(Rotation.random(random_state=seed).as_matrix())
    assert one.lattice is not None
    other = Structure(
        tuple(one.species[k] for k in order),
        (one.positions + torch.from_numpy(rng.uniform(-2, 2, 3)))[order],
        one.occupancy[order],
        one.u[order],
        one.lattice @ turn.T,
    )
    g = calculate(one, SHORT, convention=convention).g
    assert deviation(calculate(other, SHORT, convention=convention).g, g) < 1e-6


@pytest.mark.parametrize("convention", ["exact", "srreal"])
def test_a_supercell_is_the_cell(convention: Any) -> None:
    one = monoclinic()
    assert one.lattice is not None
    copies = torch.tensor([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=torch.float64)
    big = Structure(
        one.species * 8,
        ((one.positions[None] + copies[:, None]) / 2.0).reshape(-1, 3),
        one.occupancy.repeat(8),
        one.u.repeat(8),
        one.lattice * 2.0,
    )
    given_settings = replace(SHORT, delta2=1.5, qbroad=0.02)
    g = calculate(one, given_settings, convention=convention).g
    assert deviation(calculate(big, given_settings, convention=convention).g, g) < 1e-6


@pytest.mark.parametrize("convention", ["exact", "srreal"])
def test_below_the_first_peak_the_slope_is_the_density(convention: Any) -> None:
    nickel = from_ase(ase.build.bulk("Ni", cubic=True), u_iso=0.005)
    curves = calculate(nickel, Settings(rmax=10.0, qmax=40.0), convention=convention)
    low = (curves.r > 0.3) & (curves.r < 1.5)
    slope = float((curves.g[low] @ curves.r[low]) / (curves.r[low] @ curves.r[low]))
    assert slope == pytest.approx(-4 * math.pi * 4 / float(nickel.volume()), rel=0.01)


@pytest.mark.parametrize(
    ("periodic", "radius"),
    [(crystal(["Au"] * 4, FCC, [4.078] * 3 + [90] * 3), 26), (ceria(), 24), (tungsten_trioxide(), 24)],
)
def test_a_large_particle_is_the_crystal_at_small_r(periodic: Structure, radius: float) -> None:
    """G of a sphere plus its density term is that of the crystal times the sphere's own pair function."""
    assert periodic.lattice is not None
    a = float(periodic.lattice[0, 0])
    reach = math.ceil(radius / a) + 1
    cells = torch.cartesian_prod(*[torch.arange(-reach, reach + 1, dtype=torch.float64)] * 3)
    places = ((periodic.positions[None] + cells[:, None]).reshape(-1, 3) + 0.013) * a
    inside = places.norm(dim=1) < radius
    names = np.array(list(periodic.species) * len(cells))[inside.numpy()]
    sphere = cluster(names, places[inside], u_iso=periodic.u.repeat(len(cells))[inside])
    chosen = Settings(rmin=1.5, rmax=8.0, rstep=0.02, qmax=22.0)
    g = calculate(sphere, chosen).g
    curves = calculate(periodic, chosen)
    x = curves.r / (2.0 * radius)
    density = 4 * math.pi * len(periodic.species) / float(periodic.volume()) * curves.r
    expected = (curves.g + density) * (1.0 - 1.5 * x + 0.5 * x**3)
    assert deviation(g, expected) < 0.03


def test_form_factors_that_vary_with_q_change_a_compound_but_not_an_element() -> None:
    wide = Settings(rmax=15.0, qmax=20.0, qdamp=0.05)
    gold = crystal(["Au"] * 4, FCC, [4.078] * 3 + [90] * 3, u_iso=0.008)
    small = [deviation(calculate(gold, wide).g, calculate(gold, wide, convention="srreal").g)]
    neutrons = replace(wide, radiation="neutron", lengths={"O": 5.805})
    small.append(
        deviation(calculate(ceria(), neutrons).g, calculate(ceria(), neutrons, convention="srreal").g)
    )
    assert max(small) < 0.03
    assert deviation(calculate(ceria(), wide).g, calculate(ceria(), wide, convention="srreal").g) > 0.1


def test_partials_add_up_to_the_whole() -> None:
    whole = calculate(ceria(), SHORT).g
    parts = [calculate(ceria(), replace(SHORT, pair=p)).g for p in [("Ce", "Ce"), ("Ce", "O"), ("O", "O")]]
    assert deviation(sum(parts[1:], parts[0]), whole) < 1e-12


def test_sites_of_single_displacement_equal_sites_that_share_it() -> None:
    """Pairs kept one by one, with Chebyshev polynomials, give what the channels give."""
    one = ceria()
    apart = Structure(
        one.species, one.positions, one.occupancy, one.u[:, None, None] * torch.eye(3).double(), one.lattice
    )
    assert deviation(calculate(apart, SHORT).g, calculate(one, SHORT).g) < 1e-6


def test_batches_equal_single_calls() -> None:
    values = {
        "qmin": [0.5, 1.0, 0.0],
        "qmax": [14.0, 12.5, 13.3],
        "qdamp": [0.0, 0.03, 0.05],
        "qbroad": [0.0, 0.02, 0.01],
        "delta2": [1.0, 0.0, 2.0],
        "u_iso": [0.004, 0.006, 0.01],
        "scale": [1.0, 0.5, 2.0],
    }
    conditions: dict[str, Any] = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}
    base = Settings(rmax=8.0, rstep=0.05)
    for structure in (ceria(), cluster(["Au"] * 55, Icosahedron("Au", 3).positions)):
        many = calculate(structure, replace(base, **conditions)).g
        for k in range(3):
            one = calculate(structure, replace(base, **{n: float(v[k]) for n, v in conditions.items()})).g
            assert deviation(many[k], one) < 1e-5
    table = table_for(ceria(), replace(base, **conditions))
    assert (
        deviation(
            curves_of(table, replace(base, **conditions)).g, calculate(ceria(), replace(base, **conditions)).g
        )
        < 1e-12
    )


@pytest.mark.parametrize(
    "one", [ceria(), monoclinic_of_few_kinds(), particle()], ids=["CeO2", "delta2", "cluster"]
)
def test_many_expansions_are_those_of_scaled_structures(one: Structure) -> None:
    """One by one the structure is scaled; together F is taken at Q e and G read at r / e. The crystals' fade-out
    differs between the two, so their extension is long."""
    wide = replace(SHORT, rmax=12.0, delta2=1.5, diameter=11.0, extension=120.0)
    factors, finite = [0.97, 1.0, 1.04], one.lattice is None
    together = calculate(one, replace(wide, expansion=torch.tensor(factors, dtype=torch.float64)))
    for factor, g in zip(factors, together.g, strict=True):
        assert deviation(g, calculate(one, replace(wide, expansion=factor)).g) < (1e-6 if finite else 5e-4)


def test_an_expansion_moves_the_first_peak_of_nickel() -> None:
    nickel = crystal(["Ni"] * 4, FCC, [3.52, 3.52, 3.52, 90, 90, 90])
    one = calculate(nickel, Settings(rmax=3.0, rmin=2.0, qmax=30.0, expansion=1.02))
    assert float(one.r[one.g.argmax()]) == pytest.approx(1.02 * 3.52 / math.sqrt(2), abs=0.01)


def test_distances_with_and_without_gradients_are_the_same() -> None:
    """Two ways to the table of a crystal: in numbers, or pair by pair where gradients are wanted."""
    base = ceria()
    names = [*base.species, "Zr", "Zr"]  # two of the sites are mixed
    places = np.vstack(
        [base.positions.numpy(), base.positions[:2].numpy() + np.array([[0, 0, 1], [0, 0, 0]])]
    )
    occupancy = [0.7, 0.4] + [1.0] * (len(base.species) - 2) + [0.3, 0.6]
    one = crystal(names, places, [5.3, 5.4, 5.6, 88, 93, 107], occupancy=occupancy, u_iso=0.006)
    assert one.lattice is not None
    moving = replace(one, lattice=one.lattice.clone().requires_grad_())
    for changes in ({}, {"delta2": 1.5}):
        chosen = replace(SHORT, **changes)
        assert deviation(calculate(moving, chosen).g.detach(), calculate(one, chosen).g) < 1e-6


def test_a_coarse_grid_is_a_part_of_a_fine_one() -> None:
    """Also where its step exceeds pi / Qmax."""
    fine, coarse = (
        calculate(particle(), Settings(rstep=step, qmax=25.0, rmax=15.0)).g for step in (0.01, 0.25)
    )
    assert deviation(coarse, fine[::25]) < 1e-5


def test_radial_distribution_counts_neighbours() -> None:
    nickel = crystal(["Ni"] * 4, FCC, [3.52, 3.52, 3.52, 90, 90, 90])
    curves = radial_distribution(nickel, Settings(rmax=3.0))
    assert curves.rdf is not None
    assert float(curves.rdf.sum() * 0.01) == pytest.approx(12.0, rel=1e-3)


def test_a_batch_of_structures_equals_single_ones() -> None:
    rng = np.random.default_rng(3)
    places = torch.from_numpy(Icosahedron("Au", 2).positions + rng.normal(0, 0.1, (3, 13, 3)))
    names = ["Au"] * 6 + ["Ag"] * 7
    many = calculate(cluster(names, places), SHORT).g
    cells = torch.tensor([5.38, 5.411, 5.45], dtype=torch.float64)[:, None, None] * torch.eye(3).double()
    lattices = calculate(replace(ceria(), lattice=cells), SHORT).g
    for k in range(3):
        assert deviation(many[k], calculate(cluster(names, places[k]), SHORT).g) < 1e-5
        assert deviation(lattices[k], calculate(ceria(float(cells[k, 0, 0])), SHORT).g) < 1e-5


def test_single_precision_is_good_to_its_digits() -> None:
    for structure in (ceria(), cluster(["Au"] * 55, Icosahedron("Au", 3).positions)):
        quick = calculate(structure.to(dtype=torch.float32), SHORT).g
        assert quick.dtype == torch.float32
        assert deviation(quick.double(), calculate(structure, SHORT).g) < 1e-4


TINY = {"rmax": 4.0, "rstep": 0.25, "qmin": 0.7, "qmax": 9.0}


def _tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).squeeze().requires_grad_()


@pytest.mark.parametrize("convention", ["exact", "srreal"])
def test_gradients_of_a_crystal(convention: Any) -> None:
    one = monoclinic()
    assert one.lattice is not None

    def g(
        places: Any, lattice: Any, u: Any, occupancy: Any, d1: Any, d2: Any, qb: Any, qd: Any, s: Any
    ) -> Any:
        structure = Structure(one.species, places, occupancy, u, lattice)
        chosen = Settings(**TINY, delta1=d1, delta2=d2, qbroad=qb, qdamp=qd, scale=s)
        return calculate(structure, chosen, convention=convention).g

    inputs = [t.clone().requires_grad_() for t in (one.positions, one.lattice, one.u, one.occupancy * 0.9)]
    numbers = [_tensor(0.1), _tensor(0.4), _tensor(0.02), _tensor(0.04), _tensor(1.3)]
    assert torch.autograd.gradcheck(g, (*inputs, *numbers), eps=1e-6, atol=2e-3, rtol=1e-3, fast_mode=True)


@pytest.mark.parametrize("convention", ["exact", "srreal"])
def test_gradients_of_a_cluster(convention: Any) -> None:
    rng = np.random.default_rng(1)
    places = torch.from_numpy(Icosahedron("Au", 2).positions + rng.normal(0, 0.1, (13, 3))).requires_grad_()
    names = ["Au"] * 6 + ["Ag"] * 7
    occupancy = torch.linspace(0.5, 0.95, 13, dtype=torch.float64).requires_grad_()

    def g(x: Any, o: Any, u: Any, d2: Any, qd: Any, s: Any) -> Any:
        chosen = Settings(**TINY, delta2=d2, qdamp=qd, scale=s)
        return calculate(cluster(names, x, u_iso=u, occupancy=o), chosen, convention=convention).g

    def fixed(x: Any, o: Any) -> Any:
        return calculate(
            cluster(names, x, u_iso=0.006, occupancy=o), Settings(**TINY), convention=convention
        ).g

    u = torch.linspace(0.004, 0.009, 13, dtype=torch.float64).requires_grad_()
    numbers = (_tensor(1.0), _tensor(0.04), _tensor(1.3))
    assert torch.autograd.gradcheck(fixed, (places, occupancy), eps=1e-6, atol=1e-4, rtol=1e-3)
    assert torch.autograd.gradcheck(g, (places, occupancy, u, *numbers), eps=1e-6, atol=1e-4, rtol=1e-3)


def test_gradients_of_conditions() -> None:
    """The path that bulk simulation takes: one table, and gradients to its conditions."""
    table = table_for(cluster(["Au"] * 13, Icosahedron("Au", 2).positions), Settings(**TINY, u_iso=0.005))

    def g(u: Any, qb: Any, qmin: Any, qmax: Any, e: Any) -> Any:
        chosen = Settings(**{**TINY, "qmin": qmin, "qmax": qmax}, u_iso=u, qbroad=qb, expansion=e)
        return curves_of(table, chosen).g

    pair = [
        _tensor(0.004, 0.006),
        _tensor(0.01, 0.03),
        _tensor(0.5, 0.8),
        _tensor(8.6, 8.9),
        _tensor(1.02, 0.99),
    ]
    assert torch.autograd.gradcheck(g, pair, eps=1e-6, atol=1e-4, rtol=1e-3)


def test_displacements_of_the_settings_count_in_real_space_too() -> None:
    wide = radial_distribution(cluster(["Au"] * 2, [[0.0, 0, 0], [0, 0, 3]], u_iso=0.02), SHORT)
    same = radial_distribution(
        cluster(["Au"] * 2, [[0.0, 0, 0], [0, 0, 3]], u_iso=0.001), replace(SHORT, u_iso=0.02)
    )
    assert wide.rdf is not None
    assert same.rdf is not None
    assert torch.equal(wide.rdf, same.rdf)


@pytest.mark.parametrize("kind", ["cluster", "crystal"])
def test_many_structures_are_computed_in_pieces(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(3)
    one = particle() if kind == "cluster" else ceria()
    shaken = one.positions + 0.003 * torch.randn(
        (5, *one.positions.shape), generator=draw, dtype=torch.float64
    )
    many = replace(one, positions=shaken)
    chosen = replace(SHORT, qmax=torch.linspace(10.0, 14.0, 5, dtype=torch.float64))
    whole = calculate(many, chosen)
    monkeypatch.setattr("solvus.models.scattering.exact.CHUNK", 1)
    pieces = calculate(many, chosen)
    assert pieces.g.shape == whole.g.shape == (5, len(whole.r))
    assert deviation(pieces.g, whole.g) < 1e-12
    assert deviation(pieces.f, whole.f) < 1e-12


def test_many_conditions_are_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    gold = cluster(["Au"] * 55, Icosahedron("Au", 3).positions)
    steps = torch.linspace(0.0, 1.0, 9, dtype=torch.float64)
    varied = replace(SHORT, qmax=14.0 - steps, u_iso=0.004 + 0.004 * steps, qdamp=0.05 * steps)
    whole = calculate(gold, varied)
    monkeypatch.setattr("solvus.models.scattering.exact.CHUNK", 1)
    pieces = calculate(gold, varied)
    assert deviation(pieces.g, whole.g) < 1e-12
    assert deviation(pieces.f, whole.f) < 1e-12


def test_f_of_debyecalculator(shared: Path) -> None:
    """Its S, F and G are half of ours by its convention; neutron lengths are its own, so X-rays only."""
    index = json.loads((shared / "golden" / "debyecalculator_index.json").read_text())
    cases = json.loads((shared / "golden" / "index.json").read_text())["cases"]
    theirs = np.load(shared / "golden" / "debyecalculator.npz")
    tried = 0
    for name, entry in index.items():
        if not name.endswith("_x") or name not in cases:
            continue
        given = cases[name]["structure"]
        u = entry["parameters"]["biso"] / (8 * math.pi**2)
        q = theirs[f"{name}__dc_q"]
        # The long range makes the Q grid fine enough to interpolate by a spline.
        wide = Settings(rmax=250.0, qmax=float(q[-1]) + 0.5)
        ours = calculate(cluster(given["elements"], given["xyz"], u_iso=u), wide)
        f = CubicSpline(ours.q.numpy(), ours.f.numpy())(q)
        expected = 2.0 * theirs[f"{name}__dc_f"]
        assert np.abs(f - expected).max() < 1e-5 * np.abs(expected).max(), name
        tried += 1
    assert tried >= 10


def test_a_longer_fade_out_converges() -> None:
    one = monoclinic()
    longest = calculate(one, replace(SHORT, extension=60.0)).g
    far = [deviation(calculate(one, replace(SHORT, extension=e)).g, longest) for e in (4.0, 12.0, 36.0)]
    assert far[0] > far[1] > far[2]
    assert far[1] < 2e-2


@pytest.mark.slow
def test_thirty_thousand_atoms() -> None:
    """In bounded memory, and still what any part of the curve must be: the first peaks of bulk gold."""
    places = Icosahedron("Au", 22).positions
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    curves = calculate(cluster(["Au"] * len(places), places), Settings(rmax=20.0, qmin=1.0, qmax=20.0))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1.5 * 2**20
    nearest = float(curves.r[int(curves.g.argmax())]) if curves.g.isfinite().all() else math.nan
    assert 2.7 < nearest < 20.0
