"""How far two finite structures differ after the best rotation, inversion and pairing of their atoms.

Rotations are proposed by laying two atoms of one structure, far out and not in line, on every pair of the other at the
same distances; the best by nearest neighbours are then paired by the Hungarian method (H. W. Kuhn, Nav. Res. Logist. Q.
2, 83 (1955)) and turned by W. Kabsch's formula (Acta Cryst. A32, 922 (1976)) until the pairing stays.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

Floats = NDArray[np.float64]

TOLERANCE = 0.6
"""angstrom by which distances of the two atoms may differ."""
MOST_PROPOSED = 400
KEPT = 6
ROUNDS = 10
SEED = 20_261
"""Of the choice among proposals."""


def coordinate_error(found: Floats, true: Floats) -> float | None:
    """Mean absolute difference of the coordinates, in the unit given; ``None`` for unequal numbers of atoms.

    Parameters
    ----------
    found, true : (n, 3).
    """
    if len(found) != len(true):
        return None
    b = true - true.mean(axis=0)
    tree = cKDTree(b)
    scored: list[tuple[float, int, Floats]] = []
    for sign in (1.0, -1.0):
        a = sign * (found - found.mean(axis=0))
        for turn in _proposed(a, b):
            turned = a @ turn.T
            scored.append((float(tree.query(turned)[0].mean()), len(scored), turned))
    return min(_settled(turned, b) for _, _, turned in sorted(scored)[:KEPT])


def _proposed(a: Floats, b: Floats) -> list[Floats]:
    """Rotations (3, 3) that lay two atoms of a on two of b."""
    radius = np.linalg.norm(a, axis=1)
    first = int(radius.argmax())
    apart = np.linalg.norm(np.cross(a, a[first]), axis=1)
    second = int(apart.argmax())
    of_b = np.linalg.norm(b, axis=1)
    ones = np.flatnonzero(np.abs(of_b - radius[first]) < TOLERANCE)
    twos = np.flatnonzero(np.abs(of_b - radius[second]) < TOLERANCE)
    wanted = float(np.linalg.norm(a[first] - a[second]))
    pairs = np.array([p for p in product(ones, twos) if p[0] != p[1]], dtype=int).reshape(-1, 2)
    if len(pairs):
        lengths = np.linalg.norm(b[pairs[:, 0]] - b[pairs[:, 1]], axis=1)
        pairs = pairs[np.argsort(np.abs(lengths - wanted), kind="stable")]
        pairs = pairs[: max(MOST_PROPOSED, int((np.abs(lengths - wanted) < 0.1).sum()))][: 4 * MOST_PROPOSED]
    turns = [
        Rotation.align_vectors(b[list(pair)], a[[first, second]])[0].as_matrix() for pair in pairs.tolist()
    ]
    random = Rotation.random(20, random_state=SEED).as_matrix()
    return [*turns, *random]


def _settled(a: Floats, b: Floats) -> float:
    previous: NDArray[np.intp] | None = None
    for _ in range(ROUNDS):
        _, pairing = linear_sum_assignment(cdist(a, b, "sqeuclidean"))
        if previous is not None and (pairing == previous).all():
            break
        previous = pairing
        turn = Rotation.align_vectors(b[pairing], a)[0]
        a = turn.apply(a)
    return float(np.abs(a - b[pairing]).mean())
