"""Descriptors as the surrogate sees them, and back.

The Gaussian process models each descriptor in a unit in which the map from recipe to descriptor is smooth:

- a share between 0 and 1 (``fraction:<family>``) as f -> log((f + e) / (1 - f + e)). Shares come of competing
  formation energies, so their log-odds vary gently where the shares themselves jump from 0 to 1 and stay
  there; e = 0.05 keeps a share of 0 finite and hides differences below what an identification can tell;
- a length (``diameter``) as its logarithm, because sizes vary by factors;
- everything else as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from solvus.agent.scoring import Bound, Goal, TargetDescriptors, squared_distance
from solvus.models.identification import Descriptor

SHARE_OFFSET = 0.05
"""The e above: a share is seldom known better."""
SHARE_SCALE = 1.0
"""A third of the way from a half to an end of the range in log-odds. A tolerance would not do here: at a share of 1
log-odds are so steep that 0.4 becomes 8, against which the few shares seen so far pass for noise."""
ROUNDING = 1e-6
"""Shares that are normalised to sum to 1 may be outside by this."""
LOWER_BOUND_SPREAD = 0.25
"""A value that is only a lower bound carries this much extra relative uncertainty: it says 'large', no
more."""
SD_FLOOR = 0.05
"""In tolerances: a descriptor is never taken as known better than this, whatever the identification
claims."""


class OutputError(ValueError):
    """A descriptor value that cannot be modelled; one sentence names the descriptor."""


LENGTHS = frozenset({"diameter", "n_atoms"})
"""Descriptors that vary by factors."""
BOUND_SHARPNESS = 0.05
"""Width of the smooth step at a bound, in tolerances."""
BOUND_TOLERANCE = 0.1
"""Of a bound, for the unit of a descriptor that has no goal: a tenth of a share, or of the value."""


@dataclass(frozen=True)
class Output:
    """One descriptor that the target has a goal or a bound for."""

    name: str
    goal: Goal
    bound: Bound | None = None
    aimed: bool = True
    """Whether the goal counts; an output that only has a bound has a goal for its unit alone."""

    @property
    def kind(self) -> Literal["share", "length", "plain"]:
        if self.name.startswith("fraction:"):
            return "share"
        return "length" if self.name in LENGTHS else "plain"

    def to_model(self, descriptor: Descriptor) -> tuple[float, float]:
        """Value and variance in the model's unit; the variance by linear error propagation.

        Raises
        ------
        OutputError : a length that is not positive, or a share outside 0 to 1.
        """
        sd = max(descriptor.sd, SD_FLOOR * self.goal.tolerance)
        if descriptor.lower_bound:
            sd = math.hypot(sd, LOWER_BOUND_SPREAD * abs(descriptor.mean))
        z = descriptor.mean
        if self.kind == "length":
            if z <= 0.0:
                raise OutputError(f"{self.name}: {z:g} is no length; it must be above 0")
            return math.log(z), (sd / z) ** 2
        if self.kind == "share":
            if not -ROUNDING <= z <= 1.0 + ROUNDING:
                raise OutputError(f"{self.name}: {z:g} is no share; it must be between 0 and 1")
            z = min(max(z, 0.0), 1.0)
            low, high = z + SHARE_OFFSET, 1.0 - z + SHARE_OFFSET
            return math.log(low / high), (sd / low + sd / high) ** 2
        return z, sd**2

    def least_scale(self) -> float:
        """Unit below which data are not standardised, in the model's unit: for a share ``SHARE_SCALE``, else
        the goal's tolerance at its value. Raises OutputError as :meth:`to_model`."""
        variance = self.to_model(Descriptor(mean=self.goal.value, sd=self.goal.tolerance))[1]
        return SHARE_SCALE if self.kind == "share" else math.sqrt(variance)

    def to_natural(self, values: Tensor) -> Tensor:
        """The inverse, for a tensor of any shape; differentiable."""
        if self.kind == "length":
            return values.exp()
        if self.kind == "share":
            return ((1.0 + 2.0 * SHARE_OFFSET) * values.sigmoid() - SHARE_OFFSET).clamp(0.0, 1.0)
        return values


def outputs_of(target: TargetDescriptors) -> tuple[Output, ...]:
    """Everything that has to be modelled for a target: what has a goal first, by name, because a ledger keeps no order
    of keys and a proposal must not depend on it."""
    found = [Output(name, goal, target.bounds.get(name)) for name, goal in sorted(target.goals.items())]
    for name, bound in sorted(target.bounds.items()):
        if name not in target.goals:
            limit = bound.limits[0]
            tolerance = BOUND_TOLERANCE * (1.0 if name.startswith("fraction:") else abs(limit) or 1.0)
            goal = Goal(value=limit, tolerance=tolerance)
            found.append(Output(name, goal, bound, aimed=False))
    return tuple(found)


def log_kept(outputs: tuple[Output, ...], values: Tensor) -> Tensor:
    """Logarithm of a smooth indicator of all bounds, shape (...), from model values (..., m); 0 without bounds."""
    total = torch.zeros(values.shape[:-1], dtype=values.dtype)
    for j, output in enumerate(outputs):
        if output.bound is not None:
            for room in output.bound.rooms(output.to_natural(values[..., j])):
                total = total + torch.nn.functional.logsigmoid(
                    room / (BOUND_SHARPNESS * output.goal.tolerance)
                )
    return total


def natural(outputs: tuple[Output, ...], values: Tensor) -> list[Tensor]:
    """Descriptors in their natural units, one tensor (...) for each output, from model values (..., m)."""
    return [output.to_natural(values[..., j]) for j, output in enumerate(outputs)]


def distance_squared(outputs: tuple[Output, ...], values: Tensor) -> Tensor:
    """Squared distance to the target in tolerances, shape (...), from model values (..., m)."""
    aimed = [(column, o.goal) for column, o in zip(natural(outputs, values), outputs, strict=True) if o.aimed]
    squared: Tensor = squared_distance([column for column, _ in aimed], [goal for _, goal in aimed])
    return squared


def utility(outputs: tuple[Output, ...], values: Tensor) -> Tensor:
    """What the planner maximises: u = -log(1 + d^2), shape (...), from model values (..., m).

    A monotone function of the distance d, so the best recipe is the same. Far from the target it counts
    factors of the distance, so that an improvement from 9 to 6 tolerances is worth as much as one from 3 to
    2; within a tolerance or so it levels off and has no kink at the target. Its values are of order 1, which
    the smoothing of the acquisition function assumes.
    """
    return -distance_squared(outputs, values).log1p()
