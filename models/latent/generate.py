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
from solvus.models.latent.growth import ladder, relatives, spheres
from solvus.models.latent.packings import ELSEWHERE
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
    SIZE_SHARE,
    TWINNING_LIMIT,
    Data,
)
from solvus.models.recognition.metal_clusters import EXPANSION, EXPLAINED, EXPLAINED_FREELY, elements_of
from solvus.models.recognition.quality import assess
from solvus.models.refinement.least_squares import (
    DELTA2_START,
    QDAMP_PRIOR,
    Fit,
    Window,
    calculated,
    fit,
    r_weighted,
)
from solvus.models.structures.library import require_metal

Floats = NDArray[np.float64]

R_RANGE = (1.6, 30.0)
SAMPLES = 160
REFINED, SHOWN, RESTRAINED = 12, 5, 3
ROUNDS, PARENTS = 9, 7
"""Rounds in which relatives of the best are looked at, and how many have theirs looked at in one."""
SAME_SIZE, EACH = 0.06, 2
"""Logarithm of the ratio of numbers of atoms within which two structures of a family are alike, and how many alike ones
are shown."""
FULL_RANGE = 60.0
"""angstrom: structures are searched over all data up to here, which tell the size."""
BOND_STEP = 0.004
LEAST_REACH, MOST_REACH = 0.015, 0.2
"""Limits of the relative half width of the bond lengths that are tried, three standard deviations of what the network
sees."""
DISPLACEMENTS = (0.003, 0.006, 0.011, 0.02, 0.035)
"""angstrom^2, of the first look."""
SHIFTS, WIDER = (-0.002, -0.001, 0.0, 0.001, 0.002), (0.85, 1.0, 1.2)
"""Relative changes of bond length and displacement in later looks."""
THOROUGH = 2
"""Of the parents, those whose every stacking is looked at."""
CLIMBED = 6
"""Structures of which other sizes are looked at: a network that errs in the size is not the last word."""
HUGE, ENORMOUS, HUGE_SHARE = 1500, 5000, 0.4
"""Atoms from which on less is looked at, and less is refined; the share of the samples that are drawn then."""
LEADERS, KEPT = 5, 60
"""Structures refined to find the peaks of a look, and looked at again."""
FLOORS = (0.002, 0.06)
"""R_w below which differences are no evidence: the error of an ideal model is not larger than the best misfit."""
PRIOR_WEIGHT = 0.3
"""Of the logarithm of the network's posterior density beside the refinement's."""


@dataclass(frozen=True, eq=False)
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
    rungs = [
        rung for one in _varied(found, CLIMBED) for rung in (*ladder(one.particle), *spheres(one.particle))
    ]
    found = _merged(found, search.looked(search.fresh(rungs), search.wide()))
    for _ in range(ROUNDS):
        leaders, parents_wanted = _effort(found[0].particle)
        # Peaks as the best so far has them tell structures apart that differ by a few atoms.
        peaks = search.about(search.refined(_varied(found, leaders))[0][1])
        found = search.looked([s.particle for s in _varied(found, KEPT)], peaks)
        parents = [s for s in _varied(found, parents_wanted) if s.particle.key not in search.grown]
        if not parents:
            break
        search.grown |= {parent.particle.key for parent in parents}
        grown = [
            relative
            for place, parent in enumerate(parents)
            for relative in relatives(parent.particle, thorough=place < THOROUGH)
        ]
        found = _merged(found, search.looked(search.fresh(grown), peaks))
    return search.answer(_last(found))


@dataclass(frozen=True, eq=False)
class _Seen:
    """A structure at a quick look."""

    particle: Particle
    r_w: float
    bond: float


def _effort(best: Particle) -> tuple[int, int]:
    """How many are refined and have their relatives looked at in a round: few where each costs seconds, and where a few
    atoms more or less make no difference."""
    return (LEADERS, PARENTS) if best.n_atoms <= HUGE else (2, 1)


def _last(found: Sequence[_Seen]) -> list[_Seen]:
    """What is refined to the end: of enormous particles a few, of others more."""
    chosen = [one for one in _varied(found, LEADERS) if one.particle.n_atoms > ENORMOUS]
    return _merged(chosen, _varied([one for one in found if one.particle.n_atoms <= ENORMOUS], REFINED))


def _varied(found: Sequence[_Seen], count: int) -> list[_Seen]:
    """The best half of ``count``, then the best of other families, of other sizes, and of all."""
    chosen = list(found[: (count + 1) // 2])
    for other in (_related, _alike, None):
        for one in found:
            if len(chosen) == count:
                break
            if one in chosen or (other and any(other(one.particle, had.particle) for had in chosen)):
                continue
            chosen.append(one)
    return _merged(chosen, [])


def _related(one: Particle, other: Particle) -> bool:
    """Whether two structures are of one family."""
    return one.family == other.family


def _alike(one: Particle, other: Particle) -> bool:
    """Whether two structures are of one family and nearly one size."""
    return one.family == other.family and abs(math.log(one.n_atoms / other.n_atoms)) < SAME_SIZE


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
        full = r_range[0], max(last, min(FULL_RANGE, float(pattern.x[-1])))
        look = Look(data, full, QDAMP_PRIOR[0] if known is None else known, low)
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
        plain = decoded(self.weights.model, self.seen.mean)
        likeliest = plain[int(self.seen.weight.argmax())]
        if likeliest is not None and likeliest.n_atoms > HUGE:
            samples = math.ceil(samples * HUGE_SHARE)
        z = self.seen.sample(samples, generator)
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
        self.look = replace(self.look, qdamp=best["qdamp"], kept={})
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

    def answer(self, seen: Sequence[_Seen]) -> Generated:
        """Probabilities, positions and the posterior of the last structures seen."""
        refined = self.refined(seen)
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
            for k, h in enumerate(_shown(ranked))
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
        """Tempered likelihoods (:mod:`solvus.models.recognition.candidates`) of the range fitted and of all data, the
        network's posterior, the price of what a structure leaves free, and what is known of the damping and of multiply
        twinned particles."""
        full = np.array([self._over_all(*pair) for pair in refined])
        logs = np.zeros(len(refined))
        for r_w, weight, r_range in (
            (np.array([found.r_w for _, found in refined]), INDEPENDENT_SHARE, self.r_range),
            (full, SIZE_SHARE, self.look.r_range),
        ):
            floor = min(max(float(r_w.min()), FLOORS[0]), FLOORS[1])
            counted = weight * self.data.independent_points(r_range)
            logs = logs - 0.5 * counted * np.log(r_w**2 + floor**2)
        density = self.seen.log_density(places)
        logs = logs + PRIOR_WEIGHT * np.maximum(density, density.max() - 20.0)
        logs = logs - np.array([self._price(*pair) for pair in refined])
        twinned = np.array([p.n_atoms if p.family in MULTIPLY_TWINNED else 0 for p, _ in refined])
        logs = logs - (twinned / TWINNING_LIMIT) ** 2
        weight = np.exp(logs - logs.max())
        return np.asarray(weight / weight.sum())

    def _over_all(self, particle: Particle, found: Fit) -> float:
        """R_w over all data, of the curve fitted over the range."""
        span, unit = particle.scattering
        window = self.data.window(self.look.r_range, span * found["bond_length"], thinning=1.0)
        curve = calculated(unit, window, found.parameters)
        power = float(curve @ curve) or 1.0
        return r_weighted(window.observed, curve * (float(curve @ window.observed) / power))

    def _price(self, particle: Particle, found: Fit) -> float:
        """Nats: half log n for each free number (Schwarz, Ann. Stat. 6, 461 (1978)), log 2 for each layer that may be h
        or c, and the prior of an unknown damping."""
        counted = max(INDEPENDENT_SHARE * self.data.independent_points(self.r_range), math.e)
        construction = particle.construction
        free = 3 * (construction.centre == ELSEWHERE) + (not particle.plain) + construction.faces - 1
        price = 0.5 * free * math.log(counted)
        if particle.family == "faulted":
            price += math.log(2.0) * len(construction.layers)
        if self.qdamp is None:
            price += 0.5 * ((found["qdamp"] - QDAMP_PRIOR[0]) / QDAMP_PRIOR[1]) ** 2
        return price

    def _relaxed(self, hypothesis: Hypothesis) -> Restrained | None:
        if hypothesis.particle.n_atoms > MOST_RESTRAINED:
            return None
        window = self._window(hypothesis.particle.scattering[0] * hypothesis.bond + 2.0)
        noise = math.sqrt(self.noise)
        return restrained(hypothesis.particle.positions, hypothesis.fit, window, noise)


def _shown(ranked: Sequence[Hypothesis]) -> list[Hypothesis]:
    """The most probable, few that are alike."""
    shown: list[Hypothesis] = []
    for one in ranked:
        alike = sum(_alike(one.particle, other.particle) for other in shown)
        if alike < EACH and len(shown) < SHOWN:
            shown.append(one)
    return shown


def curve_of(hypothesis: Hypothesis, pattern: Pattern, r_range: tuple[float, float]) -> Floats:
    """The hypothesis's G(r) on the pattern's own points within ``r_range``."""
    quality = assess(pattern, r_range)
    data = Data(pattern.x, pattern.y, quality.qmin, quality.qmax)
    span, unit = hypothesis.particle.scattering
    window = data.window(r_range, span * hypothesis.bond, thinning=None)
    return calculated(unit, window, hypothesis.fit.parameters)
