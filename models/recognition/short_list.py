"""Which structures are worth a fit, and a quick fit of each: what the network finds near, screened and fitted.

The short list holds the entries nearest in the embedding and those nearest within each type that the network thinks
possible, so that neither a wrong type nor a wrong neighbour alone can lose the right structure. Lengths in angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvus.models.identification import NONE
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.compounds import REACHED
from solvus.models.recognition.curves import curves, damping
from solvus.models.recognition.evidence import Evidence
from solvus.models.recognition.geometry_curves import GEOMETRY_REACH, REFERENCE_BOND, geometry_row
from solvus.models.recognition.quick_fit import Observed, QuickFits, quick_fits
from solvus.models.recognition.recogniser import UNTRAINED, Recogniser, Recognition
from solvus.models.recognition.screening import STRETCHES, Hit, screen
from solvus.models.recognition.signatures import REACH, U_ISO, Radiation, Signatures
from solvus.models.structures.library import Library

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

R_STEP = 0.1
"""angstrom, of the points that are fitted."""
NEAREST = 40
"""Entries nearest in the embedding, whatever their type."""
OF_KIND, KINDS, LEAST_KIND = 16, 5, 1e-3
"""Nearest entries of each of the most probable types, how many types, and from which probability."""
OWN = 40
"""Structures of a user's own that are taken by the matched filter, whatever the network, which never saw them, says."""
STRETCH_STEP = 0.005
"""As in :data:`~solvus.models.recognition.screening.STRETCHES`, where the reason stands."""
FITTED = 48
"""Structures that are fitted after screening."""
BOND_STEPS = np.linspace(-2.5, 2.5, 11)
LEAST_BOND_SD, MOST_BOND_SD = 0.006, 0.04
"""Relative, between which the network's uncertainty of the bond length is trusted."""
START_U = 0.005
MOST_DIAMETER = 400.0


@dataclass(frozen=True)
class Fitted:
    """A structure with its quick fit.

    Attributes
    ----------
    name, kind : of the library entry. geometry : whether it is a metal geometry, whose stretch is relative to
        ``REFERENCE_BOND``, and not a record, whose stretch is relative to its own cell.
    """

    name: str
    kind: str
    geometry: bool
    r_w: float
    stretch: float
    extra_u: float
    diameter: float


def short_list(
    recogniser: Recogniser,
    seen: Recognition,
    data: Data,
    r_range: tuple[float, float],
    *,
    qdamp: float,
    radiation: Radiation,
    allowed: Collection[str] | None = None,
    expansion: float | None = None,
) -> list[Fitted]:
    """Structures worth a full refinement with their quick fits, best first.

    Parameters
    ----------
    seen : what the network says of the pattern; ``recogniser`` that said it.
    r_range : angstrom; qdamp : of the instrument, 1/angstrom.
    allowed : names of entries that may be taken; ``None`` for all.
    expansion : relative range of cells that is declared; ``None`` for the usual one.
    """
    stretches = _stretches(expansion)
    chosen = _chosen(seen, allowed)
    if recogniser.own:
        own = [r for r in recogniser.own if allowed is None or r.name in allowed]
        held = recogniser.signatures(radiation).subset(record.name for record in own)
        types = {record.name: record.type for record in own}
        hits = screen(held, data, r_range, qdamp=qdamp, stretches=stretches)[:OWN]
        chosen |= {hit.name: types[hit.name] for hit in hits}
    geometries = {entry.name: entry.index for entry in Library.load("all").entries}
    observed = _observed(data, r_range, qdamp)
    found: list[Fitted] = []
    records = {name: kind for name, kind in chosen.items() if name not in geometries}
    if records:
        held = recogniser.signatures(radiation).subset(records)
        hits = screen(held, data, r_range, qdamp=qdamp, stretches=stretches)[:FITTED]
        found += _records(held, hits, records, observed)
    metal = [c for c in chosen.items() if c[0] in geometries]
    if metal:
        rows = np.stack([_geometry_curve(geometries[name]) for name, _ in metal])
        found += _geometries(metal, rows, seen, observed)
    return sorted(found, key=lambda f: (f.r_w, f.name))


def evidence_of(
    seen: Recognition, fitted: Sequence[Fitted], points: float, noise: float, *, expansion: float | None
) -> Evidence:
    """What network and quick fits say together.

    Parameters
    ----------
    points : independent points of the pattern; noise : share of white noise in its energy.
    expansion : standard deviation that is expected of the stretch of a record's cell; ``None`` for any. Geometries of
        metals have any bond length.
    """
    known = dict(seen.kinds)
    away = np.array([0.0 if f.geometry else math.log(f.stretch) for f in fitted])
    prior = np.zeros(len(fitted)) if expansion is None else -0.5 * (away / expansion) ** 2
    return Evidence(
        np.array([f.r_w for f in fitted]),
        np.array([known.get(f.kind, UNTRAINED) for f in fitted]),
        prior,
        known[NONE],
        points,
        noise,
        tuple(f.kind for f in fitted),
    )


def _chosen(seen: Recognition, allowed: Collection[str] | None) -> dict[str, str]:
    """Types by name, by the rules above."""
    ranked = [(n.name, n.kind) for n in seen.neighbours if allowed is None or n.name in allowed]
    likely = [kind for kind, p in seen.kinds if p >= LEAST_KIND][:KINDS]
    kept = dict(ranked[:NEAREST])
    for kind in likely:
        kept |= dict([pair for pair in ranked if pair[1] == kind][:OF_KIND])
    return kept


def _stretches(expansion: float | None) -> Floats:
    """Of cells, as far as a refinement reaches."""
    if expansion is None or expansion <= float(STRETCHES[-1]) - 1.0:
        return STRETCHES
    steps = math.ceil(min(expansion, REACHED) / STRETCH_STEP)
    return np.asarray(1.0 + STRETCH_STEP * np.arange(-steps, steps + 1))


def _observed(data: Data, r_range: tuple[float, float], qdamp: float) -> Observed:
    first, last = max(r_range[0], float(data.r[0])), min(r_range[1], float(data.r[-1]))
    r = np.arange(first, last, R_STEP)
    return Observed(r, np.interp(r, data.r, data.g), data.qmin, data.qmax, qdamp)


def _records(
    held: Signatures, hits: Sequence[Hit], kinds: Mapping[str, str], observed: Observed
) -> list[Fitted]:
    place = {name: k for k, name in enumerate(held.names)}
    rows = [place[hit.name] for hit in hits]
    fits = quick_fits(
        held.f[rows],
        REACH,
        held.crystalline[rows],
        observed,
        np.array([hit.stretch for hit in hits]),
        np.array([min(hit.diameter, MOST_DIAMETER) for hit in hits]),
    )
    return _fitted([(hit.name, kinds[hit.name]) for hit in hits], fits, geometry=False)


def _geometries(
    chosen: Sequence[tuple[str, str]], rows: Singles, seen: Recognition, observed: Observed
) -> list[Fitted]:
    """From several bond lengths about the one that the network sees, the best of which is refined."""
    bond, sd = seen.spacing[0], min(max(seen.spacing[1], LEAST_BOND_SD), MOST_BOND_SD)
    stretches = bond / REFERENCE_BOND * np.exp(sd * BOND_STEPS)
    n, m = len(rows), len(stretches)
    g = curves(
        np.repeat(rows, m, axis=0),
        GEOMETRY_REACH,
        np.tile(stretches, n),
        np.full(n * m, START_U),
        observed.ranges(n * m),
        observed.r,
    ) * damping(np.array([observed.qdamp]), observed.r)
    cosine = (g @ observed.g / (np.linalg.norm(g, axis=1) + 1e-30)).reshape(n, m)
    nothing = np.zeros(n, dtype=bool)
    start = stretches[cosine.argmax(axis=1)]
    fits = quick_fits(rows, GEOMETRY_REACH, nothing, observed, start, np.full(n, np.inf), START_U)
    return _fitted(chosen, fits, geometry=True)


def _fitted(chosen: Sequence[tuple[str, str]], fits: QuickFits, *, geometry: bool) -> list[Fitted]:
    columns = zip(chosen, fits.r_w, fits.stretch, fits.extra_u, fits.diameter, strict=True)
    return [
        Fitted(name, kind, geometry, float(r_w), float(stretch), float(u), float(diameter))
        for (name, kind), r_w, stretch, u, diameter in columns
    ]


@cache
def _geometry_curve(index: int) -> Singles:
    library = Library.load("all")
    return geometry_row(library.scattering(library.entries[index]), U_ISO, 0.0)
