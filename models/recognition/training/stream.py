"""Patterns for training, drawn without end: each batch is made from its number and the recipe's seed alone.

    G(r) = E(r) 2/pi sum_j F(q_j) m(q_j) exp(-du (q_j / e)^2) sin(q_j r / e) dq / e^2  +  noise  +  ripples  +  slope,

with e the stretch, du a displacement beside the variant's own, m a slow error of the normalisation and E the damping
by the instrument and by the size of a crystal. The sum runs from Qmin to Qmax. Noise and ripples have the same limits
of Q; they know nothing of the sample. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dst

from solvus.models.recognition.canonical import GRID, R_POINTS, R_STEP, Range, inputs
from solvus.models.recognition.curves import curves, damping, sphere
from solvus.models.recognition.geometry_curves import REFERENCE_BOND
from solvus.models.recognition.training.bank import SHELVES, Bank, Shelf
from solvus.models.recognition.training.recipe import Recipe

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Generator = np.random.Generator

QMIN, QMAX, QDAMP = (0.0, 2.0), (8.0, 28.0), (0.0, 0.08)
BONDS = (2.15, 4.0)
"""angstrom: beryllium to the alkaline earths."""
STRETCH, USUAL_STRETCH = 0.04, 0.01
EXTRA_U = 0.004
"""angstrom^2, mean of the exponential distribution of the displacement beside the variant's own."""
DIAMETERS, ENDLESS = (12.0, 250.0), 0.3
BULK = 300.0
"""angstrom: what stands for an endless crystal."""
SPREAD = 0.35
NOISE, NOISELESS = (1e-3, 6e-2), 0.1
"""Standard deviation as a share of the largest |G|, and the share of patterns without noise."""
RIPPLE, RIPPLE_END = 0.3, 1.6
SLOPE = 0.06
LOGIT_OF_ONE = 5.3
"""For the share of a single phase, 0.995."""
NODES = np.array([-1.7, -0.85, 0.0, 0.85, 1.7])
"""Sizes taken for a distribution, in units of its spread."""


@dataclass(frozen=True)
class Batch:
    """n patterns with their truth.

    Attributes
    ----------
    inputs : (n, 308). entry : (n,) of the main phase, -1 for none. kinds : (n, 2) of the main and the second phase;
        share : (n,) of the main phase in the signal. metals, known : (n, groups), (n,). quantities : (n, 3) ln
        diameter, ln spacing, logit of the share; NaN where there is none.
    """

    inputs: Singles
    entry: NDArray[np.int64]
    kinds: NDArray[np.int64]
    share: Singles
    metals: NDArray[np.bool_]
    known: NDArray[np.bool_]
    quantities: Singles


@dataclass(frozen=True)
class _Phase:
    """One phase of n patterns: G (n, 300) without errors, the limit that its rows set to Qmax, and its truth."""

    g: Floats
    entry: NDArray[np.int64]
    kind: NDArray[np.int64]
    metals: NDArray[np.bool_]
    known: NDArray[np.bool_]
    diameter: Floats
    spacing: Floats


@dataclass(frozen=True)
class Patterns:
    """n patterns with their phases.

    Attributes
    ----------
    g : (n, 300) on the canonical grid, also outside each range of r; the largest value without errors is about one.
    noise : (n,) standard deviation of the white noise. mixed : (n,) whether the second phase is there.
    """

    g: Floats
    conditions: Range
    noise: Floats
    first: _Phase
    second: _Phase
    mixed: NDArray[np.bool_]
    share: Floats

    def batch(self) -> Batch:
        """As the network takes them."""
        first, second, mixed, share = self.first, self.second, self.mixed, self.share
        logit = np.where(mixed, np.log(share / np.where(mixed, 1.0 - share, 1.0)), LOGIT_OF_ONE)
        quantities = np.stack([np.log(first.diameter), np.log(first.spacing), logit], axis=1)
        return Batch(
            inputs(self.g, self.conditions),
            first.entry,
            np.stack([first.kind, np.where(mixed, second.kind, first.kind)], axis=1),
            share.astype(np.float32),
            first.metals | (second.metals & mixed[:, None]),
            first.known & (second.known | ~mixed),
            quantities.astype(np.float32),
        )


class Stream:
    """Batches by number."""

    def __init__(self, bank: Bank, recipe: Recipe) -> None:
        self._bank, self._recipe = bank, recipe
        by_kind = {
            name: _by_kind(getattr(bank, name), 0.5) for name in ("xray", "wide", "neutron", "foreign")
        }
        by_kind |= {name: _by_kind(getattr(bank, name), 0.0) for name in ("geometry", "shape")}
        self._weights = by_kind

    def batch(self, number: int) -> Batch:
        """The batch with this number."""
        return self.patterns(number).batch()

    def patterns(self, number: int) -> Patterns:
        """The patterns that the batch with this number is made of."""
        recipe = self._recipe
        generator = np.random.default_rng((recipe.seed, 7, number))
        n = recipe.batch
        conditions = drawn_conditions(n, generator, recipe.neutron)
        wide = recipe.wide if number >= recipe.wide_from else 0.0
        first = self._phase(conditions, generator, wide)
        second = self._phase(conditions, generator, wide)
        mixed = generator.random(n) < recipe.mixtures
        share = np.where(mixed, generator.uniform(0.5, 0.97, n), 1.0)
        g = share[:, None] * scaled(first.g) + (1.0 - share)[:, None] * scaled(second.g)
        g = slow_error(g, generator)
        level, errors = drawn_errors(conditions, generator)
        return Patterns(g + errors, conditions, level, first, second, mixed, share)

    def _phase(self, conditions: Range, generator: Generator, wide: float) -> _Phase:
        """One phase for each pattern, each source computed at once; ``wide`` is the share of strained crystals."""
        n = len(conditions.qmax)
        crystals, ions, geometries, foreign = self._recipe.shares
        source = generator.choice(4, n, p=np.array([crystals, ions, geometries, foreign]))
        # Neutrons see clusters of one metal as X-rays do, and other chemistry has X-ray rows only.
        catalogue = np.where(conditions.neutron, "neutron", "xray")
        if wide > 0.0:
            strained = (source == 0) & ~conditions.neutron & (generator.random(n) < wide)
            catalogue = np.where(strained, "wide", catalogue)
        metal = np.where(generator.random(n) < self._recipe.shapes, "shape", "geometry")
        shelf = np.where(source == 2, metal, np.where(source == 3, "foreign", catalogue))
        parts: list[tuple[NDArray[np.int64], _Phase]] = []
        for name in SHELVES:
            for ionic in (False, True):
                rows = np.flatnonzero((shelf == name) & ((source == 1) == ionic))
                if len(rows):
                    parts.append((rows, self._drawn(name, ionic, _part(conditions, rows), generator)))
        order = np.argsort(np.concatenate([rows for rows, _ in parts]))
        columns = ([getattr(p, f) for _, p in parts] for f in _Phase.__dataclass_fields__)
        return _Phase(*(np.concatenate(column)[order] for column in columns))

    def _drawn(self, name: str, ionic: bool, conditions: Range, generator: Generator) -> _Phase:
        shelf: Shelf = getattr(self._bank, name)
        n = len(conditions.qmax)
        weights = self._weights[name]
        if name in ("xray", "wide", "neutron"):
            weights = weights * (shelf.crystalline != ionic)
        row = generator.choice(len(weights), n, p=weights / weights.sum())
        if name in ("geometry", "shape"):
            stretch = log_uniform(BONDS, n, generator) / REFERENCE_BOND
        else:
            wide = generator.random(n) < 0.5
            stretch = 1.0 + np.where(
                wide, generator.uniform(-STRETCH, STRETCH, n), generator.normal(0.0, USUAL_STRETCH, n)
            )
        g = curves(shelf.f[row], shelf.reach, stretch, generator.exponential(EXTRA_U, n), conditions)
        size, diameter = _sizes(shelf.crystalline[row], shelf.diameter[row] * stretch, generator)
        return _Phase(
            g * size * damping(conditions.qdamp),
            shelf.entry[row],
            shelf.kind[row],
            shelf.metals[row],
            shelf.known[row],
            diameter,
            shelf.spacing[row] * stretch,
        )


def log_uniform(limits: tuple[float, float], n: int, generator: Generator) -> Floats:
    return np.asarray(np.exp(generator.uniform(math.log(limits[0]), math.log(limits[1]), n)))


def _by_kind(shelf: Shelf, power: float) -> Floats:
    """Weight of each row: a kind of m rows has m^power in all."""
    count = np.bincount(shelf.kind)
    return np.asarray(count[shelf.kind] ** (power - 1.0), dtype=np.float64)


def _part(conditions: Range, rows: NDArray[np.int64]) -> Range:
    return Range(*(getattr(conditions, name)[rows] for name in Range.__dataclass_fields__))


def drawn_conditions(n: int, generator: Generator, neutron: float) -> Range:
    """As users have them: most ranges of r are whole, some begin late or end early."""
    whole = generator.random(n) < 0.4
    last = np.where(whole, 30.0, generator.uniform(9.5, 30.0, n))
    first = np.where(generator.random(n) < 0.4, 0.1, generator.uniform(0.1, 2.0, n))
    return Range(
        generator.uniform(*QMIN, n),
        generator.uniform(*QMAX, n),
        generator.uniform(*QDAMP, n) * (generator.random(n) < 0.95),
        first,
        last,
        generator.random(n) < neutron,
    )


def _sizes(crystalline: NDArray[np.bool_], natural: Floats, generator: Generator) -> tuple[Floats, Floats]:
    """Shape function (n, 300) of crystals cut to spheres of several sizes, and the mean diameter by volume."""
    n = len(crystalline)
    median = log_uniform(DIAMETERS, n, generator)
    spread = generator.uniform(0.0, SPREAD, n)
    endless = ~crystalline | (generator.random(n) < ENDLESS)
    total, weights, moment = np.zeros((n, R_POINTS)), np.zeros(n), np.zeros(n)
    for node in NODES:
        size = median * np.exp(spread * node)
        volume = size**3 * math.exp(-0.5 * node**2)
        total += volume[:, None] * sphere(size)
        weights += volume
        moment += volume * size
    total /= weights[:, None]
    diameter = np.where(crystalline, np.where(endless, BULK, moment / weights), natural)
    return np.where(endless[:, None], 1.0, total), np.minimum(diameter, BULK)


def scaled(g: Floats) -> Floats:
    """To a largest value of one."""
    top = np.abs(g[:, GRID >= 1.2]).max(axis=1, keepdims=True)
    return np.asarray(g / np.where(top > 0, top, 1.0))


def slow_error(g: Floats, generator: Generator) -> Floats:
    """A slow wave in Q on the normalisation repeats every peak at a short distance on either side."""
    n = len(g)
    strength = generator.uniform(0.0, 0.06, n) * (generator.random(n) < 0.5)
    shift = generator.integers(3, 20, n)
    columns = np.arange(R_POINTS)
    before = np.take_along_axis(g, np.clip(columns - shift[:, None], 0, None), axis=1)
    after = np.take_along_axis(g, np.clip(columns + shift[:, None], None, R_POINTS - 1), axis=1)
    return np.asarray(g + 0.5 * strength[:, None] * (before + after))


def drawn_errors(conditions: Range, generator: Generator) -> tuple[Floats, Floats]:
    """Standard deviation of the noise (n,), and noise, ripples at short distances and a slope together (n, 300)."""
    n = len(conditions.qmax)
    level = log_uniform(NOISE, n, generator) * (generator.random(n) >= NOISELESS)
    ripple = RIPPLE * generator.random(n) ** 2 * (generator.random(n) < 0.7)
    end = generator.uniform(0.6, RIPPLE_END, n)
    slope = generator.uniform(-SLOPE, SLOPE, n) * (generator.random(n) < 0.3)
    white = _band_noise(conditions, generator.uniform(0.0, 1.5, n), generator)
    slow = _band_noise(conditions, np.zeros(n), generator)
    return level, (
        level[:, None] * white
        + ripple[:, None] * slow * np.exp(-((GRID / end[:, None]) ** 2))
        + slope[:, None] * GRID / GRID[-1]
    )


def _band_noise(conditions: Range, power: Floats, generator: Generator) -> Floats:
    """Noise of unit variance that holds Q between Qmin and Qmax only, growing as Q^power: (n, 300)."""
    points = round(math.pi / R_STEP / (math.pi / 40.0))
    q = math.pi / 40.0 * (np.arange(points) + 0.5)
    n = len(power)
    inside = (q >= conditions.qmin[:, None]) & (q <= conditions.qmax[:, None])
    weight = np.where(inside, np.exp(power[:, None] * np.log(q / conditions.qmax[:, None])), 0.0)
    normal = generator.standard_normal((n, points), dtype=np.float32)
    values = dst(weight.astype(np.float32) * normal, type=2, axis=1)[:, :R_POINTS]
    return np.asarray(values / (np.sqrt(2.0 * (weight**2).sum(axis=1)) + 1e-30)[:, None])
