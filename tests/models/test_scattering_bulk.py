"""Bulk simulation: recorded, repeatable, and the same as one pattern at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.cluster import Icosahedron, Octahedron
from pydantic import ValidationError

from solvus.models.pattern import PatternError
from solvus.models.recognition.bulk_matching import match_many
from solvus.models.recognition.matching import Matcher, Setting, bond_indices
from solvus.models.scattering import bulk as bulk_module
from solvus.models.scattering.bulk import ConditionRanges, simulate_bulk
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.noise import NoiseModel
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.structure import from_ase
from solvus.models.structures.library import Library
from solvus.simulations.benchmarks.bulk import bench_bulk

CLUSTER = from_ase(Icosahedron("Au", 3))
OTHER = from_ase(Octahedron("Ni", 4))
SALT = from_ase(bulk("NaCl", "rocksalt", a=5.64, cubic=True))
GRID = Settings(rmin=1.0, rmax=15.0, rstep=0.1)
QUIET = ConditionRanges(noise=None, seed=5)


@pytest.mark.parametrize("structure", [CLUSTER, SALT])
def test_each_pattern_is_that_of_its_conditions(structure) -> None:
    ranges = QUIET.model_copy(update={"diameter": (20.0, 40.0), "spread": (0.0, 0.0)})
    made = simulate_bulk([structure], 4, ranges, GRID, dtype=torch.float64)
    for k in range(4):
        known = {name: float(values[k]) for name, values in made.conditions.items() if name != "spread"}
        if structure is CLUSTER:
            assert math.isnan(known.pop("diameter"))
        alone = calculate(structure, Settings(rmin=1.0, rmax=15.0, rstep=0.1, **known))
        assert torch.allclose(made.g[k], alone.g, atol=1e-4 * float(alone.g.abs().max()))


def test_displacements_with_a_direction_are_kept() -> None:
    u = torch.diag(torch.tensor([0.004, 0.008, 0.006], dtype=torch.float64)).expand(8, 3, 3)
    structure = replace(SALT, u=u)
    ranges = QUIET.model_copy(update={"u_iso": None})
    made = simulate_bulk([structure], 3, ranges, GRID, dtype=torch.float64)
    for k in range(3):
        known = {name: float(values[k]) for name, values in made.conditions.items()}
        alone = calculate(structure, Settings(rmin=1.0, rmax=15.0, rstep=0.1, **known))
        assert torch.allclose(made.g[k], alone.g, atol=1e-6)
    noisy = simulate_bulk([structure], 3, ranges.model_copy(update={"noise": NoiseModel()}), GRID)
    assert torch.isfinite(noisy.g).all()


def test_the_seed_makes_the_patterns() -> None:
    ranges = ConditionRanges(seed=3)
    one, same = (simulate_bulk([CLUSTER, SALT], 6, ranges, GRID) for _ in range(2))
    assert torch.equal(one.g, same.g)
    again = simulate_bulk(
        [CLUSTER, SALT], 6, ConditionRanges.model_validate_json(one.ranges.model_dump_json()), GRID
    )
    assert torch.equal(one.g, again.g)
    other = simulate_bulk([CLUSTER, SALT], 6, ranges.model_copy(update={"seed": 4}), GRID)
    assert not torch.equal(one.g, other.g)
    assert not torch.equal(one.conditions["qmax"][:6], one.conditions["qmax"][6:])


def test_leaving_one_condition_out_does_not_change_the_others() -> None:
    free, fixed = QUIET.draw(5), QUIET.model_copy(update={"u_iso": None}).draw(5)
    assert "u_iso" not in fixed
    assert all(torch.equal(fixed[name], free[name]) for name in fixed)
    assert "counts" not in free
    assert "diameter" not in free


def test_conditions_lie_in_their_ranges() -> None:
    ranges = ConditionRanges(diameter=(10.0, 50.0))
    for name, values in ranges.draw(2000).items():
        low, high = getattr(ranges, name)
        assert low <= float(values.min()) <= float(values.max()) <= high
    counts = ranges.draw(4000)["counts"].log10()
    assert float(counts.mean()) == pytest.approx(5.5, abs=0.1)  # uniform in the logarithm of 1e4 to 1e7


def test_noise_is_added_to_the_same_curves() -> None:
    quiet = simulate_bulk([CLUSTER], 8, QUIET, GRID)
    loud = QUIET.model_copy(update={"noise": NoiseModel(), "counts": (1e3, 1e3)})
    soft = QUIET.model_copy(update={"noise": NoiseModel(), "counts": (1e7, 1e7)})
    louder, softer = ((simulate_bulk([CLUSTER], 8, r, GRID).g - quiet.g).std() for r in (loud, soft))
    assert 30 < louder / softer < 300  # 100, and what the bins take from far distances


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    whole = simulate_bulk([CLUSTER, OTHER], 7, QUIET, GRID, dtype=torch.float64)
    monkeypatch.setattr(bulk_module, "BLOCK", 3)
    parts = simulate_bulk(
        [CLUSTER, OTHER], 7, QUIET, GRID, dtype=torch.float64, progress=lambda *at: seen.append(at)
    )
    assert torch.allclose(parts.g, whole.g, atol=1e-6 * float(whole.g.abs().max()))
    assert seen == [(3, 14), (6, 14), (7, 14), (10, 14), (13, 14), (14, 14)]
    assert parts.structure.tolist() == [0] * 7 + [1] * 7


def test_precision_is_as_asked() -> None:
    single = simulate_bulk([CLUSTER], 3, QUIET, GRID)
    double = simulate_bulk([CLUSTER], 3, QUIET, GRID, dtype=torch.float64)
    assert single.g.dtype == torch.float32
    assert torch.allclose(single.g.double(), double.g, atol=1e-4 * float(double.g.abs().max()))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"qmin": (2.0, 1.0)}, "qmin"),
        ({"qmin": (0.5, 13.0)}, "lowest qmax"),
        ({"counts": (0.0, 1.0)}, "counts"),
        ({"spread": (0.0, 3.0)}, "spread"),
        ({"qdamp": (-0.1, 0.1)}, "qdamp"),
        ({"colour": (0.0, 1.0)}, "colour"),
    ],
)
def test_ranges_that_cannot_be(values: dict[str, tuple[float, float]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ConditionRanges(**values)


def test_grids_that_cannot_be() -> None:
    with pytest.raises(SettingsError, match="rstep"):
        simulate_bulk([CLUSTER], 2, QUIET, Settings(rstep=0.2))
    with pytest.raises(SettingsError, match="count"):
        simulate_bulk([], 2, QUIET, GRID)


def test_a_batch_of_matches_is_each_match() -> None:
    library = Library.load()
    entries = library.subset(smallest=100, largest=400)
    matcher = Matcher(library, Setting(0.8, 20.0, 0.03, 1.5, 14.5))
    instrument = ConditionRanges(
        **{"qmin": (0.8, 0.8), "qmax": (20.0, 20.0), "qdamp": (0.03, 0.03), "qbroad": (0.0, 0.0)}, seed=1
    )
    structures = [from_ase(library.atoms(name, "Au")) for name in ("icosahedron-147", "cuboctahedron-147")]
    made = simulate_bulk(structures, 3, instrument, Settings(rmin=1.0, rmax=15.0, rstep=0.05))
    r, g = made.r.double().numpy(), made.g.double().numpy()
    bonds = bond_indices(2.75, 3.0)
    together = match_many([matcher], r, g, bonds, entries)
    for k in range(len(g)):
        alone = matcher.match(r, g[k], bonds, entries)[0]
        assert together.correlation[k] == pytest.approx(alone.correlation, abs=1e-4)
        assert entries[together.entry[k]].name == alone.entry.name or alone.correlation == pytest.approx(
            together.correlation[k], abs=1e-4
        )
    assert {entries[k].family for k in together.entry[:3]} == {"icosahedral"}
    with pytest.raises(PatternError, match="the matcher needs"):
        match_many([matcher], np.arange(2.0, 10.0, 0.1), np.zeros((1, 80)), bonds, entries)


@pytest.mark.slow
def test_the_bench_counts_patterns() -> None:
    rows = list(bench_bulk(200))
    assert [row.patterns for row in rows] == [200, 200]
    assert all(row.rate > 20 for row in rows)
