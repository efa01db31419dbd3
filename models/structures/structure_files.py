"""Read a user's structure file (xyz, CIF and what else ASE reads), as it is or as a finite cluster.

Coordinates in angstrom. Where a finite cluster is needed a periodic crystal is refused: its scattering needs size and
shape.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import read
from ase.io.formats import UnknownFileTypeError

LARGEST_CLUSTER = 31_000
"""Atoms: 10 nm of gold; the pair distances of more take minutes."""
NEAREST = 0.5
"""Angstrom; no two nuclei of a real structure are nearer (H2 has 0.74)."""


class StructureFileError(ValueError):
    """A structure file that cannot be used; one sentence names the file and the fix."""


def read_cluster(path: Path | str) -> Atoms:
    """The last structure in a file, as a finite cluster.

    Raises
    ------
    StructureFileError
        When the file is missing, cannot be understood, names an unknown element, is periodic, has atoms in one place or
        is larger than ``LARGEST_CLUSTER``.
    """
    atoms = read_structure(path)
    if atoms.pbc.any():
        raise StructureFileError(
            f"{Path(path).name}: a periodic crystal, but a finite cluster is needed; cut a particle and save it as .xyz"
        )
    return atoms


def read_structure(path: Path | str) -> Atoms:
    """The last structure in a file, finite or periodic.

    Raises
    ------
    StructureFileError
        When the file is missing, cannot be understood, names an unknown element, has sites that are filled in part or
        by two elements, has atoms in one place or is larger than ``LARGEST_CLUSTER``.
    """
    path = Path(path)
    if not path.is_file():
        raise StructureFileError(f"{path}: no such file")
    try:
        atoms = read(path)
    except UnknownFileTypeError as error:
        raise StructureFileError(
            f"{path.name}: not a structure file that ASE knows; give an .xyz or .cif"
        ) from error
    except KeyError as error:
        raise StructureFileError(f"{path.name}: {error.args[0]!r} is not a chemical element") from error
    except (
        ValueError,
        IndexError,
        OSError,
        RuntimeError,
        AttributeError,
        TypeError,
        AssertionError,
    ) as error:
        # ASE's parsers have no common exception; these are what malformed files raise in them.
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StructureFileError(f"{path.name}: cannot be read as a structure ({detail})") from error
    if not isinstance(atoms, Atoms) or len(atoms) == 0:
        raise StructureFileError(f"{path.name}: holds no atoms")
    _check(path, atoms)
    return atoms


def _check(path: Path, atoms: Atoms) -> None:
    unknown = sorted({symbol for symbol in atoms.symbols if atomic_numbers.get(symbol, 0) < 1})
    if unknown:
        raise StructureFileError(f"{path.name}: {unknown[0]!r} is not a chemical element")
    filled = (atoms.info.get("occupancy") or {}).values()
    if any(len(site) > 1 or min(site.values()) < 1.0 for site in filled):
        raise StructureFileError(
            f"{path.name}: sites that are filled in part or by two elements; order them first"
        )
    if len(atoms) > LARGEST_CLUSTER:
        raise StructureFileError(f"{path.name}: {len(atoms)} atoms; at most {LARGEST_CLUSTER} are taken")
    if not np.isfinite(atoms.positions).all():
        raise StructureFileError(f"{path.name}: a coordinate is not a finite number")
    if len(atoms) > 1 and not atoms.pbc.any():
        from scipy.spatial import cKDTree  # heavy, and needed here only

        distance = cKDTree(atoms.positions).query(atoms.positions, k=2)[0][:, 1]
        if distance.min() < NEAREST:
            raise StructureFileError(
                f"{path.name}: atom {int(distance.argmin())} lies on another; remove doubles"
            )
