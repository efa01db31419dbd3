"""Move the free coordinates of a structure until the bonds carry the charges.

A prototype's coordinates fit its first member; in another member the tetrahedra keep their size while the cell grows.
Notation: V_i the bond-valence sum of site i (see :mod:`.radii`), q_i its charge without sign, c_i = V_i / q_i in the
published structures of the type (lattice strain and errors of the tables leave it up to a tenth from one), u_i the
displacement in angstrom from where a site started. The coordinates minimise

    sum_i m_i [ ((V_i - c_i q_i) / 0.2)^2 + (|u_i| / 0.1 angstrom)^2 ],

m_i the multiplicity, over the displacements that the site symmetry allows, by Gauss-Newton steps. The second term
keeps what charges alone do not settle; with c_i a published structure is its own solution. This is distance least
squares (W. M. Meier, H. Villiger, Z. Kristallogr. 129, 411 (1969)) with valences in place of distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvus.models.structures.oxides.facts import Oxide, Site
from solvus.models.structures.oxides.radii import SOFTNESS, bond_constant, split_ion
from solvus.models.structures.oxides.symmetry import first_of_each, lattice, operations
from solvus.models.structures.record import SAME_SITE, Floats

VALENCE_SPREAD = 0.2
"""Valence units by which sums of related structures differ. Of 0.1, 0.2 and 0.4 it predicts left-out coordinates best
(docs/library-oxides.md)."""
DISPLACEMENT_SPREAD = 0.1
"""Angstrom: how far coordinates differ between members of one type."""
REACH = 3.6
"""Longest bond counted, angstrom; beyond it a bond of Ba2+ carries 0.03."""
STEPS = 8
"""Gauss-Newton steps; three suffice for most."""
LONGEST_STEP = 0.15
"""Angstrom a site may move in one step, where the equation is still near its tangent."""
DIGITS = 6
"""Decimals of a coordinate: 0.333333 still counts as an axis."""


@dataclass(frozen=True)
class Neighbours:
    """Which sites of the asymmetric unit (``centre``) face which images ``rotation p[other] + shift`` of others.

    It is the same in every structure of a type as long as no coordinate leaps by a cell.
    """

    centre: NDArray[np.intp]
    other: NDArray[np.intp]
    rotation: Floats
    shift: Floats


def carried(oxide: Oxide) -> Floats:
    """(sites,) bond-valence sum of each site over its charge, c of the equation above.

    Raises
    ------
    RadiusError
        When it holds an ion of unknown bond-valence constant.
    """
    positions = np.array([site.position for site in oxide.sites])
    sums, _ = _valences(oxide, neighbours(oxide), positions)
    return sums / _charges(oxide)


def instability(oxide: Oxide, around: Neighbours) -> float:
    """Global instability index over the cations: r.m.s. of valence sum less charge, valence units.

    Raises
    ------
    RadiusError
        When it holds an ion of unknown bond-valence constant.
    """
    sums, _ = _valences(oxide, around, np.array([site.position for site in oxide.sites]))
    cations = [site.element != "O" for site in oxide.sites]
    return float(np.sqrt(np.mean(np.square((sums - _charges(oxide))[cations]))))


def _charges(oxide: Oxide) -> Floats:
    return np.array([abs(split_ion(site.ion)[1]) for site in oxide.sites], dtype=float)


def relaxed(oxide: Oxide, share: Floats, around: Neighbours) -> Oxide:
    """The structure with its free coordinates where the bond valences fit best; cell and symmetry stay.

    ``share`` (sites,) is c of the equation above: :func:`carried` of a published structure, or ones;
    ``around`` comes from :func:`neighbours` of the structure or of another member of its type.

    Raises
    ------
    RadiusError
        When it holds an ion of unknown bond-valence constant.
    """
    rows = lattice(oxide.cell)
    start = np.array([site.position for site in oxide.sites])
    basis, projectors = _free(oxide, start)
    if basis.shape[1] == 0:
        return oxide
    wanted = share * _charges(oxide)
    weight = np.sqrt(np.array(oxide.multiplicities) * np.array([site.occupancy for site in oxide.sites]))
    metric = np.kron(np.eye(len(start)), rows.T)  # fractional displacements to angstrom
    restraint = np.repeat(weight, 3)[:, None] * (metric @ basis) / DISPLACEMENT_SPREAD
    free = np.zeros(basis.shape[1])
    for _ in range(STEPS):
        sums, gradient = _valences(oxide, around, start + (basis @ free).reshape(-1, 3))
        rows_of_sums = (weight / VALENCE_SPREAD)[:, None] * (gradient @ basis)
        residual = np.concatenate([(weight / VALENCE_SPREAD) * (sums - wanted), restraint @ free])
        jacobian = np.concatenate([rows_of_sums, restraint])
        step = np.linalg.lstsq(jacobian, -residual, rcond=None)[0]
        moved = np.linalg.norm((metric @ basis @ step).reshape(-1, 3), axis=1).max()
        free += step * min(1.0, LONGEST_STEP / max(moved, 1e-12))
        if moved < 1e-4:
            break
    return _placed(oxide, start + (basis @ free).reshape(-1, 3), start, projectors)


def _placed(oxide: Oxide, moved: Floats, start: Floats, projectors: Sequence[Floats]) -> Oxide:
    """With the moved positions, projected once more so that no site leaves its axis or plane by rounding."""
    sites: list[Site] = []
    for site, projector, before, after in zip(oxide.sites, projectors, start, moved, strict=True):
        x, y, z = (before + projector @ (after - before)).tolist()
        sites.append(replace(site, position=(round(x, DIGITS), round(y, DIGITS), round(z, DIGITS))))
    return replace(oxide, sites=tuple(sites))


def _free(oxide: Oxide, positions: Floats) -> tuple[Floats, list[Floats]]:
    """(3 sites, k) basis of the allowed fractional displacements, and each site's (3, 3) projector on them.

    Ions that share one position move together.
    """
    found = operations(oxide.space_group, oxide.setting)
    if found is None:
        raise ValueError(f"{oxide.name}: no setting {oxide.setting} of space group {oxide.space_group}")
    rotations, translations = found
    projectors: list[Floats] = []
    columns: dict[tuple[float, ...], Floats] = {}
    for index, position in enumerate(positions):
        images = rotations @ position + translations
        stays = np.all(np.abs((images - position + 0.5) % 1.0 - 0.5) < SAME_SITE, axis=1)
        projector = rotations[stays].mean(axis=0)
        projectors.append(projector)
        left, size, _ = np.linalg.svd(projector)
        block = columns.setdefault(tuple(position), np.zeros((3 * len(positions), int((size > 0.5).sum()))))
        block[3 * index : 3 * index + 3] = left[:, size > 0.5]
    return np.concatenate(list(columns.values()), axis=1), projectors


def neighbours(oxide: Oxide) -> Neighbours:
    """Every cation-oxygen pair within ``REACH``, from either end.

    Raises
    ------
    ValueError
        When ASE has no such setting of the space group.
    """
    found = operations(oxide.space_group, oxide.setting)
    if found is None:
        raise ValueError(f"{oxide.name}: no setting {oxide.setting} of space group {oxide.space_group}")
    rotations, translations = found
    rows, positions = lattice(oxide.cell), np.array([site.position for site in oxide.sites])
    heights = 1.0 / np.linalg.norm(np.linalg.inv(rows), axis=0)
    counts = [int(np.ceil(REACH / height)) for height in heights]
    cells = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in counts), indexing="ij"), axis=-1)
    cells = cells.reshape(-1, 3)
    parts: list[tuple[int, int, Floats, Floats]] = []
    for other, site in enumerate(oxide.sites):
        images = rotations @ positions[other] + translations
        once = first_of_each(images)
        for centre, ours in enumerate(oxide.sites):
            if (ours.element == "O") == (site.element == "O"):
                continue
            nearest = np.rint(positions[centre] - images[once])
            offsets = (nearest[:, None, :] + cells[None, :, :]).reshape(-1, 3)
            repeat = np.repeat(once, len(cells))
            distance = np.linalg.norm((images[repeat] + offsets - positions[centre]) @ rows, axis=1)
            close = distance < REACH
            shift = translations[repeat[close]] + offsets[close]
            parts.append((centre, other, rotations[repeat[close]], shift))
    sizes = [len(part[2]) for part in parts]
    return Neighbours(
        centre=np.repeat([part[0] for part in parts], sizes),
        other=np.repeat([part[1] for part in parts], sizes),
        rotation=np.concatenate([part[2] for part in parts]),
        shift=np.concatenate([part[3] for part in parts]),
    )


def _valences(oxide: Oxide, bonds: Neighbours, positions: Floats) -> tuple[Floats, Floats]:
    """(sites,) valence sums and their (sites, 3 sites) derivatives with respect to fractional coordinates."""
    rows = lattice(oxide.cell)
    is_oxygen = np.array([site.element == "O" for site in oxide.sites])
    constants = np.array([0.0 if site.element == "O" else bond_constant(site.ion) for site in oxide.sites])
    cation = np.where(is_oxygen[bonds.centre], bonds.other, bonds.centre)
    weight = np.array([site.occupancy for site in oxide.sites])[bonds.other]
    images = np.einsum("nij,nj->ni", bonds.rotation, positions[bonds.other]) + bonds.shift
    vector = (images - positions[bonds.centre]) @ rows
    distance = np.linalg.norm(vector, axis=1)
    valence = weight * np.exp((constants[cation] - distance) / SOFTNESS)
    sums = np.zeros(len(positions))
    np.add.at(sums, bonds.centre, valence)
    pull = (-valence / SOFTNESS / distance)[:, None] * (vector @ rows.T)  # d s / d (fractional image)
    gradient = np.zeros((len(positions), len(positions), 3))
    np.add.at(gradient, (bonds.centre, bonds.other), np.einsum("ni,nij->nj", pull, bonds.rotation))
    np.add.at(gradient, (bonds.centre, bonds.centre), -pull)
    return sums, gradient.reshape(len(positions), -1)
