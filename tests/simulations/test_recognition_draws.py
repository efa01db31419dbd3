"""Test patterns for recognition: reproducible, of the stated noise, and right where independent programs overlap."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import Icosahedron

from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition import metal_clusters, oxides, pair_sum, peers, pomfinder
from solvus.simulations.benchmarks.recognition.cached import Clean
from solvus.simulations.benchmarks.recognition.draws import DrawError, R, Task, drawn
from solvus.simulations.benchmarks.recognition.metal_geometries import Geometry, classes, geometries, missing
from solvus.simulations.benchmarks.recognition.noise import white_noise
from solvus.simulations.benchmarks.recognition.polyoxometalates import POMFINDER, ours, polyoxometalates

LIMITS = {"qmin": 0.5, "qmax": 20.0, "qdamp": 0.03}


def task(**more):
    """A set of seven structures whose curves are sines of a drawn wavelength."""

    def make(index, generator):
        wave = float(generator.uniform(1.0, 5.0))
        return Clean(np.sin(wave * R), f"s{index}", "sine", frozenset({"Au"}), {**LIMITS, "wave": wave})

    return replace(Task("sines", {}, make, 7), **more)


def clusters_record(name, species, positions):
    return Record(name, "polyoxometalate", name, "", tuple(species), np.array(positions), "here")


def test_noise_has_unit_variance_and_nothing_beyond_qmax():
    generator = np.random.default_rng(0)
    many = np.stack([white_noise(R, 15.0, generator) for _ in range(60)])
    assert many.std() == pytest.approx(1.0, abs=0.03)
    window = np.hanning(len(R))  # without it the ends of the range spread over all Q
    power = [(np.sin(q * R) * window @ many.T) ** 2 for q in (5.0, 14.0, 16.0, 25.0)]
    inside, near, beyond, far = (float(np.mean(p)) for p in power)
    assert inside == pytest.approx(near, rel=0.5)
    assert max(beyond, far) < 1e-4 * inside


def test_noise_is_independent_from_one_nyquist_point_to_the_next():
    nodes = np.arange(60) * math.pi / 18.0
    generator = np.random.default_rng(1)
    many = np.stack([white_noise(nodes, 18.0, generator) for _ in range(3000)])
    assert np.abs(np.cov(many.T) - np.eye(60)).max() < 0.12


def test_a_draw_depends_on_seed_and_index_only(tmp_path):
    few = list(drawn(task(), noise=0.01, seed=3, count=4, cache=tmp_path / "a"))
    more = list(drawn(task(), noise=0.01, seed=3, count=55, cache=tmp_path / "b"))
    again = list(drawn(task(), noise=0.01, seed=3, count=55, cache=tmp_path / "a"))
    other = list(drawn(task(), noise=0.01, seed=4, count=4, cache=tmp_path / "a"))
    assert few == more[:4]
    assert more == again
    assert few != other


def test_every_structure_comes_once_before_any_comes_again(tmp_path):
    truths = [d.truth for d in drawn(task(), noise=0.0, seed=0, count=14, cache=tmp_path)]
    assert sorted(truths[:7]) == sorted(truths[7:]) == [f"s{k}" for k in range(7)]


def test_the_second_run_computes_nothing(tmp_path):
    def refuse(index, generator):
        raise AssertionError("computed again")

    first = list(drawn(task(), noise=0.03, seed=5, count=7, cache=tmp_path))
    assert list(drawn(task(make=refuse), noise=0.03, seed=5, count=5, cache=tmp_path)) == first[:5]
    with pytest.raises(AssertionError, match="computed again"):
        list(drawn(task(make=refuse, recipe={"b_iso": 1}), noise=0.03, seed=5, count=5, cache=tmp_path))


def test_a_run_that_was_cut_off_is_completed(tmp_path):
    whole = list(drawn(task(), noise=0.0, seed=5, count=7, cache=tmp_path / "a"))
    list(drawn(task(), noise=0.0, seed=5, count=3, cache=tmp_path / "b"))
    curves = next((tmp_path / "b").rglob("00000.json"))
    assert len(json.loads(curves.read_text())) == 3
    assert list(drawn(task(), noise=0.0, seed=5, count=7, cache=tmp_path / "b")) == whole


def test_noise_is_the_stated_share_of_the_highest_peak(tmp_path):
    clean = list(drawn(task(), noise=0.0, seed=1, count=20, cache=tmp_path))
    noisy = list(drawn(task(), noise=0.03, seed=1, count=20, cache=tmp_path))
    noisier = list(drawn(task(), noise=0.06, seed=1, count=20, cache=tmp_path))
    share = np.array([n.pattern.y - c.pattern.y for n, c in zip(noisy, clean, strict=True)])
    double = np.array([n.pattern.y - c.pattern.y for n, c in zip(noisier, clean, strict=True)])
    assert share.std() == pytest.approx(0.03, rel=0.05)
    assert np.allclose(double, 2.0 * share, atol=1e-12)
    assert noisy[0].conditions["noise"] == 0.03
    assert noisy[0].pattern.conditions.qmax == 20.0 and noisy[0].pattern.conditions.composition is None


def test_a_count_below_none_is_refused(tmp_path):
    with pytest.raises(DrawError, match="count"):
        list(drawn(task(), noise=0.0, seed=1, count=-1, cache=tmp_path))


def test_the_pair_sum_reproduces_srreal_with_correlated_motion(shared):
    cases = json.loads((shared / "golden" / "index.json").read_text())["cases"]
    named = cases.items() if isinstance(cases, dict) else ((c["name"], c) for c in cases)
    (name, case), *_ = [
        (n, c) for n, c in named if c["structure"]["name"].startswith("wurtzite CdSe") and c["radiation"] == "xray"
        and c["parameters"]["delta2"]
    ]  # fmt: skip
    structure = case["structure"]
    u_iso = dict(zip(structure["elements"], structure["Uiso"], strict=True))
    with np.load(shared / "golden" / "curves.npz") as arrays:
        q, f = arrays[f"{name}__Q"], arrays[f"{name}__F"]
    inside = (q > 0) & (q < case["parameters"]["qmax"])
    places = np.array(structure["xyz"])
    delta2 = case["parameters"]["delta2"]
    mine = pair_sum.reduced_factor(structure["elements"], places, q[inside], u_iso, delta2)
    assert np.abs(mine - f[inside]).max() < 1e-3 * np.abs(f).max()


def test_a_polyoxometalate_draw_is_stretched_and_shown_to_ten_angstrom(tmp_path):
    setting = replace(POMFINDER, name="stretched", expansion=(0.02, 0.02))
    (draw,) = polyoxometalates(setting, ours(), noise=0.0, seed=2, cache=tmp_path, count=1)
    record = next(record for record in ours() if record.name == draw.truth)
    assert draw.pattern.x[-1] == pytest.approx(10.0)
    assert draw.elements == record.elements and draw.type == record.type
    widest = max(np.linalg.norm(record.positions - place, axis=1).max() for place in record.positions)
    assert draw.diameter == pytest.approx(1.02 * widest)


def test_surface_atoms_alone_are_drawn_inwards():
    positions = np.array(Icosahedron("Au", 3, latticeconstant=math.sqrt(2.0)).positions)
    geometry = Geometry("icosahedron 3", "icosahedron", positions)
    centre = positions - positions.mean(axis=0)
    moved = np.linalg.norm(metal_clusters.imperfect(geometry, 0.03), axis=1)
    still = np.linalg.norm(centre, axis=1)
    outside = still > 1.5  # 42 atoms on two shells around 13
    assert outside.sum() == 42
    assert np.allclose(moved[outside], 0.97 * still[outside])
    assert np.allclose(moved[~outside], still[~outside])


def test_the_bond_of_a_geometry_is_the_distance_of_touching_neighbours():
    cell = bulk("Fe", "bcc", a=1.0, cubic=True) * (3, 3, 3)
    assert Geometry("block", "bcc", cell.positions).bond == pytest.approx(math.sqrt(0.75))


def test_the_shape_function_of_equal_spheres_and_of_many():
    r = np.linspace(0.0, 60.0, 200)
    x = np.minimum(r / 40.0, 1.0)
    assert np.allclose(oxides.shape_function(r, 40.0, 0.0), 1.0 - 1.5 * x + 0.5 * x**3)
    spread = oxides.shape_function(r, 40.0, 0.3)
    assert spread[0] == pytest.approx(1.0) and (np.diff(spread) <= 1e-12).all()
    assert oxides.mean_diameter(40.0, 0.3) > oxides.mean_diameter(40.0, 0.0) == pytest.approx(40.0)


def test_equal_clusters_are_one_answer_and_others_are_not():
    places = [[0.0, 0.0, 0.0], [3.3, 0.0, 0.0], [1.65, 1.0, 0.0]]
    one = clusters_record("one", ["W", "W", "O"], places)
    turned = clusters_record("turned", ["W", "W", "O"], np.array(places)[:, [2, 0, 1]] + 5.0)
    larger = clusters_record("larger", ["W", "W", "O"], np.array(places) * 1.02)
    found = pomfinder.groups([one, turned, larger])
    assert [group.members for group in found] == [("one", "turned"), ("larger",)]
    assert found[0].name == "one"


def test_another_file_in_place_of_the_package_is_refused(tmp_path):
    (tmp_path / pomfinder.WHEEL).write_bytes(b"something else")
    with pytest.raises(pomfinder.PomfinderError, match="not the file that was published"):
        pomfinder.records(tmp_path)


def test_a_missing_peer_is_named_with_its_remedy(monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(peers.importlib, "import_module", absent)
    with pytest.raises(peers.PeerError, match=r"DebyeCalculator.*solvus\[bench\]"):
        peers.version("debyecalculator")


def test_debyecalculator_agrees_with_the_pair_sum():
    pytest.importorskip("debyecalculator")
    positions = np.array(Icosahedron("Au", 3).positions)
    conditions = {"qmin": 0.8, "qmax": 22.0, "qdamp": 0.03}
    names = ["Au"] * len(positions)
    theirs = peers.cluster_pdf(names, positions, R, **conditions, b_iso=0.5)
    u_iso = 0.5 / (8.0 * math.pi**2)
    mine = pair_sum.cluster_pdf(names, positions, R, **conditions, u_iso=u_iso, delta2=0.0)
    assert np.abs(theirs - mine).max() < 0.01 * np.abs(mine).max()


def test_partial_curves_add_up_to_the_whole():
    pytest.importorskip("diffpy.pdffit2")
    record = next(r for r in oxides.ours() if r.name == "TiO2 anatase")
    u_iso = np.full(12, 0.006)
    crystal = peers.Crystal(record, oxides.COARSE[:300], cell=record.cell, u_iso=u_iso, delta2=1.0)
    whole = crystal.pdf()
    weight = {"Ti": 22.0, "O": 8.0}
    mean = sum(weight[element] * share for element, share in crystal.shares.items())
    total = sum(
        weight[a] * weight[b] * curve * (1.0 if a == b else 2.0) / mean**2
        for (a, b), curve in crystal.partials().items()
    )
    assert crystal.shares == pytest.approx({"Ti": 1 / 3, "O": 2 / 3})
    assert (
        np.abs(total - whole).max() < 2e-3 * np.abs(whole).max()
    )  # their weights are f(0), not whole electrons
    assert np.array_equal(crystal.pdf(), whole)


@pytest.mark.parametrize(
    ("setting", "convention"), [(oxides.MLSTRUCTUREMINING, "srreal"), (oxides.PARTICLES, "exact")]
)
def test_pdffit2_draws_agree_with_our_engine_where_both_compute_the_same(setting, convention, tmp_path):
    """Within what the programs' definitions differ by: peaks divided by r or by the distance, 1 to 3 % of G."""
    pytest.importorskip("diffpy.pdffit2")
    from solvus.models.scattering.calculate import calculate
    from solvus.models.scattering.settings import Settings
    from solvus.models.scattering.structure import crystal
    from solvus.models.structures.record_structure import structure_of

    record = next(r for r in oxides.ours() if r.name == "SnO2 cassiterite" or r.name == "TiO2 rutile")
    endless = replace(setting, diameter=None, delta2=(0.0, 0.0))
    (draw,) = oxides.oxides(endless, noise=0.0, seed=1, cache=tmp_path, records=[record])
    values, sites = draw.conditions, structure_of(record)
    cell = [
        record.cell[k] * (1.0 + values["expansion"]) * (1.0 + values[f"strain_{'abc'[k]}"]) for k in range(3)
    ] + [record.cell[k + 3] + values[f"turn_{name}"] for k, name in enumerate(("alpha", "beta", "gamma"))]
    u_iso = [values.get("u_iso") or values[f"u_{name}"] for name in sites.species]
    ours_too = crystal(sites.species, sites.positions, cell, u_iso=np.array(u_iso))
    ranges = {name: values[name] for name in ("qmin", "qmax", "qdamp")}
    curves = calculate(ours_too, Settings(rmax=30.0, rstep=0.02, **ranges), convention=convention)
    inside = (draw.pattern.x > 1.0) & (draw.pattern.x < 29.0)
    mine = np.interp(draw.pattern.x[inside], curves.r.numpy(), curves.g.numpy())
    theirs = draw.pattern.y[inside]
    assert np.linalg.norm(mine - theirs) < 0.04 * np.linalg.norm(theirs)
    assert mine @ theirs / (theirs @ theirs) == pytest.approx(1.0, abs=0.005)


@pytest.mark.slow
def test_the_peers_classes_are_as_many_as_published():
    assert len(geometries()) == 197
    assert len(classes()) == 3743
    assert len({round(one.lattice, 9) for one in classes()}) == 19
    assert all(geometry.twin is None for geometry in missing())
    icosahedron = next(g for g in geometries() if g.name == "icosahedron 4")
    assert icosahedron.twin == "icosahedron-147"


def test_the_folder_says_what_the_curves_depend_on(tmp_path: Path):
    list(drawn(task(recipe={"b_iso": 0.3}), noise=0.0, seed=9, count=1, cache=tmp_path))
    (recipe,) = tmp_path.rglob("recipe.json")
    held = json.loads(recipe.read_text())
    assert held["b_iso"] == 0.3 and held["seed"] == 9 and held["set"] == "sines"
