"""Many patterns of one structure or of many, under conditions drawn at random: what recognisers are trained on.

The distances of a structure are found once; each pattern then costs a few transforms and a row of a matrix product for
its noise. Work goes structure by structure in blocks of fixed length, each with a random stream of its own, so that
memory stays bounded and a pattern depends on the seed, its structure's place in the list and its own number only.
Lengths in angstrom, Q in 1/angstrom, u in angstrom^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.composition import composition_of
from solvus.models.scattering.curves import Curves
from solvus.models.scattering.exact import curves_of, table_for
from solvus.models.scattering.noise import NoiseModel, bin_envelope, errors_of
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.size_distribution import WIDEST, Lognormal, shape_function
from solvus.models.scattering.structure import Structure

BLOCK = 256
"""Patterns calculated at once: their F and their errors take under 100 MB."""
OF_SETTINGS = ("qmin", "qmax", "qdamp", "qbroad", "u_iso", "delta2", "expansion")
OF_CRYSTALS = ("diameter", "spread")
ALL = (*OF_SETTINGS, *OF_CRYSTALS, "counts")
"""Each has its own column of random numbers, so that leaving one out does not change the others."""

Range = tuple[float, float]


class ConditionRanges(BaseModel):
    """Lowest and highest value of each condition, drawn uniformly and independently; counts in their logarithm.

    The defaults cover what is met at synchrotron and laboratory sources.

    Attributes
    ----------
    qmin, qmax, qdamp, qbroad : instrument, 1/angstrom.
    u_iso : displacement of all atoms; ``None`` leaves each structure its own.
    delta2 : correlated motion, angstrom^2.
    expansion : factor on all distances.
    diameter : of spheres cut from crystals, angstrom: median of a lognormal distribution of number with the given
        ``spread``; ``None`` leaves crystals endless. Clusters keep their size.
    counts : in the bin at the noise model's reference, take the place of the model's own.
    noise : ``None`` for noise-free patterns.
    seed : of everything that is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    qmin: Range = (0.3, 1.5)
    qmax: Range = (12.0, 28.0)
    qdamp: Range = (0.01, 0.08)
    qbroad: Range = (0.0, 0.03)
    u_iso: Range | None = (0.003, 0.015)
    delta2: Range = (0.0, 2.0)
    expansion: Range = (0.97, 1.03)
    diameter: Range | None = None
    spread: Range = (0.0, 0.3)
    counts: Range = (1e4, 1e7)
    noise: NoiseModel | None = NoiseModel(drift=0.01, normalisation=0.02)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> Self:
        for name in ALL:
            values = getattr(self, name)
            if values is not None and not 0.0 <= values[0] <= values[1]:
                raise ValueError(f"{name}: {values[0]:g} to {values[1]:g} is no range from 0 on")
        if self.qmin[1] >= self.qmax[0]:
            raise ValueError(
                f"qmin: up to {self.qmin[1]:g} must stay below the lowest qmax, {self.qmax[0]:g}"
            )
        if self.spread[1] > WIDEST:
            raise ValueError(f"spread: up to {self.spread[1]:g}; at most {WIDEST:g}")
        for name in ("u_iso", "expansion", "diameter", "counts"):
            values = getattr(self, name)
            if values is not None and values[0] <= 0.0:
                raise ValueError(f"{name}: must be above zero")
        return self

    def drawn(self) -> tuple[str, ...]:
        """The conditions that these ranges ask for."""
        absent = {name for name in ALL if getattr(self, name) is None}
        absent |= {"spread"} if self.diameter is None else set()
        absent |= {"counts"} if self.noise is None else set()
        return tuple(name for name in ALL if name not in absent)

    def draw(self, count: int, structure: int = 0) -> dict[str, torch.Tensor]:
        """Conditions of ``count`` patterns of the structure with this number: one (count,) float64 each."""
        generator = _stream(self.seed, structure)
        uniform = torch.rand(count, len(ALL), generator=generator, dtype=torch.float64)
        drawn = {}
        for name in self.drawn():
            values, column = getattr(self, name), ALL.index(name)
            low, high = (math.log(v) for v in values) if name == "counts" else values
            value = low + (high - low) * uniform[:, column]
            drawn[name] = torch.exp(value) if name == "counts" else value
        return drawn


@dataclass(frozen=True)
class BulkPatterns:
    """Patterns on one grid with what they were drawn from.

    Attributes
    ----------
    r : (k,) angstrom; g : (b, k), 1/angstrom^2.
    structure : (b,) int64, number of the structure in the list given.
    conditions : (b,) float64 for each drawn condition; NaN where a structure has none (the diameter of a cluster).
    ranges : what they were drawn from, with the seed.
    """

    r: torch.Tensor
    g: torch.Tensor
    structure: torch.Tensor
    conditions: dict[str, torch.Tensor]
    ranges: ConditionRanges


def simulate_bulk(
    structures: Sequence[Structure],
    count: int,
    ranges: ConditionRanges | None = None,
    grid: Settings | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int, int], None] | None = None,
) -> BulkPatterns:
    """Simulate ``count`` patterns of each structure.

    Parameters
    ----------
    structures : one or many, finite or periodic, each without a batch dimension.
    grid : its rmin, rmax, rstep, radiation, lengths and extension are used; by default 0 to 30 angstrom in steps of
        0.05. Steps must resolve the highest Qmax: rstep < pi / Qmax.
    dtype : of the calculation and of the result.
    progress : called with the patterns done and all of them, after each block.

    Raises
    ------
    SettingsError
        For a grid that is too coarse, or no patterns.
    """
    ranges, grid = ranges or ConditionRanges(), grid or Settings(rstep=0.05)
    total = count * len(structures)
    if total < 1:
        raise SettingsError("count: at least one pattern of one structure is needed")
    if grid.rstep * ranges.qmax[1] >= math.pi:
        raise SettingsError(
            f"rstep: {grid.rstep:g} angstrom is too coarse for a qmax of {ranges.qmax[1]:g} 1/angstrom; "
            f"stay below {math.pi / ranges.qmax[1]:.3g}"
        )
    r = grid.r().to(dtype)
    g = torch.empty(total, len(r), dtype=dtype)
    columns: dict[str, list[torch.Tensor]] = {name: [] for name in ranges.drawn()}
    for number, structure in enumerate(structures):
        drawn = ranges.draw(count, number)
        start = number * count
        for first, block in _blocks(structure.to(dtype=dtype), drawn, ranges, grid, number):
            g[start + first : start + first + len(block)] = block
            if progress is not None:
                progress(start + first + len(block), total)
        for name, values in drawn.items():
            own = structure.lattice is None and name in OF_CRYSTALS
            columns[name].append(torch.full_like(values, math.nan) if own else values)
    owner = torch.arange(len(structures)).repeat_interleave(count)
    return BulkPatterns(r, g, owner, {name: torch.cat(parts) for name, parts in columns.items()}, ranges)


def _blocks(
    structure: Structure,
    drawn: dict[str, torch.Tensor],
    ranges: ConditionRanges,
    grid: Settings,
    number: int,
) -> Iterator[tuple[int, torch.Tensor]]:
    """The first pattern of each block and G of all of them."""
    varied: dict[str, Any] = {name: _plain(drawn[name]) for name in OF_SETTINGS if name in drawn}
    settings = replace(grid, **varied)
    composition = composition_of(structure)
    table = table_for(structure, settings)
    # Displacements of many kinds, or with a direction, are expanded with one expansion at a time only.
    together = table.weights is not None or "expansion" not in settings.batched()
    count = len(drawn["qmax"])
    for block, first in enumerate(range(0, count, BLOCK)):
        part = {name: values[first : first + BLOCK] for name, values in drawn.items()}
        conditions = settings.part(first, first + BLOCK)
        curves = curves_of(table, conditions) if together else _one_by_one(structure, conditions)
        g = curves.g.expand(len(part["qmax"]), -1)
        if structure.lattice is not None and "diameter" in part:
            g = g * shape_function(Lognormal(part["diameter"], part["spread"]), curves.r)
        if ranges.noise is not None:
            errors = errors_of(curves, composition, conditions, ranges.noise, counts=part["counts"])
            noise = errors.draw_g(curves.r, _stream(ranges.seed, number, block))
            g = g * bin_envelope(curves.r, ranges.noise.step) + noise
        yield first, g


def _one_by_one(structure: Structure, conditions: Settings) -> Curves:
    """Curves of a batch of conditions, each with its own expansion: distances are found for each."""
    batched = conditions.batched()
    done = []
    for k in range(len(batched["expansion"])):
        single: dict[str, Any] = {name: float(values[k]) for name, values in batched.items()}
        done.append(calculate(structure, replace(conditions, **single)))
    # Each has a grid of Q of its own, and they may differ in length by a few points.
    count = min(len(c.q) for c in done)
    q, f = (
        torch.stack([part[:count] for part in parts]) for parts in ([c.q for c in done], [c.f for c in done])
    )
    return Curves(done[0].r, torch.stack([c.g for c in done]), q, f)


def _plain(values: torch.Tensor) -> torch.Tensor | float:
    """A number where all values are one: the engine is then spared the widths of each pattern."""
    return float(values[0]) if bool((values == values[0]).all()) else values


def _stream(*key: int) -> torch.Generator:
    """Random numbers of their own for each key."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
