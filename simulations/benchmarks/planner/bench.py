"""Many races: every planner on every seed, over a few processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

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
    done: Callable[[Race], None] = lambda _: None,
) -> Report:
    """Run every planner on every seed; ``done`` hears of each race as it ends.

    Parameters
    ----------
    workers : experiments under way at once. at_once : processes of this computer.
    """
    for name in THREADS:
        os.environ[name] = "1"  # inherited by the spawned processes, where it must precede import torch
    report = Report(world, objective, world_of(world, objective, budget).budget, workers, seeds)
    report.skipped = [reason for name in methods if (reason := missing(name)) is not None]
    present = [name for name in methods if missing(name) is None]
    jobs = [
        (world, objective, name, seed, workers, budget)
        for seed in range(first_seed, first_seed + seeds)
        for name in present
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=context) as pool:
        try:
            for future in as_completed([pool.submit(_race, job) for job in jobs]):
                found = future.result()
                report.races.append(found)
                done(found)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    order = list(METHODS)
    report.races.sort(key=lambda r: (order.index(r.method), r.seed))
    return report


def _race(job: tuple[str, Objective, str, int, int, int | None]) -> Race:
    import torch

    from solvus.simulations.benchmarks.planner.race import race

    torch.set_num_threads(1)
    world, objective, name, seed, workers, budget = job
    return race(world_of(world, objective, budget), name, seed, workers)
