"""Predict the cell and the coordinates of a compound from its known relatives of the same structure type.

Notation: x_i the expected bond length in role i (sum of the radii, angstrom), x0 its mean over the known members,
L a cell parameter, L0 its mean. The rule is linear,

    L = L0 + sum_i beta_i (x_i - x0_i),

with a Gaussian prior on the slopes about isotropic scaling, beta_i = w_i L0 / sum_j w_j x0_j, where w_i is the number
of bonds of role i: one known member gives scaled copies of it, several give their regression (ridge regression: A. E.
Hoerl, R. W. Kennard, Technometrics 12, 55 (1970)). Angles have the prior slope zero. Coordinates have no scale, so
that they are linear in the ratios x_i / x_last, with prior slope zero too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from solvus.models.structures.oxides.facts import Oxide, system
from solvus.models.structures.oxides.prototypes import Ions, Prototype
from solvus.models.structures.record import Floats

SCATTER = 0.005
"""Relative scatter of lengths about the line: what radii leave unexplained in the large families."""
SLOPE_SPREAD = 0.5
"""Prior deviation of a length's slope, relative to isotropic scaling; perovskites with tilts reach this."""
ANGLE_RIDGE = 0.03**2
"""Squared ratio, angstrom, of an angle's scatter (0.3 degree) to the deviation of its slope (10 degrees/angstrom)."""
COORDINATE_RIDGE = 0.004**2
"""Squared ratio of a coordinate's scatter (0.002) to the deviation of its slope in a ratio of bond lengths (0.5)."""
SAME_CHOICE = 0.08
"""Coordinates farther from the prototype's than this belong to another choice of equivalent sites."""


class CellError(ValueError):
    """A structure type without a known member, from which nothing can be predicted."""


@dataclass(frozen=True)
class Line:
    """A linear rule: ``at(x)`` of (m,) bond lengths gives (k,) values."""

    centre: Floats
    values: Floats
    slopes: Floats

    def at(self, bonds: Sequence[float]) -> Floats:
        return self.values + (np.asarray(bonds) - self.centre) @ self.slopes


def fit_line(bonds: Floats, values: Floats, prior: Floats, ridge: float) -> Line:
    """Regression of (n, k) ``values`` on (n, m) ``bonds`` with (m, k) ``prior`` slopes, held by ``ridge``."""
    centre, mean = bonds.mean(axis=0), values.mean(axis=0)
    x, y = bonds - centre, values - mean
    normal = x.T @ x + ridge * np.eye(x.shape[1])
    slopes = prior + np.linalg.solve(normal, x.T @ (y - x @ prior))
    return Line(centre, mean, slopes)


def fit_cell(prototype: Prototype, known: Mapping[Ions, Sequence[float]]) -> Line:
    """The rule for the free parameters of a cell.

    Raises
    ------
    CellError
        Without a known member.
    """
    if not known:
        raise CellError(f"{prototype.type}: has no known member to take a cell from")
    bonds = np.array([prototype.bond_lengths(ions) for ions in known])
    values = np.array([list(cell) for cell in known.values()], dtype=float)
    weights = np.array(
        [prototype.shares[label] * role.coordination for label, role in prototype.roles.items()]
    )
    scale = weights / (weights @ bonds.mean(axis=0))
    lengths = np.arange(values.shape[1]) < _lengths(prototype)
    isotropic = np.outer(scale, np.where(lengths, values.mean(axis=0), 0.0))
    ridge = (SCATTER * bonds.mean() / SLOPE_SPREAD) ** 2
    line = fit_line(bonds, values, isotropic, ridge)
    angles = fit_line(bonds, values, np.zeros_like(isotropic), ANGLE_RIDGE)
    return Line(line.centre, line.values, np.where(lengths, line.slopes, angles.slopes))


def ratios(bonds: Sequence[float]) -> tuple[float, ...]:
    """Bond lengths of all roles but the last, relative to it: what coordinates depend on."""
    return tuple(bond / bonds[-1] for bond in bonds[:-1])


def fit_positions(prototype: Prototype, members: Mapping[Ions, Oxide]) -> Line | None:
    """The rule for the (3 sites) coordinates by :func:`ratios`; none where no member has published coordinates.

    Members whose sites are another choice of the equivalent ones are left out.
    """
    ours = np.array([site.position for site in prototype.placed]).ravel()
    features, values = [], []
    for ions, oxide in members.items():
        theirs = np.array([site.position for site in oxide.sites]).ravel()
        shift = (theirs - ours + 0.5) % 1.0 - 0.5
        if np.abs(shift).max() < SAME_CHOICE:
            features.append(ratios(prototype.bond_lengths(ions)))
            values.append(ours + shift)
    if not values:
        return None
    x, y = np.array(features).reshape(len(values), -1), np.array(values)
    return fit_line(x, y, np.zeros((x.shape[1], y.shape[1])), COORDINATE_RIDGE)


def left_out(prototype: Prototype, known: Mapping[Ions, Sequence[float]]) -> dict[Ions, Floats]:
    """Relative error of each length of each known member, predicted from the others."""
    errors: dict[Ions, Floats] = {}
    for ions, cell in known.items():
        others = {other: value for other, value in known.items() if other != ions}
        if others:
            count = _lengths(prototype)
            predicted = fit_cell(prototype, others).at(prototype.bond_lengths(ions))[:count]
            errors[ions] = predicted / np.asarray(cell[:count]) - 1.0
    return errors


def _lengths(prototype: Prototype) -> int:
    """How many of the free parameters are lengths; they come first."""
    name = system(prototype.space_group, prototype.setting)
    return {"cubic": 1, "rhombohedral": 1, "tetragonal": 2, "hexagonal": 2}.get(name, 3)
