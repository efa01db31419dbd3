"""Test patterns of polyoxometalates under POMFinder's conditions, stretched and noisy.

The conditions of POMFinder's patterns are not published; MetalFinder's, by the same authors, stand for them: Qmin
U(0, 2), Qmax U(12, 25), Qdamp U(0.01, 0.04), B U(0.1, 1) and delta2 = 2 angstrom^2, r to 10 angstrom. As for the metals
there is one version with delta2 by the plain pair sum and one without by DebyeCalculator. ``EXPANDED`` clusters are
stretched as a whole by up to 2 % either way. Lengths in angstrom, Q in 1/angstrom, B in angstrom^2.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist

from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition import pair_sum, peers
from solvus.simulations.benchmarks.recognition.cached import Clean
from solvus.simulations.benchmarks.recognition.draws import Draw, R, Range, Task, drawn, named

R_RANGE = (0.0, 10.0)
"""What POMFinder sees."""
B_PER_U = 8.0 * math.pi**2


@dataclass(frozen=True)
class PolyoxometalateSetting:
    """What a set is drawn from; ``b_iso`` is that of all atoms, ``expansion`` relative; with any ``delta2`` the plain
    pair sum computes the curves."""

    name: str
    qmin: Range = (0.0, 2.0)
    qmax: Range = (12.0, 25.0)
    qdamp: Range = (0.01, 0.04)
    b_iso: Range = (0.1, 1.0)
    delta2: float = 2.0
    expansion: Range = (0.0, 0.0)


POMFINDER = PolyoxometalateSetting("pomfinder")
POMFINDER_DEBYE = PolyoxometalateSetting("pomfinder-debye", delta2=0.0)
EXPANDED = PolyoxometalateSetting("pomfinder-expanded", expansion=(-0.02, 0.02))


def ours() -> tuple[Record, ...]:
    """The polyoxometalates of our library."""
    shipped = Catalogue.load(own_too=False).items
    return tuple(item.record for item in shipped if item.family == "polyoxometalate")


def polyoxometalates(
    setting: PolyoxometalateSetting,
    records: Sequence[Record],
    *,
    noise: float,
    seed: int,
    cache: Path,
    count: int | None = None,
) -> Iterator[Draw]:
    """Draws of ``records``: :func:`ours`, or the representatives of
    :func:`solvus.simulations.benchmarks.recognition.pomfinder.groups`.

    Parameters
    ----------
    noise, seed, cache, count : as :func:`~solvus.simulations.benchmarks.recognition.draws.drawn`; by default one draw
        of each record.

    Raises
    ------
    PeerError
        When DebyeCalculator is needed and not installed.
    """

    def make(index: int, generator: np.random.Generator) -> Clean:
        return _cluster(setting, records[index], generator)

    engine = "plain pair sum" if setting.delta2 else peers.version("debyecalculator")
    recipe = {"setting": asdict(setting), "engine": engine, "records": digest(records)}
    task = Task(setting.name, recipe, make, len(records))
    return drawn(task, noise=noise, seed=seed, count=count, cache=cache, r_range=R_RANGE)


def digest(records: Sequence[Record]) -> str:
    """One hash of the atoms of all records, in their order."""
    found = hashlib.sha256()
    for record in records:
        found.update(repr((record.name, record.species, record.cell, record.occupancy)).encode())
        found.update(np.ascontiguousarray(record.positions).tobytes())
    return found.hexdigest()


def _cluster(setting: PolyoxometalateSetting, record: Record, generator: np.random.Generator) -> Clean:
    ranges = {
        "qmin": setting.qmin,
        "qmax": setting.qmax,
        "qdamp": setting.qdamp,
        "b_iso": setting.b_iso,
        "expansion": setting.expansion,
    }
    values = named(ranges, generator) | {"delta2": setting.delta2}
    limits = {name: values[name] for name in ("qmin", "qmax", "qdamp")}
    species = [atom.symbol for atom in record.atoms()]
    places = record.positions * (1.0 + values["expansion"])
    if setting.delta2:
        u_iso = values["b_iso"] / B_PER_U
        g = pair_sum.cluster_pdf(species, places, R, **limits, u_iso=u_iso, delta2=setting.delta2)
    else:
        g = peers.cluster_pdf(species, places, R, **limits, b_iso=values["b_iso"])
    return Clean(
        g=g,
        truth=record.name,
        type=record.type,
        elements=record.elements,
        conditions=values,
        diameter=float(pdist(places).max()),
    )
