"""Classes: entries that the reference measurement cannot tell apart.

An entry joins the class of an earlier one (its *leader*) when it refines onto the leader's curve to R_w <= ``NOISE``;
otherwise it leads a class of its own. Known compounds come before hypothetical ones, then by name, so that classes are
led by what exists. No entry joins by way of a member, so there are no chains. Refined are a scale, a displacement and

- for entries *built alike* (:mod:`solvus.models.structures.class_sites`): cell and coordinates, which reach those of
  the leader, so that R_w is what the electrons on each site leave;
- for others: the cell lengths that the symmetry allows, within ``STRETCH``; coordinates stay.

Which of the other pairs are refined at all is decided by a matched filter: the largest cosine of the two curves over a
common stretch. The measurement is stated in :mod:`solvus.models.structures.class_curves`. With neutrons, in another
range or with a known composition the classes are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, minimize_scalar
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from solvus.models.structures.build import worker_pool
from solvus.models.structures.class_curves import REFERENCE, Measurement, Pairs, geometry_of, pairs_of
from solvus.models.structures.class_sites import REACH, Frame, contrast, frame_of, matched
from solvus.models.structures.classes_file import Class
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]

NOISE = 0.02
"""R_w: what counting statistics and reduction leave of a good measurement, 1 to 2 %."""
STRETCH = 0.08
"""Relative, of each cell length: metals of one group and charge differ by less, and fits are started within it."""
COARSE_STRETCHES = np.linspace(-STRETCH, STRETCH, 33)
"""0.5 % apart: at the 15 angstrom of the far end half a peak's width."""
LIKELY = 0.9
"""Cosine from which a pair is refined. Another stretch of one axis by 3 % leaves about 0.9."""
LIKELY_CONTRAST = 0.15
"""Between the electrons on equal sites: what a pair built alike leaves is 0.5 to 1 of it."""
U_RANGE = (0.002, 0.02)
"""angstrom^2."""
FIRST_LOOK, HOPELESS = 4, 0.15
"""Steps after which a fit with a larger R_w than this is given up: each step near a solution at least halves it."""
DECIMALS = 4
MEASUREMENT = {"radiation": "xray", **REFERENCE, "noise": NOISE, "stretch": STRETCH, "reach": REACH}
"""What is written beside the classes."""


@cache
def _measurement() -> Measurement:
    return Measurement()


def classes_of(
    records: Sequence[Record],
    *,
    processes: int = 1,
    progress: Progress = lambda items, total: items,
) -> list[Class]:
    """Every record in one class, by leader.

    Parameters
    ----------
    processes : spawned, one thread each; the answer does not depend on their number.
    progress : wraps what is computed piece by piece, given how many pieces there are.
    """
    ordered = sorted(records, key=lambda record: (record.hypothetical, record.name))
    pairs, frames, curves = [], [], []
    for record in progress(ordered, len(ordered)):
        pairs.append(pairs_of(record))
        frames.append(frame_of(record))
        curves.append(_coarse_curves(pairs[-1]))
    groups = _likely_groups(frames, np.stack(curves))
    jobs = [([frames[i] for i in group], [pairs[i] for i in group], starts) for group, starts in groups]
    found = [c for group in progress(_computed(jobs, processes), len(jobs)) for c in group]
    return sorted(found, key=lambda c: c.leader)


Job = tuple[list[Frame], list[Pairs], Floats]
"""Sites, pairs, and the stretch from which entry i refines onto entry k where that is likely, else nan: (k, i)."""


def _computed(jobs: Sequence[Job], processes: int) -> Iterable[list[Class]]:
    if processes == 1:
        yield from map(classes_in, jobs)
        return
    with worker_pool(processes) as pool:
        yield from pool.map(classes_in, sorted(jobs, key=lambda job: -len(job[0])))


def classes_in(job: Job) -> list[Class]:
    """Classes within one group of entries whose curves may resemble one another, in their order."""
    frames, pairs, starts = job
    found: dict[str, Class] = {}
    for k, leader in enumerate(frames):
        if leader.record.name in found:
            continue
        name = leader.record.name
        found[name] = group = Class(name, {name: 0.0})
        left = [i for i in range(k + 1, len(frames)) if frames[i].record.name not in found]
        exchange = Exchange(leader)
        for i in left:
            r_w = exchange.misfit(frames[i])
            if r_w is None:
                r_w = misfit(pairs[k], pairs[i], starts[k, i]) if np.isfinite(starts[k, i]) else 1.0
            if r_w <= NOISE:
                group.members[frames[i].record.name] = round(r_w, DECIMALS)
                found[frames[i].record.name] = group
    return [c for name, c in found.items() if c.leader == name]


class Exchange:
    """Other atoms on the sites of one entry, its geometry kept."""

    def __init__(self, leader: Frame) -> None:
        self.leader = leader
        self._geometry = cache(lambda: geometry_of(leader.record))
        self._observed = cache(lambda: self._curve(leader.electrons, REFERENCE["u_iso"]))

    def misfit(self, other: Frame) -> float | None:
        """R_w that the atoms of the other leave; 1 when the contrast alone says so, none when not built alike."""
        order = matched(self.leader, other, STRETCH)
        if order is None:
            return None
        if contrast(self.leader, other, order) > LIKELY_CONTRAST:
            return 1.0
        electrons = np.empty(len(order))
        electrons[order] = other.electrons
        observed = self._observed()

        def r_w(u: float) -> float:
            return float(np.linalg.norm(_difference(observed, self._curve(electrons, u))))

        return float(minimize_scalar(r_w, bounds=U_RANGE, method="bounded", options={"xatol": 1e-5}).fun)

    def _curve(self, electrons: Floats, u: float) -> Floats:
        geometry = self._geometry()
        return _measurement().curve(geometry.pairs(electrons), np.zeros(geometry.freedom.shape[1]), u)


def misfit(target: Pairs, model: Pairs, start: float = 0.0) -> float:
    """R_w with which one structure refines onto the curve of another: cell lengths, displacement and scale.

    Parameters
    ----------
    start : relative stretch to begin with. A fit that is far off after a few steps is not finished.
    """
    measurement = _measurement()
    observed = measurement.curve(target, np.zeros(target.freedom.shape[1]), REFERENCE["u_iso"])
    k = model.freedom.shape[1]

    def residual(parameters: Floats) -> Floats:
        return _difference(observed, measurement.curve(model, parameters[:k], float(parameters[k])))

    bounds = ([-STRETCH] * k + [U_RANGE[0]], [STRETCH] * k + [U_RANGE[1]])
    # The curve bends on the scale of a peak's width over the far end: 0.5 % of a length, a third of u.
    scales = [0.005] * k + [0.002]
    inner = float(np.clip(start, -0.99 * STRETCH, 0.99 * STRETCH))
    guess = [*[inner] * k, REFERENCE["u_iso"]]
    for evaluations in (FIRST_LOOK, None):
        fit = least_squares(
            residual, guess, bounds=bounds, x_scale=scales, xtol=1e-5, ftol=1e-6, max_nfev=evaluations
        )
        r_w, guess = float(np.linalg.norm(fit.fun)), fit.x
        if r_w > HOPELESS:
            break
    return r_w


def _difference(observed: Floats, curve: Floats) -> Floats:
    """At the best scale, in units of the observed curve's length."""
    scale = max(0.0, float(curve @ observed) / float(curve @ curve))
    difference: Floats = (observed - scale * curve) / np.linalg.norm(observed)
    return difference


def _coarse_curves(pairs: Pairs) -> NDArray[np.float32]:
    """(stretches, points) normalised curves."""
    measurement, k = _measurement(), pairs.freedom.shape[1]
    curves = [measurement.curve(pairs, np.full(k, s), REFERENCE["u_iso"]) for s in COARSE_STRETCHES]
    stacked = np.stack(curves)
    normal: NDArray[np.float32] = (stacked / np.linalg.norm(stacked, axis=1, keepdims=True)).astype(
        np.float32
    )
    return normal


def _likely_groups(frames: Sequence[Frame], curves: NDArray[np.float32]) -> list[tuple[list[int], Floats]]:
    """Entries joined by likely pairs, and the best common stretches (nan where a pair is not likely)."""
    plain = curves[:, len(COARSE_STRETCHES) // 2]
    best = np.full((len(frames), len(frames)), -1.0, dtype=np.float32)
    starts = np.zeros(best.shape)
    for s, stretch in enumerate(COARSE_STRETCHES):
        cosine = plain @ curves[:, s].T
        starts[cosine > best] = stretch
        np.maximum(best, cosine, out=best)
    periodic = np.array([frame.record.periodic for frame in frames])
    likely = (best >= LIKELY) & (periodic[:, None] == periodic)
    starts[~likely] = np.nan
    kind = {key: i for i, key in enumerate(dict.fromkeys(frame.key for frame in frames))}
    built = np.array([kind[frame.key] for frame in frames])
    count, label = connected_components(coo_array(likely | (built[:, None] == built)), directed=False)
    groups = [np.flatnonzero(label == k).tolist() for k in range(count)]
    return [(group, starts[np.ix_(group, group)]) for group in groups]
