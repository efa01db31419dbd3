"""What the planner is asked, put together from the campaign, its target, and rows of the ledger; a replay asks the
same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from solvus.agent.campaign import Campaign
from solvus.agent.latent import Places
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.lessons import Lessons
from solvus.agent.planner.constraints import LinearConstraint
from solvus.agent.planner.early_signal import Seen, StageRequest
from solvus.agent.planner.limits import DeviceLimits, PlanLimits
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.search_space import Categorical, Fixed, Ordinal, Recipe, SearchSpace
from solvus.agent.scoring import TargetDescriptors
from solvus.agent.snapshot import as_experiment, as_observation
from solvus.agent.states import ExperimentState
from solvus.drivers.combination import Combination
from solvus.drivers.messages import Capability, Signals
from solvus.models.latent.posterior import LatentPosterior

WAITING = frozenset({ExperimentState.PROPOSED, ExperimentState.APPROVED})
"""Will be made, and before what is proposed now."""


@dataclass(frozen=True)
class EarlierRows:
    """The experiments of an earlier campaign."""

    name: str
    rows: tuple[ExperimentRow, ...]
    anew: Mapping[int, LatentPosterior] = field(default_factory=dict)
    """Its experiments' places, where they were placed once more."""


@dataclass(frozen=True)
class Ground:
    """What a plan rests on beside the campaign's own experiments.

    ``target`` is what the planner is told of it. ``lessons`` are ``None`` for campaigns of agents whose planner did not
    see patterns. ``places`` : of a campaign that describes samples by them.
    """

    campaign: Campaign
    target: TargetDescriptors | None
    lessons: Lessons | None = None
    earlier: tuple[EarlierRows, ...] = ()
    places: Places | None = None


def plan_request(
    ground: Ground, rows: Sequence[ExperimentRow], count: int, limits: PlanLimits | None = None
) -> dict[str, Any]:
    """What the planner is asked, as JSON: all that the next ``count`` proposals depend on.

    What a person or a limit has refused is not asked for again: to the planner it stays on its way for ever.
    """
    campaign, target = ground.campaign, ground.target
    observations = [
        o for o in (as_observation(row, ground.lessons, ground.places) for row in rows) if o is not None
    ]
    curve = None if ground.lessons is None else ground.lessons.target_curve
    return {
        "space": campaign.search_space.model_dump(mode="json"),
        "target": None if target is None else target.model_dump(mode="json"),
        "observations": [o.model_dump(mode="json") for o in observations],
        "pending": [e.recipe for e in map(as_experiment, rows) if e.active or e.rejected],
        "n": count,
        "seed": campaign.seed,
        "proposed": sum(row.replicate_of is None for row in rows),
        "settings": campaign.planner.model_dump(mode="json"),
        "earlier": [
            {"name": e.name, "observations": [o.model_dump(mode="json") for o in useful(ground, e)]}
            for e in ground.earlier
        ],
        "target_curve": curve,
        "budget": campaign.budget.experiments,
        "limits": None if limits is None else limits.model_dump(mode="json"),
    }


def stage_request(
    ground: Ground, rows: Sequence[ExperimentRow], signals: Mapping[int, Signals], number: int
) -> StageRequest | None:
    """What is asked of one sample; ``None`` where nothing is to be asked, and it is measured.

    That is so in a campaign without stages, for a replicate that confirms a hit, and for a sample that lacks one of the
    signals. An experiment whose signals are in other units teaches nothing.

    Parameters
    ----------
    signals : what is known early of samples, by the number of their experiment.
    """
    stages, target = ground.campaign.stages, ground.target
    row = next(row for row in rows if row.number == number)
    own = signals.get(number, {})
    if stages is None or target is None or row.replicate_of is not None or set(stages.signal) - set(own):
        return None
    finished = []
    for other in rows:
        known = signals.get(other.number, {})
        alike = all(name in known and known[name].unit == own[name].unit for name in stages.signal)
        observation = as_observation(other, places=ground.places) if alike else None
        if observation is not None and observation.outcome == "ok":
            signal = {name: known[name].value for name in stages.signal}
            finished.append(Seen(observation=observation, signal=signal))
    return StageRequest(
        space=ground.campaign.search_space,
        target=target,
        finished=tuple(finished),
        recipe=json.loads(row.recipe),
        early={name: own[name].value for name in stages.signal},
        threshold=stages.threshold,
        least=stages.least,
    )


def useful(ground: Ground, earlier: EarlierRows) -> list[Observation]:
    """Experiments of an earlier campaign that say something here: within this search space, and with all descriptors
    that this target needs."""
    target = ground.target
    needed = set() if target is None else {*target.goals, *target.bounds}
    places = None if ground.places is None else replace(ground.places, anew=earlier.anew)
    found = []
    for row in earlier.rows:
        observation = as_observation(row, ground.lessons, places)
        if observation is None or ground.campaign.search_space.refusal(observation.recipe) is not None:
            continue
        known = {*observation.descriptors, *(name for mode in observation.modes[:1] for name in mode.names)}
        if observation.outcome != "ok" or needed <= known:
            found.append(observation)
    return found


def limits_now(
    campaign: Campaign,
    capabilities: Mapping[str, Capability],
    before: Mapping[str, Recipe | None],
    rows: Sequence[ExperimentRow],
) -> PlanLimits | None:
    """The campaign's and the devices' limits as they stand; ``None`` where there is none beside ranges.

    Parameters
    ----------
    capabilities : of the synthesis, by device. before : each device's last order.
    """
    devices = tuple(
        _of_device(campaign, capability, before.get(device)) for device, capability in capabilities.items()
    )
    if not any(device.constraints or device.steps for device in devices):
        return None
    waiting = [as_experiment(row) for row in rows if ExperimentState(row.state) in WAITING]
    return PlanLimits(devices=devices, waiting=tuple(e.recipe for e in waiting))


def _of_device(campaign: Campaign, capability: Capability, before: Recipe | None) -> DeviceLimits:
    space = campaign.search_space
    steps = {name: step.value for name, step in campaign.limits.max_step.items()}
    for spec in capability.parameters:
        if spec.max_step is not None and spec.name in space.names:
            steps[spec.name] = min(spec.max_step, steps.get(spec.name, spec.max_step))
    together = (*campaign.limits.combinations, *capability.combinations)
    constraints = [c for c in (_constraint(space, combination) for combination in together) if c is not None]
    return DeviceLimits(constraints=tuple(constraints), steps=steps, before=before if steps else None)


def _constraint(space: SearchSpace, combination: Combination) -> LinearConstraint | None:
    """A combination as a constraint on recipes; ``None`` where it can never apply."""
    parameters = {p.name: p for p in space.parameters}
    when: dict[str, tuple[str, ...]] = {}
    for name, choices in combination.when.items():
        parameter = parameters.get(name)
        if isinstance(parameter, Fixed):
            if parameter.value not in choices:
                return None
            continue
        listed: tuple[Any, ...] = ()
        if isinstance(parameter, Categorical):
            listed = parameter.choices
        elif isinstance(parameter, Ordinal):
            listed = parameter.levels
        possible = tuple(choice for choice in choices if choice in listed)
        if not possible:
            return None
        when[name] = possible
    if not combination.terms.keys() <= set(space.names):
        return None
    return LinearConstraint(
        coefficients=combination.terms,
        lower=combination.at_least,
        upper=combination.at_most,
        when=when,
    )
