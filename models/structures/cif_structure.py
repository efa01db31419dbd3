"""A CIF as it scatters: with the occupancies, mixed sites and displacement factors that it gives.

gemmi reads the file; the symmetry operations, the file's own where it lists them, carry each site of the asymmetric
unit into the whole cell and turn its displacement tensor along. With R the rotation of an operation and a*_i the
lengths of the reciprocal axes, a tensor in the frame of the CIF becomes

    U' = D^-1 R (D U D) R^T D^-1,        D = diag(a*_1, a*_2, a*_3).

Lengths in angstrom, u in angstrom^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from solvus.models.scattering.form_factors import ElementError, form_factors, require_element
from solvus.models.scattering.structure import U_DEFAULT, Structure, crystal
from solvus.models.structures.structure_files import StructureFileError

Floats = NDArray[np.float64]
ONE_PLACE = 0.1
"""Atoms nearer than this are images of one site on a special position, or share one place."""
FULL = 1.01
"""Occupancy of a place that rounding in a CIF may give."""
MOST_SITES = 5_000
"""In a cell; every pair of them is looked at."""


@dataclass(frozen=True)
class CifStructure:
    """A structure with what its file left open.

    Attributes
    ----------
    structure : every site of the cell, with ions where an X-ray form factor is tabulated for them.
    assumed_u : labels of the sites for which the file gives no displacement.
    """

    structure: Structure
    assumed_u: tuple[str, ...]


@dataclass(frozen=True)
class _Site:
    """One site of the asymmetric unit; ``tensor`` (3, 3) in the frame of the CIF, or ``None``."""

    label: str
    species: str
    place: Floats
    occupancy: float
    u: float
    tensor: Floats | None


def read_cif(path: Path | str, *, u_default: float = U_DEFAULT) -> CifStructure:
    """The last structure in a CIF.

    Parameters
    ----------
    u_default : for sites without a displacement, angstrom^2.

    Raises
    ------
    StructureFileError
        When the file is missing or no CIF, has no atoms or symmetry, fills a place more than once or has a displacement
        tensor that is not positive; one sentence names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise StructureFileError(f"{path}: no such file")
    try:
        document = gemmi.cif.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RuntimeError) as error:
        raise StructureFileError(f"{path.name}: not a CIF ({str(error).splitlines()[0]})") from error
    blocks = [b for b in document if b.find_values("_atom_site_fract_x")]
    if not blocks:
        raise StructureFileError(f"{path.name}: holds no atoms with fractional coordinates")
    small = gemmi.make_small_structure_from_block(blocks[-1])
    sites = [_site(path.name, site) for site in small.sites if site.occ > 0.0]
    if not sites:
        raise StructureFileError(f"{path.name}: no site is filled")
    if not small.cell.volume > 1.0 or not np.isfinite(small.cell.parameters).all():
        raise StructureFileError(f"{path.name}: the cell has no volume; give lengths in angstrom and angles")
    return _whole_cell(path.name, small, sites, _operations(path.name, small), u_default)


def _site(file: str, site: gemmi.SmallStructure.Site) -> _Site:
    place = np.array(site.fract.tolist(), dtype=np.float64)
    if not np.isfinite(place).all():
        raise StructureFileError(f"{file}: a coordinate of site {site.label} is not a finite number")
    if site.occ > FULL:
        raise StructureFileError(f"{file}: site {site.label} is filled to {site.occ:g}; at most 1 can be")
    tensor = None
    if site.aniso.nonzero():
        tensor = np.array(site.aniso.as_mat33().tolist(), dtype=np.float64)
        if float(np.linalg.eigvalsh(tensor)[0]) <= 0.0:
            raise StructureFileError(
                f"{file}: the displacement tensor of site {site.label} is not positive; give one u for all atoms"
            )
    u = float(site.u_iso) if math.isfinite(site.u_iso) and site.u_iso > 0.0 else 0.0
    return _Site(site.label, _species(file, site), place, min(1.0, float(site.occ)), u, tensor)


def _species(file: str, site: gemmi.SmallStructure.Site) -> str:
    """The ion where X-rays know it, else the element."""
    try:
        element = require_element(site.element.name)
    except ElementError as error:
        raise StructureFileError(
            f"{file}: {site.type_symbol or site.label!r} is not a chemical element"
        ) from error
    if site.charge == 0:
        return element
    ion = f"{element}{abs(site.charge)}{'+' if site.charge > 0 else '-'}"
    try:
        form_factors([ion], [0.0])
    except ElementError:
        return element
    return ion


def _operations(file: str, small: gemmi.SmallStructure) -> list[tuple[Floats, Floats]]:
    """Rotation and translation of each symmetry operation."""
    if small.symops:
        operations = [gemmi.Op(text) for text in small.symops]
    else:
        group = small.spacegroup
        if group is None:
            name = small.spacegroup_hm or small.spacegroup_hall
            raise StructureFileError(
                f"{file}: the space group {name!r} is unknown; give its symmetry operations"
            )
        operations = list(group.operations())
    matrices = [np.array(op.float_seitz(), dtype=np.float64) for op in operations]
    return [(m[:3, :3], m[:3, 3]) for m in matrices]


def _whole_cell(
    file: str,
    small: gemmi.SmallStructure,
    sites: list[_Site],
    operations: list[tuple[Floats, Floats]],
    u_default: float,
) -> CifStructure:
    lattice = np.array(small.cell.orth.mat.tolist(), dtype=np.float64).T
    stretch = np.diag(np.linalg.norm(np.linalg.inv(lattice), axis=0))
    shrink = np.linalg.inv(stretch)
    places: list[Floats] = []
    owners: list[_Site] = []
    turned: list[Floats] = []
    for site in sites:
        own: list[Floats] = []
        for rotation, translation in operations:
            place = (rotation @ site.place + translation) % 1.0
            if own and _distances(place, np.array(own), lattice).min() < ONE_PLACE:
                continue
            own.append(place)
            tensor = np.eye(3) if site.tensor is None else site.tensor
            moved = rotation @ stretch @ tensor @ stretch @ rotation.T
            turned.append(shrink @ moved @ shrink)
        places += own
        owners += [site] * len(own)
        if len(places) > MOST_SITES:
            raise StructureFileError(f"{file}: over {MOST_SITES} sites in the cell; that many are not taken")
    together = _on_shared_places(file, np.array(places), owners, lattice)
    assumed = [site for site in sites if site.tensor is None and site.u == 0.0]
    iso = [site.u or u_default for site in owners]
    if not any(site.tensor is not None for site in sites):
        u: Floats = np.array(iso)
    else:
        # U_cart = L^T D U D L with the rows of L the lattice vectors; what is isotropic has no direction.
        change = lattice.T @ stretch
        u = np.stack(
            [
                value * np.eye(3) if site.tensor is None else change @ tensor @ change.T
                for site, value, tensor in zip(owners, iso, turned, strict=True)
            ]
        )
    structure = crystal(
        [site.species for site in owners],
        together,
        lattice,
        u_iso=u,
        occupancy=[site.occupancy for site in owners],
    )
    return CifStructure(structure, tuple(site.label for site in assumed))


def _distances(place: Floats, others: Floats, lattice: Floats) -> Floats:
    """To the nearest image of each, angstrom; right for distances well below the cell's."""
    difference = others - place
    distances: Floats = np.linalg.norm((difference - np.round(difference)) @ lattice, axis=1)
    return distances


def _on_shared_places(file: str, places: Floats, owners: list[_Site], lattice: Floats) -> Floats:
    """Sites that share a place brought to the very same one, and their occupancies checked."""
    moved = places.copy()
    filled = np.array([site.occupancy for site in owners])
    done = np.zeros(len(places), dtype=bool)
    for k in range(len(places)):
        if done[k]:
            continue
        near = np.flatnonzero((_distances(places[k], places, lattice) < ONE_PLACE) & ~done)
        done[near] = True
        moved[near] = places[k]
        if filled[near].sum() > FULL:
            labels = ", ".join(sorted({owners[int(j)].label for j in near}))
            raise StructureFileError(
                f"{file}: {labels} fill one place to {filled[near].sum():.3g}; at most 1 can be"
            )
    return moved
