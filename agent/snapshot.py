"""Views of the ledger's rows: for the decision, for the planner, and for a person who watches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solvus import __version__
from solvus.agent.decide import Experiment
from solvus.agent.latent import Places
from solvus.agent.ledger.canonical import sha256_text
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.lessons import NOTHING, Lessons
from solvus.agent.outcomes import probability_words
from solvus.agent.planner.identified import ambiguous_modes
from solvus.agent.planner.observations import Mode, Observation, Outcome, Proposal
from solvus.agent.scoring import Score
from solvus.agent.states import EARLY_SIGNAL, ExperimentState
from solvus.drivers.messages import AgentState
from solvus.models.identification import Descriptor, Identification

E = ExperimentState


@dataclass
class Snapshot:
    """What a person wants to see while a campaign runs; brought up to date at every turn of the loop."""

    campaign: str
    title: str
    budget: int
    state: AgentState = "starting"
    waits_for: str = ""
    experiments: list[Experiment] = field(default_factory=list)
    identifications: dict[int, Identification] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    paused: bool = False
    asks: tuple[str, ...] = ()
    """What people are asked, and how to answer, in words."""

    def copy(self) -> Snapshot:
        """As it is now, to compare with later."""
        return replace(self, identifications=dict(self.identifications))


def as_experiment(row: ExperimentRow, *, asks: bool = False) -> Experiment:
    """``asks``: a person has been asked about it and has not answered."""
    return Experiment(
        number=row.number,
        state=E(row.state),
        recipe=json.loads(row.recipe),
        replicate_of=row.replicate_of,
        replicate=row.replicate,
        cause=row.cause,
        score=None if row.score is None else Score.model_validate_json(row.score),
        asks=asks,
    )


def as_observation(
    row: ExperimentRow, lessons: Lessons | None = None, places: Places | None = None
) -> Observation | None:
    """What the planner learns from an experiment; ``None`` while it has not ended.

    With ``lessons``, also of its pattern, and as several modes where its identification is ambiguous. With ``places``,
    the modes are those of its place in the latent space; what has none there does not steer.

    An unknown outcome counts as failed equipment, which says nothing of the recipe, unless a person has looked and
    found that there is no product.
    """
    state = E(row.state)
    descriptors: dict[str, Descriptor] = {}
    modes: tuple[Mode, ...] = ()
    lesson = NOTHING
    if state is E.SCORED and row.identification is not None and row.score is not None:
        trusted = Score.model_validate_json(row.score).trusted
        outcome: Outcome = "ok" if trusted else "untrusted"
        if trusted:
            identification = Identification.model_validate_json(row.identification)
            descriptors = identification.descriptors
            modes = () if lessons is None else ambiguous_modes(identification)
            if places is not None:
                modes, descriptors = places.modes(row.number, identification), {}
                outcome = "ok" if modes else "untrusted"
        if lessons is not None:
            lesson = lessons.of(row.pattern_sha256)
    elif state is E.FAILED and row.cause == EARLY_SIGNAL:
        outcome = "not_measured"
    elif state in (E.FAILED, E.UNKNOWN) and row.cause == "chemistry":
        outcome = "failed_chemistry"
    elif state in (E.FAILED, E.UNKNOWN):
        outcome = "failed_equipment"
    else:
        return None
    return Observation(
        experiment=row.number,
        replicate=row.replicate,
        recipe=json.loads(row.recipe),
        outcome=outcome,
        descriptors=descriptors,
        modes=modes,
        misfit=lesson.misfit,
        curve=lesson.curve,
    )


def replicate_proposal(rows: Sequence[ExperimentRow], first: Experiment) -> Proposal:
    """The proposal to make the recipe of a hit again."""
    row = next(r for r in rows if r.number == first.number)
    return Proposal(
        recipe=first.recipe,
        source="replicate",
        probability_feasible=1.0,
        seed=0,
        data_sha256=sha256_text(row.identification or ""),
        versions={"solvus": __version__},
        explanation=f"experiment {first.number} hit the target; made again to confirm it",
    )


def found_words(experiments: Sequence[Experiment], numbers: Sequence[int]) -> str:
    """What the identifications of these experiments, which made and confirmed the target, say."""
    scores = [e.score for e in experiments if e.number in numbers]
    stated = [probability_words(s.probability_within) for s in scores if s is not None]
    return (
        f"the target was made in experiments {' and '.join(map(str, numbers))}; by their identifications "
        f"they are within all tolerances with {' and '.join(stated)}"
    )


def summarise(score: Score) -> str:
    """A score in a few words."""
    if not score.trusted:
        return "not trusted: it does not steer"
    if score.distance_mean is None or score.probability_within is None:
        return "identified; nothing is aimed at"
    verdict = "hit" if score.hit else "miss"
    return (
        f"{verdict}, {score.distance_mean:.2f} tolerances from the target, "
        f"{100 * score.probability_within:.0f} % probable to be within"
    )
