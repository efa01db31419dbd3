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
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import Data, complexity, log_likelihood
from solvus.models.refinement.least_squares import r_weighted
from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.refine import Options, refine
from solvus.models.refinement.refinement import Refinement
from solvus.models.refinement.symmetry import free_cell
from solvus.models.structures.build import worker_pool
from solvus.models.structures.catalogue import Catalogue, Item
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]
FormFactors = Literal["exact", "constant"]

CLOSE_PACKED = frozenset({"fcc", "hcp", "bcc"})
"""Types of metal that the cluster library covers with every size and twin."""
TOGETHER = 2
"""Structures that are refined before the next are judged by them: the answer is the same in one process and in two."""
HOPELESS = (2.5, 0.5)
"""A match leaves at least this many times the best refined R_w, and at least this much, when it is not refined."""
UNEXPLAINED, FURTHER = 0.6, 0.85
"""R_w that explains nothing; and what refinement may gain beyond the best gain so far. A match that would still
explain nothing with it is not refined: one in a hundred right structures gains more."""
EVALUATIONS, MORE_EVALUATIONS = 8, 12
"""Of the model in a first refinement, and beyond it for one that has not converged and is near the best; right
structures converge in 5 to 20."""
SIBLING_EVALUATIONS = 8
"""At first, for a structure that starts from the refined cell, size and motion of another of its type."""
SAFE_DELTA2 = 0.85
"""Of the refined correlated motion, where a sibling starts: its own bound may be lower by the square of 5 %."""
NEAR_BEST, DECLARED_NEAR = (1.4, 0.03), (2.5, 0.1)
"""A structure whose R_w is within this factor of the best of all, or this much, is refined to the end, and siblings of
its type are refined as well; where a range of cells is declared, of further types too: the wrong metals, and axes that
start far from their place, cost as much."""
REACHED = 0.048
"""Relative: how far a refinement may move a cell length."""
ROOM = (1.0 - REACHED, 1.0 + REACHED)
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
    """One refined structure; ``log_prior`` as at the head of this module. ``outside`` is the price of a cell beyond the
    range that is declared, which counts against *none of these* as well; zero where none is."""

    item: Item
    fit: Refinement
    log_prior: float
    outside: float = 0.0

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
    """A structure worth refining: where stretch and diameter (angstrom) start, and the R_w of a quick fit."""

    item: Item
    stretch: float
    diameter: float
    misfit: float


@dataclass(frozen=True)
class Terms:
    """Under which structures are compared.

    Attributes
    ----------
    qdamp : of the instrument, 1/angstrom.
    expansion : relative range of cells that a campaign declares; ``None`` for what heat, size and substitution do.
    siblings : further structures of the best types that are refined.
    form_factors : ``"constant"`` for curves that PDFgui or srreal calculated.
    """

    qdamp: float
    expansion: float | None = None
    siblings: int = 0
    form_factors: FormFactors = "exact"


def explain(
    pattern: Pattern,
    data: Data,
    r_range: tuple[float, float],
    chosen: Sequence[Chosen],
    terms: Terms,
    *,
    relatives: Mapping[str, float] | None = None,
    catalogue: Catalogue | None = None,
    processes: int = 1,
) -> list[Compound]:
    """Refined structures, most probable first; those whose quick fit is hopeless beside the best are left out.

    Parameters
    ----------
    chosen : the most promising first.
    relatives : among which the siblings of the best types are looked for, each with the logarithm of how probable the
        network finds it; names of ``catalogue``.
    processes : to refine in, spawned, one thread each; the answer does not depend on their number.
    """
    measured = as_assessed(pattern, data, terms.qdamp)
    tried: list[tuple[Chosen, Refinement]] = []
    with _mapping(processes if len(chosen) > TOGETHER else 1) as mapped:
        for first in range(0, len(chosen), TOGETHER):
            part = [c for c in chosen[first : first + TOGETHER] if not _hopeless(c.misfit, tried, terms)]
            fits = mapped(_refined, [_first_job(c, measured, r_range, terms) for c in part])
            tried += [(c, fit) for c, fit in zip(part, fits, strict=True) if fit is not None]
        rest = _Rest(measured, r_range, terms, mapped)
        found = rest.finished([(c.item, fit) for c, fit in tried])
        found = rest.finished(found + rest.siblings(found, _items(relatives, catalogue)))
    compounds = [_compound(item, fit, data, r_range, terms) for item, fit in found]
    weight = log_support(compounds, data, r_range)
    order = sorted(range(len(compounds)), key=lambda k: (-weight[k], compounds[k].item.name))
    return [compounds[k] for k in order]


def _hopeless(misfit: float, tried: Sequence[tuple[Chosen, Refinement]], terms: Terms) -> bool:
    """Whether refinement, which moves axes apart and sharpens peaks, cannot be expected to make up for a poor match.

    Where a range of cells is declared axes may be so far apart that a match, which stretches all alike, says little.
    """
    if not tried or terms.expansion is not None:
        return False
    best = min(plain_r_w(fit) for _, fit in tried)
    gain = min(1.0, *(plain_r_w(fit) / max(c.misfit, 1e-6) for c, fit in tried))
    return misfit > max(HOPELESS[0] * best, HOPELESS[1]) or FURTHER * gain * misfit > UNEXPLAINED


@dataclass(frozen=True)
class _Rest:
    """What is refined after the first look at each structure."""

    pattern: Pattern
    r_range: tuple[float, float]
    terms: Terms
    mapped: Callable[..., Iterable[Refinement | None]]

    def finished(self, found: Sequence[tuple[Item, Refinement]]) -> list[tuple[Item, Refinement]]:
        """The same with those refined to the end that have not converged and come near the best."""
        ends = [k for k, (_, fit) in enumerate(found) if fit.verdict == "limit" and _near_best(fit, found)]
        jobs = [_further_job(*found[k], self.pattern, self.r_range, self.terms) for k in ends]
        result = list(found)
        for k, fit in zip(ends, self.mapped(_refined, jobs), strict=True):
            result[k] = (found[k][0], fit or found[k][1])
        return result

    def siblings(
        self, found: Sequence[tuple[Item, Refinement]], relatives: Sequence[tuple[Item, float]]
    ) -> list[tuple[Item, Refinement]]:
        """Siblings with a first refinement each."""
        chosen = _siblings(found, relatives, self.terms)
        jobs = [_sibling_job(item, like, self.pattern, self.r_range, self.terms) for item, like in chosen]
        fits = self.mapped(_refined, jobs)
        return [(item, fit) for (item, _), fit in zip(chosen, fits, strict=True) if fit is not None]


def _items(names: Mapping[str, float] | None, catalogue: Catalogue | None) -> list[tuple[Item, float]]:
    if not names or catalogue is None:
        return []
    return [(catalogue.item(name), nearness) for name, nearness in names.items()]


def _near_best(
    fit: Refinement, found: Sequence[tuple[Item, Refinement]], limit: tuple[float, float] = NEAR_BEST
) -> bool:
    best = min(plain_r_w(other) for _, other in found)
    return plain_r_w(fit) <= max(limit[0] * best, best + limit[1])


def _siblings(
    found: Sequence[tuple[Item, Refinement]], relatives: Sequence[tuple[Item, float]], terms: Terms
) -> list[tuple[Item, Refinement]]:
    """Structures of the best types that were not refined, each with the refinement that it starts from: the most
    probable by their cells and by the network, for only the metals on the sites tell them apart."""
    if not found or not terms.siblings:
        return []
    leaders: dict[str, Refinement] = {}
    near = NEAR_BEST if terms.expansion is None else DECLARED_NEAR
    for item, fit in sorted(found, key=lambda pair: plain_r_w(pair[1])):
        if _near_best(fit, found, near) and item.record.periodic:
            leaders.setdefault(item.type, fit)
    known = {item.name for item, _ in found}
    ranked: list[tuple[float, str, Item, Refinement]] = []
    for item, nearness in relatives:
        like = leaders.get(item.type)
        if like is None or item.name in known or item.record.cell is None:
            continue
        away = _away(item, _lengths(like, item.record.cell), terms)
        if np.isfinite(away):
            ranked.append((away - nearness, item.name, item, like))
    ranked.sort(key=lambda row: row[:2])
    return [(item, like) for _, _, item, like in ranked[: terms.siblings]]


def _lengths(fit: Refinement, cell: Sequence[float]) -> list[float]:
    """Refined lengths over those of another cell of the same type."""
    reference = dict(zip("abc", cell[:3], strict=True))
    return [fit[name] / reference[name] for name in "abc" if name in fit.values]


def _away(item: Item, ratios: Sequence[float], terms: Terms) -> float:
    """What the prior asks for a cell that differs by these ratios; infinite where a refinement cannot reach."""
    if not ratios or max(abs(ratio - 1.0) for ratio in ratios) > REACHED:
        return float("inf")
    return _strain_price(item, [ratio - 1.0 for ratio in ratios], terms) + (
        HYPOTHETICAL if item.hypothetical else 0.0
    )


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
    return np.asarray(logs + np.array([c.log_prior + c.outside for c in compounds]))


@dataclass(frozen=True)
class _Job:
    """One refinement, as it travels to a worker."""

    pattern: Pattern
    record: Record
    start: Mapping[str, float]
    r_range: tuple[float, float]
    form_factors: FormFactors
    most: int


def _first_job(chosen: Chosen, pattern: Pattern, r_range: tuple[float, float], terms: Terms) -> _Job:
    record = chosen.item.record
    start = {"diameter": min(chosen.diameter, BULK)} if record.periodic else {}
    lengths = _free_lengths(record)
    start |= {name: value * float(np.clip(chosen.stretch, *ROOM)) for name, value in lengths.items()}
    return _Job(pattern, record, start, r_range, terms.form_factors, EVALUATIONS)


def _further_job(
    item: Item, fit: Refinement, pattern: Pattern, r_range: tuple[float, float], terms: Terms
) -> _Job:
    start = {name: fit[name] for name in fit.free}
    return _Job(pattern, item.record, start, r_range, terms.form_factors, MORE_EVALUATIONS)


def _sibling_job(
    item: Item, like: Refinement, pattern: Pattern, r_range: tuple[float, float], terms: Terms
) -> _Job:
    """From the values of another structure of the type, as far as they have the same names."""
    record = item.record
    lengths = _free_lengths(record)
    start = {
        name: float(np.clip(like[name] / v, *ROOM)) * v for name, v in lengths.items() if name in like.values
    }
    own = {f"u_{element}" for element in record.elements}
    start |= {name: like[name] for name in ("scale", "diameter", *sorted(own & like.values.keys()))}
    # Its bound depends on the shortest distance, which differs from one to the other.
    start["delta2"] = SAFE_DELTA2 * like["delta2"]
    return _Job(pattern, record, start, r_range, terms.form_factors, SIBLING_EVALUATIONS)


def _free_lengths(record: Record) -> dict[str, float]:
    """Names and values of what sets the size of a structure in a refinement."""
    if record.cell is None:
        return {"expansion": 1.0}
    names = free_cell(record.space_group or 1, record.cell)
    return {name: record.cell[places[0]] for name, places in names.items() if places[0] < 3}


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
    size = ("diameter",) if job.record.periodic else ()
    options = Options(
        free=("scale", "lattice", "u", "delta2", *size),
        start=job.start,
        window=job.r_range,
        noise="independent",
        form_factors=job.form_factors,
        capture=0.0,
        most=job.most,
    )
    try:
        return refine(job.pattern, job.record, options)
    except RefinementError:
        return None


def _compound(
    item: Item, fit: Refinement, data: Data, r_range: tuple[float, float], terms: Terms
) -> Compound:
    cell = item.record.cell
    names = [name for name in ("a", "b", "c", "expansion") if name in fit.values]
    reference = dict(zip("abc", cell[:3], strict=True)) if cell else {}
    at_limit = sum(
        value.free and value.uncertainty is None
        for name, value in fit.values.items()
        if name.startswith("u_")
    )
    strain = _strain_price(item, [fit[name] / reference.get(name, 1.0) - 1.0 for name in names], terms)
    prior = (
        -complexity(len(fit.free), data, r_range)
        - (HYPOTHETICAL if item.hypothetical else 0.0)
        - IMPLAUSIBLE * at_limit
    )
    declared = terms.expansion is not None
    return Compound(item, fit, prior - (0.0 if declared else strain), -strain if declared else 0.0)


def _strain_price(item: Item, stretches: Sequence[float], terms: Terms) -> float:
    """Of cell lengths beside the library's: that of a normal density, or none within a declared range and that of half
    the range beyond it."""
    declared = terms.expansion
    usual = PREDICTED_SD if item.hypothetical else KNOWN_SD
    sd = usual if declared is None else 0.5 * declared
    beyond = np.maximum(np.abs(stretches) - (declared or 0.0), 0.0)
    return 0.5 * float(np.mean(np.square(beyond))) / sd**2
