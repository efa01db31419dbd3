"""What runs in the worker processes: JSON text in, JSON text out. Heavy imports happen inside the workers.

Each job is a pure function of its request, so that a replay of the ledger can run it again.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from solvus.agent.campaign import Target
from solvus.agent.scoring import Bound, Goal, TargetDescriptors
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
    expansion: float | None = None
    place: bool = False
    """Whether its place in the latent space is wanted as well."""


def _is_a_sentence_of_ours(error: ValueError) -> bool:
    """Whether this is one of Solvus's own refusals (a bad pattern, a broken data file), not a slip in the code."""
    return type(error).__module__.partition(".")[0] == "solvus"


def identify(request: str) -> str:
    """An Identification. What Solvus refuses to identify comes back as poor data, with the refusal as its reason: one
    bad pattern must not end a campaign."""
    from solvus.models.identify import MODEL_VERSION
    from solvus.models.identify import identify as identify_pattern

    r = IdentifyRequest.model_validate_json(request)
    try:
        answer = identify_pattern(
            r.pattern,
            elements=r.elements or None,
            r_range=r.r_range,
            qdamp=r.qdamp,
            qbroad=r.qbroad,
            expansion=r.expansion,
        )
    except ValueError as error:
        if not _is_a_sentence_of_ours(error):
            raise
        answer = Identification(
            verdict="poor_data",
            reasons=(str(error),),
            r_range=r.r_range,
            pattern_sha256=r.pattern.sha256,
            model_version=MODEL_VERSION,
        )
    if r.place and answer.verdict == "identified":
        from solvus.models.latent.placing import placed_candidates
        from solvus.models.latent.weights import shipped

        place = placed_candidates(shipped(), answer.candidates)
        answer = answer.model_copy(update={"place": place})
    return answer.model_dump_json()


G_DECIMALS = 8
"""A reduced G(r) is kept to 1e-8 1/angstrom^2, far below its noise: the last digits of a sum depend on how a processor
splits it, and the same reduction should give the same hash."""


class ReduceRequest(BaseModel):
    """Raw I(Q), the background measured beside it, and the settings of :mod:`solvus.models.reduction.settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    raw: Pattern
    background: Pattern | None
    settings: dict[str, Any]


class Reduced(BaseModel):
    """G(r) with all that is needed to explain it: every setting, what the data gave, and the versions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: Pattern
    settings: dict[str, Any]
    quality: dict[str, float]
    notes: tuple[str, ...]
    versions: dict[str, str]


def reduce(request: str) -> str:
    """A :class:`Reduced`, or a :class:`Refusal` where data, background and settings do not go together."""
    import numpy as np

    from solvus import __version__
    from solvus.models.reduction.reduce import REDUCTION_VERSION
    from solvus.models.reduction.reduce import reduce as reduce_intensity
    from solvus.models.reduction.settings import settings_of

    r = ReduceRequest.model_validate_json(request)
    try:
        settings = settings_of(**r.settings)
        done = reduce_intensity(r.raw, settings, r.background)
    except PatternError as error:
        return Refusal(refused=str(error)).model_dump_json()
    g = done.g
    uncertainty = None if g.dy is None else np.round(g.dy, G_DECIMALS)
    quality = {
        "background_scale": done.background_scale,
        "background_share": done.background_share,
        "below_background": done.below_background,
        "degree": done.degree,
    }
    if uncertainty is not None:
        quality["uncertainty"] = float(np.median(uncertainty))
    return Reduced(
        pattern=g.model_copy(update={"y": np.round(g.y, G_DECIMALS), "dy": uncertainty}),
        settings=settings.model_dump(mode="json"),
        quality=quality,
        notes=done.notes,
        versions={"solvus": __version__, "reduction": REDUCTION_VERSION, "numpy": np.__version__},
    ).model_dump_json()


def suggest(request: str) -> str:
    """Proposals, each with the versions, thread count and CPU capability that it was computed with."""
    from solvus.agent.planner.observations import Proposal
    from solvus.agent.planner.request import PlanRequest
    from solvus.agent.planner.suggest import suggest as suggest_recipes

    proposals = suggest_recipes(PlanRequest.model_validate_json(request))
    here = _computing()
    stamped = [p.model_copy(update={"versions": {**p.versions, **here}}) for p in proposals]
    return TypeAdapter(list[Proposal]).dump_json(stamped).decode()


def judge(request: str) -> str:
    """Whether a sample is worth measuring, stamped as proposals are."""
    from solvus.agent.planner.early_signal import StageRequest
    from solvus.agent.planner.stages import decide

    made = decide(StageRequest.model_validate_json(request))
    return made.model_copy(update={"versions": {**made.versions, **_computing()}}).model_dump_json()


def _computing() -> dict[str, str]:
    import torch

    return {
        "threads": str(torch.get_num_threads()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def computing(_: str) -> str:
    """How this worker computes: torch's thread count and the vector instructions it uses. The last digits of a sum
    depend on both."""
    return TypeAdapter(dict[str, str]).dump_json(_computing()).decode()


def warm_up(_: str) -> str:
    """Import what planning needs (seconds), so that the first decision does not wait for it."""
    import solvus.agent.planner.suggest  # noqa: F401 -- the import is the work

    return ""


EXPLORATION = "exploration"
"""Title of a campaign without a target."""


class ResolveRequest(BaseModel):
    """What is sought as the scientist wrote it, and the conditions under which the laboratory will measure.

    ``target`` may be ``None``, to explore.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Target | None
    goals: dict[str, Goal] = {}
    bounds: dict[str, Bound] = {}
    elements: tuple[str, ...]
    r_range: tuple[float, float]
    expansion: float | None = None
    conditions: Conditions
    rmax: float
    latent: bool = False
    """Whether samples are described by their places in the latent space."""


class ResolvedTarget(BaseModel):
    """The target in the planner's words, and the pattern it would give on this laboratory's instrument.

    Without a target there is no pattern; and no descriptors, unless goals or bounds are given.

    Attributes
    ----------
    latent : version of the weights under which samples are placed; ``None`` where they are not.
    aim : what the planner aims at in places; hits are judged by ``descriptors``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    elements: tuple[str, ...]
    descriptors: TargetDescriptors | None
    pattern: Pattern | None
    latent: str | None = None
    aim: TargetDescriptors | None = None

    @property
    def planned(self) -> TargetDescriptors | None:
        """What the planner is told."""
        return self.descriptors if self.aim is None else self.aim

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
