"""Whether the expensive measurement is worth making, once a cheap early signal of the sample is known.

An optical spectrum taken in the flow cell says something of the particles minutes before the beamline does. From the
experiments that have both, a surrogate over recipe and early signal predicts the descriptors of a sample; the expensive
measurement is made unless the sample is, with little doubt, neither better than what is known nor within all
tolerances. (Torresi and Friederich, Digital Discovery 2026, on what intermediate measurements save.)

The surrogate models the descriptors one by one, and its errors at one sample may go together. So each of the two
probabilities is taken as the largest that any dependence between the descriptors allows: the least of the probabilities
of what must be true of each descriptor alone (the Frechet bound),

    P(within) <= min_j P(z_j within its tolerance),
    P(better) <= min_j P(w_j dev_j^2 / sum(w) < d^2 of the best known),     dev_j = (z_j - goal_j) / tolerance_j.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
import torch
from botorch.sampling.qmc import NormalQMCEngine
from torch import Tensor

from solvus.agent.planner.aims import NearTarget
from solvus.agent.planner.early_signal import LEAST_PAIRS, StageDecision, StageRequest
from solvus.agent.planner.known import encoded, readings_of
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.outputs import Output, log_kept, natural, outputs_of
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.surrogate import fit
from solvus.agent.scoring import TargetDescriptors, squared_distance

DRAWS, SEED = 512, 20130527
HALF = -np.log(2.0)
"""Logarithm of the smooth indicator of a bound on the bound itself."""
PACKAGES = ("solvus", "torch", "botorch", "numpy", "scipy")


def decide(request: StageRequest) -> StageDecision:
    """:func:`worth_measuring` as data, in and out; the same request gives the same decision, bit for bit on one machine
    and one set of versions."""
    made = worth_measuring(
        request.space,
        request.target,
        [(seen.observation, seen.signal) for seen in request.finished],
        request.recipe,
        request.early,
        threshold=request.threshold,
        least=request.least,
    )
    return made.model_copy(
        update={
            "signal": request.early,
            "learned_from": tuple(s.observation.experiment for s in request.finished),
            "data_sha256": request.sha256,
            "versions": {package: version(package) for package in PACKAGES},
        }
    )


def worth_measuring(
    space: SearchSpace,
    target: TargetDescriptors,
    finished: Sequence[tuple[Observation, Mapping[str, float]]],
    recipe: Recipe,
    early: Mapping[str, float],
    *,
    threshold: float = 0.02,
    least: int = LEAST_PAIRS,
) -> StageDecision:
    """Decide on the expensive measurement of one sample.

    Parameters
    ----------
    finished : experiments with a trusted identification, each with its early signal by name.
    early : the sample's early signal, with the same names.
    threshold : probability below which the measurement is not made, both of being better than the best known sample and
        of being within all tolerances.
    least : experiments with both measurements before anything is skipped.

    Raises
    ------
    ValueError : an early signal that is missing or no finite number; one sentence names it.
    """
    names = sorted(early)
    rows = [
        (o, _signal(names, signal, f"observation {o.experiment}"))
        for o, signal in finished
        if o.outcome == "ok"
    ]
    sample = _signal(names, early, "early")
    if len(rows) < least or not names:
        return StageDecision(
            measure=True,
            reason=f"{len(rows)} experiments have both measurements; {least} are needed to skip one",
        )
    outputs = outputs_of(target)
    Z, draws = _predicted(space, outputs, rows, recipe, sample)
    merits = NearTarget(outputs).merit(Z)
    first = rows[int(merits.argmax())][0].experiment
    # Merit is -log(1 + d^2), and less where a bound is broken: what is better than the best has a smaller d^2.
    better = _most_probable(_shares(outputs, draws) < torch.expm1(-merits.max()))
    within = _most_probable(_within(outputs, draws))
    words = (
        f"better than experiment {first}, the best one known, with probability {better:.3f} at most, and within all "
        f"tolerances with {within:.3f} at most"
    )
    measure = max(better, within) >= threshold
    return StageDecision(
        measure=measure,
        probability_better=better,
        probability_within=within,
        reason=words if measure else f"by its early signal it is {words}",
    )


def _predicted(
    space: SearchSpace,
    outputs: tuple[Output, ...],
    rows: Sequence[tuple[Observation, np.ndarray]],
    recipe: Recipe,
    sample: np.ndarray,
) -> tuple[Tensor, Tensor]:
    """Outputs of the finished experiments (n, m), and draws of those of the sample (S, m), noise included."""
    readings = [readings_of(o, outputs)[0] for o, _ in rows]
    Z = torch.stack([r.values for r in readings])
    signals = np.array([s for _, s in rows])
    centre, width = signals.mean(0), np.maximum(signals.std(0), 1e-12)
    scaled = torch.as_tensor(0.5 + (np.vstack([signals, sample]) - centre) / width / 4.0)
    recipes = encoded(space, [*(o.recipe for o, _ in rows), recipe])
    X = torch.cat((recipes, scaled), -1)
    scales = torch.tensor([output.least_scale() for output in outputs], dtype=torch.float64)
    d = space.dimensions
    model = fit(
        X[:-1],
        Z,
        torch.stack([r.variances for r in readings]),
        scales,
        [*space.ordered, *range(d, d + signals.shape[1])],
        space.categorical,
    )
    engine = NormalQMCEngine(len(outputs), seed=SEED, inv_transform=True)
    normals = engine.draw(DRAWS, dtype=torch.float64)
    assert normals is not None  # noqa: S101 -- it is None only when a tensor to fill is passed
    noise = model.noise.sqrt() * model.spread
    spread = (model.variance(X[-1:])[:, 0] + noise**2).sqrt()
    return Z, model.mean(X[-1:])[:, 0] + spread * normals


def _shares(outputs: tuple[Output, ...], values: Tensor) -> Tensor:
    """What each goal adds to d^2 of outputs (..., m), (..., number of goals)."""
    aimed = [(column, o.goal) for column, o in zip(natural(outputs, values), outputs, strict=True) if o.aimed]
    total = sum(goal.weight for _, goal in aimed)
    return torch.stack(
        [goal.weight * squared_distance([column], [goal]) / total for column, goal in aimed], -1
    )


def _within(outputs: tuple[Output, ...], values: Tensor) -> Tensor:
    """Whether each of outputs (..., m) is within its tolerance and bound, (..., m)."""
    kept = []
    for j, output in enumerate(outputs):
        own = values[..., j : j + 1]
        inside: Tensor = log_kept((output,), own) >= HALF
        if output.aimed:
            inside = inside & (squared_distance(natural((output,), own), [output.goal]) <= 1.0)
        kept.append(inside)
    return torch.stack(kept, -1)


def _most_probable(each: Tensor) -> float:
    """The largest probability that any dependence allows for all of ``each`` (S, k) to be true at once."""
    return float(each.double().mean(0).min())


def _signal(names: Sequence[str], signal: Mapping[str, float], whose: str) -> np.ndarray:
    missing = [name for name in names if name not in signal or not np.isfinite(signal[name])]
    if missing:
        raise ValueError(f"{whose}: {missing[0]} is missing or no finite number; measure it again")
    return np.array([float(signal[name]) for name in names])
