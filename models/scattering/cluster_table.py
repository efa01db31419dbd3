"""The distances of a finite structure on a grid, straight from its coordinates.

Blocks of the distance matrix are made, put on the grid and forgotten, so that 31,000 atoms (480 million pairs) need
no more memory than 1,000. The gradient makes each block again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.scattering.pairs import COINCIDENT
from solvus.models.scattering.spreading import (
    BEFORE,
    COEFFICIENTS,
    FINE,
    OFFSETS,
    SLOPES,
    Floats,
    add_pairs,
    fine_to_nodes,
)
from solvus.models.scattering.structure import StructureError

ROWS = 48
"""Rows of a block of the distance matrix: small, because half of the square on its diagonal is thrown away."""
SMALL = 330
"""Atoms of one kind up to which the whole matrix is quicker than its blocks."""
BUFFER = 30_000
"""Distances put on the grid at once: a few arrays of this length stay in the cache of the processor."""


def cluster_weights(
    positions: torch.Tensor, occupancy: torch.Tensor, kinds: torch.Tensor, nodes: int, step: float
) -> torch.Tensor:
    """Ordered pairs of atoms at each node for each two kinds a <= b: (channels, nodes).

    Parameters
    ----------
    positions : (n, 3) angstrom; occupancy : (n,); both may have gradients.
    kinds : (n,) int64 from 0 on; channels run (0, 0), (0, 1), ..., (1, 1), ...
    """
    if not (positions.requires_grad or occupancy.requires_grad):
        return torch.from_numpy(_table(_Sorted.of(positions, occupancy, kinds), nodes, step)).to(positions)
    result: torch.Tensor = _Cluster.apply(positions, occupancy, kinds, nodes, step)  # type: ignore[no-untyped-call]
    return result


def _blocks(kinds: NDArray[np.int64]) -> Iterator[tuple[int, slice, slice, bool]]:
    """Channel, rows, columns and whether both are the same atoms, over atoms sorted by kind."""
    starts = np.searchsorted(kinds, np.arange(int(kinds[-1]) + 2))
    channel = 0
    for a in range(len(starts) - 1):
        for b in range(a, len(starts) - 1):
            first, last = int(starts[a]), int(starts[a + 1])
            row = first
            while row < last:
                # Rows and columns of one kind: what lies left of the block has been seen.
                columns = slice(row if a == b else int(starts[b]), int(starts[b + 1]))
                high = min(last, row + ROWS)
                if a == b:
                    yield channel, slice(row, high), slice(row, high), True
                    columns = slice(high, columns.stop)
                if columns.stop > columns.start:
                    yield channel, slice(row, high), columns, False
                row = high
            channel += 1


def _flushed(
    places: Floats, filled: Floats | None, kinds: NDArray[np.int64]
) -> Iterator[tuple[int, Floats, Floats | None]]:
    """Channel, distances and weights (``None`` for ones) of unordered pairs, about ``BUFFER`` at a time."""
    factors = _factors(places)
    if filled is None and len(places) <= SMALL and kinds[-1] == 0:
        yield 0, np.sqrt(_squared(factors, slice(None), slice(None)).ravel()[_upper(len(places))]), None
        return
    distances: list[Floats] = []
    weights: list[Floats] = []
    current, held = 0, 0
    for channel, rows, columns, same in _blocks(kinds):
        if distances and (channel != current or held > BUFFER):
            yield current, np.concatenate(distances), np.concatenate(weights) if weights else None
            distances, weights, held = [], [], 0
        current = channel
        block = _squared(factors, rows, columns)
        np.sqrt(block, out=block)
        pairs = None if filled is None else np.multiply.outer(filled[rows], filled[columns])
        if same:
            upper = _upper(len(block))
            block, pairs = block.ravel()[upper], None if pairs is None else pairs.ravel()[upper]
        distances.append(block.ravel())
        held += block.size
        if pairs is not None:
            weights.append(pairs.ravel())
    if distances:
        yield current, np.concatenate(distances), np.concatenate(weights) if weights else None


@lru_cache(maxsize=64)
def _upper(n: int) -> NDArray[np.int64]:
    """Where the pairs i < j stand in a flat (n, n) matrix."""
    return np.flatnonzero(np.tri(n, k=-1, dtype=bool).T)


def _factors(places: Floats) -> tuple[Floats, Floats]:
    """(x, |x|^2, 1) and (-2 x, 1, |x|^2), whose products are squared distances."""
    left, right = np.ones((2, len(places), 5))
    left[:, :3], right[:, :3] = places, -2.0 * places
    left[:, 3] = right[:, 4] = np.einsum("ij,ij->i", places, places)
    return left, right


def _squared(factors: tuple[Floats, Floats], rows: slice, columns: slice) -> Floats:
    squared: Floats = factors[0][rows] @ factors[1][columns].T
    return np.maximum(squared, 0.0, out=squared)


@dataclass(frozen=True)
class _Sorted:
    """Atoms by kind: their order, places about the centre (angstrom), occupancies and kinds."""

    order: NDArray[np.int64]
    places: Floats
    filled: Floats
    kinds: NDArray[np.int64]

    @classmethod
    def of(cls, positions: torch.Tensor, occupancy: torch.Tensor, kinds: torch.Tensor) -> _Sorted:
        numbers = kinds.cpu().numpy()
        places = positions.detach().cpu().numpy().astype(np.float64)
        filled = occupancy.detach().cpu().numpy().astype(np.float64)
        order = np.argsort(numbers, kind="stable")
        if numbers.any():
            places, filled, numbers = places[order], filled[order], numbers[order]
        places -= np.add.reduce(places) / len(places)
        return cls(order, places, filled, numbers)


def _table(atoms: _Sorted, nodes: int, step: float) -> Floats:
    plain = bool((atoms.filled == 1.0).all())
    channels = (int(atoms.kinds[-1]) + 1) * (int(atoms.kinds[-1]) + 2) // 2
    sums = np.zeros((channels, 3, nodes * FINE))
    for channel, t, weight in _flushed(atoms.places / step, None if plain else atoms.filled, atoms.kinds):
        if len(t) and t.min() < BEFORE + 1:
            t, weight = _apart(t, weight, step)
        add_pairs(sums[channel], t, weight)
    result = np.stack([fine_to_nodes(s, packed=plain) for s in sums])
    result *= 2.0  # both orders of each pair
    return result


class _Cluster(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        positions: torch.Tensor,
        occupancy: torch.Tensor,
        kinds: torch.Tensor,
        nodes: int,
        step: float,
    ) -> torch.Tensor:
        atoms = _Sorted.of(positions, occupancy, kinds)
        result = _table(atoms, nodes, step)
        ctx.save_for_backward(positions, occupancy)
        ctx.layout = (atoms.order, atoms.places, atoms.filled, atoms.kinds, nodes, step)
        return torch.from_numpy(result).to(positions)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        order, places, filled, kinds, nodes, step = ctx.layout
        seen = grads[0].detach().cpu().numpy().astype(np.float64)
        by_place, by_filled = np.zeros_like(places), np.zeros_like(filled)
        tables = [_polynomials(row) for row in seen]
        factors = _factors(places)
        wants_occupancy = ctx.needs_input_grad[1]
        for channel, rows, columns, same in _blocks(kinds):
            values, slopes = tables[channel]
            d = np.sqrt(_squared(factors, rows, columns))
            t = d / step
            base = np.minimum(t.astype(np.int64), nodes - 1)
            t -= base
            apart = d > COINCIDENT
            pairs = np.multiply.outer(filled[rows], filled[columns])
            # Both orders count two; a block of like atoms holds both orders already.
            pairs *= apart * (1.0 if same else 2.0)
            if wants_occupancy:
                value = _horner(values, base, t) * apart * (1.0 if same else 2.0)
                by_filled[rows] += value @ filled[columns]
                by_filled[columns] += filled[rows] @ value
            pull = _horner(slopes, base, t) * pairs / (step * np.where(apart, d, 1.0))
            by_place[rows] += pull.sum(axis=1)[:, None] * places[rows] - pull @ places[columns]
            by_place[columns] += pull.sum(axis=0)[:, None] * places[columns] - pull.T @ places[rows]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        positions, occupancy = ctx.saved_tensors
        return (
            torch.from_numpy(by_place[back]).to(positions),
            torch.from_numpy(by_filled[back]).to(occupancy) if wants_occupancy else None,
            None,
            None,
            None,
        )


POINTS_ROWS = len(OFFSETS)


def _apart(t: Floats, weight: Floats | None, step: float) -> tuple[Floats, Floats | None]:
    """Without the pairs that share one place; too near ones are refused."""
    kept = t * step > COINCIDENT
    t, weight = t[kept], None if weight is None else weight[kept]
    if len(t) and t.min() < BEFORE + 1:
        raise StructureError(f"positions: two atoms are {t.min() * step:.3g} apart; no two may be so near")
    return t, weight


def _polynomials(row: Floats) -> tuple[Floats, Floats]:
    """For each interval, the coefficients of the interpolant of ``row`` and of its slope: (POINTS, nodes)."""
    padded = np.concatenate([np.zeros(BEFORE), row, np.zeros(POINTS_ROWS)])
    windows = np.stack([padded[k : k + len(row)] for k in range(POINTS_ROWS)])
    return COEFFICIENTS @ windows, SLOPES[:-1] @ windows


def _horner(coefficients: Floats, base: NDArray[np.int64], t: Floats) -> Floats:
    value: Floats = coefficients[-1][base]
    for row in coefficients[-2::-1]:
        value *= t
        value += row[base]
    return value
