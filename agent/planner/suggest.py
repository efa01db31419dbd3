"""suggest: from everything known of a campaign to the next recipes, as a pure function.

The same request gives the same proposals, bit for bit on one machine and one set of versions: all randomness
comes from the seed and the number of proposals made before, every computation has an iteration cap and none a
time limit, and torch runs on one thread. So it can run in a worker process, and be replayed from the ledger.

What an experiment teaches, by outcome:

- ``ok`` trains the surrogate, and says that the recipe gives a product;
- ``failed_chemistry`` says that the recipe gives no product;
- ``untrusted`` trains neither, because an identification that cannot be trusted does not steer;
- ``failed_equipment`` says nothing of the recipe, which may be proposed again.

The recipes of the second and third are held besides, like pending ones: the model draws what they might have
given and looks for an improvement on that as well. Nothing is concluded from them, but the planner does not
go back for what it has tried in vain. (Without this, a corner where all fails stays unknown and for ever
promising.)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.quasirandom import SobolEngine

from solvus.agent.planner.acquisition import candidates, prepare
from solvus.agent.planner.explain import describe, hyperparameters, losers, nearest, predict
from solvus.agent.planner.feasibility import Feasibility, fit_feasibility
from solvus.agent.planner.observations import Observation, Proposal, Source
from solvus.agent.planner.outputs import Output, utility
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.surrogate import VectorGP, fit
from solvus.agent.scoring import TargetDescriptors

LEAST_RESULTS = 4
"""Trusted experiments below which there is nothing to fit."""
STAGNATION = 8
"""At least so many experiments without improvement, or two per parameter, count as standing still ..."""
LEAST_IMPROVEMENT = 0.2
"""of the utility -log(1 + d^2): a fifth off the squared distance; polishing a poor optimum gains less ..."""
ESCAPE_EVERY = 4
"""... and then every fourth proposal is drawn without the model, in case the model is wrong."""
LEAST_INITIAL = 8
"""Sobol proposals at the start, or two per parameter if that is more."""
SOBOL_TRIES = 256
"""Points of the Sobol sequence looked at before a small space counts as tried in full."""
PACKAGES = ("solvus", "torch", "botorch", "numpy", "scipy")


class PlannerError(ValueError):
    """A request that cannot be planned; one sentence names the field and the fix."""


class PlanRequest(BaseModel):
    """All that a suggestion depends on.

    ``proposed`` counts the proposals made in this campaign so far, whatever became of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: SearchSpace
    target: TargetDescriptors
    observations: tuple[Observation, ...] = ()
    pending: tuple[Recipe, ...] = ()
    n: int = Field(default=1, ge=1, le=100)
    seed: int = Field(ge=0)
    proposed: int = Field(default=0, ge=0)
    settings: PlannerSettings = PlannerSettings()

    @model_validator(mode="after")
    def _fits_the_space_and_target(self) -> Self:
        for recipe in self.pending:
            reason = self.space.refusal(recipe)
            if reason is not None:
                raise PlannerError(f"pending: {reason}")
        outputs = outputs_of(self.target)
        for output in outputs:
            try:
                output.least_scale()
            except ValueError as error:
                raise PlannerError(f"target: {error}") from error
        for observation in self.observations:
            check(observation, self.space, outputs)
        return self


def outputs_of(target: TargetDescriptors) -> tuple[Output, ...]:
    return tuple(Output(name, goal) for name, goal in target.goals.items())


def check(observation: Observation, space: SearchSpace, outputs: tuple[Output, ...]) -> None:
    """Raise PlannerError when ``observation`` does not fit the space or lacks what the target needs."""
    reason = space.refusal(observation.recipe)
    if reason is not None:
        raise PlannerError(f"observation {observation.experiment}: {reason}")
    if observation.outcome != "ok":
        return
    for output in outputs:
        if output.name not in observation.descriptors:
            raise PlannerError(
                f"observation {observation.experiment}: {output.name} is missing, and the target needs it"
            )
        try:
            output.to_model(observation.descriptors[output.name])
        except ValueError as error:
            raise PlannerError(f"observation {observation.experiment}: {error}") from error


@cache
def _versions() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


@dataclass(frozen=True)
class _Known:
    """A request in tensors, in an order that does not depend on how results happened to arrive."""

    space: SearchSpace
    outputs: tuple[Output, ...]
    ok: tuple[Observation, ...]
    X: Tensor
    Z: Tensor
    variances: Tensor
    made: Tensor
    products: Tensor
    vain: tuple[Recipe, ...]
    """Tried, but without descriptors to show for it."""


def _known(request: PlanRequest) -> _Known:
    space, outputs = request.space, outputs_of(request.target)
    observations = sorted(request.observations, key=lambda o: (o.experiment, o.replicate))
    ok = tuple(o for o in observations if o.outcome == "ok")
    rated = [o for o in observations if o.outcome in ("ok", "failed_chemistry")]
    pairs = [[output.to_model(o.descriptors[output.name]) for output in outputs] for o in ok]
    values = torch.tensor(pairs, dtype=torch.float64).reshape(len(ok), len(outputs), 2)
    return _Known(
        space=space,
        outputs=outputs,
        ok=ok,
        X=_encoded(space, [o.recipe for o in ok]),
        Z=values[..., 0],
        variances=values[..., 1],
        made=_encoded(space, [o.recipe for o in rated]),
        products=torch.tensor([float(o.outcome == "ok") for o in rated], dtype=torch.float64),
        vain=tuple(o.recipe for o in observations if o.outcome in ("untrusted", "failed_chemistry")),
    )


def _encoded(space: SearchSpace, recipes: list[Recipe]) -> Tensor:
    rows = [space.encode(recipe) for recipe in recipes]
    return torch.as_tensor(np.array(rows, dtype=np.float64).reshape(len(rows), space.dimensions))


def _surrogate(known: _Known) -> VectorGP:
    scales = torch.tensor([output.least_scale() for output in known.outputs], dtype=torch.float64)
    return fit(known.X, known.Z, known.variances, scales, known.space.ordered, known.space.categorical)


def _stands_still(known: _Known, model: VectorGP) -> bool:
    """Whether the latest trusted experiments brought no improvement to speak of, by the model's smoothed values."""
    window = max(STAGNATION, 2 * known.space.dimensions)
    if len(known.ok) <= window:
        return False
    utilities = utility(known.outputs, model.mean(known.X).T)
    return float(utilities.max() - utilities[:-window].max()) < LEAST_IMPROVEMENT


def _sobol(space: SearchSpace, seed: int, index: int, taken: list[Recipe]) -> tuple[Recipe, bool]:
    """Point ``index`` of the campaign's Sobol sequence or the first after it that is new, and whether it is
    new."""
    engine = SobolEngine(space.dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    engine.fast_forward(index)  # type: ignore[no-untyped-call]
    recipes = [space.draw(u) for u in engine.draw(SOBOL_TRIES, dtype=torch.float64).numpy()]
    for recipe in recipes:
        if recipe not in taken:
            return recipe, True
    return recipes[0], False


def _fingerprint(request: PlanRequest, held: list[Recipe], index: int) -> str:
    """SHA-256 of all that one proposal depends on, as canonical JSON; the order of arrival does not count."""
    data = request.model_dump(mode="json", exclude={"n"})
    data["observations"].sort(key=lambda o: (o["experiment"], o["replicate"]))
    data["pending"] = sorted(held, key=lambda recipe: json.dumps(recipe, sort_keys=True))
    data["proposed"] = index
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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


def _choose_by_model(
    known: _Known, model: VectorGP, feasibility: Feasibility | None, held: list[Recipe], seed: int, index: int
) -> _Chosen:
    """The recipe of largest acquisition that was not tried before."""
    draws_seed, starts_seed = (int(s) for s in np.random.SeedSequence([seed, index]).generate_state(2))
    unknown = _encoded(known.space, [*held, *known.vain])
    acquisition = prepare(model, known.outputs, feasibility, unknown, draws_seed)
    found, values = candidates(acquisition, known.space, starts_seed)
    tried = torch.cat((known.made, unknown))
    new = [i for i, row in enumerate(found) if not bool((row == tried).all(-1).any())]
    winner = new[0] if new else 0
    return _Chosen(
        recipe=known.space.decode(found[winner].numpy()),
        source="surrogate" if new else "replicate",
        fallback="" if new else "every candidate was tried before; the best is made again",
        acquisition=float(values[winner]),
        found=found[new],
        values=values[new],
    )


def _choose(
    request: PlanRequest,
    known: _Known,
    model: VectorGP | None,
    feasibility: Feasibility | None,
    held: list[Recipe],
    index: int,
) -> _Chosen:
    """The recipe of proposal number ``index``."""
    initial = initial_count(request)
    escape = model is not None and index % ESCAPE_EVERY == ESCAPE_EVERY - 1 and _stands_still(known, model)
    if model is not None and index >= initial and not escape:
        return _choose_by_model(known, model, feasibility, held, request.seed, index)
    taken = [*held, *(o.recipe for o in request.observations if o.outcome != "failed_equipment")]
    recipe, new = _sobol(known.space, request.seed, index, taken)
    if not new:
        return _Chosen(recipe, "replicate", "the whole space was tried; a recipe is made again")
    if request.settings.method == "sobol" or index < initial:
        return _Chosen(recipe, "sobol")
    if escape:
        return _Chosen(recipe, "space-filling", "no improvement for long; a point drawn without the model")
    return _Chosen(
        recipe, "sobol", f"fewer than {LEAST_RESULTS} trusted results, which is too few for a model"
    )


def initial_count(request: PlanRequest) -> int:
    """How many Sobol proposals come first."""
    return request.settings.initial or max(2 * request.space.dimensions, LEAST_INITIAL)


def _write_up(
    request: PlanRequest,
    known: _Known,
    model: VectorGP | None,
    feasibility: Feasibility | None,
    chosen: _Chosen,
    fingerprint: str,
) -> Proposal:
    """The proposal with its reasons."""
    x = _encoded(known.space, [chosen.recipe])
    probability = 1.0 if feasibility is None else float(feasibility.probability(x)[0])
    predicted, distance = ({}, None) if model is None else predict(model, known.outputs, x)
    alternatives = (
        losers(known.space, model, known.outputs, feasibility, x, chosen.found, chosen.values)
        if model is not None and chosen.found is not None and chosen.values is not None
        else ()
    )
    neighbours = nearest(known.space, known.ok, known.X, x)
    return Proposal(
        recipe=chosen.recipe,
        source=chosen.source,
        predicted=predicted,
        predicted_distance=distance,
        probability_feasible=probability,
        acquisition=chosen.acquisition,
        alternatives=alternatives,
        nearest=neighbours,
        seed=request.seed,
        data_sha256=fingerprint,
        versions=_versions(),
        hyperparameters=hyperparameters(known.space, known.outputs, model, feasibility),
        fallback=chosen.fallback,
        explanation=describe(chosen.source, chosen.fallback, predicted, distance, probability, neighbours),
    )


def suggest(request: PlanRequest) -> list[Proposal]:
    """The next ``request.n`` recipes, best first.

    Asking for two at once gives the same as asking for one, and for another with the first one pending.

    Notes
    -----
    Sets torch to one thread for the whole process: more are slower here, and change the last digits of sums.
    """
    torch.set_num_threads(1)
    known = _known(request)
    modelled = request.settings.method == "surrogate" and len(known.ok) >= LEAST_RESULTS
    needed = request.proposed + request.n > initial_count(request)
    model = _surrogate(known) if modelled and needed else None
    feasibility = fit_feasibility(known.made, known.products, known.space.ordered, known.space.categorical)
    held = list(request.pending)
    proposals = []
    for index in range(request.proposed, request.proposed + request.n):
        fitted = model if index >= initial_count(request) else None
        chosen = _choose(request, known, fitted, feasibility, held, index)
        fingerprint = _fingerprint(request, held, index)
        proposals.append(_write_up(request, known, fitted, feasibility, chosen, fingerprint))
        held.append(chosen.recipe)
    return proposals
