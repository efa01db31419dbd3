"""The rows of ``solvus evaluate autoencoder``: what each measures, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from solvus.models.latent.generate import generate
from solvus.models.latent.walk import place_of, walk
from solvus.models.latent.weights import Weights
from solvus.models.pattern_files import read_gr
from solvus.models.structures.clusters import all_clusters
from solvus.models.structures.further_clusters import further_clusters
from solvus.simulations.benchmarks.latent.answering import Answer, answered, searched, without_gap
from solvus.simulations.benchmarks.latent.test_sets import cases

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]

PROMISED = 0.9
SIZE = 0.05
"""Relative error of a diameter that counts as right."""
STEPS = 9
LARGEST_WALKED = 1500
MEASURED = (
    ("au144_pet.gr", "Au", "icosahedral", "R_w at most 0.30"),
    ("pt_nanoparticles_s1.gr", "Pt", "fcc", "a diameter of 26 to 32 angstrom"),
)


@dataclass(frozen=True)
class Figure:
    """One number: ``value`` with an interval of 95 % where it is a share or a mean, and what is aimed at in words."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    goal: str = ""


@dataclass(frozen=True)
class Row:
    """What was measured on one set, with every single answer."""

    key: str
    title: str
    peer: str
    n: int
    figures: tuple[Figure, ...]
    answers: tuple[dict[str, Any], ...] = field(default=())


def share(name: str, right: Sequence[bool], goal: str = "") -> Figure:
    """A share with Wilson's interval."""
    if not len(right):
        return Figure(name, None, unit="%", goal=goal)
    interval = binomtest(int(sum(right)), len(right)).proportion_ci(method="wilson")
    return Figure(
        name, 100.0 * sum(right) / len(right), 100.0 * interval.low, 100.0 * interval.high, "%", goal
    )


def mean(name: str, values: Sequence[float], unit: str, goal: str = "") -> Figure:
    """A mean with the interval of a bootstrap of fixed seed."""
    if not len(values):
        return Figure(name, None, unit=unit, goal=goal)
    drawn = np.random.default_rng(1).choice(np.array(values), (2000, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(name, float(np.mean(values)), float(low), float(high), unit, goal)


def coordinates(
    key: str,
    title: str,
    peer: str,
    goals: tuple[str, str],
    weights: Weights,
    count: int,
    seed: int,
    watch: Progress,
) -> Row:
    """Coordinate errors, misses, families, metals, sizes and coverage on one set."""
    answers = [answered(case, weights, seed) for case in watch(cases(key, count, seed), count, key)]
    errors = [a.error for a in answers if a.error is not None]
    relaxed = [a.relaxed for a in answers if a.relaxed is not None]
    figures = [
        mean("coordinate error after the fit", errors, "angstrom", goals[0]),
        mean("coordinate error after restrained refinement", relaxed, "angstrom", goals[1]),
        share("wrong number of atoms (missed)", [not a.atoms for a in answers]),
        share("right number of atoms among the five", [a.among for a in answers]),
        *_common(answers),
    ]
    return Row(key, title, peer, len(answers), tuple(figures), tuple(asdict(a) for a in answers))


def large(key: str, title: str, weights: Weights, count: int, seed: int, watch: Progress) -> Row:
    """Particles too large for their coordinates to be compared."""
    answers = [answered(case, weights, seed) for case in watch(cases(key, count, seed), count, key)]
    figures = [
        share("family right", [a.family for a in answers], "95 %"),
        share("diameter within 5 %", [abs(a.size) <= SIZE for a in answers], "all"),
        *_common(answers)[1:],
    ]
    return Row(
        key,
        title,
        "impossible",
        len(answers),
        tuple(figures),
        tuple(asdict(a) for a in answers),
    )


def _common(answers: Sequence[Answer]) -> list[Figure]:
    return [
        share("family right", [a.family for a in answers]),
        share("metal in the set", [a.metal for a in answers], "all"),
        share("truth in the network's 90 % region", [a.seen <= PROMISED for a in answers], "85-95 %"),
        share("truth in the 90 % region after refinement", [a.refined <= PROMISED for a in answers]),
        mean("R_w of the first", [a.r_w for a in answers], ""),
        mean("time", [a.seconds for a in answers], "s", "10 s"),
    ]


def walks(weights: Weights, count: int, seed: int, watch: Progress) -> Row:
    """Straight ways between random pairs of particles of the library."""
    held = [c for c in (*all_clusters(), *further_clusters()) if c.n_atoms <= LARGEST_WALKED]
    generator = np.random.default_rng((seed, 51))
    sane, told = [], []
    for _ in watch(range(count), count, "walks"):
        a, b = generator.choice(len(held), 2, replace=False)
        ends = [place_of(weights, held[int(k)].build())[0] for k in (a, b)]
        way = walk(weights, ends[0], ends[1], STEPS)
        sane += [step.sane for step in way]
        told.append(
            {
                "from": held[int(a)].name,
                "to": held[int(b)].name,
                "way": [None if s.particle is None else s.particle.name for s in way],
                "faults": [list(s.check.faults) for s in way],
            }
        )
    figures = (share("physical structures", sane, "95 %"),)
    return Row("walks", f"walks of {STEPS} steps between random pairs", "-", count, figures, tuple(told))


def left_out(key: str, title: str, weights: Weights, count: int, seed: int, watch: Progress) -> Row:
    """Structures that a library does not hold: the autoencoder beside a plain search of that library."""
    library = without_gap()
    ours, theirs = [], []
    for case in watch(cases(key, count, seed), count, f"{key} left out"):
        ours.append(answered(case, weights, seed))
        theirs.append(searched(case, library))
    figures = (
        mean("R_w, autoencoder", [a.r_w for a in ours], ""),
        mean("R_w, library search", [s.r_w for s in theirs], ""),
        share("autoencoder fits better", [a.r_w < s.r_w for a, s in zip(ours, theirs, strict=True)]),
        share("right number of atoms, autoencoder", [a.atoms for a in ours]),
        share("right number of atoms, library search", [s.atoms for s in theirs]),
        share("family right, autoencoder", [a.family for a in ours]),
        share("family right, library search", [s.family for s in theirs]),
        mean("time, autoencoder", [a.seconds for a in ours], "s"),
        mean("time, library search", [s.seconds for s in theirs], "s"),
    )
    told = tuple({**asdict(a), "library": asdict(s)} for a, s in zip(ours, theirs, strict=True))
    return Row(f"without-{key}", title, "-", count, figures, told)


def measured(folder: Path, weights: Weights, seed: int) -> Iterator[Row]:
    """Measured patterns of known truth; those that are missing are left out."""
    for name, metal, family, aim in MEASURED:
        if not (folder / name).is_file():
            continue
        answer = generate(
            read_gr(folder / name), elements=[metal], r_range=(1.6, 20.0), weights=weights, seed=seed
        )
        first = answer.hypotheses[0]
        figures = (
            Figure(f"{family} first", float(first.particle.family == family), goal="1"),
            Figure("R_w", first.r_w, goal=aim if aim.startswith("R_w") else ""),
            Figure("diameter", first.diameter, unit="angstrom", goal=aim if "diameter" in aim else ""),
            Figure("R_w, atoms refined", None if first.relaxed is None else first.relaxed.r_w),
        )
        told = tuple(
            {"structure": h.name, "probability": h.probability, "r_w": h.r_w, "diameter": h.diameter}
            for h in answer.hypotheses
        )
        yield Row(name, f"measured: {name} ({first.name})", "-", 1, figures, told)


ROWS = (
    *("families", "faulted", "varied", "quiet", "large", "huge"),
    *("walks", "without-faulted", "without-gap", "measured"),
)


def row(
    key: str, weights: Weights, count: int, seed: int, watch: Progress, patterns: Path | None
) -> Iterator[Row]:
    """One of ``ROWS``."""
    sets = {
        "families": ("seven families, 28 metals, up to 200 atoms", "0.093 +- 0.058", ("0.05", "0.02")),
        "faulted": ("stacking-faulted spheres", "0.030 +- 0.019", ("0.015", "")),
        "varied": ("the same, varied settings, 1 % noise", "fails", ("1.5 x the one setting", "")),
        "quiet": ("the same, varied settings, no noise", "fails", ("1.5 x the one setting", "")),
    }
    if key in sets:
        title, peer, goals = sets[key]
        yield coordinates(key, title, peer, goals, weights, count, seed, watch)
    elif key in ("large", "huge"):
        title = "200 to 1,500 atoms" if key == "large" else "2,000 to 12,000 atoms"
        yield large(key, title, weights, count, seed, watch)
    elif key == "walks":
        yield walks(weights, count, seed, watch)
    elif key.startswith("without-"):
        told = {
            "faulted": "stacking faults left out of the library",
            "gap": "60 to 120 atoms left out of the library",
        }
        name = key.removeprefix("without-")
        yield left_out(name, told[name], weights, count, seed, watch)
    elif patterns is not None:
        yield from measured(patterns, weights, seed)
