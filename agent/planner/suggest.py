"""suggest: from everything known of a campaign to the next recipes, as a pure function.

The same request gives the same proposals, bit for bit on one machine and one set of versions: all randomness
comes from the seed and the number of proposals made before, every computation has an iteration cap and none a
time limit, and torch runs on one thread. So it can run in a worker process, and be replayed from the ledger.

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

import gc
import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.quasirandom import SobolEngine

from solvus.agent.planner.acquisition import Acquisition, candidates, prepare
from solvus.agent.planner.aims import Aim, NearTarget, OnFront, Unlike
from solvus.agent.planner.explain import (
    checks_of,
    cost_of,
    describe,
    hyperparameters,
    losers,
    nearest,
    predict,
    separation,
)
from solvus.agent.planner.expressions import names_in
from solvus.agent.planner.feasibility import Feasibility, fit_feasibility
from solvus.agent.planner.known import ReadingError, encoded, mixed_of, readings_of, table_of
from solvus.agent.planner.ladder import Step, choose, misfit_step, pattern_step, step_of
from solvus.agent.planner.limits import PlanLimits, Within
from solvus.agent.planner.modelling import Fitted
from solvus.agent.planner.observations import Observation, Proposal, Rule, Source
from solvus.agent.planner.outputs import Output, outputs_of
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.stopping import rules
from solvus.agent.scoring import Goal, TargetDescriptors

LEAST_RESULTS = 4
"""Recipes with a trusted result below which there is nothing to fit."""
STAGNATION = 8
"""At least so many experiments without improvement, or two per parameter, count as standing still ..."""
LEAST_IMPROVEMENT = 0.2
"""of the utility -log(1 + d^2): a fifth off the squared distance; polishing a poor optimum gains less ..."""
ESCAPE_EVERY = 4
"""... and then every fourth proposal is drawn without the model, in case the model is wrong."""
LEAST_INITIAL = 8
"""Sobol proposals at the start, or two per parameter if that is more."""
INITIAL_WITH_EARLIER = 3
"""Sobol proposals where earlier campaigns are known: enough to see whether they still hold."""
SOBOL_TRIES = 256
"""Points of the Sobol sequence looked at before a small space counts as tried in full; more where constraints take
some away."""
CONSTRAINED_TRIES = 8192
SEPARATION = 0.02
"""Distance in the unit cube from an experiment under way within which nothing is proposed: its result says as much."""
PACKAGES = ("solvus", "torch", "botorch", "numpy", "scipy")


class PlannerError(ValueError):
    """A request that cannot be planned; one sentence names the field and the fix."""


class EarlierCampaign(BaseModel):
    """What a finished campaign of the same laboratory and search space taught."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    observations: tuple[Observation, ...]


class PlanRequest(BaseModel):
    """All that a suggestion depends on.

    Attributes
    ----------
    target : may be left out to explore, where all descriptors that the observations share then count.
    proposed : counts the proposals made in this campaign so far, whatever became of them.
    earlier : campaigns before this one.
    target_curve : the target's pattern on the grid of the observations' curves.
    budget : of experiments; for the rules of stopping only.
    limits : what may be ordered now, within the space; ``None`` for all of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: SearchSpace
    target: TargetDescriptors | None = None
    observations: tuple[Observation, ...] = ()
    pending: tuple[Recipe, ...] = ()
    n: int = Field(default=1, ge=1, le=100)
    seed: int = Field(ge=0)
    proposed: int = Field(default=0, ge=0)
    settings: PlannerSettings = PlannerSettings()
    earlier: tuple[EarlierCampaign, ...] = ()
    target_curve: tuple[float, ...] | None = None
    budget: int | None = Field(default=None, ge=1)
    limits: PlanLimits | None = None

    @model_validator(mode="after")
    def _fits_the_space_and_target(self) -> Self:
        if self.settings.mode != "explore" and (self.target is None or not self.target.goals):
            raise PlannerError(f"target: is missing, and mode {self.settings.mode} needs one")
        if self.settings.cost is not None:
            for name in sorted(names_in(self.settings.cost) - set(self.space.names)):
                raise PlannerError(f"settings.cost: {name} is no parameter of the search space; correct it")
        for recipe in self.pending:
            reason = self.space.refusal(recipe)
            if reason is not None:
                raise PlannerError(f"pending: {reason}")
        outputs = outputs_for(self.target)
        for output in outputs:
            try:
                output.least_scale()
            except ValueError as error:
                raise PlannerError(f"target: {error}") from error
        for observation in self.observations:
            check(observation, self.space, outputs)
        for campaign in self.earlier:
            for observation in campaign.observations:
                try:
                    check(observation, self.space, outputs)
                except PlannerError as error:
                    raise PlannerError(f"earlier campaign {campaign.name}: {error}") from error
        return self


def outputs_for(target: TargetDescriptors | None) -> tuple[Output, ...]:
    return () if target is None else outputs_of(target)


def check(observation: Observation, space: SearchSpace, outputs: tuple[Output, ...]) -> None:
    """Raise PlannerError when ``observation`` does not fit the space or lacks what the target needs."""
    reason = space.refusal(observation.recipe)
    if reason is not None:
        raise PlannerError(f"observation {observation.experiment}: {reason}")
    if observation.outcome != "ok":
        return
    try:
        readings_of(observation, outputs)
    except ReadingError as error:
        raise PlannerError(f"observation {observation.experiment}: {error}") from error


@cache
def _versions() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


@dataclass(frozen=True)
class _Known:
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


def _known(request: PlanRequest) -> _Known:
    space = request.space
    items = [(0, o) for o in sorted(request.observations, key=lambda o: (o.experiment, o.replicate))]
    for number, campaign in enumerate(request.earlier, start=1):
        items += [
            (number, o) for o in sorted(campaign.observations, key=lambda o: (o.experiment, o.replicate))
        ]
    rated = [o for _, o in items if o.outcome in ("ok", "failed_chemistry")]
    return _Known(
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


def _modelled(known: _Known) -> tuple[Output, ...]:
    """What the target has goals for; without any, all that the results share, with the bounds that there are."""
    target = known.request.target
    if target is not None and target.goals:
        return outputs_of(target)
    bounds = {} if target is None else target.bounds
    return tuple(replace(output, bound=bounds.get(output.name)) for output in _explored(known.ok))


def _top_step(known: _Known) -> Step | None:
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


def _step(known: _Known) -> tuple[Step | None, dict[str, float], str]:
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


def _aim(step: Step, settings: PlannerSettings, seed: int, index: int) -> Aim:
    """What proposal number ``index`` seeks."""
    outputs = step.fitted.table.outputs
    if settings.mode == "front":
        aimed = sum(output.aimed for output in outputs)
        weights = np.random.default_rng([seed, index, 1]).dirichlet(np.ones(aimed))
        return OnFront(outputs, torch.as_tensor(weights))
    if settings.mode == "explore":
        scales = torch.tensor([output.least_scale() for output in outputs], dtype=torch.float64)
        units = torch.maximum(step.fitted.model.scale, scales)
        return Unlike(outputs, step.fitted.values, units)
    return step.aim


def _stands_still(step: Step, freedom: int) -> bool:
    """Whether the latest trusted experiments brought no improvement to speak of, by the model's smoothed values."""
    window = max(STAGNATION, 2 * freedom)
    table, model = step.fitted.table, step.fitted.model
    present = [i for i, row in enumerate(table.rows) if not row.campaign]
    repeats = sum(table.rows[i].count for i in present)
    if repeats <= window:
        return False
    merits = step.aim.merit(model.mean(table.recipes).T)
    # Experiments in order, each with the merit of its recipe.
    ordered = sorted((number, i) for i in present for number in table.rows[i].experiments)
    values = torch.stack([merits[i] for _, i in ordered])
    if len(values) <= window:
        return False
    return float(values.max() - values[:-window].max()) < LEAST_IMPROVEMENT


def _sobol(
    space: SearchSpace, seed: int, index: int, taken: list[Recipe], within: Within | None
) -> tuple[Recipe, bool]:
    """Point ``index`` of the campaign's Sobol sequence or the first after it that is new and keeps to the constraints,
    and whether it is new. With limits, each point is first moved as near as may be ordered now."""
    engine = SobolEngine(space.dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    engine.fast_forward(index)  # type: ignore[no-untyped-call]
    old: Recipe | None = None
    limited = bool(space.constraints) or within is not None
    for _ in range(0, CONSTRAINED_TRIES if limited else SOBOL_TRIES, SOBOL_TRIES):
        for u in engine.draw(SOBOL_TRIES, dtype=torch.float64).numpy():
            recipe = space.draw(u)
            if space.refusal(recipe) is not None:
                continue
            if within is not None:
                recipe = space.decode(within.pulled(space.encode(recipe)[None])[0])
                if space.refusal(recipe) is not None or not within.allows(recipe):
                    continue
            if recipe not in taken:
                return recipe, True
            old = old or recipe
    if old is None:
        raise PlannerError(
            f"constraints: none of {CONSTRAINED_TRIES} recipes drawn keeps to them; narrow the limits of the parameters"
        )
    return old, False


def _fingerprint(request: PlanRequest, held: list[Recipe], index: int) -> str:
    """SHA-256 of all that one proposal depends on, as canonical JSON; the order of arrival does not count, nor does
    what the models have gained since and a request does not use, so that older proposals keep their hash."""
    data = request.model_dump(mode="json", exclude={"n"} if request.limits else {"n", "limits"})
    for constraint in data["space"]["constraints"]:
        if not constraint.get("when", True):
            del constraint["when"]
    data["observations"].sort(key=lambda o: (o["experiment"], o["replicate"]))
    data["pending"] = sorted(held, key=lambda recipe: json.dumps(recipe, sort_keys=True))
    data["proposed"] = index
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprints(request: PlanRequest, chosen: list[Recipe]) -> list[str]:
    """The hashes that :func:`suggest` gives to ``request.n`` proposals of these recipes; without planning anything."""
    held, found = list(request.pending), []
    for index, recipe in enumerate(chosen, start=request.proposed):
        found.append(_fingerprint(request, held, index))
        held.append(recipe)
        request = _with_waiting(request, recipe)
    return found


def _with_waiting(request: PlanRequest, recipe: Recipe) -> PlanRequest:
    """The request once a proposed recipe waits for a device as well."""
    if request.limits is None:
        return request
    return request.model_copy(update={"limits": request.limits.after([recipe])})


@dataclass(frozen=True)
class _Chosen:
    """A recipe before its reasons are written up; ``found`` and ``values`` are all candidates with their
    a(x)."""

    recipe: Recipe
    source: Source
    fallback: str = ""
    acquisition: float | None = None
    found: Tensor | None = None
    values: Tensor | None = None
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """What all proposals of one request share."""

    known: _Known
    step: Step | None
    skills: dict[str, float]
    lowered: str
    feasibility: Feasibility | None
    within: Within | None

    @property
    def request(self) -> PlanRequest:
        return self.known.request

    @property
    def fitted(self) -> Fitted | None:
        return None if self.step is None else self.step.fitted


def _choose_by_model(plan: _Plan, step: Step, held: list[Recipe], index: int) -> _Chosen | None:
    """The recipe of largest acquisition that was not tried before; ``None`` where limits leave no candidate."""
    request, space = plan.request, plan.known.space
    draws_seed, starts_seed = (
        int(s) for s in np.random.SeedSequence([request.seed, index]).generate_state(2)
    )
    pending, unknown = encoded(space, held), encoded(space, [*held, *plan.known.vain(step)])
    acquisition = prepare(
        space,
        step.fitted.members,
        step.fitted.table.outputs,
        _aim(step, request.settings, request.seed, index),
        plan.feasibility,
        unknown,
        draws_seed,
        # What is wanted is seldom in a corner of the limits; what is unlike all the rest often is.
        interior=0.0 if request.settings.mode == "explore" else request.settings.interior,
        cost=request.settings.cost,
        within=plan.within,
    )
    found, values = candidates(acquisition, starts_seed)
    if not len(found):
        return None
    tried = torch.cat((plan.known.made, unknown))
    apart = torch.ones(len(found), dtype=torch.bool)
    for other in pending:
        apart &= separation(space, found.clone(), other[None]) >= SEPARATION
    new = [i for i, row in enumerate(found) if bool(apart[i]) and not bool((row == tried).all(-1).any())]
    winner = new[0] if new else 0
    return _Chosen(
        recipe=space.decode(found[winner].numpy()),
        source="surrogate" if new else "replicate",
        fallback="" if new else "every candidate was tried before; the best is made again",
        acquisition=float(values[winner]),
        found=found[new],
        values=values[new],
        rules=_rules(plan, acquisition, found[winner][None]),
    )


def _rules(plan: _Plan, acquisition: Acquisition, best: Tensor) -> tuple[Rule, ...]:
    made = len(plan.request.observations)
    return rules(
        acquisition,
        best,
        plan.request.settings,
        made=made,
        freedom=plan.known.space.freedom,
        budget=plan.request.budget,
    )


def _choose(plan: _Plan, held: list[Recipe], index: int) -> _Chosen:
    """The recipe of proposal number ``index``."""
    request, space, step = plan.request, plan.known.space, plan.step
    initial = initial_count(request)
    modelled = step is not None and index >= initial
    escape = (
        step is not None
        and modelled
        and request.settings.mode == "target"
        and index % ESCAPE_EVERY == ESCAPE_EVERY - 1
        and _stands_still(step, space.freedom)
    )
    why = ""
    if escape:
        why = "no improvement for long; a point drawn without the model"
    elif step is not None and modelled:
        chosen = _choose_by_model(plan, step, held, index)
        if chosen is not None:
            return chosen
        why = "the limits leave the model no candidate"
    elif request.settings.method == "surrogate" and index >= initial:
        why = f"fewer than {LEAST_RESULTS} trusted results, which is too few for a model"
    return _choose_evenly(plan, held, index, "space-filling" if escape else "sobol", why)


def _choose_evenly(plan: _Plan, held: list[Recipe], index: int, source: Source, why: str) -> _Chosen:
    """A recipe that fills the space, without the model, and why."""
    request, space = plan.request, plan.known.space
    taken = [*held, *(o.recipe for o in request.observations if o.outcome != "failed_equipment")]
    try:
        recipe, new = _sobol(space, request.seed, index, taken, plan.within)
    except PlannerError:
        if plan.within is None:
            raise
        recipe, _ = _sobol(space, request.seed, index, taken, None)
        return _Chosen(recipe, source, "nothing was found within the limits; this recipe is outside them")
    if not new:
        return _Chosen(recipe, "replicate", "the whole space was tried; a recipe is made again")
    return _Chosen(recipe, source, why)


def initial_count(request: PlanRequest) -> int:
    """How many Sobol proposals come first."""
    usual = max(2 * request.space.freedom, LEAST_INITIAL)
    known = sum(o.outcome == "ok" for campaign in request.earlier for o in campaign.observations)
    return request.settings.initial or (INITIAL_WITH_EARLIER if known >= LEAST_RESULTS else usual)


def _write_up(plan: _Plan, chosen: _Chosen, fingerprint: str) -> Proposal:
    """The proposal with its reasons."""
    request, space, step = plan.request, plan.known.space, plan.step
    x = encoded(space, [chosen.recipe])
    probability = 1.0 if plan.feasibility is None else float(plan.feasibility.probability(x)[0])
    said = None if step is None else predict(step.fitted, x)
    aimed = request.target is not None and bool(request.target.goals)
    alternatives = (
        losers(space, step.fitted, plan.feasibility, x, chosen.found, chosen.values, request.settings.mode)
        if step is not None and chosen.found is not None and chosen.values is not None
        else ()
    )
    neighbours = nearest(space, [o for campaign, o in plan.known.ok if not campaign], x)
    cost = cost_of(request.settings.cost, space, chosen.recipe)
    fallback = "; ".join(text for text in (chosen.fallback, plan.lowered if step is not None else "") if text)
    proposal = Proposal(
        recipe=chosen.recipe,
        source=chosen.source,
        predicted={} if said is None else said.descriptors,
        predicted_distance=said.distance if said is not None and aimed else None,
        probability_feasible=probability,
        acquisition=chosen.acquisition,
        alternatives=alternatives,
        nearest=neighbours,
        seed=request.seed,
        data_sha256=fingerprint,
        versions=_versions(),
        hyperparameters=hyperparameters(space, plan.fitted, plan.feasibility),
        fallback=fallback,
        level="descriptors" if step is None else step.level,
        skills=plan.skills if step is not None else {},
        left_out={} if step is None else _left_out(step.fitted),
        bounds_kept=None if said is None else said.kept,
        cost=cost,
        checks=checks_of(space, chosen.recipe, None if plan.within is None else plan.within.limits),
        stopping=chosen.rules,
        outliers=() if step is None else _outliers(step.fitted),
        explanation="",
    )
    return proposal.model_copy(update={"explanation": describe(proposal, request.settings.mode)})


def _left_out(fitted: Fitted) -> dict[str, float]:
    """Root mean square of the left-out z-scores of each output: 1 for a spread that is right."""
    scores = fitted.scores()
    return {
        output.name: float((z**2).mean().sqrt())
        for output, z in zip(fitted.table.outputs, scores, strict=True)
    }


def _outliers(fitted: Fitted) -> tuple[int, ...]:
    rows = [fitted.table.rows[i] for i in fitted.outliers]
    return tuple(number for row in rows if not row.campaign for number in row.experiments)


def suggest(request: PlanRequest) -> list[Proposal]:
    """The next ``request.n`` recipes, best first.

    Asking for two at once gives the same as asking for one, and for another with the first one pending.

    Notes
    -----
    Sets torch to one thread for the whole process: more are slower here, and change the last digits of sums.
    """
    torch.set_num_threads(1)
    known = _known(request)
    needed = request.settings.method == "surrogate" and request.proposed + request.n > initial_count(request)
    step, skills, lowered = _step(known) if needed else (None, {}, "")
    space = known.space
    feasibility = fit_feasibility(
        known.made, known.products, space.ordered, space.categorical, mixed_of(space)
    )
    plan = _Plan(known, step, skills, lowered, feasibility, None)
    held = list(request.pending)
    proposals = []
    for index in range(request.proposed, request.proposed + request.n):
        within = None if request.limits is None else Within(space, request.limits)
        now = replace(plan, step=plan.step if index >= initial_count(request) else None, within=within)
        chosen = _choose(now, held, index)
        fingerprint = _fingerprint(request, held, index)
        proposals.append(_write_up(now, chosen, fingerprint))
        held.append(chosen.recipe)
        request = _with_waiting(request, chosen.recipe)
    gc.collect()  # graphs of tensors hold one another; without this, memory creeps up over a long campaign
    return proposals
