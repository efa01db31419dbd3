"""The world ``gold``: colloidal gold nanoparticles from a salt, a reductant and a capping agent.

The rule of the chemistry is in :mod:`gold_chemistry`, the atoms in :mod:`gold_particles`, the measurement
in :mod:`diffraction` and :mod:`raw_intensity`. Each seed is another laboratory, with its own hidden optimum
for decahedral particles of 3.5 nm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from solvus.drivers.messages import ParameterSpec, Signals, Value
from solvus.models.pattern import Pattern
from solvus.simulations import diffraction, raw_intensity
from solvus.simulations.chance import generator
from solvus.simulations.gold_chemistry import (
    AGENTS,
    LEAST_CONVERSION,
    TARGET_DIAMETER,
    Outcome,
    Recipes,
    laboratory_of,
    outcome,
    varied,
)
from solvus.simulations.gold_optics import seen
from solvus.simulations.gold_particles import BIN, BINS, BOND, DIAMETERS, FAMILIES, size_series
from solvus.simulations.world import Instrument, NoProduct, Product

Floats = NDArray[np.float64]

DELTA2 = 2.0
"""Correlated motion of neighbours, angstrom^2: sharpens the first peak by an eighth, as seen in gold
powder."""
LEAST_FRACTION = 0.01
"""Families below this share of the atoms are not made: they would be lost in the noise."""
WORKUP_MINUTES = 5.0
DIAMETER_VARIATION = 0.01
"""Relative variation of the diameter between runs of one recipe, besides that of the recipe itself."""


@dataclass(frozen=True)
class Target:
    """What a hit is: decahedral at least ``least_fraction``, diameter and bond length within relative
    tolerances."""

    family: str = "decahedral"
    least_fraction: float = 0.6
    diameter: float = TARGET_DIAMETER
    diameter_tolerance: float = 0.05
    bond_length: float = 2.88
    bond_tolerance: float = 0.01


TARGET = Target()


class GoldWorld:
    """Implements :class:`solvus.simulations.world.World`."""

    parameters: tuple[ParameterSpec, ...] = (
        ParameterSpec(name="temperature", kind="continuous", unit="degC", lower=20.0, upper=95.0),
        ParameterSpec(name="pH", kind="continuous", lower=3.0, upper=12.0),
        ParameterSpec(name="reductant_to_gold", kind="continuous", unit="mol/mol", lower=0.5, upper=20.0),
        ParameterSpec(name="reaction_time", kind="continuous", unit="min", lower=1.0, upper=240.0),
        ParameterSpec(name="capping_agent", kind="categorical", choices=AGENTS),
    )

    def make(self, recipe: Mapping[str, Value], *, seed: int, experiment: int, replicate: int) -> Product:
        """Carry out one synthesis with its run-to-run variation.

        Raises
        ------
        NoProduct
            When too little gold is reduced.
        ValueError
            For a recipe that lacks a parameter or goes beyond a limit.
        """
        draw = generator(seed, "synthesis", experiment, replicate)
        made = outcome(varied(self._recipes(recipe), draw), laboratory_of(seed))
        return _product(made, diameter_factor=math.exp(DIAMETER_VARIATION * draw.normal()))

    def look(self, recipe: Mapping[str, Value], *, seed: int, experiment: int, replicate: int) -> Signals:
        """What the flow cell sees of the product of :meth:`make`; its noise has a stream of its own."""
        product = self.make(recipe, seed=seed, experiment=experiment, replicate=replicate)
        draw = generator(seed, "synthesis", experiment, replicate)
        carried_out = outcome(varied(self._recipes(recipe), draw), laboratory_of(seed))
        optics = generator(seed, "optics", experiment, replicate)
        return seen(product.diameter, float(carried_out.conversion[0]), optics)

    def ideal(self, recipe: Mapping[str, Value], *, seed: int) -> Product:
        """What the recipe makes without any variation; the truth that a benchmark judges by. Raises as
        ``make``."""
        return _product(outcome(self._recipes(recipe), laboratory_of(seed)))

    def minutes(self, recipe: Mapping[str, Value]) -> float:
        return float(recipe["reaction_time"]) + WORKUP_MINUTES

    def measure(
        self,
        product: Product,
        instrument: Instrument,
        *,
        seed: int,
        experiment: int,
        replicate: int,
        repeat: int = 0,
    ) -> Pattern:
        """G(r) of the product as the instrument measures it, or I(Q) where it sends raw data."""
        take = raw_intensity.measure if instrument.output == "raw" else diffraction.measure
        draw = generator(seed, "measurement", experiment, replicate, repeat)
        return take(scattering_sample(product), instrument, draw)

    def _recipes(self, recipe: Mapping[str, Value]) -> Recipes:
        names = {spec.name for spec in self.parameters}
        if set(recipe) != names:
            wrong = sorted(set(recipe) ^ names)
            raise ValueError(
                f"recipe: {', '.join(wrong)} missing or unknown; gold takes {', '.join(sorted(names))}"
            )
        for spec in self.parameters:
            if (refusal := spec.refusal(recipe[spec.name])) is not None:
                raise ValueError(refusal)
        return Recipes(
            temperature=np.array([float(recipe["temperature"])]),
            ph=np.array([float(recipe["pH"])]),
            reductant=np.array([float(recipe["reductant_to_gold"])]),
            time=np.array([float(recipe["reaction_time"])]),
            agent=np.array([AGENTS.index(str(recipe["capping_agent"]))]),
        )


def _product(made: Outcome, diameter_factor: float = 1.0) -> Product:
    """The first of the outcomes as a product."""
    if made.conversion[0] < LEAST_CONVERSION:
        raise NoProduct(
            f"No particles: {made.conversion[0]:.0%} of the gold was reduced; "
            "it takes more time, heat, base or reductant."
        )
    shares = dict(zip(FAMILIES, made.fractions[0], strict=True))
    kept = {family: float(share) for family, share in shares.items() if share >= LEAST_FRACTION}
    total = sum(kept.values())
    return Product(
        world="gold",
        composition="Au",
        fractions={family: share / total for family, share in kept.items()},
        diameter=float(made.diameter[0]) * diameter_factor,
        relative_width=float(made.width[0]),
        bond_length=float(made.bond_length[0]),
        u_iso=float(made.u_iso[0]),
        delta2=DELTA2,
    )


def size_weights(diameter: float, relative_width: float) -> Floats:
    """Shares of the atoms on the grid of sizes, (len(DIAMETERS),): log-normal, cut at 2.5 standard
    deviations."""
    sigma = math.sqrt(math.log1p(relative_width**2))
    centre = math.log(diameter) - 0.5 * sigma**2
    half_step = 0.5 * math.log(DIAMETERS[1] / DIAMETERS[0])
    z = (np.log(DIAMETERS) - centre) / sigma
    weights = ndtr(z + half_step / sigma) - ndtr(z - half_step / sigma)
    weights[np.abs(z) > 2.5] = 0.0
    return np.asarray(weights / weights.sum())


def scattering_sample(product: Product) -> diffraction.Sample:
    """Pair distances of the whole product; all of its particles share strain and displacements."""
    weights = size_weights(product.diameter, product.relative_width)
    pairs = np.zeros(BINS)
    for family, share in product.fractions.items():
        series = size_series(family)
        for k in np.flatnonzero(weights):
            pairs += share * weights[k] * series.row(int(k))
    used = np.flatnonzero(pairs > 0)
    return diffraction.Sample(
        element=product.composition,
        distances=used.astype(np.float64) * (BIN * product.bond_length / BOND),
        pairs=pairs[used],
        u_iso=product.u_iso,
        delta2=product.delta2,
    )


def is_hit(product: Product, target: Target = TARGET) -> bool:
    """Whether a product is what the target asks for."""
    return (
        product.family == target.family
        and product.fractions[target.family] >= target.least_fraction
        and abs(product.diameter / target.diameter - 1.0) <= target.diameter_tolerance
        and abs(product.bond_length / target.bond_length - 1.0) <= target.bond_tolerance
    )
