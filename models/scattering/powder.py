"""Powder diffraction of a crystal: structure factors and line profiles, I(2theta) and I(Q).

Notation: h a reciprocal lattice point, s = 1 / (2 d) = sin(theta) / wavelength in 1/angstrom, Q = 4 pi s.

    F(h) = sum_j o_j (f_j(Q) + f'_j + i f''_j) exp(-Q^2 u_j / 2) exp(2 pi i h x_j),
    I(2theta) = sum_h |F(h)|^2 L P profile(2theta - 2theta_h),

with the Lorentz factor L = 1 / (sin^2(theta) cos(theta)), the polarisation P = (1 + K cos^2(2theta)) / (1 + K)
for X-rays
(K = 1 unpolarised, K = cos^2(2theta_M) behind a monochromator) and P = 1 for neutrons, and a pseudo-Voigt
profile of unit
area whose width follows Caglioti, FWHM^2 = U tan^2(theta) + V tan(theta) + W. The sum runs over every h of the
lattice, so that multiplicity needs no symmetry. f in electrons, neutron lengths b in fm, angles in degrees.

G. Caglioti, A. Paoletti, F. P. Ricci, Nucl. Instrum. 3, 223 (1958).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvus.models.scattering.form_factors import Radiation, form_factors
from solvus.models.scattering.structure import Structure, StructureError

Floats = NDArray[np.float64]
SAME_LENGTH = 1e-7
"""Relative difference in 1/d below which two reflections stand at one angle."""
WEAK = 1e-12
"""Share of the strongest |F|^2 below which a reflection is extinct."""
MOST = 5_000_000
"""Reciprocal lattice points taken at once; more is a cell of thousands of atoms or a Qmax beyond use."""
TAILS = 30.0
"""Widths after which a line is left out: a Lorentzian has fallen to 3e-4 of its height."""


@dataclass(frozen=True)
class Reflections:
    """The lines of a powder pattern, by increasing Q.

    Attributes
    ----------
    q : (n,) 1/angstrom. indices : (n, 3) of one member of each line.
    f_squared : (n,) mean |F|^2 of the line's members, electrons^2 or fm^2 per cell.
    multiplicity : (n,) members.
    """

    q: Floats
    indices: NDArray[np.int64]
    f_squared: Floats
    multiplicity: Floats


@dataclass(frozen=True)
class Profile:
    """Instrument: ``u``, ``v``, ``w`` of Caglioti in degrees^2, ``eta`` the Lorentzian share, ``k`` the polarisation
    ratio."""

    u: float = 0.0
    v: float = 0.0
    w: float = 0.01
    eta: float = 0.5
    k: float = 1.0


def structure_factors(
    structure: Structure,
    indices: ArrayLike,
    *,
    radiation: Radiation = "xray",
    f_prime: Mapping[str, complex] | None = None,
    lengths: Mapping[str, float] | None = None,
) -> NDArray[np.complex128]:
    """F(h) of stated reciprocal lattice points.

    Parameters
    ----------
    indices : (n, 3) h, k, l.
    f_prime : anomalous terms f' + i f'' by species, electrons; absent ones count as zero.
    lengths : neutron lengths (fm) that take the place of tabulated ones.

    Raises
    ------
    StructureError
        When the structure is no single crystal.
    """
    lattice, fractional, u, occupancy = _arrays(structure)
    h = np.asarray(indices, dtype=np.float64)
    g = 2.0 * math.pi * h @ np.linalg.inv(lattice).T
    q = np.linalg.norm(g, axis=1)
    species = sorted(set(structure.species))
    amplitude = form_factors(species, q, radiation).astype(np.complex128)
    for i, name in enumerate(species):
        if radiation == "neutron" and lengths and name in lengths:
            amplitude[i] = lengths[name]
        if radiation == "xray" and f_prime and name in f_prime:
            amplitude[i] += f_prime[name]
    total = np.zeros(len(h), dtype=np.complex128)
    for j, name in enumerate(structure.species):
        square = np.einsum("ni,ij,nj->n", g, u[j], g) if u.ndim == 3 else u[j] * q**2
        phase = 2.0j * math.pi * (h @ fractional[j])
        total += occupancy[j] * amplitude[species.index(name)] * np.exp(phase - 0.5 * square)
    return total


def reflections(
    structure: Structure,
    qmax: float,
    *,
    radiation: Radiation = "xray",
    f_prime: Mapping[str, complex] | None = None,
    lengths: Mapping[str, float] | None = None,
) -> Reflections:
    """Every line of a crystal up to ``qmax`` (1/angstrom), reflections of equal length and strength as one.

    Raises
    ------
    StructureError
        When the structure is no single crystal, or the cell holds more than five million lattice points up to ``qmax``.
    """
    lattice = _arrays(structure)[0]
    points = _points(lattice, qmax)
    f = structure_factors(structure, points, radiation=radiation, f_prime=f_prime, lengths=lengths)
    q = 2.0 * math.pi * np.linalg.norm(points @ np.linalg.inv(lattice).T, axis=1)
    strength = np.abs(f) ** 2
    kept = strength > WEAK * strength.max(initial=0.0)
    points, q, strength = points[kept], q[kept], strength[kept]
    order = np.argsort(q, kind="stable")
    points, q, strength = points[order], q[order], strength[order]
    new = np.concatenate([[True], np.diff(q) > SAME_LENGTH * q[1:]]) if len(q) else np.zeros(0, dtype=bool)
    starts = np.flatnonzero(new)
    multiplicity = np.diff(np.append(starts, len(q))).astype(np.float64)
    sums = np.add.reduceat(strength, starts) if len(starts) else np.zeros(0)
    return Reflections(q[starts], points[starts], sums / np.maximum(multiplicity, 1.0), multiplicity)


def intensity_two_theta(
    lines: Reflections,
    angle: ArrayLike,
    wavelength: float,
    *,
    profile: Profile | None = None,
    radiation: Radiation = "xray",
) -> Floats:
    """I(2theta) on a grid of degrees, (m,), on the scale of |F|^2 per degree."""
    grid = np.asarray(angle, dtype=np.float64)
    shape = profile or Profile()
    sine = lines.q * wavelength / (4.0 * math.pi)
    seen = sine < 1.0
    theta = np.arcsin(sine[seen])
    factor = lorentz_polarisation(theta, shape.k if radiation == "xray" else None)
    area = (lines.f_squared * lines.multiplicity)[seen] * factor
    square = shape.u * np.tan(theta) ** 2 + shape.v * np.tan(theta) + shape.w
    if len(square) and float(square.min()) <= 0:
        raise StructureError("profile: U, V and W give a line no width; they must make FWHM^2 positive")
    return _lines(grid, np.degrees(2.0 * theta), area, np.sqrt(square), shape.eta)


def intensity_q(
    lines: Reflections,
    q: ArrayLike,
    *,
    fwhm: float = 0.02,
    eta: float = 0.5,
) -> Floats:
    """I(Q) with the geometry taken out: each line has the area m |F|^2 / Q^2, as an orientational mean has it.

    Parameters
    ----------
    q : (m,) 1/angstrom; fwhm : width of the lines, 1/angstrom.
    """
    grid = np.asarray(q, dtype=np.float64)
    area = lines.f_squared * lines.multiplicity / lines.q**2
    return _lines(grid, lines.q, area, np.full(len(lines.q), fwhm), eta)


def lorentz_polarisation(theta: Floats, k: float | None) -> Floats:
    """L P at the angle ``theta`` (radians); ``k`` the polarisation ratio, ``None`` for neutrons."""
    lorentz = 1.0 / (np.sin(theta) ** 2 * np.cos(theta))
    polarisation = 1.0 if k is None else (1.0 + k * np.cos(2.0 * theta) ** 2) / (1.0 + k)
    product: Floats = lorentz * polarisation
    return product


def pseudo_voigt(x: Floats, fwhm: float, eta: float) -> Floats:
    """Unit area: eta Lorentzian + (1 - eta) Gaussian, both of full width ``fwhm`` at half maximum."""
    t = (2.0 * x / fwhm) ** 2
    gauss = 2.0 / fwhm * math.sqrt(math.log(2.0) / math.pi) * np.exp(-math.log(2.0) * t)
    lorentz = 2.0 / (math.pi * fwhm) / (1.0 + t)
    mixed: Floats = eta * lorentz + (1.0 - eta) * gauss
    return mixed


def _lines(grid: Floats, centre: Floats, area: Floats, fwhm: Floats, eta: float) -> Floats:
    total = np.zeros(len(grid))
    for c, a, w in zip(centre, area, fwhm, strict=True):
        near = slice(*np.searchsorted(grid, [c - TAILS * w, c + TAILS * w]))
        total[near] += a * pseudo_voigt(grid[near] - c, float(w), eta)
    return total


def _arrays(structure: Structure) -> tuple[Floats, Floats, Floats, Floats]:
    if structure.lattice is None or structure.batch is not None:
        raise StructureError("structure: powder lines need one crystal, with a lattice and not a batch")
    tensors = (structure.lattice, structure.positions, structure.u, structure.occupancy)
    lattice, fractional, u, occupancy = (t.detach().cpu().double().numpy() for t in tensors)
    return lattice, fractional, u, occupancy


def _points(lattice: Floats, qmax: float) -> NDArray[np.int64]:
    """Reciprocal lattice points with 0 < Q <= qmax: |h_i| <= qmax |a_i| / 2 pi."""
    if not qmax > 0:
        raise StructureError(f"qmax: must be positive, not {qmax:g}")
    limits = np.floor(qmax * np.linalg.norm(lattice, axis=1) / (2.0 * math.pi)).astype(int)
    if float(np.prod(2.0 * limits + 1.0)) > MOST:
        raise StructureError(
            f"qmax: {qmax:g} asks for over {MOST // 1_000_000} million reflections; lower it"
        )
    axes = [np.arange(-n, n + 1) for n in limits]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    q = 2.0 * math.pi * np.linalg.norm(points @ np.linalg.inv(lattice).T, axis=1)
    kept: NDArray[np.int64] = points[(q > 0) & (q <= qmax)]
    return kept
