"""Exploring, with and within bounds, and a front of compromises."""

from __future__ import annotations

from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.planner import Planner
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.scoring import Bound, Goal, TargetDescriptors
from tests.agent.planner.test_retarget import SPACE, made


def explored(target: TargetDescriptors | None, experiments: int) -> tuple[list[Proposal], list[float]]:
    """Proposals after the initial ones, and the diameters that they gave."""
    planner = Planner(SPACE, target, PlannerSettings(initial=6, mode="explore"), seed=2)
    proposals, diameters = [], []
    for number in range(1, experiments + 1):
        [proposal] = planner.suggest()
        observation = made(number, proposal.recipe)
        planner.ingest([observation])
        if number > 6:
            proposals.append(proposal)
            diameters.append(observation.descriptors["diameter"].mean)
    return proposals, diameters


def test_exploring_goes_to_the_ends_and_within_bounds_it_stays_there() -> None:
    proposals, free = explored(None, 12)
    assert min(free) < 12.0 and max(free) > 45.0
    assert all(p.predicted_distance is None and "differ most" in p.explanation for p in proposals)
    assert all(set(p.predicted) == {"bond_length", "diameter"} for p in proposals)
    reasons = {a.reason for p in proposals for a in p.alternatives}
    assert reasons == {"expected to differ less from what is known"}
    bounds = TargetDescriptors(goals={}, bounds={"diameter": Bound(at_least=20.0, at_most=30.0)})
    proposals, kept = explored(bounds, 10)
    assert all(19.0 < diameter < 31.0 for diameter in kept)
    assert all(p.bounds_kept is not None and p.bounds_kept > 0.5 for p in proposals)


def test_a_front_is_looked_at_in_several_directions() -> None:
    """Small particles with long bonds cannot both be had: hot ones are large, and have the longer bonds."""
    goals = {
        "diameter": Goal(value=12.0, tolerance=2.0, at_most=True),
        "bond_length": Goal(value=2.915, tolerance=0.005, at_least=True),
    }
    settings = PlannerSettings(initial=6, mode="front")
    planner = Planner(SPACE, TargetDescriptors(goals=goals), settings, seed=2)
    found = []
    for number in range(1, 13):
        [proposal] = planner.suggest()
        observation = made(number, proposal.recipe)
        planner.ingest([observation])
        if number > 6:
            found.append(tuple(observation.descriptors[name].mean for name in goals))
    best = [a for a in found if not any(b[0] < a[0] and b[1] > a[1] for b in found)]
    assert len(best) >= 3 and max(a[0] for a in best) - min(a[0] for a in best) > 5.0
