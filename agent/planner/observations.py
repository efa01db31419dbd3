"""What the planner takes in (Observation) and gives out (Proposal): plain data that goes into the ledger as
JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from solvus.agent.planner.search_space import Recipe
from solvus.models.identification import Descriptor

Outcome = Literal["ok", "untrusted", "not_measured", "failed_chemistry", "failed_equipment"]
"""``ok``: made and identified. ``untrusted``: made, but the identification does not steer. ``not_measured``: made, and
a cheap early signal said that measuring it would not help.
``failed_chemistry``: no product, which says something of the recipe. ``failed_equipment``: says nothing of
the recipe."""

Source = Literal["sobol", "surrogate", "space-filling", "replicate"]

Level = Literal["descriptors", "patterns", "misfit"]
"""What the surrogate models: the structure's descriptors, principal components of the pattern, or the misfit to the
target's pattern."""

SYMMETRIC = 1e-6
"""Relative; how far a covariance may be from a symmetric, non-negative matrix through rounding."""


class Mode(BaseModel):
    """One reading of a pattern: a normal distribution over named descriptors, and the probability that it is the true
    one. Coordinates of a latent space are descriptors like any other.

    Attributes
    ----------
    names : of the m descriptors. mean : (m,). covariance : (m, m).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: float = Field(gt=0.0, le=1.0)
    names: tuple[str, ...] = Field(min_length=1)
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Self:
        m = len(self.names)
        if len(set(self.names)) != m:
            raise ValueError("names: a descriptor is there twice; remove one")
        if len(self.mean) != m or [len(row) for row in self.covariance] != [m] * m:
            raise ValueError(f"mean and covariance: need {m} numbers and {m} by {m}, as many as names")
        matrix = np.array(self.covariance)
        size = float(np.abs(matrix).max())
        if np.abs(matrix - matrix.T).max() > SYMMETRIC * size or (
            np.linalg.eigvalsh(matrix)[0] < -SYMMETRIC * size
        ):
            raise ValueError("covariance: is not symmetric and non-negative")
        return self

    @classmethod
    def of(cls, descriptors: Mapping[str, Descriptor], weight: float = 1.0) -> Mode:
        """Independent descriptors as one mode."""
        variances = np.diag([d.sd**2 for d in descriptors.values()])
        return cls(
            weight=weight,
            names=tuple(descriptors),
            mean=tuple(d.mean for d in descriptors.values()),
            covariance=tuple(tuple(row) for row in variances.tolist()),
        )

    def descriptor(self, name: str) -> Descriptor:
        """One of the descriptors by itself. Raises KeyError when it is not there."""
        if name not in self.names:
            raise KeyError(name)
        i = self.names.index(name)
        return Descriptor(mean=self.mean[i], sd=max(0.0, self.covariance[i][i]) ** 0.5)


class Observation(BaseModel):
    """What became of one experiment.

    Attributes
    ----------
    replicate : counts repeats of the same experiment from 0.
    descriptors : of the identified structure. modes : in their place where several readings are possible; their
        weights need not add up to one, what is missing is unknown.
    misfit : R_w of the measured pattern against the target's; curve : the pattern on the grid that all observations
        share. Both serve when descriptors teach nothing, see :mod:`solvus.agent.planner.ladder`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    experiment: int = Field(ge=1)
    replicate: int = Field(default=0, ge=0)
    recipe: Recipe
    outcome: Outcome
    descriptors: dict[str, Descriptor] = {}
    modes: tuple[Mode, ...] = ()
    misfit: float | None = Field(default=None, ge=0.0)
    curve: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _modes_are_probabilities(self) -> Self:
        if sum(mode.weight for mode in self.modes) > 1.0 + 1e-6:
            raise ValueError("modes: weights add up to more than 1; normalise them")
        return self


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


class Check(BaseModel):
    """A constraint on the recipe, with what it comes to here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    constraint: str
    amount: float
    lower: float | None = None
    upper: float | None = None


class Rule(BaseModel):
    """One reason to stop, with what it stands at: it is met when ``value`` has passed ``limit``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Literal["reached", "improvement", "budget"]
    value: float
    limit: float | None
    met: bool
    text: str


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
    level : what the surrogate models; skills : by level, the share of the variance of the utility that leave-one-out
        predictions explain. left_out : by model, the standard deviation of its leave-one-out z-scores.
    bounds_kept : probability that all bounds of the target are kept. cost : of the experiment, in the campaign's unit.
    checks : every constraint of the search space. stopping : every rule, whether met or not.
    outliers : experiments that contradict their neighbours and count less.
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
    level: Level = "descriptors"
    skills: dict[str, float] = {}
    left_out: dict[str, float] = {}
    bounds_kept: float | None = None
    cost: float | None = None
    checks: tuple[Check, ...] = ()
    stopping: tuple[Rule, ...] = ()
    outliers: tuple[int, ...] = ()
    explanation: str
