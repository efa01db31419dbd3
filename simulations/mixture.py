"""The world ``mixture``: gold particles from six stock solutions that add up to 100 volume per cent.

The rule is in :mod:`mixture_chemistry`; atoms and measurement are those of the world ``gold``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from solvus.drivers.messages import ParameterSpec, Value
from solvus.models.pattern import Pattern
from solvus.simulations.chance import generator
from solvus.simulations.gold import DELTA2, DIAMETER_VARIATION, LEAST_FRACTION, GoldWorld
from solvus.simulations.gold_particles import FAMILIES
from solvus.simulations.mixture_chemistry import LEAST, STOCKS, Outcomes, outcomes, pot_of, varied
from solvus.simulations.world import Instrument, NoProduct, Product

TOTAL = 100.0
SUM_TOLERANCE = 0.05
"""Volume per cent by which the amounts may miss the total."""
MINUTES = 30.0
RELATIVE_WIDTH, U_ISO = 0.07, 0.0095


class MixtureWorld:
    """Implements :class:`solvus.simulations.world.World`."""

    parameters: tuple[ParameterSpec, ...] = tuple(
        ParameterSpec(name=stock, kind="continuous", unit="vol%", lower=LEAST, upper=TOTAL)
        for stock in STOCKS
    )

    def make(self, recipe: Mapping[str, Value], *, seed: int, experiment: int, replicate: int) -> Product:
        """Carry out one synthesis with its run-to-run variation. Raises NoProduct where no particles form, and
        ValueError for amounts that lack a stock or do not add up."""
        draw = generator(seed, "mixture synthesis", experiment, replicate)
        made = outcomes(varied(self._shares(recipe), draw)[None], pot_of(seed))
        return _product(made, math.exp(DIAMETER_VARIATION * draw.normal()))

    def ideal(self, recipe: Mapping[str, Value], *, seed: int) -> Product:
        """What the recipe makes without any variation. Raises as ``make``."""
        return _product(outcomes(self._shares(recipe)[None], pot_of(seed)))

    def minutes(self, recipe: Mapping[str, Value]) -> float:
        return MINUTES

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
        """As the world ``gold``."""
        return GoldWorld().measure(
            product, instrument, seed=seed, experiment=experiment, replicate=replicate, repeat=repeat
        )

    def _shares(self, recipe: Mapping[str, Value]) -> np.ndarray:
        if set(recipe) != set(STOCKS):
            wrong = sorted(set(recipe) ^ set(STOCKS))
            raise ValueError(
                f"recipe: {', '.join(wrong)} missing or unknown; mixture takes {', '.join(STOCKS)}"
            )
        for spec in self.parameters:
            if (refusal := spec.refusal(recipe[spec.name])) is not None:
                raise ValueError(refusal)
        amounts = np.array([float(recipe[stock]) for stock in STOCKS])
        if abs(amounts.sum() - TOTAL) > SUM_TOLERANCE:
            raise ValueError(f"recipe: the stocks add up to {amounts.sum():g}, not {TOTAL:g} vol%")
        return np.asarray(amounts / amounts.sum())


def _product(made: Outcomes, diameter_factor: float = 1.0) -> Product:
    if not made.made[0]:
        raise NoProduct("No particles: there is too little gold or free base in the pot.")
    shares = dict(zip(FAMILIES, made.fractions[0], strict=True))
    kept = {family: float(share) for family, share in shares.items() if share >= LEAST_FRACTION}
    total = sum(kept.values())
    return Product(
        world="mixture",
        composition="Au",
        fractions={family: share / total for family, share in kept.items()},
        diameter=float(made.diameter[0]) * diameter_factor,
        relative_width=RELATIVE_WIDTH,
        bond_length=float(made.bond_length[0]),
        u_iso=U_ISO,
        delta2=DELTA2,
    )
