"""suggest: from everything known of a campaign to the next recipes, as a pure function.

The same request gives the same proposals, bit for bit on one machine and one set of versions: all randomness
comes from the seed and the number of proposals made before, every computation has an iteration cap and none a
time limit, and torch runs on one thread. So it can run in a worker process, and be replayed from the ledger.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor

from solvus.agent.planner.acquisition import Acquisition, candidates, prepare
from solvus.agent.planner.aims import Aim, OnFront, Unlike
from solvus.agent.planner.explain import (
    checks_of,
    cost_of,
    describe,
    hyperparameters,
    losers,
    nearest,
    predict,
)
from solvus.agent.planner.feasibility import Feasibility, fit_feasibility
from solvus.agent.planner.known import encoded, mixed_of
from solvus.agent.planner.ladder import Step
from solvus.agent.planner.learning import Known, known_of, surrogate_of
from solvus.agent.planner.limits import Within
from solvus.agent.planner.modelling import Fitted
from solvus.agent.planner.observations import Proposal, Rule, Source
from solvus.agent.planner.request import (
    LEAST_RESULTS,
    PlannerError,
    PlanRequest,
    fingerprint_of,
    initial_count,
    with_waiting,
)
from solvus.agent.planner.search_space import Recipe
from solvus.agent.planner.separation import apart
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.space_filling import sobol_recipe
from solvus.agent.planner.stopping import rules

STAGNATION = 8
"""At least so many experiments without improvement, or two per parameter, count as standing still ..."""
LEAST_IMPROVEMENT = 0.2
"""of the utility -log(1 + d^2): a fifth off the squared distance; polishing a poor optimum gains less ..."""
ESCAPE_EVERY = 4
"""... and then every fourth proposal is drawn without the model, in case the model is wrong."""
PACKAGES = ("solvus", "torch", "botorch", "numpy", "scipy")


@cache
def _versions() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


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

    known: Known
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
    free = apart(space, found, pending).nonzero()[:, 0].tolist()
    new = [i for i in free if not bool((found[i] == tried).all(-1).any())]
    winner = [*new, *free, 0][0]
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
    taken = [o.recipe for o in request.observations if o.outcome != "failed_equipment"]
    try:
        recipe, new = sobol_recipe(space, request.seed, index, taken, held, plan.within)
    except PlannerError:
        if plan.within is None:
            raise
        recipe, _ = sobol_recipe(space, request.seed, index, taken, held, None)
        return _Chosen(recipe, source, "nothing was found within the limits; this recipe is outside them")
    if not new:
        return _Chosen(recipe, "replicate", "the whole space was tried; a recipe is made again")
    return _Chosen(recipe, source, why)


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
    known = known_of(request)
    needed = request.settings.method == "surrogate" and request.proposed + request.n > initial_count(request)
    step, skills, lowered = surrogate_of(known) if needed else (None, {}, "")
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
        fingerprint = fingerprint_of(request, held, index)
        proposals.append(_write_up(now, chosen, fingerprint))
        held.append(chosen.recipe)
        request = with_waiting(request, chosen.recipe)
    gc.collect()  # graphs of tensors hold one another; without this, memory creeps up over a long campaign
    return proposals
