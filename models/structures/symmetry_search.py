"""What spglib (A. Togo, K. Shinohara, I. Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024)) sees in a cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import spglib
import spglib.error
from numpy.typing import ArrayLike

# From 2.7 spglib raises SpglibError only where this is set, and warns of each call where it is not; 3.0 always raises.
spglib.error.OLD_ERROR_HANDLING = False


def symmetry_dataset(
    lattice: ArrayLike, places: ArrayLike, numbers: Sequence[int], tolerance: float
) -> spglib.SpglibDataset:
    """Space group, standard cell and equivalent atoms.

    Parameters
    ----------
    lattice : (3, 3) rows, angstrom; places : (n, 3) fractional; numbers : (n,) equal for equal atoms.
    tolerance : angstrom.

    Raises
    ------
    spglib.SpglibError
        When the atoms make no crystal, as two in one place do not.
    """
    cell = (np.asarray(lattice).tolist(), np.asarray(places).tolist(), list(numbers))
    found = spglib.get_symmetry_dataset(cell, symprec=tolerance)
    if found is None:  # before 2.7
        raise spglib.SpglibError("no symmetry was found")
    return found
