"""Test patterns of other chemistry, which a recogniser of metals, oxides and polyoxometalates must refuse.

Crystals are drawn as the particles of oxides are (diffpy.pdffit2, 2 nm to endless as far as 30 angstrom can tell),
molecules and droplets of liquids and glasses by DebyeCalculator with one displacement for all atoms. A droplet is a
sphere of about 20 angstrom cut from a larger packing: its G(r) carries the shape function of that sphere, so that it
fades towards 20 angstrom faster than a large sample's, and what its surface scatters below Qmin is missing as it is for
any particle. ``"noise"`` is a chemistry of its own: curves of nothing but noise. Lengths in angstrom, Q in 1/angstrom,
U in angstrom^2.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from solvus.models.recognition.foreign.prototypes import Split
from solvus.models.recognition.foreign.splits import chemistry, foreign_records, indistinguishable
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition import peers
from solvus.simulations.benchmarks.recognition.cached import Clean
from solvus.simulations.benchmarks.recognition.draws import Draw, DrawError, R, Range, Task, drawn, named
from solvus.simulations.benchmarks.recognition.noise import white_noise
from solvus.simulations.benchmarks.recognition.oxides import PARTICLES, oxides
from solvus.simulations.benchmarks.recognition.polyoxometalates import digest

NOTHING = "noise"
"""The chemistry of curves without a structure."""
NOISE_CURVES = 40
"""Curves of noise where no number is given."""
RANGES: dict[str, Range] = {
    "qmin": PARTICLES.qmin,
    "qmax": PARTICLES.qmax,
    "qdamp": PARTICLES.qdamp,
    "u_iso": (0.002, 0.02),
    "expansion": (-0.015, 0.015),
}
"""For molecules and droplets."""
CRYSTALS = replace(PARTICLES, name="foreign-crystals", u_iso=RANGES["u_iso"])


def chemistries(split: Split) -> tuple[str, ...]:
    """What :func:`foreign_patterns` can be asked for, the test's with noise."""
    found = dict.fromkeys(chemistry(record) for record in foreign_records(split))
    return (*found, NOTHING) if split == "test" else tuple(found)


def foreign_patterns(
    split: Split, kind: str, *, noise: float, seed: int, cache: Path, count: int | None = None
) -> Iterator[Draw]:
    """Draws of one chemistry; crystals come first, molecules and droplets after them, in their shares.

    A draw whose structure X-rays cannot tell from a member of the library has ``conditions["indistinguishable"]`` 1,
    any other 0. ``type`` is the kind of compound, such as ``zincblende chalcogenide``.

    Parameters
    ----------
    kind : one of :func:`chemistries`.
    noise, seed, cache, count : as :func:`~solvus.simulations.benchmarks.recognition.draws.drawn`; by default one draw
        of each structure, and ``NOISE_CURVES`` of noise.

    Raises
    ------
    DrawError
        For a chemistry that the split does not hold.
    PeerError
        When a program that computes the patterns is not installed.
    """
    seed = zlib.crc32(f"{seed} {split} {kind}".encode())  # else all chemistries would share their conditions
    if kind == NOTHING:
        return _marked(_nothing(noise, seed, cache, NOISE_CURVES if count is None else count))
    if kind not in chemistries(split):
        raise DrawError(
            f"kind: {kind!r} is no chemistry of {split}; choose from {', '.join(chemistries(split))}"
        )
    records = [record for record in foreign_records(split) if chemistry(record) == kind]
    crystals = [record for record in records if record.periodic]
    others = [record for record in records if not record.periodic]
    total = len(records) if count is None else count
    first = round(total * len(crystals) / len(records))
    parts: list[Iterator[Draw]] = []
    if first:
        found = oxides(CRYSTALS, noise=noise, seed=seed, cache=cache, count=first, records=crystals)
        parts.append(found)
    if total - first:
        parts.append(_clusters(others, noise, seed, cache, total - first))
    return _marked(chain(*parts))


def _marked(draws: Iterator[Draw]) -> Iterator[Draw]:
    for draw in draws:
        mark = float(draw.type != NOTHING and draw.truth in _indistinguishable())
        yield replace(draw, conditions={**draw.conditions, "indistinguishable": mark})


@cache
def _indistinguishable() -> frozenset[str]:
    splits: tuple[Split, ...] = ("threshold", "test")
    return frozenset(r.name for split in splits for r in foreign_records(split) if indistinguishable(r))


def _clusters(records: Sequence[Record], noise: float, seed: int, cache: Path, count: int) -> Iterator[Draw]:
    def make(index: int, generator: np.random.Generator) -> Clean:
        record, values = records[index], named(RANGES, generator)
        places = record.positions * (1.0 + values["expansion"])
        g = peers.cluster_pdf(
            record.species, places, R, **_limits(values), b_iso=8.0 * math.pi**2 * values["u_iso"]
        )
        return Clean(
            g=g,
            truth=record.name,
            type=record.type,
            elements=record.elements,
            conditions=values,
            diameter=float(pdist(places).max()),
        )

    recipe: dict[str, Any] = {"ranges": RANGES, "engine": peers.version("debyecalculator")}
    task = Task("foreign-clusters", {**recipe, "records": digest(records)}, make, len(records))
    return drawn(task, noise=noise, seed=seed, count=count, cache=cache)


def _nothing(noise: float, seed: int, cache: Path, count: int) -> Iterator[Draw]:
    def make(index: int, generator: np.random.Generator) -> Clean:
        values = named({name: RANGES[name] for name in ("qmin", "qmax", "qdamp")}, generator)
        g = white_noise(R, values["qmax"], generator)
        return Clean(g=g, truth=NOTHING, type=NOTHING, elements=frozenset(), conditions=values)

    task = Task(f"foreign-{NOTHING}", {"ranges": RANGES}, make, 1)
    return drawn(task, noise=noise, seed=seed, count=count, cache=cache)


def _limits(values: dict[str, float]) -> dict[str, float]:
    return {name: values[name] for name in ("qmin", "qmax", "qdamp")}
