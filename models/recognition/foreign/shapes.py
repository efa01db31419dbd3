"""Molecules built from a shape and bond lengths: polyhedra, rings, straight alkanes and fused benzene rings.

Mean bond lengths of carbon: F. H. Allen et al., J. Chem. Soc. Perkin Trans. II (1987) S1. Lengths in angstrom.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvus.models.recognition.foreign.prototypes import ForeignError

Floats = NDArray[np.float64]

AROMATIC, SINGLE, TO_HYDROGEN = 1.40, 1.53, 1.09
"""C-C in benzene rings and in alkanes, and C-H."""
CHAIN_ANGLE, HYDROGEN_ANGLE = np.radians(112.7), np.radians(107.0)
"""C-C-C and H-C-H in an alkane."""
CROWN_ANGLE = np.radians(108.0)
"""S-S-S in S8 (S. J. Rettig, J. Trotter, Acta Cryst. C 43 (1987) 2260)."""

_TETRAHEDRON = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3.0)
_TRIANGLE = np.array([(1, 0, 0), (-0.5, 0.75**0.5, 0), (-0.5, -(0.75**0.5), 0)])
_AXES = np.vstack([np.eye(3), -np.eye(3)])
_LIGANDS: dict[str, Floats] = {
    "pair": _AXES[:1],
    "line": _AXES[[0, 3]],
    "triangle": _TRIANGLE,
    "tetrahedron": _TETRAHEDRON,
    "bipyramid": np.vstack([_TRIANGLE, _AXES[[2, 5]]]),
    "octahedron": _AXES,
}
"""Directions from the centre to each ligand."""


def shaped(shape: str, elements: Sequence[str], bond: float) -> Atoms:
    """A centre with its ligands (two elements), or a cage or ring of one element.

    Raises
    ------
    ForeignError
        For a shape that is unknown.
    """
    if shape == "tetrahedron vertices":
        return Atoms([elements[0]] * 4, positions=_TETRAHEDRON * bond * np.sqrt(3.0 / 8.0))
    if shape == "crown":
        return Atoms([elements[0]] * 8, positions=_crown(bond))
    if shape not in _LIGANDS:
        raise ForeignError(f"molecules: the shape {shape!r} is none of {', '.join(_LIGANDS)}")
    centre, ligand = elements
    directions = _LIGANDS[shape]
    return Atoms([centre] + [ligand] * len(directions), positions=np.vstack([np.zeros(3), bond * directions]))


def _crown(bond: float) -> Floats:
    """Eight atoms, alternately up and down, with equal bonds and ``CROWN_ANGLE`` between them."""
    second = 2.0 * bond * np.sin(CROWN_ANGLE / 2.0)
    radius = second / np.sqrt(2.0)
    height = np.sqrt(bond**2 - (2.0 * radius * np.sin(np.pi / 8.0)) ** 2) / 2.0
    turn = np.arange(8) * np.pi / 4.0
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height * (-1.0) ** np.arange(8)], axis=1)


def alkane(carbons: int) -> Atoms:
    """A straight chain C(n)H(2n+2), all trans."""
    along, aside = SINGLE * np.sin(CHAIN_ANGLE / 2.0), SINGLE * np.cos(CHAIN_ANGLE / 2.0)
    k = np.arange(carbons)
    chain = np.stack([k * along, aside * (k % 2), np.zeros(carbons)], axis=1)
    out = TO_HYDROGEN * np.cos(HYDROGEN_ANGLE / 2.0), TO_HYDROGEN * np.sin(HYDROGEN_ANGLE / 2.0)
    hydrogen = [
        place + np.array([0.0, out[0] * (1.0 if n % 2 else -1.0), side * out[1]])
        for n, place in enumerate(chain)
        for side in (1.0, -1.0)
    ]
    for end, step in ((0, -1.0), (carbons - 1, 1.0)):  # where the chain would go on
        onwards = np.array([step * along, aside * (1.0 if end % 2 == 0 else -1.0), 0.0])
        hydrogen.append(chain[end] + TO_HYDROGEN / SINGLE * onwards)
    return Atoms(["C"] * carbons + ["H"] * len(hydrogen), positions=np.vstack([chain, hydrogen]))


def fused_rings(places: str) -> Atoms:
    """Flat benzene rings at ``"i j, i j"`` of the lattice of hexagons, with hydrogen on every free carbon."""
    turn = np.radians(60.0 * np.arange(6) + 30.0)
    ring = AROMATIC * np.stack([np.cos(turn), np.sin(turn), np.zeros(6)], axis=1)
    first, second = np.sqrt(3.0) * AROMATIC * np.array([[1.0, 0.0, 0.0], [0.5, 0.75**0.5, 0.0]])
    centres = [int(i) * first + int(j) * second for i, j in (entry.split() for entry in places.split(","))]
    carbon = np.unique(np.round(np.vstack([centre + ring for centre in centres]), 6), axis=0)
    near = cKDTree(carbon).query_ball_point(carbon, 1.2 * AROMATIC)
    hydrogen = []
    for k, around in enumerate(near):
        bonds = [carbon[k] - carbon[other] for other in around if other != k]
        if len(bonds) == 2:
            outwards = bonds[0] + bonds[1]
            hydrogen.append(carbon[k] + TO_HYDROGEN * outwards / np.linalg.norm(outwards))
    return Atoms(["C"] * len(carbon) + ["H"] * len(hydrogen), positions=np.vstack([carbon, hydrogen]))
