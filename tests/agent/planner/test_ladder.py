"""Down from descriptors to the pattern and its misfit, only where descriptors teach nothing."""

from __future__ import annotations

import numpy as np

from solvus.agent.planner.observations import Observation, Proposal
from solvus.agent.planner.request import PlanRequest
from solvus.agent.planner.search_space import Continuous, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.suggest import suggest
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.models.identification import Descriptor

SPACE = SearchSpace(
    parameters=(Continuous(name="x", lower=0.0, upper=1.0), Continuous(name="y", lower=0.0, upper=1.0))
)
TARGET = TargetDescriptors(goals={"bond_length": Goal(value=3.0, tolerance=0.02)})
GRID = np.linspace(0.0, 10.0, 50)


def curve(bond: float) -> tuple[float, ...]:
    return tuple(np.sin(2.0 * np.pi * GRID / bond).tolist())


def campaign(n: int, *, useful: bool, trusted: bool = True) -> tuple[Observation, ...]:
    draw = np.random.default_rng(4)
    found = []
    for i in range(1, n + 1):
        x, y = draw.uniform(size=2)
        bond = 2.8 + 0.4 * x + 0.1 * y
        said = bond if useful else draw.uniform(2.8, 3.3)
        misfit = float(np.linalg.norm(np.array(curve(bond)) - curve(3.0)) / np.linalg.norm(curve(3.0)))
        found.append(
            Observation(
                experiment=i,
                recipe={"x": float(x), "y": float(y)},
                outcome="ok" if trusted or i < 5 else "untrusted",
                descriptors={"bond_length": Descriptor(mean=said, sd=0.003)} if trusted or i < 5 else {},
                misfit=misfit,
                curve=curve(bond),
            )
        )
    return tuple(found)


def proposed(observations: tuple[Observation, ...], level: str = "auto") -> Proposal:
    request = PlanRequest(
        space=SPACE,
        target=TARGET,
        observations=observations,
        seed=3,
        proposed=len(observations),
        settings=PlannerSettings.model_validate({"level": level}),
        target_curve=curve(3.0),
    )
    return suggest(request)[0]


def test_descriptors_that_say_something_are_kept() -> None:
    proposal = proposed(campaign(20, useful=True))
    assert proposal.level == "descriptors" and not proposal.fallback
    assert proposal.skills["descriptors"] > 0.5
    x, y = float(proposal.recipe["x"]), float(proposal.recipe["y"])
    assert abs(2.8 + 0.4 * x + 0.1 * y - 3.0) < 0.02


def test_descriptors_that_say_nothing_are_left_and_it_is_said() -> None:
    proposal = proposed(campaign(20, useful=False))
    assert proposal.level in ("patterns", "misfit") and "skill" in proposal.fallback
    assert proposal.skills["descriptors"] < 0.15 < proposal.skills[proposal.level]
    assert Proposal.model_validate_json(proposal.model_dump_json()) == proposal


def test_patterns_that_are_mostly_unexplained_steer_by_their_misfit() -> None:
    proposal = proposed(campaign(20, useful=True, trusted=False))
    assert proposal.level in ("patterns", "misfit") and "4 of 20" in proposal.fallback


def test_every_step_can_be_asked_for() -> None:
    for level in ("descriptors", "patterns", "misfit"):
        proposal = proposed(campaign(12, useful=True), level)
        assert proposal.level == level and proposal.source == "surrogate"


def test_few_results_are_no_reason_to_leave_descriptors() -> None:
    observations = campaign(6, useful=False)
    request = PlanRequest(
        space=SPACE,
        target=TARGET,
        observations=observations,
        seed=3,
        proposed=6,
        settings=PlannerSettings(initial=4),
        target_curve=curve(3.0),
    )
    assert suggest(request)[0].level == "descriptors"
