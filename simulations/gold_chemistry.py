"""From recipe to product: a rule for the reduction of gold salt in water, smooth, plausible and invented.

The rule has the shape of what is known of gold sols, not their numbers. In words:

1. *Reduction* (first order, rate k per minute) is faster when hot (Arrhenius), at high pH (the reductant
   loses its protons) and with more reductant. Too little reduced gold leaves no particles at all.
2. *Nucleation* (LaMer and Dinegar, J. Am. Chem. Soc. 72, 4847, 1950): fast reduction means high
   supersaturation, many nuclei and therefore, by mass balance, small particles: D = size_of_agent * k^-0.1
   * reductant^-0.25 * conversion^(1/3). Heat and time let large particles eat small ones (ripening, D^3
   grows linearly), the less so the tighter the capping agent binds.
3. *Family* is a competition (softmax of the preferences below). Small particles are icosahedral, large
   slow-grown ones fcc, as the energies go (Baletto and Ferrando, Rev. Mod. Phys. 77, 371, 2005); decahedra
   are kinetic and want one rate and one pH with an agent that holds their {100} faces; very fast reduction
   at high pH freezes disordered clusters; acid etching when hot hollows particles out.
4. *Strain*: surface stress contracts small particles, thiol strongly; high pH (charge) expands; fast growth
   quenches in a contraction.

A laboratory (its seed) has its own best agent, since impurities of commercial agents decide shapes (iodide
in CTAB: Smith, Miller and Korgel, Langmuir 25, 9518, 2009), and its own hidden optimum. The other agents
are decoys: one makes decahedra of the wrong size, one makes particles of the right size in the wrong
family.

Everything is vectorised over n recipes. Units: temperature degC, time min, lengths angstrom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvus.simulations.chance import generator
from solvus.simulations.gold_particles import BOND, FAMILIES

Floats = NDArray[np.float64]

AGENTS = ("citrate", "pvp", "ctab", "thiol")
TARGET_DIAMETER = 35.0
"""Angstrom: what every laboratory of this world can make, decahedral, at its hidden optimum."""

ACTIVATION = 40_000.0
"""J/mol, of the order measured for the reduction of gold by citrate."""
GAS = 8.314
REFERENCE_TEMPERATURE = 333.15
"""K, where the rate constants are stated."""
SMALLEST, LARGEST = 12.0, 58.0
"""Angstrom: fewer than 55 atoms have no family; the size grid ends at 66."""
LEAST_CONVERSION = 0.2
"""Below this share of reduced gold no particles are found."""

THIOL_SIZE = 20.0
"""Diameter (angstrom) with thiol at a rate of 0.1 per minute: it binds tightest, so most nuclei survive."""
RIPENING = {"citrate": 1.0, "pvp": 0.6, "ctab": 0.8, "thiol": 0.1}
"""Rate of ripening against citrate; thiolates hardly leave the surface."""
CAPPING_STRAIN = {"citrate": 0.001, "pvp": 0.0, "ctab": 0.002, "thiol": -0.009}
RATE_WINDOW, PH_WINDOW, TEMPERATURE_WINDOW = 0.2, 0.8, 13.0
"""How far from the optimum (decades, pH, K) the preference for decahedra starts to fall; beyond, it falls
slowly, so that distant recipes still show the way."""
FORMERS = ("citrate", "pvp", "ctab")
"""Agents that may hold {100} faces; thiol never does."""


@dataclass(frozen=True)
class Recipes:
    """n recipes as arrays; ``agent`` holds indices into ``AGENTS``."""

    temperature: Floats
    ph: Floats
    reductant: Floats
    time: Floats
    agent: NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """What n recipes make: ``fractions`` (n, 5) over ``FAMILIES`` by atoms, diameters by equal volume,
    ``width`` relative standard deviation of the diameter by atoms, ``bond_length`` mean of nearest
    neighbours."""

    fractions: Floats
    diameter: Floats
    width: Floats
    bond_length: Floats
    u_iso: Floats
    conversion: Floats

    @property
    def strain(self) -> Floats:
        return self.bond_length / BOND - 1.0


@dataclass(frozen=True)
class Laboratory:
    """What a seed hides: the agent that makes the target and where, and the two decoys."""

    best_agent: str
    wrong_size_agent: str
    wrong_family_agent: str
    temperature: float
    ph: float
    reductant: float
    time: float

    @property
    def optimum(self) -> Recipes:
        """The recipe that makes the target."""
        return Recipes(
            temperature=np.array([self.temperature]),
            ph=np.array([self.ph]),
            reductant=np.array([self.reductant]),
            time=np.array([self.time]),
            agent=np.array([AGENTS.index(self.best_agent)]),
        )


@cache
def laboratory_of(seed: int) -> Laboratory:
    """The hidden optimum of one laboratory, always well inside the limits of the recipe."""
    draw = generator(seed, "laboratory")
    best, wrong_size, wrong_family = (str(agent) for agent in draw.permutation(FORMERS))
    return Laboratory(
        best_agent=best,
        wrong_size_agent=wrong_size,
        wrong_family_agent=wrong_family,
        temperature=float(draw.uniform(45.0, 80.0)),
        ph=float(draw.uniform(5.5, 9.0)),
        reductant=float(math.exp(draw.uniform(math.log(2.0), math.log(8.0)))),
        time=float(draw.uniform(50.0, 180.0)),
    )


def outcome(recipes: Recipes, laboratory: Laboratory) -> Outcome:
    """Apply the rule, without any variation from run to run."""
    log_k = _log_rate(recipes)
    conversion = _conversion(log_k, recipes)
    diameter, ripened = _diameter(recipes, log_k, conversion, laboratory)
    bond = BOND * (1.0 + _strain(recipes, log_k, diameter))
    slow = 1.0 / (1.0 + np.exp((log_k + 1.6) / 0.3))
    width = np.clip(0.05 + 0.05 * slow + 0.05 * (1.0 - conversion) + 0.2 * ripened, 0.04, 0.15)
    fractions = _fractions(recipes, log_k, diameter, laboratory)
    # Static disorder of small particles and of quenched ones adds to the thermal 0.008 of bulk gold at 295 K.
    u_iso = 0.008 + 0.06 / diameter + 0.002 / (1.0 + np.exp(-(log_k - 0.2) / 0.2))
    return Outcome(fractions, diameter, width, bond, u_iso, conversion)


def _log_rate(recipes: Recipes) -> Floats:
    """log10 of the rate of reduction, per minute: first order in gold, order 0.8 in the reductant."""
    kelvin = recipes.temperature + 273.15
    arrhenius = ACTIVATION / (GAS * math.log(10.0)) * (1.0 / REFERENCE_TEMPERATURE - 1.0 / kelvin)
    chemistry = 0.12 * (recipes.ph - 7.0) + 0.8 * np.log10(recipes.reductant / 4.0)
    return np.asarray(-1.0 + arrhenius + chemistry)


def _conversion(log_k: Floats, recipes: Recipes) -> Floats:
    """Share of the gold that is reduced; each Au(III) takes 1.5 of the two-electron reductant."""
    return np.asarray(
        (1.0 - np.exp(-(10.0**log_k) * recipes.time)) * np.minimum(1.0, recipes.reductant / 1.5)
    )


def _diameter(
    recipes: Recipes, log_k: Floats, conversion: Floats, laboratory: Laboratory
) -> tuple[Floats, Floats]:
    """Diameter, and the share of it that ripening gave."""
    nucleated = _nucleated(log_k, recipes.reductant, conversion)
    growth = _growth(recipes.temperature, recipes.time, _per_agent(RIPENING, recipes))
    size = _per_agent({agent: _size_of(agent, laboratory) for agent in AGENTS}, recipes)
    return np.clip(size * nucleated * growth, SMALLEST, LARGEST), growth - 1.0


def _per_agent(table: dict[str, float], recipes: Recipes) -> Floats:
    return np.array([table[agent] for agent in AGENTS])[recipes.agent]


def _nucleated(log_k: Floats, reductant: Floats, conversion: Floats) -> Floats:
    """Diameter after nucleation and growth, in units of the agent's size; spare reductant stabilises nuclei
    too (as citrate does: Frens, Nature Phys. Sci. 241, 20, 1973)."""
    return np.asarray(10.0 ** (-0.1 * (log_k + 1.0)) * (reductant / 4.0) ** -0.25 * np.cbrt(conversion))


def _growth(temperature: Floats, time: Floats, rate: Floats | float) -> Floats:
    """Factor on the diameter by ripening: D^3 grows by 10 % in an hour at 60 degC, and twice that 20 K
    hotter."""
    return np.cbrt(1.0 + rate * 0.10 * 2.0 ** ((temperature - 60.0) / 20.0) * time / 60.0)


@cache
def _size_of(agent: str, laboratory: Laboratory) -> float:
    """Diameter (angstrom) that an agent gives at a rate of 0.1 per minute in this laboratory.

    Fixed by what it gives at the hidden optimum of the best agent: the target, or 1.5 times it for the
    agent of the wrong size. Thiol keeps its own.
    """
    if agent == "thiol":
        return THIOL_SIZE
    best = laboratory.optimum
    log_k = _log_rate(best)
    grown = _growth(best.temperature, best.time, RIPENING[agent])
    unit = float((_nucleated(log_k, best.reductant, _conversion(log_k, best)) * grown)[0])
    wanted = TARGET_DIAMETER * (1.5 if agent == laboratory.wrong_size_agent else 1.0)
    return wanted / unit


def _strain(recipes: Recipes, log_k: Floats, diameter: Floats) -> Floats:
    capping = _per_agent(CAPPING_STRAIN, recipes)
    surface_stress = -0.10 / diameter
    charge = 0.0008 * (recipes.ph - 7.0)
    quenched = -0.004 / (1.0 + np.exp(-(log_k - 0.1) / 0.2))
    return np.asarray(np.clip(capping + surface_stress + charge + quenched, -0.015, 0.005))


def _fractions(recipes: Recipes, log_k: Floats, diameter: Floats, laboratory: Laboratory) -> Floats:
    """Shares of the families by softmax of their preferences.

    A preference is an energy in units of kT, with the numbers chosen for the landscape: where the families meet
    (icosahedral and fcc at 29 angstrom for a rate of 0.1 per minute), how wide their mixtures reach (about
    16 angstrom), and a decahedral region of some 3 in 1000 recipes at the target's size.
    """
    off_rate = (log_k - _log_rate(laboratory.optimum)) / RATE_WINDOW
    off_ph = (recipes.ph - laboratory.ph) / PH_WINDOW
    off_temperature = (recipes.temperature - laboratory.temperature) / TEMPERATURE_WINDOW
    off = np.log1p(off_rate**2 + off_ph**2 + off_temperature**2)
    held = {laboratory.best_agent: 4.2, laboratory.wrong_size_agent: 3.9, laboratory.wrong_family_agent: 0.0}
    affinity = _per_agent({agent: held.get(agent, -1.0) for agent in AGENTS}, recipes)
    # The agent of the wrong size is too bulky to hold the faces of small particles.
    is_wrong_size = recipes.agent == AGENTS.index(laboratory.wrong_size_agent)
    affinity = affinity - 0.3 * is_wrong_size * np.maximum(0.0, 48.0 - diameter)
    is_wrong_family = recipes.agent == AGENTS.index(laboratory.wrong_family_agent)
    preference = {
        "decahedral": affinity - 1.6 * off,
        "icosahedral": 0.16 * (30.0 - diameter) + 3.5 * is_wrong_family,
        "fcc": 0.12 * (diameter - 32.0) - 1.2 * (log_k + 1.0) + 0.6,
        "disordered": 8.0 * (log_k - 0.2) + 1.5 * (recipes.ph - 9.5) - np.maximum(0.0, diameter - 30.0),
        "hollow": 0.25 * (recipes.temperature - 78.0) + 3.0 * (4.6 - recipes.ph),
    }
    stacked = np.stack([np.minimum(preference[family], 8.0) for family in FAMILIES], axis=1)
    weight = np.exp(stacked - stacked.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def varied(recipes: Recipes, draw: np.random.Generator) -> Recipes:
    """The recipe as the robot really carried it out: temperature +-0.3 K, pH +-0.04, dosing +-1.5 %, time
    +-1 %."""
    n = len(recipes.temperature)
    shift = {field.name: draw.normal(size=n) for field in fields(Recipes)}
    return Recipes(
        temperature=recipes.temperature + 0.3 * shift["temperature"],
        ph=recipes.ph + 0.04 * shift["ph"],
        reductant=recipes.reductant * np.exp(0.015 * shift["reductant"]),
        time=recipes.time * np.exp(0.01 * shift["time"]),
        agent=recipes.agent,
    )
