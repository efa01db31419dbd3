"""The patterns that the rows ask for: which sets, under which conditions, from which seed.

Test patterns come from the seed of the evaluation, those that fix the threshold of the strangeness from the next one;
training uses our own engine and other seeds (:mod:`solvus.models.recognition`), so the three are separate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition import pomfinder
from solvus.simulations.benchmarks.recognition.answer import Declaration
from solvus.simulations.benchmarks.recognition.bench import Bench, Part
from solvus.simulations.benchmarks.recognition.draws import Draw
from solvus.simulations.benchmarks.recognition.foreign_patterns import chemistries, foreign_patterns
from solvus.simulations.benchmarks.recognition.metal_clusters import (
    EXACT,
    IMPERFECT,
    MetalSetting,
    metal_clusters,
)
from solvus.simulations.benchmarks.recognition.metal_geometries import FAMILY, classes
from solvus.simulations.benchmarks.recognition.oxides import PARTICLES, OxideSetting, oxides
from solvus.simulations.benchmarks.recognition.polyoxometalates import (
    POMFINDER_DEBYE,
    PolyoxometalateSetting,
    ours,
    polyoxometalates,
)

CONDITION = 1000
"""Patterns of a condition: a share near 95 % is then known to 1.4 %."""
FOREIGN = 300
"""Patterns of each foreign chemistry: none accepted of so many is at most 1.3 %."""
POOLED = 400
"""Patterns of a condition that is one of several in a sample."""
LEAST_DIAMETER = 10.0
"""angstrom: below it a metal cluster of a few shells has no crystal structure to be named after."""
SHIFTED = replace(
    PARTICLES,
    name="oxide-particles-shifted",
    axes=(-0.01, 0.01),
    expansion=(-0.025, 0.025),
    u_oxygen=(0.01, 0.04),
    diameter=(15.0, 60.0),
    spread=(0.2, 0.5),
)
"""Beyond what training models in every respect: smaller and more varied particles, larger strain and motion."""
SHIFTED_NOISE = 0.05


def clusters(bench: Bench, setting: MetalSetting, noise: float, words: str) -> Part:
    """MetalFinder's classes, which the recogniser is given as its library; names are those of the classes."""
    return Part(
        key=f"{setting.name} {noise:g}",
        label=f"{words}, noise {100.0 * noise:g} %",
        draws=lambda n: metal_clusters(setting, noise=noise, seed=bench.seed, cache=bench.work, count=n),
        default=len(classes()),
        library=class_records,
        prior=prior_of(setting),
    )


def prior_of(setting: MetalSetting) -> Declaration:
    """What may be declared of the bond lengths."""
    return Declaration(expansion=None if any(setting.expansion) else EXACT)


def class_records() -> tuple[Record, ...]:
    """The records of MetalFinder's classes."""
    return tuple(one.record for one in classes())


def crystals(
    bench: Bench,
    setting: OxideSetting,
    noise: float,
    words: str,
    *,
    default: int = CONDITION,
    later: int = 0,
    prior: Declaration | None = None,
) -> Part:
    """Oxides of the shipped library.

    Parameters
    ----------
    later : how many seeds after that of the evaluation.
    prior : what is declared of the structures.
    """
    seed = bench.seed + later
    return Part(
        key=f"{setting.name} {noise:g} +{later}",
        label=f"{words}, noise {100.0 * noise:g} %",
        draws=lambda n: oxides(setting, noise=noise, seed=seed, cache=bench.work, count=n),
        default=default,
        prior=prior or Declaration(),
    )


def pomfinder_clusters(bench: Bench, setting: PolyoxometalateSetting, noise: float, words: str) -> Part:
    """POMFinder's clusters, those that are equal as one; the recogniser is given them as its library.

    Raises
    ------
    PomfinderError
        When its package cannot be had.
    """
    records = tuple(group.record for group in pomfinder.groups(pomfinder.records(bench.work)))
    return Part(
        key=f"{setting.name} {noise:g}",
        label=f"{words}, noise {100.0 * noise:g} %",
        draws=lambda n: polyoxometalates(
            setting, records, noise=noise, seed=bench.seed, cache=bench.work, count=n
        ),
        default=len(records),
        library=lambda: records,
    )


def own_polyoxometalates(bench: Bench, noise: float, *, later: int = 0) -> Part:
    """Polyoxometalates of the shipped library under POMFinder's conditions, by DebyeCalculator."""
    seed = bench.seed + later
    return Part(
        key=f"own {POMFINDER_DEBYE.name} {noise:g} +{later}",
        label=f"polyoxometalates of the library, noise {100.0 * noise:g} %",
        draws=lambda n: polyoxometalates(
            POMFINDER_DEBYE, ours(), noise=noise, seed=seed, cache=bench.work, count=n
        ),
        default=POOLED,
    )


def own_clusters(bench: Bench, noise: float, *, later: int = 0) -> Part:
    """Imperfect metal clusters from 1 nm on, named by family, for a recogniser with the shipped library."""
    seed = bench.seed + later

    def draws(count: int) -> Iterator[Draw]:
        # About two in three are large enough and of a family that metals have.
        drawn = metal_clusters(IMPERFECT, noise=noise, seed=seed, cache=bench.work, count=4 * count)
        kept = (d for d in drawn if d.type != "sc" and (d.diameter or 0.0) >= LEAST_DIAMETER)
        return islice((replace(d, type=FAMILY.get(d.type, d.type)) for d in kept), count)

    return Part(
        key=f"own {IMPERFECT.name} {noise:g} +{later}",
        label=f"imperfect metal clusters, noise {100.0 * noise:g} %",
        draws=draws,
        default=POOLED,
    )


def library_chemistry(bench: Bench, noise: float, *, later: int = 0) -> tuple[Part, ...]:
    """Oxides, polyoxometalates and metals of the shipped library."""
    return (
        crystals(bench, PARTICLES, noise, "oxide particles", default=CONDITION, later=later),
        own_polyoxometalates(bench, noise, later=later),
        own_clusters(bench, noise, later=later),
    )


def foreign(bench: Bench, noise: float) -> dict[str, Part]:
    """Other chemistry by kind, of the split that neither training nor the shipped threshold has seen."""

    def part(kind: str) -> Part:
        return Part(
            key=f"foreign {kind} {noise:g}",
            label=f"{kind}, noise {100.0 * noise:g} %",
            draws=lambda n: foreign_patterns(
                "test", kind, noise=noise, seed=bench.seed, cache=bench.work, count=n
            ),
            default=FOREIGN,
        )

    return {kind: part(kind) for kind in chemistries("test")}
