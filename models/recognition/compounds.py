"""Oxides, polyoxometalates and a user's own structures as explanations of a pattern: screened, refined, weighed.

What a refined structure counts for is its tempered likelihood (:mod:`solvus.models.recognition.candidates`) times a
prior:

    log p = log L(R_w) - k/2 log n - (stretch / sd)^2 / 2 - suspicions,

with k free parameters, n the independent points that count (Schwarz, Ann. Stat. 6, 461 (1978)), the stretch of the cell
relative to the library's, and a fixed price for whatever no crystallographer would accept. Lengths in angstrom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import Data, complexity, log_likelihood
from solvus.models.refinement.least_squares import r_weighted
from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.refine import Options, refine
from solvus.models.refinement.refinement import Refinement
from solvus.models.structures.build import worker_pool
from solvus.models.structures.catalogue import Catalogue, Item
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

CLOSE_PACKED = frozenset({"fcc", "hcp", "bcc"})
"""Types of metal that the cluster library covers with every size and twin."""
ALWAYS = 4
"""Structures that are refined however poorly they match."""
HOPELESS = (2.5, 0.5)
"""A match leaves at least this many times the best refined R_w, and at least this much, when it is not refined."""
EVALUATIONS = 18
"""Of the model in one refinement; right structures converge in 5 to 20."""
KNOWN_SD, PREDICTED_SD = 0.01, 0.02
"""Relative stretch that heat, size and substitution give a known cell, and the error of a predicted one."""
HYPOTHETICAL = 1.5
"""Price of a composition that nobody is known to have made in this structure."""
IMPLAUSIBLE = 1.0
"""Price of each displacement at its limit, where an atom is lost or carries what others should."""
BULK = 400.0
"""angstrom: a larger diameter is none that the data could tell from an endless crystal."""


@dataclass(frozen=True)
class Compound:
    """One refined structure; ``log_prior`` as at the head of this module."""

    item: Item
    fit: Refinement
    log_prior: float

    @property
    def r_w(self) -> float:
        """Without weights, as for clusters."""
        return plain_r_w(self.fit)


def plain_r_w(fit: Refinement) -> float:
    """R_w without weights, as for clusters."""
    curve = fit.curves[0]
    return r_weighted(curve.observed, curve.calculated)


@dataclass(frozen=True)
class Chosen:
    """A structure worth refining: where the diameter starts (angstrom), and the R_w of a quick fit."""

    item: Item
    diameter: float
    misfit: float


def explain(
    pattern: Pattern,
    data: Data,
    r_range: tuple[float, float],
    chosen: Sequence[Chosen],
    *,
    qdamp: float,
    processes: int = 1,
) -> list[Compound]:
    """Refined structures, most probable first; those whose quick fit is hopeless beside the best are left out.

    Parameters
    ----------
    chosen : the most promising first.
    qdamp : of the instrument, 1/angstrom.
    processes : to refine in, spawned, one thread each; the answer does not depend on their number.
    """
    measured = as_assessed(pattern, data, qdamp)
    jobs = [_Job(measured, c.item.record, c.diameter, r_range) for c in chosen]
    with _mapping(processes if len(jobs) > ALWAYS else 1) as mapped:
        fits = list(mapped(_refined, jobs[:ALWAYS]))
        best = min((plain_r_w(fit) for fit in fits if fit is not None), default=1.0)
        rest = [k for k in range(ALWAYS, len(jobs)) if not _hopeless(chosen[k].misfit, best)]
        fits += mapped(_refined, [jobs[k] for k in rest])
    tried = [chosen[k].item for k in [*range(min(ALWAYS, len(jobs))), *rest]]
    found = [
        Compound(item, fit, _log_prior(item, fit, data, r_range))
        for item, fit in zip(tried, fits, strict=True)
        if fit is not None
    ]
    weight = log_support(found, data, r_range)
    order = sorted(range(len(found)), key=lambda k: (-weight[k], found[k].item.name))
    return [found[k] for k in order]


def _hopeless(misfit: float, best: float) -> bool:
    """Whether refinement, which moves axes apart and sharpens peaks, cannot be expected to make up for a poor match."""
    return misfit > max(HOPELESS[0] * best, HOPELESS[1])


def curve_of_compound(
    record: Record,
    parameters: Mapping[str, float],
    pattern: Pattern,
    data: Data,
    r_range: tuple[float, float],
) -> Floats:
    """G(r) of refined values on the pattern's own points within ``r_range``."""
    options = Options(
        free=("scale",), start=dict(parameters), window=r_range, noise="independent", capture=0.0
    )
    measured = as_assessed(pattern, data, parameters["qdamp"])
    return refine(measured, record, options).curves[0].calculated


def as_assessed(pattern: Pattern, data: Data, qdamp: float) -> Pattern:
    """The pattern with the range of Q that its data show and a damping."""
    stated = pattern.conditions.model_copy(update={"qmin": data.qmin, "qmax": data.qmax, "qdamp": qdamp})
    return pattern.model_copy(update={"conditions": stated})


def candidates_of(catalogue: Catalogue, elements: frozenset[str] | None) -> list[Item]:
    """What the cluster library does not cover and the elements allow."""
    return [
        item
        for item in catalogue.items
        if (elements is None or item.elements <= elements)
        and not (item.family == "metal" and item.type in CLOSE_PACKED)
    ]


def log_support(compounds: Sequence[Compound], data: Data, r_range: tuple[float, float]) -> Floats:
    """Logarithm of likelihood and prior of each."""
    logs = log_likelihood(np.array([c.r_w for c in compounds]), data, r_range)
    return np.asarray(logs + np.array([c.log_prior for c in compounds]))


@dataclass(frozen=True)
class _Job:
    """One refinement, as it travels to a worker."""

    pattern: Pattern
    record: Record
    diameter: float
    r_range: tuple[float, float]


@contextmanager
def _mapping(processes: int) -> Iterator[Callable[..., Iterable[Refinement | None]]]:
    """``map``, in this process or in workers."""
    if processes == 1:
        yield map
        return
    with worker_pool(processes) as pool:
        yield pool.map


def _refined(job: _Job) -> Refinement | None:
    """``None`` for a structure that cannot be refined on these data."""
    start = {"diameter": min(job.diameter, BULK)} if job.record.periodic else {}
    size = ("diameter",) if job.record.periodic else ()
    options = Options(
        free=("scale", "lattice", "u", "delta2", *size),
        start=start,
        window=job.r_range,
        noise="independent",
        most=EVALUATIONS,
    )
    try:
        return refine(job.pattern, job.record, options)
    except RefinementError:
        return None


def _log_prior(item: Item, fit: Refinement, data: Data, r_range: tuple[float, float]) -> float:
    cell = item.record.cell
    names = [name for name in ("a", "b", "c", "expansion") if name in fit.values]
    reference = dict(zip("abc", cell[:3], strict=True)) if cell else {}
    stretches = [fit[name] / reference.get(name, 1.0) - 1.0 for name in names]
    sd = PREDICTED_SD if item.hypothetical else KNOWN_SD
    at_limit = sum(
        value.free and value.uncertainty is None
        for name, value in fit.values.items()
        if name.startswith("u_")
    )
    return (
        -complexity(len(fit.free), data, r_range)
        - 0.5 * float(np.mean(np.square(stretches))) / sd**2
        - (HYPOTHETICAL if item.hypothetical else 0.0)
        - IMPLAUSIBLE * at_limit
    )
