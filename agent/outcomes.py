"""What became of experiments, in the words that the live view, ``solvus status`` and the report share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from solvus.agent.decide import Experiment
from solvus.agent.planner.search_space import Recipe
from solvus.agent.states import EARLY_SIGNAL, ExperimentState
from solvus.models.identification import Identification

E = ExperimentState


class Outcome(StrEnum):
    """How an experiment stands, as a scientist would say it."""

    UNDER_WAY = "under way"
    HIT = "hit"
    MISS = "miss"
    SEEN = "identified"
    """Where there is no target to hit."""
    UNTRUSTED = "not trusted"
    NO_PRODUCT = "no product"
    NOT_MEASURED = "not measured"
    """An early signal said that it would not help."""
    EQUIPMENT = "equipment failed"
    SOFTWARE = "not identified"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


def outcome_of(experiment: Experiment) -> Outcome:
    if experiment.active:
        return Outcome.UNDER_WAY
    if experiment.state is E.SCORED and experiment.score is not None:
        if not experiment.score.trusted:
            return Outcome.UNTRUSTED
        if experiment.score.distance_mean is None:
            return Outcome.SEEN
        return Outcome.HIT if experiment.hit else Outcome.MISS
    if experiment.state is E.FAILED:
        of_cause = {
            "chemistry": Outcome.NO_PRODUCT,
            EARLY_SIGNAL: Outcome.NOT_MEASURED,
            "software": Outcome.SOFTWARE,
            "limits": Outcome.REJECTED,
        }
        return of_cause.get(experiment.cause or "", Outcome.EQUIPMENT)
    return Outcome.REJECTED if experiment.state is E.REJECTED else Outcome.UNKNOWN


def distance_of(experiment: Experiment) -> float | None:
    """Expected distance to the target in tolerances; ``None`` without a trusted score."""
    return None if experiment.score is None else experiment.score.distance_mean


def best_of(experiments: Iterable[Experiment]) -> Experiment | None:
    """The experiment that came nearest: hits before misses, then by distance; ``None`` when nothing is scored."""
    scored = [(not e.hit, d, e.number, e) for e in experiments if (d := distance_of(e)) is not None]
    return min(scored)[3] if scored else None


def best_so_far(experiments: Sequence[Experiment]) -> list[float | None]:
    """After each experiment the least distance up to there; ``None`` before the first score."""
    series: list[float | None] = []
    least: float | None = None
    for distance in map(distance_of, experiments):
        if distance is not None:
            least = distance if least is None else min(least, distance)
        series.append(least)
    return series


def short_value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def short_recipe(recipe: Recipe) -> str:
    """The values alone, in the recipe's order."""
    return " ".join(short_value(value) for value in recipe.values())


def structure_of(identification: Identification | None) -> str:
    """The most probable structure, or why there is none."""
    if identification is None:
        return ""
    if identification.verdict == "identified" and identification.candidates:
        return identification.candidates[0].structure
    return {"none": "none of the library", "poor_data": "poor data"}.get(identification.verdict, "identified")


def diameter_of(identification: Identification | None) -> str:
    """Diameter in angstrom for the eye; ``>`` marks a lower bound."""
    found = None if identification is None else identification.descriptors.get("diameter")
    return "" if found is None else f"{'>' if found.lower_bound else ''}{found.mean:.1f}"


def role_of(experiment: Experiment) -> str:
    """What a replicate is for; empty for a first synthesis."""
    return "" if experiment.replicate_of is None else f"repeats {experiment.replicate_of}"


def probability_words(probability: float | None) -> str:
    """``p = 0.93``; never 1.00, which no measurement gives."""
    if probability is not None and probability > 0.995:
        return "p > 0.99"
    return f"p = {probability or 0.0:.2f}"
