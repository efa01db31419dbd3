"""Worlds for planners: a space of recipes, what a recipe shows, and whether it is what was asked for.

A planner sees patterns only. Peers get the misfit R_w of a pattern against the target's; ours gets the identification
of the same pattern, through the same door as a campaign, with the library that the world declares. What has no product
gives an empty pattern, whose misfit is 1. Success is judged by the world's own noise-free rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solvus.agent.planner.identified import modes_of
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.search_space import (
    Categorical,
    Component,
    Continuous,
    Mixture,
    Recipe,
    SearchSpace,
)
from solvus.agent.scoring import FRACTION, Goal, TargetDescriptors
from solvus.agent.target import goals_of
from solvus.models.identification import Candidate, Identification
from solvus.models.identify import identify
from solvus.models.pattern import Conditions, Pattern
from solvus.models.refinement.least_squares import f_of
from solvus.models.scattering.simulate import pattern_of
from solvus.models.scattering.transform import sine_kernel
from solvus.models.scattering.unit_factor import UnitScattering
from solvus.models.structures.build import scattering_of
from solvus.models.structures.clusters import unit_positions
from solvus.models.structures.library import Entry, Library
from solvus.simulations import scattbo
from solvus.simulations.gold import GoldWorld, is_hit
from solvus.simulations.mixture import MixtureWorld
from solvus.simulations.mixture_chemistry import LEAST, STOCKS
from solvus.simulations.world import Instrument, NoProduct

Floats = NDArray[np.float64]

NO_PRODUCT_MISFIT = 1.0
"""R_w of an empty pattern against any other."""
CURVE_POINTS = 120
"""Of the curves that the planner may fall back on."""


@dataclass(frozen=True)
class Shown:
    """What one experiment shows: a curve, or ``None`` where nothing was made."""

    curve: Floats | None
    misfit: float


class PlannerWorld(Protocol):
    """A world that a planner works in; ``seed`` is the laboratory and its noise."""

    name: str
    space: SearchSpace
    initial: int
    budget: int
    confirmations: int

    def show(self, recipe: Recipe, seed: int, experiment: int) -> Shown:
        """Make and measure."""
        ...

    def observe(self, recipe: Recipe, shown: Shown, experiment: int) -> Observation:
        """What the planner learns of it."""
        ...

    def target(self) -> TargetDescriptors: ...

    def target_curve(self) -> tuple[float, ...]: ...

    def hit(self, recipe: Recipe, seed: int) -> bool:
        """Whether the recipe makes what is asked for, without noise."""
        ...


def _observation(
    recipe: Recipe,
    experiment: int,
    shown: Shown,
    seen: Identification | None,
    grid: Callable[[Floats], Floats],
) -> Observation:
    if shown.curve is None or seen is None:
        return Observation(experiment=experiment, recipe=recipe, outcome="failed_chemistry")
    trusted = seen.verdict == "identified"
    return Observation(
        experiment=experiment,
        recipe=recipe,
        outcome="ok" if trusted else "untrusted",
        descriptors=seen.descriptors if trusted else {},
        misfit=shown.misfit,
        curve=tuple(float(f"{v:.6g}") for v in grid(shown.curve)),
    )


# --- ScattBO ---


@cache
def scattbo_library() -> Library:
    """The structures that ScattBO can make, from 13 atoms: its declared library."""
    entries: list[Entry] = []
    units: list[UnitScattering] = []
    for solvent in scattbo.SOLVENTS:
        for size in scattbo.sizes(solvent):
            places = unit_positions(scattbo.positions(solvent, size))
            if len(places) < 13:
                continue
            span = float(np.linalg.norm(np.ptp(places, axis=0)))
            family = scattbo.FAMILY[solvent]
            entries.append(Entry(len(entries), f"{solvent}-{size}", family, solvent, len(places), span))
            units.append(scattering_of(places)[1])
    return Library(tuple(entries), tuple(units), "scattbo")


class ScattBOWorld:
    """ScattBO as published, see :mod:`solvus.simulations.scattbo`; no noise, no failures."""

    initial, confirmations = 4, 0

    def __init__(
        self, task: scattbo.Task, objective: scattbo.Objective, budget: int, name: str | None = None
    ) -> None:
        self.name, self.budget = name or task.name, budget
        self._task, self._objective = task, objective
        self.space = SearchSpace(
            parameters=(
                Continuous(name="pH", lower=task.ph[0], upper=task.ph[1]),
                Continuous(name="pressure", lower=task.pressure[0], upper=task.pressure[1]),
                Categorical(name="solvent", choices=task.solvents),
            )
        )
        ph, pressure, solvent = task.target
        made = scattbo.made_by({"pH": ph, "pressure": pressure, "solvent": solvent})
        self._wanted = scattbo.curve(made, objective)

    def show(self, recipe: Recipe, seed: int, experiment: int) -> Shown:
        curve = scattbo.curve(scattbo.made_by(recipe), self._objective)
        return Shown(curve, scattbo.r_wp(curve, self._wanted))

    def hit(self, recipe: Recipe, seed: int) -> bool:
        return self.show(recipe, seed, 0).misfit < scattbo.THRESHOLD

    def pattern(self, curve: Floats) -> Pattern:
        """The G(r) that is identified; S(Q) is transformed."""
        g = curve if self._objective == "gr" else (scattbo.Q * curve) @ _g_kernel()
        conditions = Conditions(qmin=2.0, qmax=10.0, qdamp=scattbo.QDAMP, composition="Au")
        return Pattern(quantity="G", x=scattbo.R, y=g, conditions=conditions)

    def _identified(self, curve: Floats) -> Identification:
        return identify(self.pattern(curve), elements=["Au"], library=scattbo_library(), expansion=0.6, top=8)

    def observe(self, recipe: Recipe, shown: Shown, experiment: int) -> Observation:
        assert shown.curve is not None  # noqa: S101 -- everything makes something here
        seen = self._identified(shown.curve)
        found = _observation(recipe, experiment, shown, seen, self._grid)
        return found.model_copy(update={"modes": modes_of(seen)})

    def _grid(self, curve: Floats) -> Floats:
        scaled = curve / curve.max()
        places = np.linspace(0, len(curve) - 1, CURVE_POINTS)
        return np.asarray(np.interp(places, np.arange(len(curve)), scaled))

    def target_curve(self) -> tuple[float, ...]:
        return tuple(self._grid(self._wanted).tolist())

    def target(self) -> TargetDescriptors:
        """Goals from the identification of the target's pattern. Tolerances are what the threshold on R_wp allows when
        one descriptor alone is off: of the bond length a shift, of the size no other member of the library."""
        best = self._identified(self._wanted).candidates[0]
        bond, atoms = best.parameters["bond_length"], best.parameters["n_atoms"]
        sizes = [e.n_atoms for e in scattbo_library().subset(family=best.family) if e.n_atoms != atoms]
        nearest = min(abs(n - atoms) for n in sizes)
        return TargetDescriptors(
            goals={
                FRACTION + best.family: Goal(value=1.0, tolerance=0.4, at_least=True),
                "n_atoms": Goal(value=atoms, tolerance=0.5 * nearest),
                "bond_length": Goal(value=bond, tolerance=self._bond_tolerance(best)),
            },
            family=best.family,
        )

    def _bond_tolerance(self, best: Candidate) -> float:
        """Shift of the bond length that alone costs the threshold, by bisection."""
        unit = scattbo_library().scattering(scattbo_library().entry(best.structure))
        p = best.parameters

        def curve(bond: float) -> Floats:
            f = f_of(unit, scattbo.Q, bond, p["u_iso"], p["delta2"])
            return f @ _g_kernel() if self._objective == "gr" else f / scattbo.Q

        bond, low, high = p["bond_length"], 0.0, 0.02 * p["bond_length"]
        for _ in range(40):
            middle = 0.5 * (low + high)
            short = scattbo.r_wp(curve(bond + middle), curve(bond)) < scattbo.THRESHOLD
            low, high = (middle, high) if short else (low, middle)
        return low


@cache
def _g_kernel() -> Floats:
    return sine_kernel(scattbo.Q, scattbo.R, scattbo.QDAMP)


# --- gold and mixture ---

INSTRUMENT = Instrument()
R_RANGE = (1.6, 20.0)
TARGET_STRUCTURE = "Au decahedron-9-5-0"
"""As in the shipped campaign ``gold-decahedron``."""


@dataclass(frozen=True)
class _Tolerance:
    diameter: float = 0.05
    bond_length: float = 0.01
    impurity: float = 0.4


@cache
def _target_pattern() -> Pattern:
    r = np.round(np.arange(1, round(INSTRUMENT.rmax / INSTRUMENT.rstep) + 1) * INSTRUMENT.rstep, 5)
    conditions = Conditions(
        qmin=INSTRUMENT.qmin,
        qmax=INSTRUMENT.qmax,
        qdamp=INSTRUMENT.qdamp,
        qbroad=INSTRUMENT.qbroad,
        composition="Au",
    )
    return pattern_of(TARGET_STRUCTURE, conditions, r)


class GoldLikeWorld:
    """Worlds that make gold particles: noise of synthesis and measurement, failures, decoys."""

    confirmations = 1

    def __init__(
        self, name: str, world: GoldWorld | MixtureWorld, space: SearchSpace, initial: int, budget: int
    ) -> None:
        self.name, self.space, self.initial, self.budget = name, space, initial, budget
        self._world = world

    def show(self, recipe: Recipe, seed: int, experiment: int) -> Shown:
        try:
            product = self._world.make(recipe, seed=seed, experiment=experiment, replicate=0)
        except NoProduct:
            return Shown(None, NO_PRODUCT_MISFIT)
        pattern = self._world.measure(product, INSTRUMENT, seed=seed, experiment=experiment, replicate=0)
        wanted = _target_pattern()
        inside = (wanted.x >= R_RANGE[0]) & (wanted.x <= R_RANGE[1])
        t, s = wanted.y[inside], pattern.y[inside]
        return Shown(pattern.y, float(np.sqrt(((t - s) ** 2).sum() / (t**2).sum())))

    def hit(self, recipe: Recipe, seed: int) -> bool:
        try:
            return is_hit(self._world.ideal(recipe, seed=seed))
        except NoProduct:
            return False

    def observe(self, recipe: Recipe, shown: Shown, experiment: int) -> Observation:
        if shown.curve is None:
            return _observation(recipe, experiment, shown, None, self._grid)
        return _observation(recipe, experiment, shown, self.identified(shown.curve), self._grid)

    def identified(self, curve: Floats) -> Identification:
        """As a campaign identifies what was measured."""
        pattern = _target_pattern().model_copy(update={"y": curve})
        return identify(pattern, elements=("Au",), r_range=R_RANGE, qdamp=INSTRUMENT.qdamp)

    def _grid(self, curve: Floats) -> Floats:
        return np.asarray(np.interp(np.linspace(*R_RANGE, CURVE_POINTS), _target_pattern().x, curve))

    def target(self) -> TargetDescriptors:
        return goals_of(self.identified(_target_pattern().y), _Tolerance())  # type: ignore[arg-type]

    def target_pattern(self) -> Pattern:
        """Of the wanted structure, as this world's instrument would measure it."""
        return _target_pattern()

    def target_curve(self) -> tuple[float, ...]:
        return tuple(self._grid(_target_pattern().y).tolist())


def _gold() -> GoldLikeWorld:
    space = SearchSpace(
        parameters=(
            Continuous(name="temperature", lower=20, upper=95, unit="degC"),
            Continuous(name="pH", lower=3, upper=12),
            Continuous(name="reductant_to_gold", lower=0.5, upper=20, unit="mol/mol", scale="log"),
            Continuous(name="reaction_time", lower=1, upper=240, unit="min"),
            Categorical(name="capping_agent", choices=("citrate", "pvp", "ctab", "thiol")),
        )
    )
    return GoldLikeWorld("gold", GoldWorld(), space, 4, 80)


def _mixture() -> GoldLikeWorld:
    stocks = tuple(Component(name=stock, lower=LEAST) for stock in STOCKS)
    space = SearchSpace(
        parameters=(Mixture(name="pot", components=stocks, total=100.0, unit="vol%", step=0.01),)
    )
    return GoldLikeWorld("mixture", MixtureWorld(), space, 4, 80)


class UselessWorld(GoldLikeWorld):
    """The world ``gold`` with identifications that say nothing: descriptors of another sample, drawn at random."""

    def observe(self, recipe: Recipe, shown: Shown, experiment: int) -> Observation:
        if shown.curve is None:
            return _observation(recipe, experiment, shown, None, self._grid)
        goals = self.target().goals
        draw = np.random.default_rng([experiment, int(1e6 * shown.misfit)])
        scale = {"diameter": 12.0, "bond_length": 0.02}
        descriptors = {}
        for name, goal in goals.items():
            share = name.startswith(FRACTION)
            value = draw.uniform() if share else goal.value + scale[name] * draw.normal()
            descriptors[name] = {"mean": float(abs(value)), "sd": 0.05 if share else 0.1 * scale[name]}
        return Observation.model_validate(
            {
                "experiment": experiment,
                "recipe": recipe,
                "outcome": "ok",
                "descriptors": descriptors,
                "misfit": shown.misfit,
                "curve": tuple(self._grid(shown.curve).tolist()),
            }
        )

    def target(self) -> TargetDescriptors:
        return _gold_target()


@cache
def _gold_target() -> TargetDescriptors:
    return _gold().target()


TUNING_TASKS = {
    "scattbo-tuning-small": scattbo.Task(
        "scattbo-tuning-small", (2.0, 12.0), (15.0, 80.0), scattbo.SOLVENTS[:2], (6.0, 40.0, "Methanol")
    ),
    "scattbo-tuning-large": scattbo.Task(
        "scattbo-tuning-large", (0.0, 14.0), (0.0, 100.0), scattbo.SOLVENTS, (4.5, 33.0, "Others")
    ),
}
"""ScattBO's spaces with other targets: for trying things out, so that the published target is kept for judging."""
WORLDS = ("scattbo-small", "scattbo-large", *TUNING_TASKS, "gold", "mixture", "gold-useless")
BUDGETS = {"small": 100, "large": 150}


def world_of(name: str, objective: scattbo.Objective, budget: int | None = None) -> PlannerWorld:
    """A world by name. Raises KeyError for one that is none of ``WORLDS``."""
    if name not in WORLDS:
        raise KeyError(name)
    world: PlannerWorld
    if name.startswith("scattbo"):
        published = {"scattbo-small": scattbo.SMALL, "scattbo-large": scattbo.LARGE}
        task = (published | TUNING_TASKS)[name]
        world = ScattBOWorld(task, objective, BUDGETS[name.rpartition("-")[2]])
    elif name == "mixture":
        world = _mixture()
    elif name == "gold-useless":
        like = _gold()
        world = UselessWorld(name, GoldWorld(), like.space, like.initial, like.budget)
    else:
        world = _gold()
    if budget is not None:
        world.budget = budget
    return world
