"""The reasons that go with a proposal: what is expected of it, what lost against it, what is known near
it."""

from __future__ import annotations

import torch
from botorch.sampling.qmc import NormalQMCEngine
from torch import Tensor

from solvus.agent.planner.feasibility import Feasibility
from solvus.agent.planner.observations import Alternative, Distance, Neighbour, Observation, Source
from solvus.agent.planner.outputs import Output, distance_squared, natural
from solvus.agent.planner.search_space import SearchSpace
from solvus.agent.planner.surrogate import VectorGP
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


def separation(space: SearchSpace, A: Tensor, x: Tensor) -> Tensor:
    """Distance of recipes (a, d) from one recipe (1, d), shape (a,): Euclidean, a different choice counting
    1."""
    steps = A - x
    steps[:, space.categorical] = (steps[:, space.categorical] != 0).to(A)
    distances: Tensor = (steps**2).sum(-1).sqrt()
    return distances


def predict(
    model: VectorGP, outputs: tuple[Output, ...], x: Tensor
) -> tuple[dict[str, Descriptor], Distance]:
    """Expected descriptors and distance for one recipe (1, d), with their spread, in natural units."""
    engine = NormalQMCEngine(len(outputs), seed=PREDICTION_SEED, inv_transform=True)
    normals = engine.draw(PREDICTION_DRAWS, dtype=torch.float64)
    assert normals is not None  # noqa: S101 -- it is None only when a tensor to fill is passed
    values = model.mean(x)[:, 0] + model.variance(x)[:, 0].sqrt() * normals
    descriptors = {
        output.name: Descriptor(mean=float(z.mean()), sd=float(z.std()))
        for output, z in zip(outputs, natural(outputs, values), strict=True)
    }
    distances = distance_squared(outputs, values).sqrt()
    return descriptors, Distance(mean=float(distances.mean()), sd=float(distances.std()))


def losers(
    space: SearchSpace,
    model: VectorGP,
    outputs: tuple[Output, ...],
    feasibility: Feasibility | None,
    x: Tensor,
    found: Tensor,
    values: Tensor,
) -> tuple[Alternative, ...]:
    """The best candidates (k, d), given best first with their a(x) (k,), that differ from the choice (1,
    d)."""
    _, chosen = predict(model, outputs, x)
    probability = 1.0 if feasibility is None else float(feasibility.probability(x)[0])
    listed: list[Alternative] = []
    seen = x
    for row, value in zip(found, values, strict=True):
        if len(listed) == ALTERNATIVES:
            break
        if bool((separation(space, seen.clone(), row[None]) < DIFFERENT).any()):
            continue
        seen = torch.cat((seen, row[None]))
        _, distance = predict(model, outputs, row[None])
        other = 1.0 if feasibility is None else float(feasibility.probability(row[None])[0])
        listed.append(
            Alternative(
                recipe=space.decode(row.numpy()),
                acquisition=float(value),
                reason=_why_lost(chosen, distance, probability, other),
            )
        )
    return tuple(listed)


def _why_lost(chosen: Distance, other: Distance, probability: float, other_probability: float) -> str:
    if other_probability < LESS_LIKELY * probability:
        return f"less likely to give a product ({other_probability:.2f} against {probability:.2f})"
    if other.mean > chosen.mean:
        return f"expected farther from the target ({other.mean:.2g} against {chosen.mean:.2g})"
    if other.sd < chosen.sd:
        return f"better known, so less to gain (spread {other.sd:.2g} against {chosen.sd:.2g})"
    return "smaller expected improvement"


def nearest(space: SearchSpace, ok: tuple[Observation, ...], X: Tensor, x: Tensor) -> tuple[Neighbour, ...]:
    """The trusted experiments (n, d) nearest to one recipe (1, d)."""
    distances = separation(space, X.clone(), x)
    order = distances.argsort(stable=True)[:NEIGHBOURS].tolist()
    return tuple(Neighbour(experiment=ok[i].experiment, distance=float(distances[i])) for i in order)


def hyperparameters(
    space: SearchSpace, outputs: tuple[Output, ...], model: VectorGP | None, feasibility: Feasibility | None
) -> dict[str, dict[str, float]]:
    """The fitted numbers by model and name; lengths carry the parameter's name."""
    names = [p.name for p in space.parameters]
    result: dict[str, dict[str, float]] = {}
    for j, output in enumerate(outputs if model is not None else ()):
        assert model is not None  # noqa: S101 -- there are no outputs to loop over without a model
        numbers = {
            f"length:{names[i]}": float(v) for i, v in zip(space.ordered, model.lengths[j], strict=True)
        }
        numbers |= {
            f"choice:{names[i]}": float(v) for i, v in zip(space.categorical, model.choices[j], strict=True)
        }
        for name in ("noise", "offset", "scale", "constant", "inflation"):
            numbers[name] = float(getattr(model, name)[j])
        result[output.name] = numbers
    if feasibility is not None:
        result["feasibility"] = {"length": feasibility.length, "offset": feasibility.offset}
    return result


def describe(
    source: Source,
    fallback: str,
    predicted: dict[str, Descriptor],
    distance: Distance | None,
    probability: float,
    neighbours: tuple[Neighbour, ...],
) -> str:
    """The proposal in one line."""
    parts = []
    if source == "sobol":
        parts.append("fills the space evenly" if not fallback else f"fills the space evenly: {fallback}")
    elif fallback:
        parts.append(fallback)
    if distance is not None:
        parts.append(f"expected {distance.mean:.2g} ± {distance.sd:.2g} tolerances from the target")
        parts.append(", ".join(f"{name} {d.mean:.3g} ± {d.sd:.2g}" for name, d in predicted.items()))
    if probability < 1.0:
        parts.append(f"gives a product with probability {probability:.2f}")
    if neighbours:
        parts.append(
            f"nearest known is experiment {neighbours[0].experiment} at {neighbours[0].distance:.2g}"
        )
    line = "; ".join(parts)
    return line[0].upper() + line[1:] + "."
