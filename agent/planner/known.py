"""What is known of a campaign, as tensors: every recipe that was made with what its patterns can mean.

Repeats of one recipe become one row with the mean of its readings and the number of repeats, unless a reading is
ambiguous. Rows are in an order that does not depend on how results happened to arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from solvus.agent.planner.observations import Observation
from solvus.agent.planner.outputs import Output
from solvus.agent.planner.search_space import Categorical, Recipe, SearchSpace
from solvus.agent.planner.surrogate import Lift
from solvus.models.identification import Descriptor

CERTAIN = 0.02
"""Readings that are less probable than this together are no ambiguity."""
ORDER_UNIT = 100.0
"""Experiments that make up the range of a parameter, where the laboratory drifts."""


class ReadingError(ValueError):
    """An observation that lacks what has to be modelled; one sentence names it."""


@dataclass(frozen=True)
class Reading:
    """One possible outcome in model units: its probability, values (m,) and variances (m,)."""

    weight: float
    values: Tensor
    variances: Tensor


@dataclass(frozen=True)
class Row:
    """One recipe as it was made in one campaign (0 is the present one), ``count`` times."""

    recipe: Recipe
    experiments: tuple[int, ...]
    campaign: int
    count: int
    readings: tuple[Reading, ...]

    @property
    def ambiguous(self) -> bool:
        return len(self.readings) > 1


@dataclass(frozen=True)
class Table:
    """Rows with their encoded recipes ``recipes`` (n, d)."""

    space: SearchSpace
    outputs: tuple[Output, ...]
    rows: tuple[Row, ...]
    recipes: Tensor

    @property
    def counts(self) -> Tensor:
        return torch.tensor([float(row.count) for row in self.rows], dtype=torch.float64)

    @property
    def earlier(self) -> bool:
        return any(row.campaign for row in self.rows)

    def of(self, campaigns: set[int]) -> Table:
        """The rows of some campaigns."""
        kept = [i for i, row in enumerate(self.rows) if row.campaign in campaigns]
        return Table(self.space, self.outputs, tuple(self.rows[i] for i in kept), self.recipes[kept])

    def readings(self, choice: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Values and variances (n, m) for one reading of every row."""
        picked = [row.readings[k] for row, k in zip(self.rows, choice, strict=True)]
        return torch.stack([r.values for r in picked]), torch.stack([r.variances for r in picked])

    def lifted(self, *, drift: bool) -> tuple[Tensor, Lift, list[int], list[int]]:
        """Rows as the model sees them, how it lifts others, and positions of ordered and categorical coordinates."""
        d = self.space.dimensions
        tables = tuple(
            (i, described) for i in self.space.categorical if (described := self._described(i)) is not None
        )
        width = d + sum(table.shape[1] for _, table in tables)
        ordered = [*self.space.ordered, *range(d, width)]
        categorical = list(self.space.categorical)
        columns, hidden = [], []
        if drift:
            latest = max(row.experiments[-1] for row in self.rows if not row.campaign)
            columns.append(
                [0.5 if r.campaign else 0.5 + (r.experiments[-1] - latest) / ORDER_UNIT for r in self.rows]
            )
            hidden.append(0.5)
            ordered.append(width)
        if self.earlier:
            columns.append([float(row.campaign) for row in self.rows])
            hidden.append(0.0)
            categorical.append(width + int(drift))
        lift = Lift(
            d, mixed_of(self.space), tables, torch.tensor(hidden, dtype=torch.float64) if hidden else None
        )
        X = lift.described(self.recipes)
        if columns:
            X = torch.cat((X, torch.tensor(columns, dtype=torch.float64).T), -1)
        return X, lift, ordered, categorical

    def _described(self, i: int) -> Tensor | None:
        """Descriptors of the choices at position i, each from 0 to 1, or ``None``."""
        parameter = self.space.coordinates[i].parameter
        if not isinstance(parameter, Categorical) or not parameter.descriptors:
            return None
        described = [numbers for _, numbers in sorted(parameter.descriptors.items())]
        numbers = torch.tensor(described, dtype=torch.float64).T
        low, high = numbers.amin(0), numbers.amax(0)
        return (numbers - low) / (high - low)


def mixed_of(space: SearchSpace) -> tuple[int, ...]:
    """Positions of all components of mixtures."""
    return tuple(i for _, places in space.mixtures for i in places)


def encoded(space: SearchSpace, recipes: Sequence[Recipe]) -> Tensor:
    """(k, d)."""
    rows = [space.encode(recipe) for recipe in recipes]
    return torch.as_tensor(np.array(rows, dtype=np.float64).reshape(len(rows), space.dimensions))


def readings_of(observation: Observation, outputs: tuple[Output, ...]) -> tuple[Reading, ...]:
    """What one observation can mean, most probable first.

    Raises
    ------
    ReadingError : a descriptor that has to be modelled is missing or has an impossible value.
    """
    modes = sorted(observation.modes, key=lambda mode: -mode.weight)
    total = sum(mode.weight for mode in modes)
    found: list[Reading] = []
    for mode in modes:
        covered = sum(r.weight for r in found)
        if found and 1.0 - covered <= CERTAIN:
            break
        described = {n: mode.descriptor(n) for n in mode.names}
        found.append(_reading(mode.weight / total, described, outputs))
    if not modes:
        return (_reading(1.0, observation.descriptors, outputs),)
    kept = sum(r.weight for r in found)
    return tuple(Reading(r.weight / kept, r.values, r.variances) for r in found)


def _reading(weight: float, descriptors: Mapping[str, Descriptor], outputs: tuple[Output, ...]) -> Reading:
    pairs = []
    for output in outputs:
        if output.name not in descriptors:
            raise ReadingError(f"{output.name} is missing, and the target needs it")
        try:
            pairs.append(output.to_model(descriptors[output.name]))
        except ValueError as error:
            raise ReadingError(str(error)) from error
    numbers = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2)
    return Reading(weight, numbers[:, 0], numbers[:, 1])


def table_of(
    space: SearchSpace,
    outputs: tuple[Output, ...],
    items: Sequence[tuple[int, Observation, tuple[Reading, ...]]],
) -> Table:
    """Merge repeats.

    Parameters
    ----------
    items : campaign, observation and its readings, in order.
    """
    groups: dict[tuple[object, ...], list[tuple[int, Observation, tuple[Reading, ...]]]] = {}
    for k, item in enumerate(items):
        campaign, observation, readings = item
        vector = space.encode(observation.recipe)
        alone = (k,) if len(readings) > 1 else ()
        groups.setdefault((campaign, *vector.round(9).tolist(), *alone), []).append(item)
    rows = tuple(_merged(group) for group in groups.values())
    return Table(space, outputs, rows, encoded(space, [row.recipe for row in rows]))


def _merged(group: list[tuple[int, Observation, tuple[Reading, ...]]]) -> Row:
    campaign, first, readings = group[0]
    count = len(group)
    if count > 1:
        values = torch.stack([r[0].values for _, _, r in group]).mean(0)
        variances = torch.stack([r[0].variances for _, _, r in group]).sum(0) / count**2
        readings = (Reading(1.0, values, variances),)
    return Row(first.recipe, tuple(sorted({o.experiment for _, o, _ in group})), campaign, count, readings)
