"""The training of the recogniser: what it draws, and that a run can be stopped, taken up again and made twice."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solvus.models.recognition.canonical import GRID, Range, inputs, on_grid
from solvus.models.recognition.curves import curves, damping, sphere
from solvus.models.recognition.labels import Labels
from solvus.models.recognition.metal_groups import group_of, groups
from solvus.models.recognition.training.bank import Bank, Shelf, geometry_shelf, shape_shelf, shelf_of
from solvus.models.recognition.training.calibrate import calibration_error
from solvus.models.recognition.training.loop import Run, rate
from solvus.models.recognition.training.losses import Target, losses
from solvus.models.recognition.training.recipe import Recipe, RecipeError, read_recipe
from solvus.models.recognition.training.stream import Stream
from solvus.models.recognition.training.varied import variant_of
from solvus.models.recognition.training.workers import ClusterError, mapping
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.settings import Settings
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.library import Library

SMALL = Recipe(batch=48, steps=12, warm_up=3, width=32, blocks=1, dimension=8)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load(own_too=False)


@pytest.fixture(scope="module")
def labels(catalogue: Catalogue) -> Labels:
    return Labels.of(catalogue, Library.load("all"))


@pytest.fixture(scope="module")
def bank(catalogue: Catalogue, labels: Labels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    names = ("TiO2 anatase", "CeO2 fluorite", "MgO rocksalt", "alpha-Keggin W12O40", "MnFe2O4 jacobsite")
    records = [catalogue.find(name) for name in names]
    shelf_of(records, labels, "xray", count=2, seed=1, mapping=map).save(folder / "xray.npz")
    shelf_of(records, labels, "neutron", count=1, seed=2, mapping=map).save(folder / "neutron.npz")
    wide = [record for record in records if record.name == "TiO2 anatase"]
    shelf_of(wide, labels, "xray", count=1, seed=6, wide=True, mapping=map).save(folder / "wide.npz")
    shelf_of(records[:1], labels, "xray", count=1, seed=3, foreign=True, mapping=map).save(
        folder / "foreign.npz"
    )
    library = Library.load("all")
    few = Library(
        tuple(replace(e, index=k) for k, e in enumerate(library.entries[:3])), library._scattering[:3], "1"
    )
    geometry_shelf(few, labels, count=1, seed=4).save(folder / "geometry.npz")
    shape_shelf(labels, count=4, seed=5, mapping=map).save(folder / "shape.npz")
    return folder


def test_a_variant_keeps_the_symmetry_of_its_record(catalogue: Catalogue) -> None:
    record = catalogue.find("TiO2 anatase")
    for seed in range(6):
        made = variant_of(record, np.random.default_rng(seed)).structure
        lengths = made.lattice.norm(dim=1)
        assert lengths[0] == pytest.approx(float(lengths[1]))
        assert float(made.occupancy.sum()) == pytest.approx(12.0)
        assert float(lengths[2] / lengths[0]) == pytest.approx(2.51, rel=0.06)


def test_species_of_one_site_move_together(catalogue: Catalogue) -> None:
    shared = next(
        item.record for item in catalogue.items if item.record.occupancy and min(item.record.occupancy) < 1
    )
    made = variant_of(shared, np.random.default_rng(3)).structure
    curve = calculate(made, Settings(rmax=6.0, rstep=0.05))
    assert bool(torch.isfinite(curve.g).all())


def test_short_curves_are_the_engine_s_own(catalogue: Catalogue, labels: Labels) -> None:
    record = catalogue.find("MgO rocksalt")
    shelf = shelf_of([record], labels, "xray", count=1, seed=5, mapping=map)
    variant = variant_of(record, np.random.default_rng((5, 0, 0)))
    exact = calculate(
        variant.structure, Settings(rmax=30.05, rstep=0.1, qmin=1.0, qmax=22.0, delta2=variant.delta2)
    )
    conditions = Range.same(1, qmin=1.0, qmax=22.0, qdamp=0.0, r_first=0.1, r_last=30.0)
    found = curves(shelf.f, shelf.reach, np.ones(1), np.zeros(1), conditions)[0]
    wanted = np.interp(GRID, exact.r.numpy(), exact.g.numpy())
    near = GRID < 26.0
    assert np.abs(found - wanted)[near].max() < 0.01 * np.abs(wanted).max()


def test_a_stretch_moves_every_peak() -> None:
    f = np.sin(np.outer([5.0], math.pi / 40.0 * (np.arange(380) + 0.5))).astype(np.float32)
    conditions = Range.same(1, qmin=0.0, qmax=25.0, qdamp=0.0, r_first=0.1, r_last=30.0)
    for stretch in (0.96, 1.0, 1.03):
        g = curves(f, 40.0, np.array([stretch]), np.array([0.01]), conditions)[0]
        assert GRID[g.argmax()] == pytest.approx(5.0 * stretch, abs=0.06)


@given(st.floats(10.0, 300.0), st.floats(0.0, 0.08))
def test_envelopes_only_damp(diameter: float, qdamp: float) -> None:
    shape, decay = sphere(np.array([diameter])), damping(np.array([qdamp]))
    assert ((shape >= -1e-12) & (shape <= 1.0)).all()
    assert ((decay > 0.0) & (decay <= 1.0)).all()
    assert (sphere(np.array([math.inf])) == 1.0).all()
    assert (damping(np.array([math.nan])) == 1.0).all()


def test_a_batch_depends_on_its_number_alone(bank: Path) -> None:
    one, other = (Stream(Bank.load(bank), SMALL) for _ in range(2))
    other.batch(0)
    first, second = one.batch(3), other.batch(3)
    assert np.array_equal(first.inputs, second.inputs)
    assert not np.array_equal(first.inputs, one.batch(4).inputs)


def test_widely_strained_cells_come_late(bank: Path) -> None:
    shelves = Bank.load(bank)
    late = SMALL.model_copy(update={"wide_from": 2})
    never = SMALL.model_copy(update={"wide": 0.0})
    assert np.array_equal(Stream(shelves, late).batch(1).inputs, Stream(shelves, never).batch(1).inputs)
    assert not np.array_equal(Stream(shelves, late).batch(2).inputs, Stream(shelves, never).batch(2).inputs)


def test_the_calibration_is_drawn_from_another_seed() -> None:
    recipe = Recipe()
    assert recipe.of_calibration.seed != recipe.seed
    assert recipe.of_calibration.of_bank != recipe.of_bank


def test_a_wide_variant_is_strained_more(catalogue: Catalogue) -> None:
    record = catalogue.find("TiO2 anatase")

    def spread(wide: bool) -> float:
        made = [variant_of(record, np.random.default_rng(k), wide=wide).structure.lattice for k in range(40)]
        return float(np.std([float(lattice[2].norm() / lattice[0].norm()) for lattice in made]))

    assert spread(True) > 2.0 * spread(False)


def test_patterns_are_seen_only_within_their_range(bank: Path) -> None:
    drawn = Stream(Bank.load(bank), SMALL).patterns(1)
    values = drawn.batch().inputs
    for row in range(len(values)):
        outside = (drawn.conditions.r_last[row] + 1e-6 < GRID) | (drawn.conditions.r_first[row] - 1e-6 > GRID)
        assert (values[row, : len(GRID)][outside] == 0).all()


def test_the_truth_of_a_batch_is_that_of_its_structures(bank: Path, labels: Labels) -> None:
    batch = Stream(Bank.load(bank), SMALL.model_copy(update={"mixtures": 0.0})).batch(0)
    known = batch.entry >= 0
    kinds = np.array(labels.kind_of_entry)[batch.entry[known]]
    assert np.array_equal(kinds, batch.kinds[known, 0])
    ceria = batch.entry == labels.entry("CeO2 fluorite")
    if ceria.any():
        assert batch.metals[ceria][:, labels.groups.index("La-Lu")].all()


def test_the_scale_of_a_pattern_does_not_matter() -> None:
    g = np.sin(GRID)[None]
    conditions = Range.same(1, qmin=0.5, qmax=20.0, qdamp=0.03, r_first=1.0, r_last=20.0)
    assert np.allclose(inputs(g, conditions), inputs(37.0 * g, conditions), atol=1e-5)


@settings(max_examples=20)
@given(st.floats(0.005, 0.09), st.floats(0.0, 2.0), st.floats(18.0, 40.0))
def test_any_grid_ends_on_one(step: float, first: float, last: float) -> None:
    r = np.arange(first, last, step)
    found = on_grid(r, np.sin(3.0 * r))
    inside = (r[0] <= GRID) & (r[-1] >= GRID)
    assert np.abs(found[inside] - np.sin(3.0 * GRID[inside])).max() < 2e-3
    assert (found[~inside] == 0).all()


def test_losses_are_finite_and_fall(bank: Path, labels: Labels, tmp_path: Path) -> None:
    run = Run(tmp_path, SMALL, labels)
    target = Target.of(Stream(Bank.load(bank), SMALL).batch(0), torch.device("cpu"))
    before = losses(run.encoder(target.inputs), run.places, target)
    for _ in run.steps(bank):
        pass
    after = losses(run.encoder(target.inputs), run.places, target)
    assert all(bool(torch.isfinite(v)) for v in after.values())
    assert after["kind"].item() < before["kind"].item()
    assert after["entry"].item() < before["entry"].item()


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(bank: Path, labels: Labels, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    straight = Run(whole, SMALL, labels)
    for _ in straight.steps(bank):
        pass
    for progress in Run(broken, SMALL, labels).steps(bank):
        if progress.step == 5:
            break
    again = Run(broken, SMALL, labels)
    assert again.progress.step == 5
    for _ in again.steps(bank):
        pass
    for one, other in zip(straight.encoder.parameters(), again.encoder.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_another_recipe_is_not_taken_up(bank: Path, labels: Labels, tmp_path: Path) -> None:
    for _ in Run(tmp_path, SMALL, labels).steps(bank):
        pass
    assert Run(tmp_path, SMALL.model_copy(update={"seed": 1}), labels).progress.step == 0


def test_the_rate_rises_and_falls() -> None:
    recipe = Recipe(steps=100, warm_up=10, learning_rate=1.0)
    rates = [rate(k, recipe) for k in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02


def test_a_shelf_is_read_as_it_was_written(bank: Path) -> None:
    shelf = Shelf.load(bank / "xray.npz")
    assert shelf.reach == 40.0
    assert shelf.f.dtype == np.float32
    assert len(shelf.entry) == len(shelf.f) == 10


def test_jobs_give_the_same_in_one_process_and_in_two(catalogue: Catalogue, labels: Labels) -> None:
    records = [catalogue.find("CeO2 fluorite")]
    with mapping(2) as pool:
        apart = shelf_of(records, labels, "xray", count=2, seed=1, mapping=pool)
    together = shelf_of(records, labels, "xray", count=2, seed=1, mapping=map)
    assert np.array_equal(apart.f, together.f)


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterError, match="dask"), mapping(1, "tcp://127.0.0.1:1"):
        pass


@pytest.mark.parametrize("text", ["steps: -1", "nonsense: 3", "[1, 2", "seed: x"])
def test_a_recipe_that_is_none_gets_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        read_recipe(path)


def test_lanthanides_are_one_group_and_light_atoms_none() -> None:
    assert {group_of(e) for e in ("La", "Ce", "Lu")} == {"La-Lu"}
    assert group_of("H") is group_of("Li") is group_of("O") is None
    assert group_of("Ti") == "Ti"
    assert len(set(groups())) == len(groups())


def test_calibration_error_of_a_calibrated_guess_is_small() -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(20000, generator=generator, dtype=torch.float64)
    right = torch.rand(20000, generator=generator) < p
    assert calibration_error(p, right) < 0.02
    assert calibration_error(p, torch.zeros(20000, dtype=torch.bool)) == pytest.approx(0.5, abs=0.01)
