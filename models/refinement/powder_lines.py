"""The lines of one phase in a powder pattern, with exact derivatives: Q, and the strength of each.

One member h of each class of reflections that the Laue symmetry makes equal, m its multiplicity, g the metric tensor:

    Q^2 = 4 pi^2 h g^-1 h,       F(h) = sum_k o_k f_k(Q) exp(-Q^2 u_k / 2) sum_images exp(2 pi i h x)
    strength = m |F|^2 / (n V),  n atoms in a cell of volume V: per atom of the sample

Anomalous terms are left out. Q in 1/angstrom, f in electrons or fm.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.parameters import RefinementError, Slopes
from solvus.models.refinement.phase import CELL_ROOM, Phase
from solvus.models.refinement.symmetry import metric, metric_slope
from solvus.models.scattering.form_factors import Radiation, form_factors

Floats = NDArray[np.float64]

MOST = 3_000_000
"""Reciprocal lattice points taken at once; more is a cell or a range that cannot be meant."""
WEAK = 1e-12
"""Share of the strongest reflection below which one is extinct."""
Q_STEP = 1e-4
"""1/angstrom, for the slope of a form factor: its error is then 1e-9."""


@dataclass(frozen=True)
class Lines:
    """``q`` and ``strength`` (n,), and the derivatives of both by the wanted parameters."""

    q: Floats
    strength: Floats
    q_slopes: Slopes
    strength_slopes: Slopes


class PhaseLines:
    """The reflections of a crystal up to ``qmax`` (1/angstrom), for any cell that the bounds allow."""

    def __init__(self, phase: Phase, qmax: float, radiation: Radiation) -> None:
        if phase.group is None:
            raise RefinementError(
                f"structure: {phase.record.name} is a cluster; a powder pattern needs a crystal"
            )
        self.phase, self.radiation = phase, radiation
        values = {name: p.value for name, p in phase.parameters.items()}
        points, counts = _classes(phase, qmax * (1.0 + CELL_ROOM))
        self.h, self.multiplicity = points, counts
        strength = self.at(values, ()).strength
        kept = strength > WEAK * strength.max(initial=0.0)
        self.h, self.multiplicity = points[kept], counts[kept]

    def at(self, values: Mapping[str, float], wanted: Collection[str]) -> Lines:
        """Lines at stated values."""
        phase = self.phase
        inverse = np.linalg.inv(metric(phase.cell(values)))
        hg = self.h @ inverse
        q = 2.0 * math.pi * np.sqrt(np.einsum("ni,ni->n", hg, self.h))
        q_slopes: Slopes = {}
        for name, places in phase.cell_names.items():
            if name in wanted:
                change = metric_slope(phase.cell(values), places)
                q_slopes[name] = -2.0 * math.pi**2 * np.einsum("ni,ij,nj->n", hg, change, hg) / q
        total, by_q, slopes = self._amplitude(values, q, wanted)
        for name, slope in q_slopes.items():
            slopes[name] = by_q * slope
        atoms = sum(k.amount * values[k.occupancy] for k in phase.kinds)
        volume, volumes = phase.volume(values)
        norm = self.multiplicity / (atoms * volume)
        power = np.abs(total) ** 2
        result = {n: 2.0 * np.real(total.conj() * s) * norm for n, s in slopes.items()}
        for name in q_slopes:
            result[name] = result[name] - power * norm * volumes[name] / volume
        for kind in phase.kinds:
            if kind.occupancy in wanted:
                result[kind.occupancy] = result[kind.occupancy] - power * norm * kind.amount / atoms
        return Lines(q, power * norm, q_slopes, result)

    def _amplitude(
        self, values: Mapping[str, float], q: Floats, wanted: Collection[str]
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128], dict[str, NDArray[np.complex128]]]:
        """F, dF/dQ at fixed h, and the derivatives by the sites' parameters."""
        phase = self.phase
        names = sorted({kind.species for kind in phase.kinds})
        f = dict(zip(names, form_factors(names, q, self.radiation), strict=True))
        above = form_factors(names, q + Q_STEP, self.radiation)
        below = form_factors(names, q - Q_STEP, self.radiation)
        slope = dict(zip(names, (above - below) / (2.0 * Q_STEP), strict=True))
        total = np.zeros(len(q), dtype=np.complex128)
        by_q = np.zeros_like(total)
        slopes: dict[str, NDArray[np.complex128]] = {}
        for k, (kind, own) in enumerate(zip(phase.kinds, phase.orbits, strict=True)):
            u, filled = values[kind.u], values[kind.occupancy]
            shift = phase.site(k, values) - own.positions[0]
            phases = np.exp(2.0j * math.pi * (self.h @ (own.positions + own.rotations @ shift).T))
            damping = np.exp(-0.5 * u * q**2)
            bare = f[kind.species] * damping * phases.sum(axis=1)
            total += filled * bare
            by_q += filled * (slope[kind.species] / f[kind.species] - u * q) * bare
            if kind.u in wanted:
                _add(slopes, kind.u, -0.5 * q**2 * filled * bare)
            if kind.occupancy in wanted:
                _add(slopes, kind.occupancy, bare)
            for name, direction in phase.moves_of(k).items():
                if name in wanted:
                    turned = self.h @ (own.rotations @ direction).T
                    wave = 2.0j * math.pi * (turned * phases).sum(axis=1)
                    _add(slopes, name, filled * f[kind.species] * damping * wave)
        return total, by_q, slopes


def _add(slopes: dict[str, NDArray[np.complex128]], name: str, row: NDArray[np.complex128]) -> None:
    slopes[name] = slopes[name] + row if name in slopes else row


def _classes(phase: Phase, qmax: float) -> tuple[Floats, Floats]:
    """One reflection of each Laue class up to ``qmax``, and how many it stands for."""
    if phase.group is None:
        raise RefinementError("structure: a cluster has no reflections")
    g = metric(phase.cell({}))
    limits = np.floor(qmax * np.sqrt(np.diag(g)) / (2.0 * math.pi)).astype(int)
    if float(np.prod(2.0 * limits + 1.0)) > MOST:
        raise RefinementError(
            f"qmax: {qmax:.3g} asks for over {MOST // 1_000_000} million reflections; lower it"
        )
    axes = [np.arange(-n, n + 1, dtype=np.float64) for n in limits]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    q2 = 4.0 * math.pi**2 * np.einsum("ni,ij,nj->n", points, np.linalg.inv(g), points)
    points = points[(q2 > 1e-9) & (q2 <= qmax**2)]
    if len(points) == 0:
        raise RefinementError("range: no reflection of the structure lies within it")
    size = 2 * int(limits.max()) * 3 + 3
    code = np.array([size * size, size, 1.0])
    best = np.full(len(points), -np.inf)
    for rotation in np.unique(np.round(phase.group.rotations), axis=0):
        image = (points @ rotation) @ code
        best = np.maximum(best, np.abs(image))  # h and -h are one by Friedel's law
    _, first, counts = np.unique(best, return_index=True, return_counts=True)
    return points[first], counts.astype(np.float64)
