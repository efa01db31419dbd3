"""Space-group operations and what they do to a position. Coordinates fractional, lengths in angstrom."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from ase.cell import Cell
from ase.spacegroup import Spacegroup
from ase.spacegroup.spacegroup import SpacegroupNotFoundError
from numpy.typing import NDArray

from solvus.models.structures.record import SAME_SITE, Floats


@cache
def operations(space_group: int, setting: int) -> tuple[Floats, Floats] | None:
    """(m, 3, 3) rotations and (m, 3) translations, or None when ASE has no such setting of the group."""
    try:
        group: Any = Spacegroup(space_group, setting)
    except SpacegroupNotFoundError:
        return None
    rotations, translations = group.get_op()
    return np.asarray(rotations, dtype=float), np.asarray(translations, dtype=float)


def first_of_each(images: Floats) -> NDArray[np.intp]:
    """Indices of the (n, 3) positions that repeat no earlier one; whole cells apart counts as the same."""
    apart = np.abs((images[:, None, :] - images[None, :, :] + 0.5) % 1.0 - 0.5)
    same = np.all(apart < SAME_SITE, axis=2)
    return np.flatnonzero(same.argmax(axis=1) == np.arange(len(images)))


def distinct(images: Floats) -> Floats:
    """(m, 3) of (n, 3) positions, each once and within the cell."""
    return np.array(images[first_of_each(images)] % 1.0)


def equivalent(space_group: int, setting: int, position: Sequence[float]) -> Floats:
    """(m, 3) every position that the group makes of one, each once.

    Raises
    ------
    ValueError
        When ASE has no such setting of the group.
    """
    found = operations(space_group, setting)
    if found is None:
        raise ValueError(f"space group {space_group}: has no setting {setting}")
    rotations, translations = found
    return distinct(rotations @ np.asarray(position, dtype=float) + translations)


def lattice(cell: Sequence[float]) -> Floats:
    """(3, 3) rows a, b, c from lengths and angles."""
    new: Any = Cell.fromcellpar  # without annotations in ASE
    return np.array(new(list(cell)).array, dtype=np.float64)


def cell_parameters(rows: Floats) -> list[float]:
    """Lengths and angles from (3, 3) rows a, b, c."""
    make: Any = Cell
    whole = make(np.asarray(rows))
    return [float(x) for x in whole.cellpar()]
