"""F(Q) of a geometry whose scattering was tabulated once in units of its bond length.

With b the bond length (angstrom), q = Q b and d the distances in units of b, one kind of atom has

    X(q) = 1/N sum_{i != j} sin(q d_ij) / d_ij,        F(Q) = X(Q b) / b  exp(-u Q^2).

Correlated motion narrows the peaks of near pairs, sigma^2 = 2 u (1 - delta2 / d^2) with d in angstrom (Jeong
et al., Phys. Rev. B 67, 104301 (2003)); its effect is added by direct summation over the near distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODES = np.arange(-2, 4)
"""Sample numbers, relative to the one below, that six-point interpolation uses."""
COEFFICIENTS: Floats = np.linalg.inv(np.vander(NODES, 6, increasing=True).astype(np.float64))
"""Row k holds what t^k contributes to the weight of each node: weights(t) = (1, t, ..., t^5) @
COEFFICIENTS."""
POWERS = np.arange(6)


@dataclass(frozen=True)
class UnitScattering:
    """X(q) at 0, step, 2 step, ..., and the near pairs: distance in b, and ordered pairs per atom."""

    step: float
    samples: Floats
    near_distance: Floats
    near_pairs: Floats

    @property
    def q_limit(self) -> float:
        """Largest q that can be interpolated."""
        return (len(self.samples) - 4) * self.step


def unit_factor(unit: UnitScattering, q: Floats) -> Floats:
    """X(q), zero beyond the tabulated range.

    Parameters
    ----------
    q : any shape, non-negative.
    """
    return _interpolated(unit, q, derivative=False)


def unit_factor_slope(unit: UnitScattering, q: Floats) -> Floats:
    """dX/dq, zero beyond the tabulated range."""
    return _interpolated(unit, q, derivative=True) / unit.step


def _interpolated(unit: UnitScattering, q: Floats, *, derivative: bool) -> Floats:
    position = np.minimum(q, unit.q_limit) / unit.step
    base = np.minimum(position.astype(np.int64), len(unit.samples) - 4)
    t = (position - base).ravel()
    powers = t[:, None] ** POWERS
    if derivative:
        powers = np.hstack([np.zeros((len(t), 1)), powers[:, :-1] * POWERS[1:]])
    # X is odd: the two nodes below zero are the mirrored samples.
    extended = np.concatenate([-unit.samples[2:0:-1], unit.samples])
    nodes = base.ravel()[:, None] + (NODES + 2)
    values = np.einsum("ij,ij->i", powers @ COEFFICIENTS, extended[nodes]).reshape(q.shape)
    return np.where(q <= unit.q_limit, values, 0.0)
