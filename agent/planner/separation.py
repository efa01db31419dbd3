"""How far recipes lie apart, and from which distance on two of them are worth making at one time."""

from __future__ import annotations

import torch
from torch import Tensor

from solvus.agent.planner.search_space import SearchSpace

SEPARATION = 0.02
"""Distance in the unit cube from an experiment under way within which nothing is proposed: its result says as much."""


def separation(space: SearchSpace, A: Tensor, x: Tensor) -> Tensor:
    """Distance of recipes (a, d) from one recipe (1, d), shape (a,): Euclidean, a different choice counting
    1."""
    steps = A - x
    steps[:, space.categorical] = (steps[:, space.categorical] != 0).to(A)
    distances: Tensor = (steps**2).sum(-1).sqrt()
    return distances


def apart(space: SearchSpace, A: Tensor, running: Tensor) -> Tensor:
    """Which of the recipes (a, d) keep ``SEPARATION`` from all that are under way (p, d), shape (a,)."""
    found = torch.ones(len(A), dtype=torch.bool)
    for other in running:
        found &= separation(space, A.clone(), other[None]) >= SEPARATION
    return found
