"""The reasons that go with a proposal: what is expected of it, what lost against it, what is known near
it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from botorch.sampling.qmc import NormalQMCEngine
from torch import Tensor

from solvus.agent.planner.expressions import evaluate
from solvus.agent.planner.feasibility import Feasibility
from solvus.agent.planner.known import encoded
from solvus.agent.planner.limits import PlanLimits
from solvus.agent.planner.modelling import Fitted
from solvus.agent.planner.observations import Alternative, Check, Distance, Neighbour, Observation, Proposal
from solvus.agent.planner.outputs import distance_squared, natural
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.separation import separation
from solvus.agent.planner.settings import Mode
from solvus.agent.planner.stopping import within
from solvus.models.identification import Descriptor

PREDICTION_DRAWS = 512
PREDICTION_SEED = 20130527
"""Draws behind predicted means and spreads, from a fixed seed: two significant digits are enough to read."""
ALTERNATIVES = 3
NEIGHBOURS = 3
"""More than three of either nobody reads; the rest can be computed again from the record."""
DIFFERENT = 0.1
"""An alternative is listed when it is this far from the choice and from those listed, as in
:class:`Neighbour`."""
LESS_LIKELY = 0.8
"""A product counts as the less likely one below this ratio."""


@dataclass(frozen=True)
class Prediction:
    """Expected descriptors and distance of one recipe, and the probability that all bounds are kept (``None`` without
    any)."""

    descriptors: dict[str, Descriptor]
    distance: Distance
    kept: float | None


def predict(fitted: Fitted, x: Tensor) -> Prediction:
    """What is expected of one recipe (1, d), with its spread, in natural units and over all readings."""
    outputs = fitted.table.outputs
    engine = NormalQMCEngine(len(outputs), seed=PREDICTION_SEED, inv_transform=True)
    normals = engine.draw(PREDICTION_DRAWS, dtype=torch.float64)
    assert normals is not None  # noqa: S101 -- it is None only when a tensor to fill is passed
    values = torch.cat(
        [model.mean(x)[:, 0] + model.variance(x)[:, 0].sqrt() * normals for model in fitted.members]
    )
    descriptors = {
        output.name: Descriptor(mean=float(z.mean()), sd=float(z.std()))
        for output, z in zip(outputs, natural(outputs, values), strict=True)
    }
    distances = distance_squared(outputs, values).sqrt()
    bounded = tuple(
        output
        if output.bound is None
        else output.__class__(output.name, output.goal, output.bound, aimed=False)
        for output in outputs
        if output.bound is not None
    )
    columns = [j for j, output in enumerate(outputs) if output.bound is not None]
    kept = float(within(bounded, values[:, columns]).double().mean()) if bounded else None
    return Prediction(descriptors, Distance(mean=float(distances.mean()), sd=float(distances.std())), kept)


def losers(
    space: SearchSpace,
    fitted: Fitted,
    feasibility: Feasibility | None,
    x: Tensor,
    found: Tensor,
    values: Tensor,
    mode: Mode = "target",
) -> tuple[Alternative, ...]:
    """The best candidates (k, d), given best first with their a(x) (k,), that differ from the choice (1,
    d)."""
    chosen = predict(fitted, x).distance
    probability = 1.0 if feasibility is None else float(feasibility.probability(x)[0])
    listed: list[Alternative] = []
    seen = x
    for row, value in zip(found, values, strict=True):
        if len(listed) == ALTERNATIVES:
            break
        if bool((separation(space, seen.clone(), row[None]) < DIFFERENT).any()):
            continue
        seen = torch.cat((seen, row[None]))
        distance = predict(fitted, row[None]).distance
        other = 1.0 if feasibility is None else float(feasibility.probability(row[None])[0])
        listed.append(
            Alternative(
                recipe=space.decode(row.numpy()),
                acquisition=float(value),
                reason=_why_lost(chosen, distance, probability, other, mode),
            )
        )
    return tuple(listed)


def _why_lost(
    chosen: Distance, other: Distance, probability: float, other_probability: float, mode: Mode
) -> str:
    if other_probability < LESS_LIKELY * probability:
        return f"less likely to give a product ({other_probability:.2f} against {probability:.2f})"
    if mode == "explore":
        return "expected to differ less from what is known"
    if mode == "front":
        return "smaller expected gain in the direction of the front that was looked at"
    if other.mean > chosen.mean:
        return f"expected farther from the target ({other.mean:.2g} against {chosen.mean:.2g})"
    if other.sd < chosen.sd:
        return f"better known, so less to gain (spread {other.sd:.2g} against {chosen.sd:.2g})"
    return "smaller expected improvement"


def nearest(space: SearchSpace, ok: Sequence[Observation], x: Tensor) -> tuple[Neighbour, ...]:
    """The trusted experiments nearest to one recipe (1, d)."""
    distances = separation(space, encoded(space, [o.recipe for o in ok]), x)
    order = distances.argsort(stable=True)[:NEIGHBOURS].tolist()
    return tuple(Neighbour(experiment=ok[i].experiment, distance=float(distances[i])) for i in order)


def checks_of(space: SearchSpace, recipe: Recipe, limits: PlanLimits | None = None) -> tuple[Check, ...]:
    """Every constraint with what it comes to; of the limits, those of the device that may make it."""

    def equals(name: str, choice: str) -> float:
        return float(recipe.get(name) == choice)

    numbers = space.numbers(recipe)
    device = None if limits is None else limits.device_for(space, recipe)
    constraints = (*space.constraints, *(() if device is None else device.constraints))
    found = [
        Check(
            constraint=constraint.text,
            amount=float(constraint.amount(numbers, equals)),
            lower=constraint.lower,
            upper=constraint.upper,
        )
        for constraint in constraints
        if constraint.applies(equals)
    ]
    if device is not None and limits is not None:
        for name, step in sorted(device.steps.items()):
            steps = [
                abs(float(recipe[name]) - float(anchor[name]))
                for anchor in device.anchors(limits.waiting)
                if name in recipe and name in anchor
            ]
            if steps:
                found.append(Check(constraint=f"step of {name}", amount=max(steps), upper=step))
    return tuple(found)


def cost_of(cost: str | None, space: SearchSpace, recipe: Recipe) -> float | None:
    """What the experiment costs, ``None`` where nothing is said of it."""
    if cost is None:
        return None
    return float(
        evaluate(cost, space.numbers(recipe), lambda name, choice: float(recipe.get(name) == choice))
    )


def hyperparameters(
    space: SearchSpace, fitted: Fitted | None, feasibility: Feasibility | None
) -> dict[str, dict[str, float]]:
    """The fitted numbers by model and name; lengths carry the name of their coordinate."""
    result: dict[str, dict[str, float]] = {}
    if fitted is not None:
        model = fitted.model
        names = _coordinate_names(space, fitted)
        for j, output in enumerate(fitted.table.outputs):
            numbers = {
                f"length:{names[i]}": float(v) for i, v in zip(model.ordered, model.lengths[j], strict=True)
            }
            numbers |= {
                f"choice:{names[i]}": float(v)
                for i, v in zip(model.categorical, model.choices[j], strict=True)
            }
            for name in ("amplitude", "trend", "noise", "offset", "scale", "constant", "inflation"):
                numbers[name] = float(getattr(model, name)[j])
            result[output.name] = numbers
    if feasibility is not None:
        result["feasibility"] = {
            "length": feasibility.length,
            "trend": feasibility.trend,
            "offset": feasibility.offset,
        }
    return result


def _coordinate_names(space: SearchSpace, fitted: Fitted) -> list[str]:
    """Names of the model's coordinates: the recipe's, the descriptors of its choices, and the hidden ones."""
    names = [c.name for c in space.coordinates]
    for i, _ in fitted.model.lift.tables:
        parameter = space.coordinates[i].parameter
        names += [f"{names[i]}.{name}" for name in sorted(getattr(parameter, "descriptors", {}))]
    names += ["order"] if fitted.drift else []
    return names + (["campaign"] if fitted.table.earlier else [])


def describe(proposal: Proposal, mode: Mode) -> str:
    """The proposal in one line."""
    p = proposal
    parts = []
    if p.source == "sobol":
        parts.append("fills the space evenly" if not p.fallback else f"fills the space evenly: {p.fallback}")
    elif p.fallback:
        parts.append(p.fallback)
    if p.predicted:
        d = p.predicted_distance
        if mode == "explore":
            parts.append("expected to differ most from what is known")
        elif p.level == "descriptors" and d is not None:
            parts.append(f"expected {d.mean:.2g} ± {d.sd:.2g} tolerances from the target")
        parts.append(", ".join(f"{name} {d.mean:.3g} ± {d.sd:.2g}" for name, d in p.predicted.items()))
    if p.bounds_kept is not None:
        parts.append(f"keeps to the bounds with probability {p.bounds_kept:.2f}")
    if p.probability_feasible < 1.0:
        parts.append(f"gives a product with probability {p.probability_feasible:.2f}")
    if p.cost is not None:
        parts.append(f"costs {p.cost:.3g}")
    if p.nearest:
        parts.append(f"nearest known is experiment {p.nearest[0].experiment} at {p.nearest[0].distance:.2g}")
    line = "; ".join(parts)
    return line[0].upper() + line[1:] + "."
