"""Atoms as tensors: the structure that the scattering engine computes with, periodic or not.

Notation: n sites, lattice vectors are the rows of L (3, 3) in angstrom, x fractional coordinates, X = x L;
u the mean-square displacement of a site, either isotropic (angstrom^2) or a symmetric cartesian tensor U.
Along the unit vector e of a pair it counts e.U.e.

Every tensor may have one leading dimension b, which makes the structure a batch of b that share their species.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase import Atoms
from numpy.typing import ArrayLike

from solvus.models.scattering.form_factors import require_species

Values = ArrayLike | torch.Tensor

U_DEFAULT = 0.005
"""angstrom^2: a heavy atom at room temperature."""


DENSEST = 1.0
"""Atoms in a cubic angstrom; diamond has 0.18, and a cell in nanometres is mistaken for one a thousand times denser."""
FULLEST = 1.01
"""Occupancy of a place by all its sites, with room for rounding."""
ONE_PLACE = 1e-6
"""Coordinates that agree to this are one place."""
SLANT = np.array([0.5377, 0.3183, 0.7811])
"""A direction in which hardly any two atoms of a regular structure lie level."""
ROUNDING = 1e-6
"""Relative to its trace, by how much a displacement tensor may fall short of a positive one."""


class StructureError(ValueError):
    """A structure that has no scattering: no atoms, coordinates that are not numbers, a cell without volume,
    an occupancy or a displacement that no site can have."""


@dataclass(frozen=True)
class Structure:
    """Sites with their scattering power and displacement; make one with :func:`cluster`, :func:`crystal` or
    :func:`from_ase`.

    Attributes
    ----------
    species : n elements or ions.
    positions : (n, 3), fractional with a lattice, else cartesian in angstrom; or (b, n, 3).
    occupancy : (n,) or (b, n), share of the site that its species fills. A mixed site is several sites at one
        place: they do not see one another.
    u : (n,) isotropic or (n, 3, 3) cartesian displacements, angstrom^2; or with a leading b.
    lattice : (3, 3) or (b, 3, 3), rows in angstrom; ``None`` for a finite structure.
    """

    species: tuple[str, ...]
    positions: torch.Tensor
    occupancy: torch.Tensor
    u: torch.Tensor
    lattice: torch.Tensor | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def anisotropic(self) -> bool:
        return self.u.shape[-2:] == (3, 3) and self.u.ndim >= 3

    @property
    def batch(self) -> int | None:
        """b, or ``None`` for one structure."""
        sizes = {
            t.shape[0]
            for t, plain in [
                (self.positions, 2),
                (self.occupancy, 1),
                (self.u, 3 if self.anisotropic else 1),
                *([] if self.lattice is None else [(self.lattice, 2)]),
            ]
            if t.ndim > plain
        }
        if len(sizes) > 1:
            raise StructureError(f"structure: batches of {sorted(sizes)} do not go together; use one size")
        return sizes.pop() if sizes else None

    def part(self, start: int, stop: int) -> Structure:
        """Some of the b structures of a batch."""
        plain = {"positions": 2, "occupancy": 1, "u": 3 if self.anisotropic else 1, "lattice": 2}
        tensors = {name: getattr(self, name) for name in plain}
        return replace(
            self,
            **{
                name: tensor[start:stop]
                for name, tensor in tensors.items()
                if tensor is not None and tensor.ndim > plain[name]
            },
        )

    def volume(self) -> torch.Tensor:
        """Of the cell, angstrom^3."""
        if self.lattice is None:
            raise StructureError("lattice: a finite structure has no cell volume")
        volume: torch.Tensor = torch.linalg.det(self.lattice).abs()
        return volume

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Structure:
        """The same structure in another precision or on another device."""
        lattice = None if self.lattice is None else self.lattice.to(device=device, dtype=dtype)
        return replace(
            self,
            positions=self.positions.to(device=device, dtype=dtype),
            occupancy=self.occupancy.to(device=device, dtype=dtype),
            u=self.u.to(device=device, dtype=dtype),
            lattice=lattice,
        )


def cluster(
    species: Sequence[str], positions: Values, *, u_iso: Values = U_DEFAULT, occupancy: Values = 1.0
) -> Structure:
    """A finite structure.

    Parameters
    ----------
    species : n elements or ions; positions : (n, 3) cartesian, angstrom.
    u_iso : one value or (n,), angstrom^2, or (n, 3, 3) cartesian tensors; occupancy : one value or (n,).
    """
    places = _tensor("positions", positions)
    n = len(species)
    return Structure(
        _named(species),
        places,
        _per_site("occupancy", occupancy, n, places),
        _per_site("u_iso", u_iso, n, places),
    )


def crystal(
    species: Sequence[str],
    fractional: Values,
    lattice: Values,
    *,
    u_iso: Values = U_DEFAULT,
    u_aniso: Values | None = None,
    occupancy: Values = 1.0,
) -> Structure:
    """A periodic structure: every site of the cell is listed.

    Parameters
    ----------
    species : n elements or ions; fractional : (n, 3).
    lattice : (3, 3) rows in angstrom, or (6,): a, b, c in angstrom and alpha, beta, gamma in degrees.
    u_iso : one value or (n,), angstrom^2.
    u_aniso : (n, 3, 3) or (n, 6) as U11, U22, U33, U12, U13, U23 in the frame of the CIF (along the normalised
        reciprocal axes), angstrom^2; takes the place of ``u_iso``.
    occupancy : one value or (n,).
    """
    places = _tensor("fractional", fractional)
    cell = _tensor("lattice", lattice).to(places)
    if cell.shape[-1] == 6:
        _check_parameters(cell.detach())
        cell = lattice_vectors(cell)
    n = len(species)
    u = _per_site("u_iso", u_iso, n, places)
    if u_aniso is not None:
        u = _cartesian_u(_tensor("u_aniso", u_aniso).to(places), cell)
    return Structure(
        _named(species),
        places,
        _per_site("occupancy", occupancy, n, places),
        u,
        cell,
    )


def from_ase(atoms: Atoms, *, u_iso: Values = U_DEFAULT, occupancy: Values = 1.0) -> Structure:
    """Periodic when all three directions of ``atoms`` are; ``ase`` has no displacements, so give them."""
    if atoms.pbc.all():
        fractional = np.linalg.solve(atoms.cell[:].T, atoms.positions.T).T
        return crystal(list(atoms.symbols), fractional, atoms.cell[:], u_iso=u_iso, occupancy=occupancy)
    if atoms.pbc.any():
        raise StructureError("atoms: periodic in one or two directions only; set pbc to all or none")
    return cluster(list(atoms.symbols), atoms.positions, u_iso=u_iso, occupancy=occupancy)


def lattice_vectors(parameters: torch.Tensor) -> torch.Tensor:
    """Rows a, b, c of a cell from (..., 6) lengths (angstrom) and angles (degrees); a along x, b in xy."""
    a, b, c, alpha, beta, gamma = parameters.unbind(-1)
    cos_a, cos_b, cos_g = (torch.cos(torch.deg2rad(v)) for v in (alpha, beta, gamma))
    sin_g = torch.sin(torch.deg2rad(gamma))
    zero = torch.zeros_like(a)
    across = (cos_a - cos_b * cos_g) / sin_g
    up = torch.sqrt(1.0 - cos_b**2 - across**2)
    rows = [[a, zero, zero], [b * cos_g, b * sin_g, zero], [c * cos_b, c * across, c * up]]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _cartesian_u(u: torch.Tensor, lattice: torch.Tensor) -> torch.Tensor:
    """U_cart = N^T U N with the rows of N the lattice vectors times the lengths of the reciprocal ones."""
    if u.shape[-1] == 6 and u.shape[-2:] != (3, 3):
        u = u[..., [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(*u.shape[:-1], 3, 3)
    reciprocal = torch.linalg.inv(lattice).norm(dim=-2)
    normal = (lattice * reciprocal[..., :, None])[..., None, :, :]
    turned: torch.Tensor = normal.transpose(-1, -2) @ u @ normal
    return turned


def _named(species: Sequence[str]) -> tuple[str, ...]:
    names = {s: require_species(s) for s in set(species)}
    return tuple(map(names.__getitem__, species))


def _tensor(name: str, values: Values) -> torch.Tensor:
    """A tensor as it is, float64 of anything else."""
    if isinstance(values, torch.Tensor):
        return values if values.is_floating_point() else values.to(torch.float64)
    try:
        return torch.from_numpy(np.array(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise StructureError(f"{name}: not an array of numbers") from error


def _per_site(name: str, values: Values, n: int, like: torch.Tensor) -> torch.Tensor:
    tensor = _tensor(name, values).to(like)
    if tensor.ndim == 0:
        return tensor.expand(n)
    if tensor.shape[-1] != n and tensor.shape[-2:] != (3, 3):
        raise StructureError(f"{name}: {tensor.shape[-1]} values for {n} sites; give one, or one for each")
    return tensor


def _check_parameters(cell: torch.Tensor) -> None:
    """What the rows would not show: a negative length, or an angle that stands for another."""
    lengths, angles = cell[..., :3], cell[..., 3:]
    if not bool((lengths > 0).all()):
        raise StructureError(f"lattice: lengths must be positive, not {lengths.tolist()}")
    if not bool(((angles > 0) & (angles < 180)).all()):
        raise StructureError(
            f"lattice: the cell has no volume with angles {angles.tolist()}; give degrees between 0 and 180"
        )


def _check(structure: Structure) -> None:
    places, n = structure.positions, len(structure.species)
    if n == 0 or places.shape[-2:] != (n, 3):
        raise StructureError(f"positions: need ({n}, 3) with n >= 1, not {tuple(places.shape)}")
    if not all(math.isfinite(float(v)) for v in torch.aminmax(places.detach())):
        sites = torch.isfinite(places.detach()).all(dim=-1).reshape(-1, n).all(dim=0)
        raise StructureError(f"positions: atom {int(torch.argmin(sites.int()))} is not finite")
    least, most = (float(v) for v in torch.aminmax(structure.occupancy.detach()))
    if least < 0.0 or not 0.0 < most <= 1.0 + 1e-6:
        raise StructureError("occupancy: must lie in 0 to 1, and some site must be filled")
    if places.ndim == 2 and structure.occupancy.ndim == 1:
        _refuse_double_places(places.detach(), structure.occupancy.detach(), structure.lattice is not None)
    u = structure.u.detach()
    least, most = (
        float(v) for v in torch.aminmax(u.diagonal(dim1=-2, dim2=-1) if structure.anisotropic else u)
    )
    if not 0.0 <= least <= most < math.inf:
        raise StructureError("u_iso: mean-square displacements must be numbers that are not negative")
    if structure.anisotropic and not _ellipsoids(u):
        raise StructureError("u_aniso: not an ellipsoid; no displacement may be negative in any direction")
    if structure.lattice is not None:
        lattice = structure.lattice.detach()
        if lattice.shape[-2:] != (3, 3) or not bool(torch.isfinite(lattice).all()):
            raise StructureError("lattice: need three finite vectors, or a, b, c, alpha, beta, gamma")
        volume = torch.linalg.det(lattice).abs()
        if not bool((volume > 1e-3 * lattice.norm(dim=-1).prod(dim=-1)).all()):
            raise StructureError("lattice: the cell has no volume; check lengths and angles")
        density = float((structure.occupancy.detach().sum(dim=-1) / volume).max())
        if density > DENSEST:
            raise StructureError(
                f"lattice: {density:.3g} atoms in a cubic angstrom; lengths are in angstrom, 10 to a nanometre"
            )
        if least <= 0.0:
            raise StructureError("u_iso: must be positive in a crystal, whose peaks have no width otherwise")


def _refuse_double_places(places: torch.Tensor, occupancy: torch.Tensor, periodic: bool) -> None:
    """No place may hold more than one atom: sorted along a slant, sites of one place are neighbours."""
    xyz = places.cpu().numpy()
    if periodic:
        xyz = (xyz + 0.5 * ONE_PLACE) % 1.0
    level = xyz @ SLANT
    ranked = np.sort(level)
    if len(level) < 2 or (ranked[1:] - ranked[:-1]).min() > 2.0 * ONE_PLACE:
        return
    order = np.argsort(level)
    apart = np.abs(np.diff(xyz[order], axis=0)).max(axis=1) > ONE_PLACE
    place = np.concatenate([[0], np.cumsum(apart)])
    held = np.bincount(place, weights=occupancy.cpu().numpy()[order])
    if held.max() > FULLEST:
        first = int(order[np.argmax(place == held.argmax())])
        raise StructureError(
            f"positions: {held.max():.3g} atoms at the place of atom {first}; no two may coincide, unless they "
            "share it by their occupancies"
        )


def _ellipsoids(u: torch.Tensor) -> bool:
    """Whether the symmetric parts of all of (..., 3, 3), which alone count, are positive up to rounding."""
    if not bool(torch.isfinite(u).all()):
        return False
    least = torch.linalg.eigvalsh(0.5 * (u + u.transpose(-1, -2)))[..., 0]
    return bool((least >= -ROUNDING * u.diagonal(dim1=-2, dim2=-1).sum(dim=-1)).all())
