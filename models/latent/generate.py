"""From a pattern to atoms: places in the latent space, structures decoded from them, refined and ranked.

    pattern -> p(z | pattern) -> samples -> constructions -> quick look at all -> relatives of the best
            -> least squares -> positions one by one -> probabilities -> posterior in the latent space

Everything is deterministic for a seed. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from solvus.models.latent.coarse import Look, Peaks
from solvus.models.latent.decode import decoded
from solvus.models.latent.growth import relatives
from solvus.models.latent.particle import Particle
from solvus.models.latent.placing import invariants_of, placed, places_of
from solvus.models.latent.posterior import LatentPosterior, Normals
from solvus.models.latent.restrained import MOST as MOST_RESTRAINED
from solvus.models.latent.restrained import Restrained, restrained
from solvus.models.latent.weights import Weights, shipped
from solvus.models.pattern import Pattern, PatternError
from solvus.models.recognition.candidates import (
    INDEPENDENT_SHARE,
    MULTIPLY_TWINNED,
    TWINNING_LIMIT,
    Data,
)
from solvus.models.recognition.metal_clusters import EXPANSION, EXPLAINED, EXPLAINED_FREELY, elements_of
from solvus.models.recognition.quality import assess
from solvus.models.refinement.least_squares import DELTA2_START, QDAMP_PRIOR, Fit, Window, calculated, fit
from solvus.models.structures.library import require_metal

Floats = NDArray[np.float64]

R_RANGE = (1.6, 30.0)
SAMPLES = 160
REFINED, SHOWN, RESTRAINED = 12, 5, 3
ROUNDS, PARENTS = 4, 4
"""Rounds in which relatives of the best are looked at, and how many have theirs looked at in one."""
BOND_STEP = 0.004
LEAST_REACH, MOST_REACH = 0.015, 0.2
"""Limits of the relative half width of the bond lengths that are tried, three standard deviations of what the network
sees."""
DISPLACEMENTS = (0.003, 0.006, 0.011, 0.02, 0.035)
"""angstrom^2, of the first look."""
SHIFTS, WIDER = (-0.002, -0.001, 0.0, 0.001, 0.002), (0.85, 1.0, 1.2)
"""Relative changes of bond length and displacement in later looks."""
LEADERS, KEPT = 5, 60
"""Structures refined to find the peaks of a look, and looked at again."""
FLOORS = (0.002, 0.06)
"""R_w below which differences are no evidence: the error of an ideal model is not larger than the best misfit."""
PRIOR_WEIGHT = 0.3
"""Of the logarithm of the network's posterior density beside the refinement's."""


@dataclass(frozen=True)
class Hypothesis:
    """One structure that may explain the pattern.

    Attributes
    ----------
    particle : the ideal structure; fit : its refinement, r_w that over the range; probability : among those shown.
    relaxed : positions refined one by one, where that was done.
    elements : metals of this bond length, nearest first.
    place, place_sd : in the latent space, (d,) each.
    """

    particle: Particle
    fit: Fit
    probability: float
    elements: tuple[str, ...]
    place: Floats
    place_sd: Floats
    relaxed: Restrained | None = None

    @property
    def r_w(self) -> float:
        """Over the range, with the ideal structure."""
        return self.fit.r_w

    @property
    def bond(self) -> float:
        return self.fit["bond_length"]

    @property
    def diameter(self) -> float:
        return self.particle.diameter * self.bond

    @property
    def name(self) -> str:
        return self.particle.name

    def positions(self) -> Floats:
        """The ideal structure at its refined bond length, (n, 3)."""
        return self.particle.positions * self.bond


@dataclass(frozen=True)
class Generated:
    """The answer for one pattern.

    Attributes
    ----------
    hypotheses : most probable first. explained : whether the best leaves little enough unexplained to be believed;
        ``limit`` is the largest R_w that would.
    seen : posterior of the network alone. posterior : after refinement.
    looked_at : number of distinct structures.
    """

    hypotheses: tuple[Hypothesis, ...]
    explained: bool
    limit: float
    seen: LatentPosterior
    posterior: LatentPosterior
    looked_at: int
    r_range: tuple[float, float]
    seed: int


def generate(
    pattern: Pattern,
    *,
    elements: Sequence[str] | None = None,
    r_range: tuple[float, float] = R_RANGE,
    samples: int = SAMPLES,
    seed: int = 0,
    qdamp: float | None = None,
    weights: Weights | None = None,
) -> Generated:
    """Structures that explain a pattern of metal particles.

    Parameters
    ----------
    pattern : a G(r).
    elements : metals the sample may hold; by default any.
    r_range : angstrom; cut where the data end.
    samples : places drawn from the posterior and decoded.
    qdamp : the instrument's damping, 1/angstrom; by default the pattern's own, and where that is unknown it is refined.

    Raises
    ------
    PatternError
        When the pattern is no G(r), is in no state to be read, or ``r_range`` is no range.
    LibraryError
        For an element that is no metal.
    """
    if pattern.quantity != "G":
        raise PatternError(f"quantity: G(r) is needed, not {pattern.quantity}; transform it first")
    if not 0.0 < r_range[0] < r_range[1]:
        raise PatternError(f"r_range: {r_range[0]:g} to {r_range[1]:g} is no range of positive distances")
    weights = weights or shipped()
    search = _Search.of(pattern, elements, r_range, qdamp, weights, seed)
    particles = search.drawn(samples)
    if not particles:
        raise PatternError("pattern: no structure could be decoded for it")
    found = search.looked(particles, search.wide())
    for _ in range(ROUNDS):
        # Peaks as the best so far has them tell structures apart that differ by a few atoms.
        peaks = search.about(search.refined(found[:LEADERS])[0][1])
        found = search.looked([s.particle for s in found[:KEPT]], peaks)
        parents = [s for s in found[:PARENTS] if s.particle.key not in search.grown]
        if not parents:
            break
        search.grown |= {parent.particle.key for parent in parents}
        grown = [relative for parent in parents for relative in relatives(parent.particle)]
        found = _merged(found, search.looked(search.fresh(grown), peaks))
    return search.answer(search.refined(found[:REFINED]))


@dataclass(frozen=True)
class _Seen:
    """A structure at a quick look."""

    particle: Particle
    r_w: float
    bond: float


def _merged(first: list[_Seen], second: list[_Seen]) -> list[_Seen]:
    return sorted([*first, *second], key=lambda s: (s.r_w, s.particle.n_atoms, s.particle.name))


@dataclass
class _Search:
    """One pattern under way."""

    data: Data
    r_range: tuple[float, float]
    noise: float
    qdamp: float | None
    elements: list[str] | None
    weights: Weights
    seen: Normals
    bonds: list[float]
    look: Look
    seed: int
    keys: set[tuple[int, int, int]] = field(default_factory=set)
    grown: set[tuple[int, int, int]] = field(default_factory=set)
    counts: dict[tuple[int, int, int], NDArray[np.float32]] = field(default_factory=dict)
    fits: dict[tuple[int, int, int], Fit] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        pattern: Pattern,
        elements: Sequence[str] | None,
        r_range: tuple[float, float],
        qdamp: float | None,
        weights: Weights,
        seed: int,
    ) -> _Search:
        seen, bond, bond_sd = placed(weights, pattern, r_range)
        quality = assess(pattern, r_range)
        data = Data(pattern.x, pattern.y, quality.qmin, quality.qmax)
        known = pattern.conditions.qdamp if qdamp is None else qdamp
        reach = min(max(LEAST_REACH, 3.0 * bond_sd), MOST_REACH)
        low, high = bond * (1.0 - reach), bond * (1.0 + reach)
        if elements is not None:
            wanted = [require_metal(element) for element in elements]
            allowed = min(wanted) * (1.0 - EXPANSION), max(wanted) * (1.0 + EXPANSION)
            low, high = max(low, allowed[0]), min(high, allowed[1])
            if low >= high:
                low, high = allowed
        steps = max(3, math.ceil(math.log(high / low) / BOND_STEP))
        bonds = np.exp(np.linspace(math.log(low), math.log(high), steps)).tolist()
        last = min(r_range[1], float(pattern.x[-1]))
        look = Look(data, (r_range[0], last), QDAMP_PRIOR[0] if known is None else known, low)
        return cls(
            data,
            (r_range[0], last),
            quality.noise,
            known,
            None if elements is None else list(elements),
            weights,
            seen,
            bonds,
            look,
            seed,
        )

    def drawn(self, samples: int) -> list[Particle]:
        """Distinct structures decoded from the posterior, those of its modes first."""
        generator = np.random.default_rng((self.seed, 31))
        z = self.seen.sample(samples, generator)
        plain = decoded(self.weights.model, self.seen.mean)
        spoken = decoded(self.weights.model, z, generator)
        made = [construction for construction in (*plain, *spoken) if construction is not None]
        return self.fresh([Particle.of(construction) for construction in made])

    def fresh(self, particles: Sequence[Particle]) -> list[Particle]:
        """Those not seen before."""
        new = []
        for particle in particles:
            if particle.key not in self.keys:
                self.keys.add(particle.key)
                new.append(particle)
        return new

    def wide(self) -> list[Peaks]:
        """Every bond length in question, and displacements from a cold crystal to a disordered cluster."""
        return [Peaks(b, u, DELTA2_START) for b in self.bonds for u in DISPLACEMENTS]

    def about(self, best: Fit) -> list[Peaks]:
        """Near those of a refined structure."""
        self.look.forget()
        return [
            Peaks(best["bond_length"] * (1.0 + shift), best["u_iso"] * wider, best["delta2"])
            for shift in SHIFTS
            for wider in WIDER
        ]

    def looked(self, particles: Sequence[Particle], peaks: Sequence[Peaks]) -> list[_Seen]:
        """Each with the best of the peaks, best first."""
        if not particles:
            return []
        counts = np.stack([self._counted(particle) for particle in particles])
        r_w, chosen = self.look.misfits(counts, peaks)
        return _merged(
            [],
            [_Seen(p, float(w), peaks[int(k)].bond) for p, w, k in zip(particles, r_w, chosen, strict=True)],
        )

    def _counted(self, particle: Particle) -> NDArray[np.float32]:
        """Counts of a structure, kept: the best are looked at in every round."""
        if particle.key not in self.counts:
            self.counts[particle.key] = self.look.counts(particle)
        return self.counts[particle.key]

    def refined(self, seen: Sequence[_Seen]) -> list[tuple[Particle, Fit]]:
        """Least squares of each, best first."""
        for one in seen:
            if one.particle.key not in self.fits:
                span, unit = one.particle.scattering
                limits = (self.bonds[0] * (1.0 - BOND_STEP), self.bonds[-1] * (1.0 + BOND_STEP))
                start = min(max(one.bond, limits[0]), limits[1])
                self.fits[one.particle.key] = fit(
                    unit,
                    self._window(span * one.bond),
                    bond_range=limits,
                    bond_start=start,
                    qdamp=self.qdamp,
                )
        made = [(one.particle, self.fits[one.particle.key]) for one in seen]
        return sorted(made, key=lambda pair: (pair[1].r_w, pair[0].n_atoms))

    def _window(self, longest: float) -> Window:
        return self.data.window(self.r_range, longest)

    def answer(self, refined: list[tuple[Particle, Fit]]) -> Generated:
        """Probabilities, positions and the posterior."""
        particles = [particle for particle, _ in refined]
        invariants = invariants_of([p.positions for p in particles], [p.scattering[1] for p in particles])
        mean, sd = places_of(self.weights.model, invariants)
        share = self._probabilities(refined, mean)
        hypotheses = [
            Hypothesis(particle, found, float(p), elements_of(found["bond_length"], self.elements), m, s)
            for (particle, found), p, m, s in zip(refined, share, mean, sd, strict=True)
        ]
        ranked = sorted(hypotheses, key=lambda h: (-h.probability, h.r_w))
        shown = [
            replace(h, relaxed=self._relaxed(h)) if k < RESTRAINED else h
            for k, h in enumerate(ranked[:SHOWN])
        ]
        limit = EXPLAINED_FREELY if self.elements is None else EXPLAINED
        limit = math.sqrt(limit**2 * (1.0 - self.noise) + self.noise)
        after = Normals(share, mean, np.stack([np.diag(s**2) for s in sd]))
        version = self.weights.version
        return Generated(
            tuple(shown),
            ranked[0].r_w <= limit,
            limit,
            LatentPosterior.of(self.seen, version),
            LatentPosterior.of(after, version, tuple(p.name for p in particles)),
            len(self.keys),
            self.r_range,
            self.seed,
        )

    def _probabilities(self, refined: list[tuple[Particle, Fit]], places: Floats) -> Floats:
        """A tempered likelihood (:mod:`solvus.models.recognition.candidates`), the network's posterior, and what is
        known of multiply twinned particles."""
        r_w = np.array([found.r_w for _, found in refined])
        floor = min(max(float(r_w.min()), FLOORS[0]), FLOORS[1])
        counted = INDEPENDENT_SHARE * self.data.independent_points(self.r_range)
        logs = -0.5 * counted * np.log(r_w**2 + floor**2)
        density = self.seen.log_density(places)
        logs = logs + PRIOR_WEIGHT * np.maximum(density, density.max() - 20.0)
        twinned = np.array([p.n_atoms if p.family in MULTIPLY_TWINNED else 0 for p, _ in refined])
        logs = logs - (twinned / TWINNING_LIMIT) ** 2
        weight = np.exp(logs - logs.max())
        return np.asarray(weight / weight.sum())

    def _relaxed(self, hypothesis: Hypothesis) -> Restrained | None:
        if hypothesis.particle.n_atoms > MOST_RESTRAINED:
            return None
        window = self._window(hypothesis.particle.scattering[0] * hypothesis.bond + 2.0)
        noise = math.sqrt(self.noise)
        return restrained(hypothesis.particle.positions, hypothesis.fit, window, noise)


def curve_of(hypothesis: Hypothesis, pattern: Pattern, r_range: tuple[float, float]) -> Floats:
    """The hypothesis's G(r) on the pattern's own points within ``r_range``."""
    quality = assess(pattern, r_range)
    data = Data(pattern.x, pattern.y, quality.qmin, quality.qmax)
    span, unit = hypothesis.particle.scattering
    window = data.window(r_range, span * hypothesis.bond, thinning=None)
    return calculated(unit, window, hypothesis.fit.parameters)
