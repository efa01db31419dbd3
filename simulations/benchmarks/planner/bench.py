"""Many races: every planner on every seed, over a few processes."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from solvus.simulations.benchmarks.planner.methods import METHODS, missing
from solvus.simulations.benchmarks.planner.race import Race
from solvus.simulations.benchmarks.planner.report import Report
from solvus.simulations.benchmarks.planner.worlds import world_of
from solvus.simulations.scattbo import Objective

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def bench_planners(
    world: str,
    objective: Objective,
    methods: Sequence[str],
    seeds: int,
    *,
    workers: int = 1,
    budget: int | None = None,
    at_once: int = 1,
    first_seed: int = 1,
    keep: Path | None = None,
    done: Callable[[Race], None] = lambda _: None,
) -> Report:
    """Run every planner on every seed; ``done`` hears of each race as it ends.

    Parameters
    ----------
    workers : experiments under way at once. at_once : processes of this computer.
    keep : file with a line of JSON for each race: races of this comparison that it holds are not run again, and each
        new one is added as it ends, so that a comparison that was stopped goes on, and can be widened.

    Raises
    ------
    ValueError : ``keep`` holds races of another comparison; one sentence.
    """
    for name in THREADS:
        os.environ[name] = "1"  # inherited by the spawned processes, where it must precede import torch
    report = Report(world, objective, world_of(world, objective, budget).budget, workers, seeds)
    report.skipped = [reason for name in methods if (reason := missing(name)) is not None]
    present = [name for name in methods if missing(name) is None]
    comparison = {"world": world, "objective": objective, "budget": report.budget, "workers": workers}
    known = {} if keep is None else _kept(keep, comparison)
    wanted = [(name, seed) for seed in range(first_seed, first_seed + seeds) for name in present]
    report.races = [known[key] for key in wanted if key in known]
    jobs = [
        (world, objective, name, seed, workers, budget) for name, seed in wanted if (name, seed) not in known
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=context) as pool:
        try:
            for future in as_completed([pool.submit(_race, job) for job in jobs]):
                found = future.result()
                report.races.append(found)
                if keep is not None:
                    with keep.open("a") as file:
                        file.write(json.dumps(comparison | asdict(found)) + "\n")
                done(found)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    order = list(METHODS)
    report.races.sort(key=lambda r: (order.index(r.method), r.seed))
    return report


def _kept(path: Path, comparison: dict[str, object]) -> dict[tuple[str, int], Race]:
    """Races of an earlier run by method and seed."""
    found: dict[tuple[str, int], Race] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        row = json.loads(line)
        if any(row.pop(name) != value for name, value in comparison.items()):
            raise ValueError(f"{path}: holds races of another world, objective, budget or number of workers")
        for name in ("best", "ask_seconds", "wall_seconds", "levels"):
            row[name] = tuple(row[name])
        for name in ("left_out", "ahead"):
            row[name] = tuple((output, z) for output, z in row.get(name, ()))
        found[row["method"], row["seed"]] = Race(**row)
    return found


def _race(job: tuple[str, Objective, str, int, int, int | None]) -> Race:
    import torch

    from solvus.simulations.benchmarks.planner.race import race

    torch.set_num_threads(1)
    world, objective, name, seed, workers, budget = job
    return race(world_of(world, objective, budget), name, seed, workers)
