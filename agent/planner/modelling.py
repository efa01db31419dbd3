"""From a table of experiments to fitted surrogates, with what contradicts it set aside.

- *Ambiguous readings stay a mixture*: a few joint assignments of readings to experiments are drawn by Gibbs sampling,
  where a reading counts by its own probability and by how well the other experiments predict it, and each gives a
  model of its own at common hyper-parameters.
- *Outliers*: an experiment whose leave-one-out z-score is beyond ``OUTLYING`` keeps its place with a variance as large
  as its contradiction, unless it is among the best: what looks like the target is settled by a replicate.
- *Drift*: where leave-one-out residuals follow the order of the experiments, the order becomes a coordinate.
- *Earlier campaigns* share the model with a choice for the campaign, whose h is learnt. Each is taken in only while it
  makes the left-out predictions of the present campaign's own experiments better: one that is unlike does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from solvus.agent.planner.aims import Aim
from solvus.agent.planner.known import Table
from solvus.agent.planner.surrogate import VectorGP, fit, refitted

OUTLYING, OUTLYING_FROM = 4.0, 12
"""One z-score in 16,000 is beyond 4 by chance; with fewer experiments the scores themselves are not to be relied on."""
NEVER_OUTLYING = 3
"""The best experiments, by their own values."""
MEMBERS, SWEEPS = 4, 2
"""Assignments of ambiguous readings, and passes of the sampler that make each."""
JUDGING = 3
"""Experiments of the present campaign from which on earlier ones are judged by them."""
DRIFT_FROM, DRIFT_LEVEL = 15, 1e-4
"""Experiments needed to see a drift, and the significance asked of it, over the number of outputs."""


@dataclass(frozen=True)
class Fitted:
    """Models of one table: one, or several where readings are ambiguous.

    ``values`` (n, m): the most probable readings; ``outliers``: rows that count less; ``drift``: whether the order is a
    coordinate.
    """

    table: Table
    members: tuple[VectorGP, ...]
    values: Tensor
    outliers: tuple[int, ...]
    drift: bool

    @property
    def model(self) -> VectorGP:
        """The model of the most probable readings."""
        return self.members[0]

    def scores(self) -> Tensor:
        """Leave-one-out z-scores, (m, n)."""
        return self.model.left_out_scores(self.values)


def model_of(table: Table, aim: Aim, seed: int) -> Fitted:
    """Fit a table of at least two rows.

    Parameters
    ----------
    aim : says which experiments are the best. seed : of the assignments.
    """
    if table.earlier:
        table = _with_those_that_help(table)
    likeliest = [0] * len(table.rows)
    values, variances = table.readings(likeliest)
    model, drift = _fit(table, values, variances, drift=False), False
    if _drifts(table, model, values):
        model, drift = _fit(table, values, variances, drift=True), True
    outliers = _outliers(model, values, aim)
    if outliers:
        variances = variances.clone()
        excess = (values.T - model.left_mean).T ** 2
        for row in outliers:
            variances[row] = variances[row] + excess[row]
        model = _fit(table, values, variances, drift=drift)
    members = [model]
    if any(row.ambiguous for row in table.rows):
        members += _assignments(table, model, outliers, variances, seed)
    return Fitted(table, tuple(members), values, tuple(outliers), drift)


def _with_those_that_help(table: Table) -> Table:
    """The present campaign with every earlier one that by itself predicts it better than nothing does."""
    campaigns = sorted({row.campaign for row in table.rows if row.campaign})
    alone = table.of({0})
    if len(alone.rows) < JUDGING:
        return table
    without = _predictive(alone)
    helping = {c for c in campaigns if _predictive(table.of({0, c})) > without}
    return table.of({0, *helping})


def _predictive(table: Table) -> float:
    """Log density that left-out predictions give to the present campaign's experiments, by their likeliest readings."""
    values, variances = table.readings([0] * len(table.rows))
    model = _fit(table, values, variances, drift=False)
    present = [i for i, row in enumerate(table.rows) if not row.campaign]
    z = (values.T - model.left_mean)[:, present] / model.left_sd[:, present]
    return float((-0.5 * z**2 - model.left_sd[:, present].log()).sum())


def _fit(table: Table, values: Tensor, variances: Tensor, *, drift: bool) -> VectorGP:
    X, lift, ordered, categorical = table.lifted(drift=drift)
    scales = torch.tensor([output.least_scale() for output in table.outputs], dtype=torch.float64)
    return fit(
        X,
        values,
        variances,
        scales,
        ordered,
        categorical,
        counts=table.counts,
        lift=lift,
        recipes=table.recipes,
    )


def _drifts(table: Table, model: VectorGP, values: Tensor) -> bool:
    present = [i for i, row in enumerate(table.rows) if not row.campaign]
    if len(present) < DRIFT_FROM:
        return False
    order = [table.rows[i].experiments[-1] for i in present]
    scores = model.left_out_scores(values)[:, present].numpy()
    moving = [s for s in scores if np.ptp(s) > 0]
    return any(spearmanr(order, s).pvalue < DRIFT_LEVEL / len(scores) for s in moving)


def _outliers(model: VectorGP, values: Tensor, aim: Aim) -> list[int]:
    if len(values) < OUTLYING_FROM:
        return []
    best = aim.merit(values).argsort(descending=True, stable=True)[:NEVER_OUTLYING].tolist()
    far = (model.left_out_scores(values).abs() > OUTLYING).any(0)
    return [i for i in far.nonzero()[:, 0].tolist() if i not in best]


def _assignments(
    table: Table, model: VectorGP, outliers: list[int], likeliest: Tensor, seed: int
) -> list[VectorGP]:
    """Models of assignments other than the most probable one, without repeats."""
    generator = np.random.default_rng([seed, len(table.rows)])
    found: list[VectorGP] = []
    seen = {(0,) * len(table.rows)}
    for _ in range(MEMBERS - 1):
        choice, current = [0] * len(table.rows), model
        for _ in range(SWEEPS):
            choice = _drawn(table, current, choice, generator)
            values, variances = table.readings(choice)
            for row in outliers:
                variances[row] = likeliest[row]
            current = refitted(model, values, variances, table.counts)
        if tuple(choice) not in seen:
            seen.add(tuple(choice))
            found.append(current)
    return found


def _drawn(table: Table, model: VectorGP, choice: list[int], generator: np.random.Generator) -> list[int]:
    """A reading for every ambiguous row, given what the others say in the present assignment."""
    drawn = list(choice)
    for i, row in enumerate(table.rows):
        if not row.ambiguous:
            continue
        own = row.readings[choice[i]].variances
        base = (model.left_sd[:, i] ** 2 - own).clamp_min(0.0)
        logs = []
        for reading in row.readings:
            variance = (base + reading.variances) * model.inflation**2
            z2 = (reading.values - model.left_mean[:, i]) ** 2 / variance
            logs.append(float(np.log(reading.weight)) - 0.5 * float((z2 + variance.log()).sum()))
        p = np.exp(np.array(logs) - max(logs))
        drawn[i] = int(generator.choice(len(p), p=p / p.sum()))
    return drawn
