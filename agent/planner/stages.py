"""Whether the expensive measurement is worth making, once a cheap early signal of the sample is known.

An optical spectrum taken in the flow cell says something of the particles minutes before the beamline does. From the
experiments that have both, a surrogate over recipe and early signal predicts the descriptors of a sample; the expensive
measurement is made unless the sample is, with little doubt, no better than what is known. (Torresi and Friederich,
Digital Discovery 2026, on what intermediate measurements save.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from botorch.sampling.qmc import NormalQMCEngine
from pydantic import BaseModel, ConfigDict, Field

from solvus.agent.planner.aims import NearTarget
from solvus.agent.planner.known import encoded, readings_of
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.outputs import outputs_of
from solvus.agent.planner.search_space import Recipe, SearchSpace
from solvus.agent.planner.surrogate import fit
from solvus.agent.scoring import TargetDescriptors

LEAST_PAIRS = 8
"""Experiments with both measurements before anything is skipped."""
DRAWS, SEED = 512, 20130527


class StageDecision(BaseModel):
    """The verdict on one sample, with the probability that it is better than the best known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    measure: bool
    probability_better: float | None = Field(default=None, ge=0.0, le=1.0)
    reason: str


def worth_measuring(
    space: SearchSpace,
    target: TargetDescriptors,
    finished: Sequence[tuple[Observation, Mapping[str, float]]],
    recipe: Recipe,
    early: Mapping[str, float],
    *,
    threshold: float = 0.02,
) -> StageDecision:
    """Decide on the expensive measurement of one sample.

    Parameters
    ----------
    finished : experiments with a trusted identification, each with its early signal by name.
    early : the sample's early signal, with the same names.
    threshold : probability of being better below which the measurement is not made.

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
    if len(rows) < LEAST_PAIRS or not names:
        return StageDecision(
            measure=True,
            reason=f"{len(rows)} experiments have both measurements; {LEAST_PAIRS} are needed to skip one",
        )
    outputs = outputs_of(target)
    aim = NearTarget(outputs)
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
        [*space.ordered, *range(d, d + len(names))],
        space.categorical,
    )
    engine = NormalQMCEngine(len(outputs), seed=SEED, inv_transform=True)
    normals = engine.draw(DRAWS, dtype=torch.float64)
    assert normals is not None  # noqa: S101 -- it is None only when a tensor to fill is passed
    noise = model.noise.sqrt() * model.scale
    spread = (model.variance(X[-1:])[:, 0] + noise**2).sqrt()
    merits = aim.merit(model.mean(X[-1:])[:, 0] + spread * normals)
    best = float(aim.merit(Z).max())
    better = float((merits > best).double().mean())
    if better < threshold:
        return StageDecision(
            measure=False,
            probability_better=better,
            reason=f"its early signal leaves {100 * better:.1f} % that it is better than the best one known",
        )
    return StageDecision(
        measure=True,
        probability_better=better,
        reason=f"it is better than the best one known with probability {better:.2f}",
    )


def _signal(names: Sequence[str], signal: Mapping[str, float], whose: str) -> np.ndarray:
    missing = [name for name in names if name not in signal or not np.isfinite(signal[name])]
    if missing:
        raise ValueError(f"{whose}: {missing[0]} is missing or no finite number; measure it again")
    return np.array([float(signal[name]) for name in names])
