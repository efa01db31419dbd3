"""What is known of a campaign, in order, and the surrogate that is fitted to it.

What an experiment teaches, by outcome:

- ``ok`` trains the surrogate, and says that the recipe gives a product;
- ``failed_chemistry`` says that the recipe gives no product;
- ``untrusted`` trains neither, because an identification that cannot be trusted does not steer; its misfit to the
  target's pattern, which rests on no identification, counts where descriptors are given up altogether;
- ``not_measured`` trains neither: an early signal has said that it is no better than what is known;
- ``failed_equipment`` says nothing of the recipe, which may be proposed again.

The recipes of the second to fourth are held besides, like pending ones: the model draws what they might have
given and looks for an improvement on that as well. Nothing is concluded from them, but the planner does not
go back for what it has tried in vain. (Without this, a corner where all fails stays unknown and for ever
promising.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from solvus.agent.planner.aims import NearTarget
from solvus.agent.planner.known import encoded, readings_of, table_of
from solvus.agent.planner.ladder import Step, choose, misfit_step, pattern_step, step_of
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.outputs import Output, outputs_of
from solvus.agent.planner.request import LEAST_RESULTS, PlanRequest
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.scoring import Goal


@dataclass(frozen=True)
class Known:
    """A request sorted, so that the order in which results happened to arrive does not matter."""

    request: PlanRequest
    items: tuple[tuple[int, Observation], ...]
    """Every observation with its campaign: 0 for the present one."""
    made: Tensor
    products: Tensor

    @property
    def space(self) -> SearchSpace:
        return self.request.space

    @property
    def present(self) -> list[Observation]:
        return [o for campaign, o in self.items if not campaign]

    @property
    def ok(self) -> list[tuple[int, Observation]]:
        return [(campaign, o) for campaign, o in self.items if o.outcome == "ok"]

    def vain(self, step: Step | None) -> list[Recipe]:
        """Tried, but without anything to show for it at this step of the ladder."""
        shown = step is not None and step.level == "misfit"
        return [
            o.recipe
            for o in self.present
            if o.outcome in ("failed_chemistry", "not_measured")
            or (o.outcome == "untrusted" and not (shown and o.misfit is not None))
        ]


def known_of(request: PlanRequest) -> Known:
    """Everything that a request tells, in the order of campaigns, experiments and replicates."""
    space = request.space
    items = [(0, o) for o in sorted(request.observations, key=lambda o: (o.experiment, o.replicate))]
    for number, campaign in enumerate(request.earlier, start=1):
        items += [
            (number, o) for o in sorted(campaign.observations, key=lambda o: (o.experiment, o.replicate))
        ]
    rated = [o for _, o in items if o.outcome in ("ok", "failed_chemistry")]
    return Known(
        request=request,
        items=tuple(items),
        made=encoded(space, [o.recipe for o in rated]),
        products=torch.tensor([float(o.outcome == "ok") for o in rated], dtype=torch.float64),
    )


def _explored(items: list[tuple[int, Observation]]) -> tuple[Output, ...]:
    """Every descriptor that all results share, in units of a tenth of its spread."""
    names = [{*o.descriptors, *(name for mode in o.modes for name in mode.names)} for _, o in items]
    shared = sorted(set.intersection(*names)) if names else []
    found = []
    for name in shared:
        means = [
            o.descriptors[name].mean if name in o.descriptors else o.modes[0].descriptor(name).mean
            for _, o in items
        ]
        unit = max(0.1 * float(np.std(means)), 1e-6 * abs(means[0]), 1e-9)
        found.append(Output(name, Goal(value=means[0], tolerance=unit)))
    return tuple(found)


def _modelled(known: Known) -> tuple[Output, ...]:
    """What the target has goals for; without any, all that the results share, with the bounds that there are."""
    target = known.request.target
    if target is not None and target.goals:
        return outputs_of(target)
    bounds = {} if target is None else target.bounds
    return tuple(replace(output, bound=bounds.get(output.name)) for output in _explored(known.ok))


def _top_step(known: Known) -> Step | None:
    """The surrogate of the descriptors; ``None`` with too few results."""
    request, items = known.request, known.ok
    outputs = _modelled(known)
    if not outputs:
        return None
    rows = [(campaign, o, readings_of(o, outputs)) for campaign, o in items]
    table = table_of(known.space, outputs, rows)
    if len(table.rows) < LEAST_RESULTS:
        return None
    return step_of("descriptors", table, NearTarget(outputs), request.seed)


def surrogate_of(known: Known) -> tuple[Step | None, dict[str, float], str]:
    """What the surrogate models, the skill of every step looked at, and why it is not the descriptors."""
    request, level = known.request, known.request.settings.level
    measured = [(c, o) for c, o in known.items if o.outcome in ("ok", "untrusted")]
    top = _top_step(known) if level in ("auto", "descriptors") else None
    lower: list[Step] = []
    if request.settings.mode == "target" and level != "descriptors":
        found = (
            pattern_step(known.space, measured, request.target_curve, request.seed)
            if level in ("auto", "patterns")
            else None,
            misfit_step(known.space, measured, request.seed) if level in ("auto", "misfit") else None,
        )
        lower = [step for step in found if step is not None and len(step.fitted.table.rows) >= LEAST_RESULTS]
    skills: dict[str, float] = {str(step.level): step.skill for step in ([top] if top else []) + lower}
    if level in ("patterns", "misfit"):
        return (lower[0] if lower else None), skills, ""
    chosen, why = choose(top, lower, len(known.ok), len(measured))
    return chosen, skills, why
