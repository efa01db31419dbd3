"""How to plan, as a campaign file says it. Light, so that reading a campaign does not load torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PlannerSettings(BaseModel):
    """How to plan.

    ``method``: ``sobol`` is the control arm of a benchmark, an even filling of the space without any model.
    ``initial``: Sobol proposals before the model takes over; by default max(2 d, 8).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["surrogate", "sobol"] = "surrogate"
    initial: int | None = Field(default=None, ge=1)
