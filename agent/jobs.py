"""What runs in the worker processes: JSON text in, JSON text out. Heavy imports happen inside the workers.

Each job is a pure function of its request, so that a replay of the ledger can run it again.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from solvus.agent.campaign import Target
from solvus.agent.scoring import TargetDescriptors
from solvus.models.identification import Identification
from solvus.models.pattern import Conditions, Pattern, PatternError


class IdentifyRequest(BaseModel):
    """A pattern and how the campaign wants it read. ``qdamp`` is the instrument's, from its calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: Pattern
    elements: tuple[str, ...]
    r_range: tuple[float, float]
    qdamp: float | None = None
    qbroad: float | None = None


def identify(request: str) -> str:
    """An Identification. What is no G(r) at all comes back as poor data: one bad pattern must not end a campaign."""
    from solvus.models.identify import MODEL_VERSION
    from solvus.models.identify import identify as identify_pattern

    r = IdentifyRequest.model_validate_json(request)
    try:
        answer = identify_pattern(
            r.pattern, elements=r.elements or None, r_range=r.r_range, qdamp=r.qdamp, qbroad=r.qbroad
        )
    except PatternError as error:
        answer = Identification(
            verdict="poor_data",
            reasons=(str(error),),
            r_range=r.r_range,
            pattern_sha256=r.pattern.sha256,
            model_version=MODEL_VERSION,
        )
    return answer.model_dump_json()


def suggest(request: str) -> str:
    from solvus.agent.planner.observations import Proposal
    from solvus.agent.planner.suggest import PlanRequest
    from solvus.agent.planner.suggest import suggest as suggest_recipes

    proposals = suggest_recipes(PlanRequest.model_validate_json(request))
    return TypeAdapter(list[Proposal]).dump_json(proposals).decode()


def warm_up(_: str) -> str:
    """Import what planning needs (seconds), so that the first decision does not wait for it."""
    import solvus.agent.planner.suggest  # noqa: F401 -- the import is the work

    return ""


class ResolveRequest(BaseModel):
    """A target as the scientist wrote it, and the conditions under which the laboratory will measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Target
    elements: tuple[str, ...]
    r_range: tuple[float, float]
    conditions: Conditions
    rmax: float


class ResolvedTarget(BaseModel):
    """The target in the planner's words, and the pattern it would give on this laboratory's instrument."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    elements: tuple[str, ...]
    descriptors: TargetDescriptors
    pattern: Pattern

    @model_validator(mode="after")
    def _has_elements(self) -> Self:
        if not self.elements:
            raise ValueError("target: holds no element")
        return self


class Refusal(BaseModel):
    """Why a job could not be done: one sentence, where an exception would lose its type on the way home."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refused: str


def resolve(request: str) -> str:
    from solvus.agent.target import TargetError, resolve_target

    try:
        return resolve_target(ResolveRequest.model_validate_json(request)).model_dump_json()
    except TargetError as error:
        return Refusal(refused=str(error)).model_dump_json()
