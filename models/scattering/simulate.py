"""The noise-free G(r) that a structure would give under stated conditions.

Conditions that are not known take the values named below. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from solvus.models.pattern import Conditions, Pattern
from solvus.models.scattering.transform import q_grid, sine_kernel
from solvus.models.scattering.unit_factor import unit_factor
from solvus.models.structures.library import Library, require_metal

QMIN, QMAX = 0.5, 25.0
"""1/angstrom: a usual range of rapid total scattering."""
U_ISO = 0.006
"""angstrom^2: heavy metals at room temperature."""


def pattern_of(
    structure: str | Atoms,
    conditions: Conditions,
    r: ArrayLike,
    *,
    u_iso: float = U_ISO,
    expansion: float = 1.0,
    library: Library | None = None,
) -> Pattern:
    """Simulate a pattern.

    Parameters
    ----------
    structure : a name such as ``"Au icosahedron-561"``, or a finite ``ase.Atoms``.
    conditions : radiation, Qmin, Qmax and qdamp are used.
    r : (k,) increasing grid.
    u_iso : isotropic displacement, angstrom^2; ``expansion`` : factor on all distances.

    Raises
    ------
    LibraryError
        For a name that the library does not have.
    StructureError
        For atoms that are no finite structure.
    """
    grid = np.asarray(r, dtype=np.float64)
    qmin = QMIN if conditions.qmin is None else conditions.qmin
    qmax = QMAX if conditions.qmax is None else conditions.qmax
    if isinstance(structure, str):
        shelf = library or Library.load()
        named = shelf.resolve(structure)
        bond = require_metal(named.element) * expansion
        q = q_grid(qmin, qmax, float(grid[-1]) + named.entry.span * bond)
        f = unit_factor(shelf.scattering(named.entry), q * bond) / bond * np.exp(-u_iso * q**2)
    else:
        q = q_grid(qmin, qmax, float(grid[-1]) + _span(structure) * expansion)
        f = _f_of_atoms(structure, q, u_iso, expansion, conditions)
    g = f @ sine_kernel(q, grid, conditions.qdamp or 0.0)
    return Pattern(quantity="G", x=grid, y=g, conditions=conditions)


def _span(atoms: Atoms) -> float:
    return float(np.linalg.norm(np.ptp(atoms.positions, axis=0)))


def _f_of_atoms(
    atoms: Atoms, q: NDArray[np.float64], u_iso: float, expansion: float, conditions: Conditions
) -> NDArray[np.float64]:
    # torch takes a second to load, and named structures do without it.
    from solvus.models.scattering.debye import pair_histogram, structure_factor

    histogram = pair_histogram(atoms.positions, list(atoms.symbols))
    _, f = structure_factor(histogram, q, u_iso=u_iso, expansion=expansion, radiation=conditions.radiation)
    return np.asarray(f.numpy(), dtype=np.float64)
