"""What the autoencoder, or a plain search of the library, answers to one test pattern, and how far it is off."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.latent.generate import R_RANGE, REFINED, Generated, generate
from solvus.models.latent.placing import invariants_of, places_of
from solvus.models.latent.weights import Weights
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.matching import Matcher, Setting, bond_indices
from solvus.models.recognition.quality import assess
from solvus.models.refinement.least_squares import fit
from solvus.models.structures.build import scattering_of
from solvus.models.structures.clusters import unit_positions
from solvus.models.structures.library import Entry, Library
from solvus.simulations.benchmarks.latent.alignment import coordinate_error
from solvus.simulations.benchmarks.latent.test_sets import GAP, Case

Floats = NDArray[np.float64]

LARGEST_ALIGNED = 260
"""Atoms up to which coordinates are compared."""
AMONG = 5
BOND_WINDOW = 0.02
"""The library search is told the true bond length to this: more than any sample tells."""


@dataclass(frozen=True)
class Answer:
    """One answer against its truth.

    Attributes
    ----------
    error, relaxed : mean absolute coordinate error (angstrom) of the first, before and after its atoms are refined one
        by one; ``None`` for a wrong number of atoms, which is a miss, and for particles too large to be compared.
    atoms : whether the number of atoms is right; among : whether that of any hypothesis is.
    family, metal : whether these are right; size : relative error of the diameter.
    seen, refined : share of the probability in the region of highest density that ends at the truth, of the network's
        posterior and after refinement.
    """

    name: str
    found: str
    r_w: float
    error: float | None
    relaxed: float | None
    atoms: bool
    among: bool
    family: bool
    metal: bool
    size: float
    seen: float
    refined: float
    seconds: float


def answered(case: Case, weights: Weights, seed: int) -> Answer:
    """Ask the autoencoder."""
    begun = time.perf_counter()
    answer = generate(case.pattern, weights=weights, seed=seed)
    seconds = time.perf_counter() - begun
    first = answer.hypotheses[0]
    small = case.n_atoms <= LARGEST_ALIGNED
    error = coordinate_error(first.positions(), case.positions) if small else None
    relaxed = None
    if small and first.relaxed is not None:
        relaxed = coordinate_error(first.relaxed.positions, case.positions)
    seen, refined = _levels(case, answer, weights, seed)
    return Answer(
        case.name,
        first.name,
        first.r_w,
        error,
        relaxed,
        first.particle.n_atoms == case.n_atoms,
        any(h.particle.n_atoms == case.n_atoms for h in answer.hypotheses),
        first.particle.family == case.family,
        case.metal in first.elements,
        first.diameter / case.diameter - 1.0,
        seen,
        refined,
        seconds,
    )


def _levels(case: Case, answer: Generated, weights: Weights, seed: int) -> tuple[float, float]:
    unit = unit_positions(case.positions)
    z = places_of(weights.model, invariants_of([unit], [scattering_of(unit)[1]]))[0][0]
    generator = np.random.default_rng((seed, 41))
    seen = answer.seen.normals().level(z, generator)
    return seen, answer.posterior.normals().level(z, generator)


def without_gap() -> Library:
    """The library without stacking faults and twins, and without particles of a range of sizes."""
    held = Library.load("all")
    kept = [
        e
        for e in held.entries
        if e.family != "faulted" and "twinned" not in e.shape and not GAP[0] <= e.n_atoms <= GAP[1]
    ]
    entries = tuple(
        Entry(k, e.name, e.family, e.shape, e.n_atoms, e.span, e.core) for k, e in enumerate(kept)
    )
    return Library(entries, tuple(held.scattering(e) for e in kept), f"{held.version}-gap")


@dataclass(frozen=True)
class Searched:
    """What a plain search of a library finds: the best refined entry."""

    found: str
    r_w: float
    atoms: bool
    family: bool
    seconds: float


def searched(case: Case, library: Library) -> Searched:
    """Match the library, refine as many of the best as the autoencoder does, and take the least R_w."""
    begun = time.perf_counter()
    quality = assess(case.pattern, R_RANGE)
    data = Data(case.pattern.x, case.pattern.y, quality.qmin, quality.qmax)
    qdamp = float(case.pattern.conditions.qdamp or 0.0)
    setting = Setting(quality.qmin, quality.qmax, qdamp, R_RANGE[0], R_RANGE[1])
    low, high = case.bond * (1.0 - BOND_WINDOW), case.bond * (1.0 + BOND_WINDOW)
    matches = Matcher(library, setting).match(data.r, data.g, bond_indices(low, high), library.entries)
    fits: list[tuple[float, str, Entry]] = []
    for match in matches[:REFINED]:
        window = data.window(R_RANGE, match.entry.span * match.bond)
        found = fit(
            library.scattering(match.entry),
            window,
            bond_range=(low, high),
            bond_start=float(np.clip(match.bond, low, high)),
            qdamp=qdamp,
        )
        fits.append((found.r_w, match.entry.name, match.entry))
    r_w, _, entry = min(fits)
    return Searched(
        entry.name,
        r_w,
        entry.n_atoms == case.n_atoms,
        entry.family == case.family,
        time.perf_counter() - begun,
    )
