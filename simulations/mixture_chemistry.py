"""The rule of the world ``mixture``: gold particles from six stock solutions, as a pumping robot makes them.

The stocks and their strengths are those of a real laboratory's recipes (water, NaOH 50 mM, ethanol, sodium citrate
200 mM, glycerol 60 %, HAuCl4 20 mM, in volume per cent); what they make is invented, smooth and plausible:

1. *Reduction*: glycerol reduces gold in alkali (as its alkoxide), so the rate grows with free base (NaOH beyond the
   acid of HAuCl4) and with glycerol. Too little base or gold leaves no particles.
2. *Size*: fast reduction makes many small particles; citrate per gold holds them small; ethanol, a poor solvent for the
   salt, lets them grow.
3. *Family*: decahedra want one rate and one share of ethanol. Small particles are icosahedral, large ones fcc.
   A second basin, the decoy, makes decahedra of a wrong size at another rate and far more ethanol.

A seed is a laboratory with its own hidden optimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvus.simulations.chance import generator
from solvus.simulations.gold_particles import BOND, FAMILIES

Floats = NDArray[np.float64]

STOCKS = ("water", "NaOH", "EtOH", "citrate", "glycerol", "HAuCl4")
LEAST = 0.02
"""Volume per cent: a pump never delivers less."""
NAOH, CITRATE, GOLD = 50.0, 200.0, 20.0
"""mM in the stocks."""
ACID_PER_GOLD = 2.0
"""Base that each HAuCl4 uses up by its own acid and hydrolysis before any is free."""
LEAST_GOLD = 0.4
"""mM in the pot below which nothing is seen."""
TARGET_DIAMETER = 35.0
SMALLEST, LARGEST = 12.0, 58.0
RATE_WINDOW, ETHANOL_WINDOW = 0.12, 0.04
"""How far from the optimum (decades; share) the preference for decahedra starts to fall."""
DECOY_WIDTH = 3.0
"""Of the decoy's basin, in those windows: it is the easier one to find."""


@dataclass(frozen=True)
class Pot:
    """The hidden optimum of one laboratory: log10 rate, share of ethanol, log10 citrate per gold; and the decoy."""

    rate: float
    ethanol: float
    citrate: float
    decoy_rate: float
    decoy_ethanol: float


@dataclass(frozen=True)
class Outcomes:
    """What n recipes make: ``fractions`` (n, 5) over ``FAMILIES``, others (n,); ``made``: whether there is anything."""

    fractions: Floats
    diameter: Floats
    bond_length: Floats
    made: NDArray[np.bool_]


@cache
def pot_of(seed: int) -> Pot:
    """Drawn from the seed."""
    draw = generator(seed, "mixture laboratory")
    rate = float(draw.uniform(-0.5, 0.3))
    return Pot(
        rate=rate,
        ethanol=float(draw.uniform(0.03, 0.25)),
        citrate=float(draw.uniform(0.3, 0.9)),
        decoy_rate=rate + float(draw.choice([-0.7, 0.7])),
        decoy_ethanol=float(draw.uniform(0.45, 0.6)),
    )


def outcomes(shares: Floats, pot: Pot) -> Outcomes:
    """Apply the rule to volume shares (n, 6), which sum to 1, without any variation."""
    _, naoh, ethanol, citrate, glycerol, gold = np.maximum(shares, 1e-9).T
    gold_mm = GOLD * gold
    base = NAOH * naoh - ACID_PER_GOLD * gold_mm
    rate = 0.8 * np.log10(np.maximum(base, 0.01) / 5.0) + 0.7 * np.log10(glycerol / 0.15)
    citrate_per_gold = np.log10(CITRATE * citrate / gold_mm)
    log_d = (
        math.log(TARGET_DIAMETER)
        - 0.30 * (rate - pot.rate)
        - 0.28 * (citrate_per_gold - pot.citrate)
        + 0.8 * (ethanol - pot.ethanol)
    )
    diameter = np.clip(np.exp(log_d), SMALLEST, LARGEST)
    fractions = _fractions(rate, ethanol, diameter, pot)
    strain = -0.004 * (TARGET_DIAMETER / diameter - 1.0) + 0.002 * np.tanh(rate - pot.rate)
    return Outcomes(fractions, diameter, BOND * (1.0 + strain), (base > 0.2) & (gold_mm > LEAST_GOLD))


def _fractions(rate: Floats, ethanol: Floats, diameter: Floats, pot: Pot) -> Floats:
    def off(at_rate: float, at_ethanol: float, width: float) -> Floats:
        d2 = ((rate - at_rate) / RATE_WINDOW) ** 2 + ((ethanol - at_ethanol) / ETHANOL_WINDOW) ** 2
        return np.asarray(np.log1p(d2 / width**2))

    decahedral = 3.2 - 1.5 * off(pot.rate, pot.ethanol, 1.0)
    # The decoy makes the family as well, but only of particles that are a third too large.
    decoy = 3.2 - 1.5 * off(pot.decoy_rate, pot.decoy_ethanol, DECOY_WIDTH)
    decoy = decoy - 0.3 * np.maximum(0.0, 45.0 - diameter)
    preference = {
        "decahedral": np.maximum(decahedral, decoy),
        "icosahedral": 0.15 * (32.0 - diameter),
        "fcc": 0.13 * (diameter - 34.0),
        "disordered": 3.0 * (rate - 0.8) - np.maximum(0.0, diameter - 30.0),
        "hollow": 8.0 * (ethanol - 0.7),
    }
    stacked = np.stack([np.minimum(preference[family], 8.0) for family in FAMILIES], axis=1)
    weight = np.exp(stacked - stacked.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def varied(shares: Floats, draw: np.random.Generator) -> Floats:
    """What the pumps really delivered: 1.5 % of each volume and 0.05 % of the total."""
    real = shares * np.exp(0.015 * draw.normal(size=shares.shape)) + 5e-4 * np.abs(
        draw.normal(size=shares.shape)
    )
    return np.asarray(real / real.sum(axis=-1, keepdims=True))
