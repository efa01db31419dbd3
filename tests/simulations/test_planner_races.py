"""The comparison of planners: what it counts, what it keeps, and what it says of predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from solvus.simulations.benchmarks.planner.bench import bench_planners
from solvus.simulations.benchmarks.planner.race import Race, race
from solvus.simulations.benchmarks.planner.report import Report
from solvus.simulations.benchmarks.planner.worlds import world_of


def one(method: str, seed: int, experiments: int | None, **more: object) -> Race:
    fields = {"best": (0.5,), "ask_seconds": (0.1,), "wall_seconds": (0.1,), "failures": 0, "hours": 1.0}
    return Race(method, seed, experiments, **(fields | more))  # type: ignore[arg-type]


def report(races: list[Race]) -> Report:
    return Report("gold", "gr", 60, 1, len({r.seed for r in races}), races=races)


def test_a_race_without_a_hit_counts_as_more_than_the_budget_and_never_as_a_number() -> None:
    made = report([one("solvus", s, e) for s, e in enumerate((9, 12, None, 20, 15), start=1)])
    ours = made.document()["methods"]["solvus"]
    assert (ours["hit_rate"], ours["median"], ours["worst"]) == (0.8, 15.0, None)
    assert ours["experiments"] == [9, 12, None, 20, 15]
    beyond = report([one("sobol", s, None) for s in range(1, 6)]).document()["methods"]["sobol"]
    assert (beyond["median"], beyond["median_interval"]) == (None, [None, None])


def test_planners_are_compared_seed_by_seed() -> None:
    mine = [one("solvus", s, 10 + s) for s in range(1, 9)]
    theirs = [one("log-ei", s, 30 + s if s < 8 else 5) for s in range(1, 9)]
    pairs = report(mine + theirs).document()["against_solvus"]["log-ei"]
    assert (pairs["wins"], pairs["losses"], pairs["seeds"]) == (7, 1, 8)
    assert pairs["wilcoxon_p"] < 0.05
    assert not pairs["ratio_is_a_bound"]


def test_scores_of_predictions_are_told_by_output() -> None:
    ahead = (("size", 3.0), ("share", 0.5), ("size", -1.0))
    ours = report([one("solvus", 1, 9, ahead=ahead)]).document()["methods"]["solvus"]
    assert ours["ahead_by_output"]["size"] == pytest.approx(5.0**0.5)
    assert ours["ahead_beyond_two"] == {"share": 0.0, "size": 0.5, "all": pytest.approx(1 / 3)}
    assert ours["left_out_by_output"] == {}


def test_a_comparison_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    kept, heard = tmp_path / "races.json", []
    first = bench_planners("scattbo-small", "gr", ["sobol"], 1, budget=6, keep=kept, done=heard.append)
    both = bench_planners("scattbo-small", "gr", ["sobol"], 2, budget=6, keep=kept, done=heard.append)
    assert [(r.method, r.seed) for r in heard] == [("sobol", 1), ("sobol", 2)]
    assert both.of("sobol")[0] == first.of("sobol")[0]
    with pytest.raises(ValueError, match="another world, objective, budget"):
        bench_planners("scattbo-small", "gr", ["sobol"], 1, budget=7, keep=kept)


def test_a_race_repeats_itself_and_keeps_what_came_of_its_predictions() -> None:
    runs = [race(world_of("scattbo-tuning-small", "gr", 9), "solvus", 103) for _ in range(2)]
    assert runs[0].best == runs[1].best
    assert runs[0].ahead == runs[1].ahead
    assert {name for name, _ in runs[0].ahead} == {"bond_length", "fraction:decahedral", "n_atoms"}
    assert len(runs[0].ahead) <= 3 * (len(runs[0].best) - 4)
