"""Metal geometries as short curves of F(Q), at one bond length from which they are stretched to any other.

As the signatures of the catalogue (:mod:`solvus.models.recognition.signatures`), but with a longer reach and to larger
Q, because bond lengths differ by far more than cells of one compound do. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dst

from solvus.models.scattering.unit_factor import UnitScattering, unit_factor
from solvus.models.structures.library import Library

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

GEOMETRY_REACH, GEOMETRY_FADING, GEOMETRY_Q = 60.0, 15.0, 45.0
"""Geometries are stretched from one bond length to any other, by a factor of up to 1.4 either way."""
REFERENCE_BOND = 2.8
"""angstrom, at which geometries are kept."""
UNFOLDED = 240.0
"""angstrom: no geometry is twice as long, so that no distance folds back while it is made."""


def geometry_rows(library: Library, u: float, delta2: float) -> Singles:
    """Every geometry at the reference bond length with one displacement: (n, m)."""
    return np.stack([geometry_row(library.scattering(entry), u, delta2) for entry in library.entries])


@lru_cache(maxsize=4)
def still_rows(library: Library) -> Singles:
    """The same of atoms that do not move, kept for a library: (n, m)."""
    rows = geometry_rows(library, 0.0, 0.0)
    rows.setflags(write=False)
    return rows


def geometry_row(unit: UnitScattering, u: float, delta2: float) -> Singles:
    """F of one geometry at the reference bond length, far distances fading: (m,).

    Parameters
    ----------
    u, delta2 : displacement and correlated motion, angstrom^2.
    """
    q = _half_steps(UNFOLDED)
    f = unit_factor(unit, q * REFERENCE_BOND) / REFERENCE_BOND * np.exp(-u * q**2)
    if delta2 > 0.0:
        near = unit.near_distance * REFERENCE_BOND
        widths = u * np.clip(1.0 - delta2 / near**2, 0.1, None)
        narrower = np.exp(np.outer(-(q**2), widths)) - np.exp(-u * q**2)[:, None]
        f += (np.sin(np.outer(q, near)) * narrower) @ (unit.near_pairs / near)
    # Back to distances, fade, and forth on the coarser grid.
    points = round(UNFOLDED * 2.0 * GEOMETRY_Q / math.pi)
    g = np.append(0.0, dst(f, type=2, n=points)[:-1]) / points
    row: Singles = (_faded_sines(points) @ g[: _faded_sines(points).shape[1]]).astype(np.float32)
    return row


def half_steps() -> Floats:
    """Q of the samples of a row: (m,)."""
    return _half_steps(GEOMETRY_REACH)


@lru_cache(maxsize=1)
def _faded_sines(points: int) -> Floats:
    """What turns G at steps of UNFOLDED / points into F at the coarser steps of Q, far distances fading."""
    step = UNFOLDED / points
    r = np.arange(round(GEOMETRY_REACH / step), dtype=np.float64) * step
    return np.sin(np.outer(_half_steps(GEOMETRY_REACH), r)) * fading(r, GEOMETRY_REACH, GEOMETRY_FADING)


def _half_steps(reach: float) -> Floats:
    """Q at which a geometry is kept: odd multiples of half a step."""
    return (np.arange(round(GEOMETRY_Q * reach / math.pi), dtype=np.float64) + 0.5) * (math.pi / reach)


def fading(r: Floats, reach: float, width: float) -> Floats:
    """What distances near ``reach`` are multiplied with: half a cosine over the last ``width`` of it."""
    x = np.clip((r - (reach - width)) / width, 0.0, 1.0)
    return np.asarray(np.cos(0.5 * math.pi * x) ** 2)
