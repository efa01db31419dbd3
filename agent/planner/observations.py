"""What the planner takes in (Observation) and gives out (Proposal): plain data that goes into the ledger as
JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from solvus.agent.planner.search_space import Recipe
from solvus.models.identification import Descriptor

Outcome = Literal["ok", "untrusted", "failed_chemistry", "failed_equipment"]
"""``ok``: made and identified. ``untrusted``: made, but the identification does not steer.
``failed_chemistry``: no product, which says something of the recipe. ``failed_equipment``: says nothing of
the recipe."""

Source = Literal["sobol", "surrogate", "space-filling", "replicate"]


class Observation(BaseModel):
    """What became of one experiment. ``replicate`` counts repeats of the same experiment from 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: int = Field(ge=1)
    replicate: int = Field(default=0, ge=0)
    recipe: Recipe
    outcome: Outcome
    descriptors: dict[str, Descriptor] = {}


class Distance(BaseModel):
    """A predicted distance to the target, in tolerances (see :mod:`solvus.agent.scoring`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: float = Field(ge=0.0)
    sd: float = Field(ge=0.0)


class Alternative(BaseModel):
    """A recipe that was passed over, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    recipe: Recipe
    acquisition: float
    reason: str


class Neighbour(BaseModel):
    """A finished experiment near the proposed recipe.

    ``distance`` is Euclidean in the unit cube of ordered parameters, where a different choice counts 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    experiment: int
    distance: float = Field(ge=0.0)


class Proposal(BaseModel):
    """A recipe the planner suggests, with its reasons: enough to check it, and to compute it again.

    Attributes
    ----------
    predicted : descriptors the model expects, of the goals only; empty for a Sobol point before any model.
    acquisition : log of the expected improvement, plus the log-probability of a product; ``None`` without a
        model.
    alternatives : the best recipes passed over.
    nearest : the nearest finished experiments, nearest first.
    seed, data_sha256, versions : the same data, seed and versions give the same proposal. The hash is over
        all that the planner was given.
    hyperparameters : per model (``feasibility`` or a descriptor) the fitted numbers by name.
    fallback : which way out was taken when the normal way was not open, in plain words; else empty.
    explanation : the proposal in one line for a person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    recipe: Recipe
    source: Source
    predicted: dict[str, Descriptor] = {}
    predicted_distance: Distance | None = None
    probability_feasible: float = Field(ge=0.0, le=1.0)
    acquisition: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    nearest: tuple[Neighbour, ...] = ()
    seed: int
    data_sha256: str
    versions: dict[str, str]
    hyperparameters: dict[str, dict[str, float]] = {}
    fallback: str = ""
    explanation: str
