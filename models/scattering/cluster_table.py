"""The distances of a finite structure on a grid, straight from its coordinates.

Blocks of the distance matrix are made, put on the grid and forgotten, so that 31,000 atoms (480 million pairs) need
no more memory than 1,000. The gradient makes each block again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.scattering.pairs import COINCIDENT
from solvus.models.scattering.spreading import (
    BEFORE,
    COEFFICIENTS,
    OFFSETS,
    SLOPES,
    Floats,
    moments,
    to_nodes,
)
from solvus.models.scattering.structure import StructureError

BLOCK = 200_000
"""Distances of a block: a few arrays of this length stay in the cache of the processor."""


def cluster_weights(
    positions: torch.Tensor, occupancy: torch.Tensor, kinds: torch.Tensor, nodes: int, step: float
) -> torch.Tensor:
    """Ordered pairs of atoms at each node for each two kinds a <= b: (channels, nodes).

    Parameters
    ----------
    positions : (n, 3) angstrom; occupancy : (n,); both may have gradients.
    kinds : (n,) int64 from 0 on; channels run (0, 0), (0, 1), ..., (1, 1), ...
    """
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
                high = min(last, row + max(16, BLOCK // (columns.stop - columns.start)))
                if a == b:
                    yield channel, slice(row, high), slice(row, high), True
                    columns = slice(high, columns.stop)
                if columns.stop > columns.start:
                    yield channel, slice(row, high), columns, False
                row = high
            channel += 1


def _squares(a: Floats, b: Floats) -> Floats:
    squared = a @ (-2.0 * b.T)
    squared += np.einsum("ij,ij->i", a, a)[:, None]
    squared += np.einsum("ij,ij->i", b, b)
    return np.maximum(squared, 0.0, out=squared)


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
        order = np.argsort(kinds.cpu().numpy(), kind="stable")
        places = positions.detach().cpu().numpy().astype(np.float64)[order]
        places = places - places.mean(axis=0)
        filled = occupancy.detach().cpu().numpy().astype(np.float64)[order]
        sorted_kinds = kinds.cpu().numpy()[order]
        plain = bool((filled == 1.0).all())
        channels = (int(sorted_kinds[-1]) + 1) * (int(sorted_kinds[-1]) + 2) // 2
        total = np.zeros((channels, POINTS_ROWS, nodes))
        for channel, rows, columns, same in _blocks(sorted_kinds):
            t = np.sqrt(_squares(places[rows], places[columns]))
            t /= step
            weight = None if plain else np.multiply.outer(filled[rows], filled[columns])
            if same:
                upper = np.triu_indices(t.shape[0], 1)
                t, weight = t[upper], None if weight is None else weight[upper]
            t = t.ravel()
            weight = None if weight is None else weight.ravel()
            if len(t) and t.min() < BEFORE + 1:
                t, weight = _apart(t, weight, step)
            base = t.astype(np.int64)
            t -= base
            total[channel] += moments(t, base, weight, nodes)
        ctx.save_for_backward(positions, occupancy)
        ctx.layout = (order, places, filled, sorted_kinds, nodes, step)
        result = to_nodes(2.0 * total.transpose(1, 0, 2).reshape(POINTS_ROWS, -1), channels, nodes)
        return torch.from_numpy(result).to(positions)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        order, places, filled, kinds, nodes, step = ctx.layout
        seen = grads[0].detach().cpu().numpy().astype(np.float64)
        by_place, by_filled = np.zeros_like(places), np.zeros_like(filled)
        tables = [_polynomials(row) for row in seen]
        wants_occupancy = ctx.needs_input_grad[1]
        for channel, rows, columns, same in _blocks(kinds):
            values, slopes = tables[channel]
            d = np.sqrt(_squares(places[rows], places[columns]))
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
