"""Places in the latent space as what the planner models: the posterior of a pattern as modes, a structure as goals.

The coordinates ``latent:0``, ``latent:1``, ... are descriptors like any other. A place knows nothing of lengths, so the
bond length and what else a campaign asks for stand beside them, from the identification of the same pattern.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from solvus.agent.planner.observations import Mode
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.models.identification import Descriptor
from solvus.models.latent.posterior import LatentPosterior

LATENT = "latent:"
"""Prefix of the coordinates."""
TOLERATED = 0.25
"""Of a coordinate: what 5 % of the diameter changes in the one that tells sizes, at a thousand atoms, and a fraction of
the distance between neighbouring families."""
BESIDE = "bond_length"


def names_of(dimensions: int) -> tuple[str, ...]:
    return tuple(f"{LATENT}{k}" for k in range(dimensions))


def needed_beside(target: TargetDescriptors | None) -> tuple[str, ...]:
    """Descriptors that stand beside the coordinates."""
    asked = () if target is None else (*target.goals, *target.bounds)
    return tuple(sorted({BESIDE, *(name for name in asked if not name.startswith(LATENT))}))


def modes_of_place(
    place: LatentPosterior, descriptors: Mapping[str, Descriptor], beside: Sequence[str]
) -> tuple[Mode, ...]:
    """Every mode of a posterior with its covariance; the descriptors beside are independent of it.

    Parameters
    ----------
    beside : names out of ``descriptors``; those that are missing are left out.
    """
    kept = [(name, descriptors[name]) for name in beside if name in descriptors]
    d = place.dimensions
    names = (*names_of(d), *(name for name, _ in kept))
    found = []
    for mode in place.modes:
        covariance = np.zeros((len(names), len(names)))
        covariance[:d, :d] = mode.covariance
        covariance[range(d, len(names)), range(d, len(names))] = [value.sd**2 for _, value in kept]
        found.append(
            Mode(
                weight=mode.weight,
                names=names,
                mean=(*mode.mean, *(value.mean for _, value in kept)),
                covariance=tuple(tuple(row) for row in covariance.tolist()),
            )
        )
    return tuple(found)


def goals_at(
    place: LatentPosterior, implied: TargetDescriptors, further: Mapping[str, Goal]
) -> TargetDescriptors:
    """What the planner aims at: the likeliest mode of the target's place, its bond length, and what the campaign asks
    for besides. A coordinate in which the target is not determined counts as little as it is known.

    Parameters
    ----------
    implied : the target in descriptors. further : goals that the campaign file gives.
    """
    likeliest = max(place.modes, key=lambda mode: mode.weight)
    spread = [likeliest.covariance[k][k] for k in range(place.dimensions)]
    goals = {
        name: Goal(value=value, tolerance=math.sqrt(variance + TOLERATED**2))
        for name, value, variance in zip(names_of(place.dimensions), likeliest.mean, spread, strict=True)
    }
    if BESIDE in implied.goals:
        goals[BESIDE] = implied.goals[BESIDE]
    return TargetDescriptors(goals={**goals, **further}, bounds=implied.bounds, family=implied.family)
