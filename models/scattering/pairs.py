"""Which sites see which, within a range of distances: found once, without gradients; distances, widths and
weights follow from the structure with gradients.

A pair of sites k = (i, j, shift) stands for ``multiplicity`` ordered pairs of atoms. In a crystal the distance
vector is (x_j - x_i + shift) L. Pairs that differ by a lattice translation of the structure itself (centring,
supercells) are merged when no gradient asks for single sites: magnetite's 3,136 differences are 400.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from solvus.models.scattering.structure import Structure, StructureError

CHUNK = 4_000_000
"""Candidate distances tested at once: 32 MB."""
COINCIDENT = 1e-6
"""angstrom: sites nearer than this share one place, as in a mixed site, and do not see one another."""
SAME_PLACE = 1e-8
"""Fractional coordinates that agree to this are one difference vector."""
MOST_CELLS = 20_000_000
"""Cells within range; more means a cell or a range that cannot be meant."""


@dataclass(frozen=True)
class Pairs:
    """``first``, ``second``, ``multiplicity``: (k,); ``distance``: (k,) without gradients, angstrom.

    In a crystal ``cells`` (m, 3) are the lattice translations within range, ``cell`` (k,) the one of each pair, less
    ``whole`` ((g, 3) and the row of each pair), which brings the difference of the sites' coordinates near zero.
    """

    first: torch.Tensor
    second: torch.Tensor
    multiplicity: torch.Tensor
    distance: torch.Tensor | None = None
    cells: torch.Tensor | None = None
    cell: torch.Tensor | None = None
    whole: tuple[torch.Tensor, torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self.first)


def find_pairs(structure: Structure, low: float, high: float, *, merge: bool | None = None) -> Pairs:
    """Every pair with low <= d <= high in any structure of a batch.

    Parameters
    ----------
    low, high : angstrom, both included.
    merge : put translation-equivalent pairs together; by default when nothing but the lattice has a gradient
        or a batch.

    Raises
    ------
    StructureError
        When the range holds more cells than could be meant.
    """
    with torch.no_grad():
        if structure.lattice is None:
            return _in_cluster(structure, low, high)
        sites = (structure.positions, structure.occupancy, structure.u)
        if merge is None:
            merge = not any(t.requires_grad for t in sites) and _unbatched(structure)
        return _in_crystal(structure, structure.lattice.detach(), low, high, merge)


def _unbatched(structure: Structure) -> bool:
    return (
        structure.positions.ndim == 2
        and structure.occupancy.ndim == 1
        and structure.u.ndim == (3 if structure.anisotropic else 1)
    )


def _in_cluster(structure: Structure, low: float, high: float) -> Pairs:
    places = structure.positions.detach()
    n = places.shape[-2]
    upper = torch.triu_indices(n, n, 1, device=places.device)
    d = (places[..., upper[0], :] - places[..., upper[1], :]).norm(dim=-1)
    seen = ((d >= max(low, COINCIDENT)) & (d <= high)).reshape(-1, d.shape[-1]).any(dim=0)
    i, j = upper[0][seen], upper[1][seen]
    return Pairs(i, j, torch.full((len(i),), 2.0, dtype=places.dtype, device=places.device))


def _in_crystal(structure: Structure, lattice: torch.Tensor, low: float, high: float, merge: bool) -> Pairs:
    places = structure.positions.detach()
    n = places.shape[-2]
    i, j = torch.triu_indices(n, n, device=places.device)
    multiplicity = torch.where(i == j, 1.0, 2.0).to(places)
    difference = places[..., j, :] - places[..., i, :]
    whole = torch.round(difference.reshape(-1, len(i), 3)[0])
    difference = difference - whole
    if merge:
        i, j, multiplicity, difference, whole = _merged(structure, i, j, multiplicity, difference, whole)
    cells = _cells(lattice, high + float((difference @ lattice).norm(dim=-1).max()))
    vectors, moves = difference @ lattice, cells @ lattice
    found: list[torch.Tensor] = []
    lengths: list[torch.Tensor] = []
    single = vectors.ndim == 2 and moves.ndim == 2
    rows = max(1, CHUNK // len(cells))
    least = max(low, COINCIDENT) ** 2
    for start in range(0, len(i), rows):
        block = vectors[..., start : start + rows, :]
        squared = (
            block.square().sum(-1)[..., :, None]
            + moves.square().sum(-1)[..., None, :]
            + 2.0 * block @ moves.transpose(-1, -2)
        )
        inside = (squared >= least * (1 - 1e-12)) & (squared <= high**2)
        if single:
            lengths.append(torch.sqrt(squared[inside]))
        hits = inside.reshape(-1, *inside.shape[-2:]).any(dim=0).nonzero()
        hits[:, 0] += start
        found.append(hits)
    which, cell = torch.cat(found).unbind(1)
    distance = torch.cat(lengths) if single else None
    return Pairs(i[which], j[which], multiplicity[which], distance, cells, cell, (whole, which))


def _cells(lattice: torch.Tensor, reach: float) -> torch.Tensor:
    """Integer translations not longer than ``reach`` in any lattice of the batch: (m, 3)."""
    spacing = torch.linalg.inv(lattice).norm(dim=-2).reshape(-1, 3).amax(dim=0)
    counts = [int(v) for v in torch.ceil(reach * spacing)]
    if (2 * counts[0] + 1) * (2 * counts[1] + 1) * (2 * counts[2] + 1) > MOST_CELLS:
        raise StructureError(
            f"lattice: too small a cell for a range of {reach:.0f} angstrom; check the units"
        )
    axes = [torch.arange(-c, c + 1, dtype=lattice.dtype, device=lattice.device) for c in counts]
    cells = torch.cartesian_prod(*axes)
    length = (cells @ lattice).norm(dim=-1).reshape(-1, len(cells)).amin(dim=0)
    return cells[length <= reach * (1 + 1e-9)]


def _merged(
    structure: Structure,
    i: torch.Tensor,
    j: torch.Tensor,
    multiplicity: torch.Tensor,
    difference: torch.Tensor,
    whole: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """One representative for all pairs of like sites with the same difference vector, up to its sign."""
    kind = site_kinds(structure)
    lower, upper = torch.minimum(kind[i], kind[j]), torch.maximum(kind[i], kind[j])
    folded = torch.round(difference / SAME_PLACE)
    period = round(1.0 / SAME_PLACE)
    positive, negative = torch.remainder(folded, period), torch.remainder(-folded, period)
    # The lattice sum of a difference and of its negative are the same: take the one that sorts first.
    sign = torch.zeros_like(i, dtype=torch.bool)
    decided = torch.zeros_like(sign)
    for axis in range(3):
        p, m = positive[:, axis], negative[:, axis]
        sign |= ~decided & (m < p)
        decided |= m != p
    key = torch.where(sign[:, None], negative, positive).long()
    keys = torch.stack([lower, upper, *key.unbind(1)], dim=1)
    _, group = torch.unique(keys, dim=0, return_inverse=True)
    count = int(group.max()) + 1
    total = torch.zeros(count, dtype=multiplicity.dtype, device=i.device).index_add_(0, group, multiplicity)
    member = torch.empty(count, dtype=torch.int64, device=i.device)
    member[group] = torch.arange(len(i), device=i.device)
    return i[member], j[member], total, difference[member], whole[member]


def site_kinds(structure: Structure) -> torch.Tensor:
    """A number for each site, equal for sites of the same species, occupancy and displacement: (n,) int64."""
    names = {name: k for k, name in enumerate(sorted(set(structure.species)))}
    occupancy = structure.occupancy.detach()
    columns = [
        torch.tensor([float(names[s]) for s in structure.species]).to(occupancy)[:, None],
        occupancy[:, None],
        structure.u.detach().reshape(len(structure.species), -1),
    ]
    kinds: torch.Tensor = torch.unique(torch.cat(columns, dim=1), dim=0, return_inverse=True)[1]
    return kinds


def vectors_of(structure: Structure, pairs: Pairs) -> torch.Tensor:
    """Distance vectors, with gradients to positions and lattice: (..., k, 3) in angstrom."""
    between = structure.positions[..., pairs.second, :] - structure.positions[..., pairs.first, :]
    if structure.lattice is None or pairs.cells is None or pairs.cell is None or pairs.whole is None:
        return between
    whole, which = pairs.whole
    return (between + (pairs.cells[pairs.cell] - whole[which])) @ structure.lattice


def displacements_of(structure: Structure, pairs: Pairs, vectors: torch.Tensor) -> torch.Tensor:
    """u_i + u_j along the pair: (..., k) in angstrom^2."""
    if not structure.anisotropic:
        return structure.u[..., pairs.first] + structure.u[..., pairs.second]
    both = structure.u[..., pairs.first, :, :] + structure.u[..., pairs.second, :, :]
    along = torch.einsum("...ki,...kij,...kj->...k", vectors, both, vectors)
    return along / vectors.square().sum(dim=-1)


def weights_of(structure: Structure, pairs: Pairs) -> torch.Tensor:
    """Ordered pairs of atoms that a pair of sites holds: multiplicity times both occupancies, (..., k)."""
    occupancy = structure.occupancy
    return pairs.multiplicity * occupancy[..., pairs.first] * occupancy[..., pairs.second]
