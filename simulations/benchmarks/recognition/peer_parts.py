"""Parts of MetalFinder's classes, for comparisons with the peer trained again, which all of them are too many for.

Whoever is compared is given the same part as the library, and the patterns are those of the row ``clusters`` that fall
into it. With fewer classes there is less to confuse, so figures of a part say nothing of all 3,743. ``SPREAD`` keeps
every 40th class: every other geometry once, each at another bond length, so that hardly any neighbour is left and the
task is much easier for the peer. ``DENSE`` keeps five geometries that follow each other in the middle of the recipe,
hexagonal plates most of them, at all 19 bond lengths: a class has most of its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from solvus.simulations.benchmarks.recognition.bench import Bench, Part
from solvus.simulations.benchmarks.recognition.draws import Draw
from solvus.simulations.benchmarks.recognition.metal_clusters import MetalSetting, metal_clusters
from solvus.simulations.benchmarks.recognition.metal_geometries import MetalClass, classes
from solvus.simulations.benchmarks.recognition.parts import prior_of

LENGTHS = 19
"""Bond lengths of each geometry, which follow each other among the classes."""
GEOMETRIES = (96, 101)
"""From which to before which of the 197: five in the middle."""


@dataclass(frozen=True)
class Share:
    """Some of the classes, in the order of all: ``words`` for labels, and where they are."""

    words: str
    places: slice

    @property
    def classes(self) -> tuple[MetalClass, ...]:
        return classes()[self.places]


SPREAD = Share("every 40th class", slice(None, None, 40))
DENSE = Share("five neighbouring geometries", slice(GEOMETRIES[0] * LENGTHS, GEOMETRIES[1] * LENGTHS))


def part_of_clusters(bench: Bench, setting: MetalSetting, noise: float, share: Share, words: str) -> Part:
    """A part of MetalFinder's classes, which the recogniser is given as its library; names are those of the classes.

    The draws are those of :func:`solvus.simulations.benchmarks.recognition.parts.clusters` that are of these classes.
    """
    kept = share.classes
    names = {one.name for one in kept}

    def draws(count: int) -> Iterator[Draw]:
        # Every class comes once before any comes again, so that many rounds hold the count.
        rounds = -(-count // len(kept))
        drawn = metal_clusters(
            setting, noise=noise, seed=bench.seed, cache=bench.work, count=rounds * len(classes())
        )
        return islice((draw for draw in drawn if draw.truth in names), count)

    return Part(
        key=f"{setting.name} {noise:g}, {share.words}",
        label=f"{words}, {share.words}, noise {100.0 * noise:g} %",
        draws=draws,
        default=len(kept),
        library=lambda: tuple(one.record for one in kept),
        prior=prior_of(setting),
    )
