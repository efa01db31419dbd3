"""All distances of a structure on a grid, found once; curves under any conditions follow from it.

A *channel* is an ordered list of pairs that share their two species and their displacement u_i + u_j. When sites
differ too much for that (anisotropic or refined displacements), the pair's mean-square width at the stated
conditions is expanded in Chebyshev polynomials pair by pair instead (:mod:`solvus.models.scattering.exact`).

The table of a crystal ends in a smooth taper beyond the asked range: a sharp end would leave its own ripples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from solvus.models.scattering.cluster_table import cluster_weights
from solvus.models.scattering.crystal_table import crystal_weights
from solvus.models.scattering.pairs import Pairs, find_pairs, vectors_of, weights_of
from solvus.models.scattering.spreading import BEFORE, POINTS, spread
from solvus.models.scattering.structure import Structure, StructureError

MOST_KINDS = 4
"""Kinds of sites (species and displacement) up to which each two of them have a channel."""


@dataclass(frozen=True)
class PairTable:
    """Distances of one structure, or of b.

    Attributes
    ----------
    structure : what it was made from.
    species : its distinct ones, sorted.
    step : grid spacing, angstrom; ``reach`` : largest distance held; ``taper`` : where a crystal's taper begins.
    pair : (c, 2) for each channel the two species, as numbers among ``species``.
    amounts : (c,) or (b, c), ordered pairs of atoms that two cells of a crystal hold for each channel.
    displacement : (c,) u_i + u_j of each channel, angstrom^2; ``None`` when it comes with the conditions or
        pair by pair.
    weights : (c, nodes) or (b, c, nodes), ordered pairs of atoms at each node; ``None`` when pairs are kept one
        by one: then ``pairs`` and the channel of each, ``row``, are there.
    """

    structure: Structure
    species: tuple[str, ...]
    step: float
    reach: float
    taper: float
    pair: torch.Tensor
    amounts: torch.Tensor | None
    displacement: torch.Tensor | None
    weights: torch.Tensor | None
    pairs: Pairs | None
    row: torch.Tensor | None = None

    @property
    def nodes(self) -> int:
        return math.ceil(self.reach / self.step) + 2 * POINTS

    def one_by_one(self) -> tuple[Pairs, torch.Tensor]:
        """The pairs and the channel of each."""
        if self.pairs is None or self.row is None:
            raise StructureError("structure: this table holds sums over pairs only")
        return self.pairs, self.row


@dataclass(frozen=True)
class _Channels:
    """Every two kinds of sites a <= b: ``first`` and ``second``, and how often each counts (``orders``), (c,);
    ``member`` : one site of each kind; ``sites`` : (2, c), a site of each of the two; ``pair`` : (c, 2), their
    species."""

    first: torch.Tensor
    second: torch.Tensor
    orders: torch.Tensor
    member: torch.Tensor
    sites: torch.Tensor
    pair: torch.Tensor


def species_numbers(structure: Structure) -> tuple[tuple[str, ...], torch.Tensor]:
    """The sorted species, and which of them each site is."""
    names, numbers = _numbered(structure.species)
    return names, numbers.to(structure.positions.device)


@lru_cache(maxsize=64)
def _numbered(species: tuple[str, ...]) -> tuple[tuple[str, ...], torch.Tensor]:
    names = tuple(sorted(set(species)))
    place = {name: k for k, name in enumerate(names)}
    return names, torch.tensor([place[s] for s in species])


@lru_cache(maxsize=64)
def _channels_of_species(species: tuple[str, ...]) -> _Channels:
    _, number = _numbered(species)
    return _channels(number, number)


def _channels(kinds: torch.Tensor, number: torch.Tensor) -> _Channels:
    """Channels of sites with these kinds and species numbers (n,)."""
    size = int(kinds.max()) + 1
    first, second = torch.triu_indices(size, size, device=number.device)
    member = torch.empty(size, dtype=torch.int64, device=number.device)
    member[kinds] = torch.arange(len(number), device=number.device)
    orders = torch.where(first == second, 1.0, 2.0).to(torch.float64)
    sites = member[torch.stack([first, second])]
    return _Channels(first, second, orders, member, sites, number[sites].T)


def pair_table(
    structure: Structure,
    *,
    step: float,
    rmax: float,
    extension: float,
    one_u: bool = False,
    reach: float | None = None,
) -> PairTable:
    """Find the distances.

    Parameters
    ----------
    step : grid spacing, angstrom: 0.5 / Qmax or less.
    rmax : distances of a crystal up to here count in full; a cluster's always do.
    extension : length of the taper that follows, angstrom.
    one_u : the displacements will be given with the conditions, the same for all sites.
    reach : of a finite structure, so that several tables share a grid; by default its largest distance.

    Raises
    ------
    StructureError
        When two atoms are nearer than a few steps without sharing a place.
    """
    names, number = species_numbers(structure)
    kinds, separate = number, False
    if not one_u:
        kinds, separate = _kinds(structure, number)
    own = kinds is number and number.device.type == "cpu"
    channels = _channels_of_species(structure.species) if own else _channels(kinds, number)
    crystalline = structure.lattice is not None
    table = PairTable(
        structure=structure,
        species=names,
        step=step,
        reach=rmax + extension if crystalline else reach or largest_distance(structure),
        taper=rmax if crystalline else math.inf,
        pair=channels.pair,
        amounts=_amounts(structure, kinds, channels) if crystalline else None,
        displacement=None if separate or one_u else structure.u[channels.sites].sum(dim=0),
        weights=None,
        pairs=None,
    )
    if not (separate or crystalline) and structure.batch is None:
        weights = cluster_weights(structure.positions, structure.occupancy, kinds, table.nodes, step)
        return replace(table, weights=weights)
    return _with_pairs(table, kinds, channels, separate)


def _with_pairs(table: PairTable, kinds: torch.Tensor, channels: _Channels, separate: bool) -> PairTable:
    """The table of a crystal or a batch, or of sites that must be kept one by one."""
    structure = table.structure
    size = len(channels.member)
    channel_of = torch.zeros(size, size, dtype=torch.int64, device=kinds.device)
    channel_of[channels.first, channels.second] = torch.arange(len(channels.first), device=kinds.device)
    channel_of = torch.maximum(channel_of, channel_of.T)
    if not separate and structure.lattice is not None and _plain(structure):
        weights = crystal_weights(
            structure.positions.numpy().astype(np.float64),
            structure.occupancy.numpy().astype(np.float64),
            structure.lattice.numpy().astype(np.float64),
            channel_of[kinds[:, None], kinds].numpy(),
            reach=table.reach,
            nodes=table.nodes,
            step=table.step,
        )
        return replace(table, weights=torch.from_numpy(weights).to(structure.positions))
    pairs = find_pairs(structure, 0.0, table.reach)
    row = channel_of[kinds[pairs.first], kinds[pairs.second]]
    if separate:
        return replace(table, pairs=pairs, row=row)
    moving = structure.positions.requires_grad or (
        structure.lattice is not None and structure.lattice.requires_grad
    )
    d = pairs.distance
    if d is None or moving:
        d = vectors_of(structure, pairs).norm(dim=-1)
    return replace(table, weights=spread_rows(table, d, weights_of(structure, pairs), row))


def _plain(structure: Structure) -> bool:
    """One structure in the processor's memory, without gradients."""
    tensors = [structure.positions, structure.occupancy, structure.lattice]
    return structure.batch is None and not any(
        t is not None and (t.requires_grad or t.device.type != "cpu") for t in tensors
    )


def _amounts(structure: Structure, kinds: torch.Tensor, channels: _Channels) -> torch.Tensor:
    """Ordered pairs of atoms that two cells hold for each channel: (c,) or (b, c)."""
    occupancy = structure.occupancy
    empty = torch.zeros(*occupancy.shape[:-1], len(channels.member)).to(occupancy)
    amounts = empty.index_add(-1, kinds, occupancy)
    return amounts[..., channels.first] * amounts[..., channels.second] * channels.orders.to(occupancy)


def spread_rows(table: PairTable, d: torch.Tensor, weight: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Pairs on the nodes of the table, (c, nodes) or (b, c, nodes); what lies beyond its reach is left out,
    where the taper has ended."""
    rows = len(table.pair)
    if len(row) and float(d.detach().amin()) < (BEFORE + 1) * table.step:
        raise StructureError(
            f"positions: two atoms are {float(d.detach().amin()):.3g} apart; no two may be so near"
        )
    weight = weight + torch.zeros_like(d)
    d = d + torch.zeros_like(weight)
    leading = d.shape[:-1]
    count = leading.numel()
    rows_of = (torch.arange(count, device=row.device)[:, None] * rows + row).flatten()
    kept = d.detach().flatten() < table.reach
    flat = spread(
        d.flatten()[kept],
        weight.flatten()[kept],
        rows_of[kept],
        rows=count * rows,
        nodes=table.nodes,
        step=table.step,
    )
    return flat.reshape(*leading, rows, table.nodes)


def _kinds(structure: Structure, number: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """Sites of one species and displacement have one kind; or whether pairs must be kept one by one."""
    u = structure.u
    if u.requires_grad or u.ndim > 1:
        return number, True
    if u.stride(0) == 0 or bool((u == u[0]).all()):
        return number, False
    columns = torch.stack([number.to(u), u], dim=1)
    kinds: torch.Tensor = torch.unique(columns, dim=0, return_inverse=True)[1]
    separate = int(kinds.max()) + 1 > max(MOST_KINDS, int(number.max()) + 1)
    return (number, True) if separate else (kinds, False)


def largest_distance(structure: Structure) -> float:
    """Not less than the longest distance: twice the radius about the middle, angstrom."""
    places = structure.positions.detach()
    low, high = torch.aminmax(places, dim=-2, keepdim=True)
    radius = torch.linalg.vector_norm(places - 0.5 * (low + high), dim=-1)
    return 2.0 * float(radius.max()) + 1e-6
