"""How to plan, as a campaign file says it. Light, so that reading a campaign does not load torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from solvus.agent.planner.expressions import ExpressionError, names_in

Mode = Literal["target", "front", "explore"]
"""What is sought."""


class PlannerSettings(BaseModel):
    """How to plan.

    Attributes
    ----------
    method : ``sobol`` is the control arm of a benchmark, an even filling of the space without any model.
    initial : Sobol proposals before the model takes over; by default max(d / 2, 4), and 3 where earlier campaigns are
        known.
    mode : ``target`` seeks the least distance to the target; ``front`` a front of best compromises between its goals;
        ``explore`` structures unlike all that are known.
    level : what the surrogate models; ``auto`` chooses by leave-one-out calibration.
    cost : arithmetic over the recipe that says what an experiment costs, such as ``reaction_time + 20``.
    interior : how much the middle of a range is preferred to its edges before anything is known; 0 for not at all.
        Without effect where new structures are sought.
    stop_reached : probability of having reached the target from which on nothing more is proposed.
    stop_improvement : expected improvement (of log(1 + squared distance in tolerances), per unit of cost) below which
        another experiment is not worth it; ``None`` to go on until the budget is spent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Literal["surrogate", "sobol"] = "surrogate"
    initial: int | None = Field(default=None, ge=1)
    mode: Mode = "target"
    level: Literal["auto", "descriptors", "patterns", "misfit"] = "auto"
    cost: str | None = None
    interior: float = Field(default=0.5, ge=0.0, le=5.0)
    stop_reached: float = Field(default=0.95, gt=0.0, lt=1.0)
    stop_improvement: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _cost_is_arithmetic(self) -> Self:
        try:
            if self.cost is not None:
                names_in(self.cost)
        except ExpressionError as error:
            raise ValueError(f"cost: {error}") from error
        return self
