"""Is there a second phase? Looked for in what the best single phase leaves, and believed only at a price.

Every structure is compared with the pattern beside the first phase's curve
(:mod:`solvus.models.recognition.residual_screening`), and the best are refined together with the first. The pair counts
for

    log p = -n/2 log(R_w^2 + floor^2) - k/2 log n - log(structures tried) - (stretch / sd)^2 / 2 - prices,

with n and k as in :mod:`solvus.models.recognition.candidates`, the single phase for the first two terms. A second
phase is believed when the pair's log p is ``EVIDENCE`` higher and its share of the atoms at least ``LEAST_SHARE`` and
three of its standard uncertainties.

The refinement weighs phases by their amplitudes at Q = 0. With A_p the refined weight, F_p the reduced structure
function and rho_p(Q) = <f_p>^2 / <f>^2 of a phase in the mixture, the shares of atoms are

    x_p ~ A_p / mean of rho_p over Qmin to Qmax, weighted by F_p^2.

Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.identification import Descriptor
from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import INDEPENDENT_SHARE, Data, complexity
from solvus.models.recognition.compounds import as_assessed, plain_r_w
from solvus.models.recognition.residual_screening import Beside, screen_beside
from solvus.models.recognition.signatures import Radiation, Signatures, shipped, signatures_of
from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.refine import Options, refine
from solvus.models.refinement.refinement import Refinement
from solvus.models.scattering.composition import Composition, composition_of, scattering_power
from solvus.models.scattering.mixture import whole_composition
from solvus.models.structures.catalogue import Catalogue, Item
from solvus.models.structures.catalogue_file import CatalogueError
from solvus.models.structures.record import Record
from solvus.models.structures.record_structure import structure_of

Floats = NDArray[np.float64]

TRIED = 2
"""Pairs refined."""
PROMISING = 0.4
"""Least partial correlation of a structure worth refining: a sixth of the remaining misfit is explained before its cell
is refined, and a true phase explains three quarters and more after."""
NEARLY_BEST = 0.9
"""Share of the best partial correlation below which a further structure is not refined."""
EVALUATIONS = 14
"""Of the model in one refinement of a pair."""
EVIDENCE = 3.0
"""Logarithm of the odds, beyond even, from which on a second phase is believed."""
FLOOR = 0.02
"""R_w below which differences are no evidence. In measured patterns of one phase a second one takes R_w down by a third
at most (0.38 to 0.27, 0.19 to 0.14, 0.125 to 0.08), in mixtures by half and more."""
SAME_TYPE = 3.0
"""Price of a second phase of the first one's type: a spread of sizes or cells within one phase looks like it."""
LEAST_SHARE = 0.02
"""Share of the atoms; less is within the error of the model of a first phase that fits well."""
CERTAIN = 3.0
"""Standard uncertainties by which the share must exceed zero."""
MODEL_ERROR = 0.01
"""Standard uncertainty of a share that the form factors' mean and the sphere leave, on simulated mixtures."""
STRETCH_SD, HYPOTHETICAL = 0.015, 1.5
FREE = ("scale", "lattice", "u", "delta2", "diameter", "fraction")
BULK = 400.0
"""angstrom: a larger diameter is none that the data could tell from an endless crystal."""
LARGEST = 1000
ROUNDS = 20
"""Of the fixed point of the shares; each gains more than a digit."""
ROOM = 0.045
"""Share of a cell that its start may differ by, within what the refinement allows."""


@dataclass(frozen=True)
class SecondPhase:
    """Two phases that explain a pattern together.

    Attributes
    ----------
    item : the second one.
    fit : the pair refined together; names end in ``@1`` (the first phase) and ``@2``.
    atoms, mass : share of all atoms, and of the mass, that the second phase holds; the first holds the rest. The
        standard uncertainty is that of the covariance, with ``MODEL_ERROR``.
    r_w, r_w_alone : of the pair, and of the first phase alone.
    evidence : logarithm of the odds for two phases against one.
    """

    item: Item
    fit: Refinement
    atoms: Descriptor
    mass: Descriptor
    r_w: float
    r_w_alone: float
    evidence: float


def second_phase(
    pattern: Pattern,
    data: Data,
    first: Record,
    fit: Refinement | None,
    r_range: tuple[float, float],
    *,
    elements: frozenset[str] | None,
    qdamp: float,
    catalogue: Catalogue,
) -> SecondPhase | None:
    """Look for another phase beside the first; ``None`` when none is needed.

    Parameters
    ----------
    pattern, data : the G(r), and the same with the range of Q that was assessed.
    first : the best single phase; fit : its refinement, made here where it is ``None`` (for a metal that was found as a
        cluster: give :func:`record_of_metal`).
    elements : that the sample may hold; ``None`` for any.
    qdamp : of the instrument, 1/angstrom.
    """
    measured = as_assessed(pattern, data, qdamp)
    alone = fit if fit is not None else _refined_alone(measured, first, r_range)
    if alone is None:
        return None
    items = {item.name: item for item in _possible(catalogue, elements) if item.name != first.name}
    radiation: Radiation = pattern.conditions.radiation
    found = []
    for hit in _promising(items, radiation, data, alone, r_range, qdamp):
        pair = _refined_pair(measured, first, alone, items[hit.name].record, hit, r_range)
        if pair is not None:
            weight = _log_weight(pair, items[hit.name], first, data, r_range, len(items))
            found.append((weight, hit.name, pair))
    if not found:
        return None
    weight, name, pair = max(found, key=lambda entry: (entry[0], entry[1]))
    evidence = weight - _log_alone(alone, data, r_range)
    atoms, mass = _shares(pair, (first, items[name].record), data, radiation)
    if evidence < EVIDENCE or not _believable(atoms):
        return None
    return SecondPhase(items[name], pair, atoms, mass, plain_r_w(pair), plain_r_w(alone), evidence)


def record_of_metal(metal: str, family: str, geometry: str, catalogue: Catalogue) -> Record | None:
    """What stands for a metal that was found as a cluster, to look for a second phase beside it.

    Parameters
    ----------
    family, geometry : of the cluster: ``"fcc"``, ``"fcc-sphere-1433"``. The close-packed ones are particles cut from
        their crystal; a cluster of ``LARGEST`` atoms or more has no quick refinement, so that ``None`` comes back.
    """
    names = {item.name for item in catalogue.items}
    if f"{metal} {family}" in names:
        return catalogue.find(f"{metal} {family}")
    try:
        item = catalogue.item(f"{metal} {geometry}")
    except CatalogueError:
        return None
    return item.record if item.n_atoms < LARGEST else None


def _possible(catalogue: Catalogue, elements: frozenset[str] | None) -> list[Item]:
    return [item for item in catalogue.items if elements is None or item.elements <= elements]


def _refined_alone(measured: Pattern, record: Record, r_range: tuple[float, float]) -> Refinement | None:
    words = [word for word in FREE if word != "fraction" and (record.periodic or word != "diameter")]
    options = Options(free=tuple(words), window=r_range, noise="independent", most=EVALUATIONS)
    try:
        return refine(measured, record, options)
    except RefinementError:
        return None


def _promising(
    items: Mapping[str, Item],
    radiation: Radiation,
    data: Data,
    alone: Refinement,
    r_range: tuple[float, float],
    qdamp: float,
) -> list[Beside]:
    """Structures worth refining beside the first, by partial correlation."""
    curve = alone.curves[0]
    known = (curve.x, curve.calculated)
    hits = screen_beside(_signatures(items, radiation), data, known, r_range, qdamp=qdamp)
    if not hits or hits[0].cosine < PROMISING:
        return []
    return [hit for hit in hits if hit.cosine >= NEARLY_BEST * hits[0].cosine][:TRIED]


def _signatures(items: Mapping[str, Item], radiation: Radiation) -> Signatures:
    held = shipped(radiation).subset(name for name, item in items.items() if item.origin == "shipped")
    own = [item.record for item in items.values() if item.origin == "own"]
    return held.joined(signatures_of(own, radiation)) if own else held


def _refined_pair(
    measured: Pattern,
    first: Record,
    alone: Refinement,
    second: Record,
    hit: Beside,
    r_range: tuple[float, float],
) -> Refinement | None:
    start = {
        f"{name}@1" if name not in {"scale", "qdamp", "qbroad"} else name: value.value
        for name, value in alone.values.items()
        if value.free
    }
    start |= {f"{name}@2": value for name, value in _stretched(second, hit).items()}
    shaped = first.periodic or second.periodic
    words = tuple(word for word in FREE if shaped or word != "diameter")
    options = Options(free=words, start=start, window=r_range, capture=0.0, most=EVALUATIONS)
    try:
        return refine(measured, [first, second], options)
    except RefinementError:
        return None


def _stretched(record: Record, hit: Beside) -> dict[str, float]:
    """Where the cell, or the expansion, and the diameter of the second phase start."""
    factor = min(1.0 + ROOM, max(1.0 - ROOM, hit.stretch))
    if record.cell is None:
        return {"expansion": factor}
    lengths = dict(zip("abc", record.cell[:3], strict=True))
    names = _free_lengths(record)
    start = {name: lengths[name] * factor for name in names}
    return start | {"diameter": min(hit.diameter, BULK)}


def _free_lengths(record: Record) -> list[str]:
    return [name for name in Phase.of(record).cell_names if name in "abc"]


def _log_weight(
    pair: Refinement, item: Item, first: Record, data: Data, r_range: tuple[float, float], tried: int
) -> float:
    stretches = [pair[f"{name}@2"] / length - 1.0 for name, length in _lengths(item.record, pair)]
    price = math.log(tried)
    price += 0.5 * float(np.mean(np.square(stretches))) / STRETCH_SD**2 if stretches else 0.0
    price += HYPOTHETICAL if item.hypothetical else 0.0
    price += SAME_TYPE if item.type == first.type else 0.0
    return _log_alone(pair, data, r_range) - price


def _lengths(record: Record, pair: Refinement) -> Iterable[tuple[str, float]]:
    reference = dict(zip("abc", record.cell[:3], strict=True)) if record.cell else {"expansion": 1.0}
    return [(name, length) for name, length in reference.items() if f"{name}@2" in pair.values]


def _log_alone(fit: Refinement, data: Data, r_range: tuple[float, float]) -> float:
    """Likelihood less the price of the free parameters."""
    counted = INDEPENDENT_SHARE * data.independent_points(r_range)
    likelihood = -0.5 * counted * math.log(plain_r_w(fit) ** 2 + FLOOR**2)
    return likelihood - complexity(len(fit.free), data, r_range)


def _believable(atoms: Descriptor) -> bool:
    least = max(LEAST_SHARE, CERTAIN * atoms.sd)
    return least <= atoms.mean <= 1.0 - LEAST_SHARE


def _shares(
    pair: Refinement, records: Sequence[Record], data: Data, radiation: Radiation
) -> tuple[Descriptor, Descriptor]:
    """Shares of atoms and mass of the second phase; see the head of this module."""
    compositions = [composition_of(structure_of(record)) for record in records]
    x = pair["fraction@2"]
    sd = pair.uncertainty("fraction@2")
    share = _by_atoms(x, records, compositions, data, radiation)
    # Both are monotonic in the refined fraction; their uncertainties follow its derivative.
    step = 0.01 if x < 0.5 else -0.01
    slope = (_by_atoms(x + step, records, compositions, data, radiation) - share) / step
    spread = math.hypot(slope * (0.5 if sd is None else sd), MODEL_ERROR)
    masses = [float(c.mean_mass()) for c in compositions]
    by_mass = share * masses[1] / (share * masses[1] + (1.0 - share) * masses[0])
    factor = masses[0] * masses[1] / (share * masses[1] + (1.0 - share) * masses[0]) ** 2
    return (
        Descriptor(mean=share, sd=min(0.5, spread)),
        Descriptor(mean=by_mass, sd=min(0.5, factor * spread)),
    )


def _by_atoms(
    x: float,
    records: Sequence[Record],
    compositions: Sequence[Composition],
    data: Data,
    radiation: Radiation,
) -> float:
    rows = signatures_of(records, radiation)
    q = rows.q
    inside = (q >= data.qmin) & (q <= data.qmax)
    weight = np.asarray(rows.f[:, inside], dtype=np.float64) ** 2
    grid = torch.tensor(np.concatenate([[0.0], q[inside]]), dtype=torch.float64)
    powers = np.stack([scattering_power(c, grid, radiation).square_mean.numpy() for c in compositions])
    amplitude = np.array([1.0 - x, x]) * powers[:, 0]
    shares = np.array([1.0 - x, x])
    for _ in range(ROUNDS):
        whole = whole_composition(compositions, torch.tensor(shares))
        mean = scattering_power(whole, grid, radiation).square_mean.numpy()
        rho = (weight * powers[:, 1:] / mean[1:]).sum(axis=1) / weight.sum(axis=1)
        shares = amplitude / rho
        shares /= shares.sum()
    return float(shares[1])
