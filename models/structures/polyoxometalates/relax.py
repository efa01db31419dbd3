"""Relaxation of a draft: least squares on bond lengths, bond valences and metal-metal distances under its symmetry.

Notation: d a distance in angstrom, s a bond valence, M a metal of the shell, X a heteroatom, O oxygen.
The sum of squares that is minimised has the residuals

    (d - d_terminal) / 0.01       bonds from M to an oxygen of its own
    (d - d_X) / 0.02              bonds X-O, d_X that of equal bonds which share out the oxidation state
    (d - d_X sqrt(8/3)) / 0.05    O-O around a four-coordinate X or M
    (d - d_link) / 0.05           M-M that share a corner, an edge or a face
    (d - d_k) / 0.2               other bonds M-O, d_k that of equal bonds of an oxygen with k of them
    (sum s - oxidation) / 0.1     each M
    (sum s - mean) / 0.2          each bridging O; the mean is what metals and heteroatoms have left for them
    0.3 (c / d)^9                 O-O, c = 2.7, and M-M without a link, c = 3.5: closed shells push

over the displacements that keep the point group, so that the result has exactly that symmetry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from solvus.models.structures.polyoxometalates.draft import DRAFT_TOLERANCE, Draft
from solvus.models.structures.polyoxometalates.symmetry import invariant_moves, permutations
from solvus.models.structures.polyoxometalates.valence import OWN, OWN_IN_TETRAHEDRON, R0, SOFTNESS, length_of
from solvus.models.structures.record import Floats

Pairs = NDArray[np.int64]
Link = Literal["corner", "edge", "face"]
Links = Mapping[Link, float]

LINK_OF_SHARED: dict[int, Link] = {1: "corner", 2: "edge", 3: "face"}
TERMINAL_SIGMA, HETERO_SIGMA, CIS_SIGMA, LINK_SIGMA, BRIDGE_SIGMA = 0.01, 0.02, 0.05, 0.05, 0.2
"""angstrom, of the table above."""
METAL_SIGMA, OXYGEN_SIGMA = 0.1, 0.2
"""Valence units, of the table above."""
CIS = float(np.sqrt(8.0 / 3.0))
"""Edge over bond length of a regular tetrahedron."""
PUSH, STEEPNESS = 0.3, 9
OXYGEN_CONTACT, METAL_CONTACT = 2.7, 3.5
"""angstrom: the edge of an octahedron with bonds of 1.93; metals that do not share an edge keep farther apart than
those that do."""
REACH = 6.0
"""angstrom: pairs further apart in the draft push by less than 1 % of those in contact."""
DECIMALS = 4
"""Of the coordinates that are kept: the digits beyond may depend on the machine."""
LEAST_VALENCE = 0.3
"""For the bonds of a metal to an oxygen whose valence heteroatoms have used up."""
NARROW = 0.91
"""Of an edge of two oxygens that bind nothing else over other edges: 3.1 angstrom in tungstates, as oxygens
2.4 angstrom apart and bonds of 1.95 angstrom give 3.1."""
STEPS = 2000
TOLERANCE = 1e-10


class RelaxationError(RuntimeError):
    """A draft that did not settle, or with a bond for which there is no length."""


@dataclass(frozen=True)
class Chemistry:
    """What the atoms are.

    Attributes
    ----------
    metal : of the shell; oxidation : of every element that binds oxygen.
    links : distances between metals of the shell that share oxygens, angstrom.
    hydrogen : valence that hydrogens, which are left out, give to each oxygen with so many bonds.
    """

    metal: str
    oxidation: Mapping[str, int]
    links: Links
    hydrogen: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Terms:
    """The residuals: lengths (pairs (a, 2) with target and sigma), valence sums (bonds (b, 2) as centre and oxygen
    with their R0; sums[k] = sum of member (k, b) times s) and pushes (pairs (c, 2) with their contact)."""

    pairs: Pairs
    target: Floats
    sigma: Floats
    bonds: Pairs
    r0: Floats
    member: Floats
    valence: Floats
    valence_sigma: Floats
    pushed: Pairs
    contact: Floats

    def residuals(self, x: Floats) -> Floats:
        """(a + k + c,) at positions (n, 3)."""
        s = np.exp((self.r0 - _distances(x, self.bonds)) / SOFTNESS)
        push = PUSH * (self.contact / _distances(x, self.pushed)) ** STEEPNESS
        stretch = (_distances(x, self.pairs) - self.target) / self.sigma
        return np.concatenate([stretch, (self.member @ s - self.valence) / self.valence_sigma, push])

    def jacobian(self, x: Floats) -> Floats:
        """(a + k + c, 3 n)."""
        s = np.exp((self.r0 - _distances(x, self.bonds)) / SOFTNESS)
        push = PUSH * (self.contact / _distances(x, self.pushed)) ** STEEPNESS
        stretch = _slopes(x, self.pairs, 1.0 / self.sigma)
        sums = self.member @ _slopes(x, self.bonds, -s / SOFTNESS) / self.valence_sigma[:, None]
        pushes = _slopes(x, self.pushed, -STEEPNESS * push / _distances(x, self.pushed))
        return np.concatenate([stretch, sums, pushes])


def relaxed(rough: Draft, chemistry: Chemistry) -> Floats:
    """Positions (n, 3) of least squares, about their mean, angstrom.

    Raises
    ------
    RelaxationError
        When the steps run out, which a sound draft never needs.
    """
    places = permutations(rough.group, rough.species, rough.positions, DRAFT_TOLERANCE)
    moves = invariant_moves(rough.group, places)
    terms = _terms(rough, chemistry)
    start = rough.positions

    def at(p: Floats) -> Floats:
        return start + (moves @ p).reshape(start.shape)

    fit = least_squares(
        lambda p: terms.residuals(at(p)),
        np.zeros(moves.shape[1]),
        jac=lambda p: terms.jacobian(at(p)) @ moves,
        xtol=TOLERANCE,
        ftol=TOLERANCE,
        gtol=TOLERANCE,
        max_nfev=STEPS,
    )
    if not fit.success:
        formula = "".join(sorted(set(rough.species)))
        raise RelaxationError(
            f"draft of {formula}: not settled after {STEPS} steps; start nearer to the structure"
        )
    final = at(fit.x)
    settled: Floats = final - final.mean(axis=0)
    return settled


def valence_sums(rough: Draft, chemistry: Chemistry, positions: Floats) -> Floats:
    """Sum of the bond valences of each atom, (n,); nought for elements without an oxidation state."""
    bonds = _bonds(rough, chemistry)
    s = np.exp((_r0(rough, chemistry, bonds) - _distances(positions, bonds)) / SOFTNESS)
    total = np.zeros(len(rough.species))
    np.add.at(total, bonds[:, 0], s)
    np.add.at(total, bonds[:, 1], s)
    return total


def _distances(x: Floats, pairs: Pairs) -> Floats:
    found: Floats = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
    return found


def _slopes(x: Floats, pairs: Pairs, factor: Floats) -> Floats:
    """factor times the derivative of each distance by every coordinate: (a, 3 n)."""
    apart = x[pairs[:, 0]] - x[pairs[:, 1]]
    along = apart / np.linalg.norm(apart, axis=1)[:, None] * factor[:, None]
    rows = np.arange(len(pairs))
    slopes = np.zeros((len(pairs), *x.shape))
    slopes[rows, pairs[:, 0]] = along
    slopes[rows, pairs[:, 1]] = -along
    return slopes.reshape(len(pairs), -1)


def _bonds(rough: Draft, chemistry: Chemistry) -> Pairs:
    """Centre and oxygen of every bond of an element with an oxidation state: (b, 2)."""
    pairs = [
        (i, int(o))
        for i, name in enumerate(rough.species)
        if name in chemistry.oxidation
        for o in rough.around[i]
    ]
    return np.array(pairs, dtype=np.int64)


def _r0(rough: Draft, chemistry: Chemistry, bonds: Pairs) -> Floats:
    names = [rough.species[i] for i in bonds[:, 0]]
    return np.array([R0[name, chemistry.oxidation[name]] for name in names])


def _terms(rough: Draft, chemistry: Chemistry) -> _Terms:
    bonds = _bonds(rough, chemistry)
    shared = np.bincount(bonds[:, 1], minlength=len(rough.species))
    wanted = _wanted(rough, chemistry, bonds, shared)
    lengths = [
        *_own_oxygens(rough, chemistry, shared),
        *_hetero(rough, chemistry),
        *_tetrahedra(rough, chemistry),
        *_bridges(rough, chemistry, bonds, wanted),
        *_links(rough, chemistry, shared),
    ]
    metals, bridging = rough.where(chemistry.metal), np.flatnonzero(wanted)
    summed = np.concatenate([bonds[:, 0] == metals[:, None], bonds[:, 1] == bridging[:, None]])
    oxidation = np.full(len(metals), float(chemistry.oxidation[chemistry.metal]))
    linked = {pair for pair, _, _ in lengths}
    oxygens = [pair for pair in combinations(rough.where("O"), 2) if _near(rough, pair)]
    strangers = [pair for pair in combinations(metals, 2) if pair not in linked and _near(rough, pair)]
    return _Terms(
        pairs=np.array([pair for pair, _, _ in lengths], dtype=np.int64),
        target=np.array([target for _, target, _ in lengths]),
        sigma=np.array([width for _, _, width in lengths]),
        bonds=bonds,
        r0=_r0(rough, chemistry, bonds),
        member=summed.astype(np.float64),
        valence=np.concatenate([oxidation, wanted[bridging]]),
        valence_sigma=np.repeat([METAL_SIGMA, OXYGEN_SIGMA], [len(metals), len(bridging)]),
        pushed=np.array([*oxygens, *strangers], dtype=np.int64),
        contact=np.repeat([OXYGEN_CONTACT, METAL_CONTACT], [len(oxygens), len(strangers)]),
    )


def _near(rough: Draft, pair: tuple[int, int]) -> bool:
    return math.dist(rough.positions[pair[0]], rough.positions[pair[1]]) < REACH


Length = tuple[tuple[int, int], float, float]
"""A pair of atoms, its target and its sigma."""


def own_length(metal: str, own: int, coordination: int) -> float:
    """d of the bonds of a metal to ``own`` oxygens that belong to it alone, angstrom."""
    table = OWN_IN_TETRAHEDRON if coordination == 4 else OWN
    if (metal, own) not in table:
        raise RelaxationError(
            f"{metal}: no length is known for {own} oxygens of its own; add it to valence.py"
        )
    return table[metal, own]


def _own_oxygens(rough: Draft, chemistry: Chemistry, shared: Pairs) -> list[Length]:
    found: list[Length] = []
    for i in rough.where(chemistry.metal):
        own = [int(o) for o in rough.around[i] if shared[o] == 1]
        found += [
            ((int(i), o), own_length(chemistry.metal, len(own), len(rough.around[i])), TERMINAL_SIGMA)
            for o in own
        ]
    return found


def _hetero(rough: Draft, chemistry: Chemistry) -> list[Length]:
    found: list[Length] = []
    for i, name in enumerate(rough.species):
        if name == chemistry.metal or name not in chemistry.oxidation:
            continue
        oxidation = chemistry.oxidation[name]
        d = length_of(name, oxidation, oxidation / len(rough.around[i]))
        found += [((i, int(o)), d, HETERO_SIGMA) for o in rough.around[i]]
    return found


def _tetrahedra(rough: Draft, chemistry: Chemistry) -> list[Length]:
    """Edges of the tetrahedron around every four-coordinate centre."""
    found: list[Length] = []
    for i, name in enumerate(rough.species):
        if len(rough.around[i]) == 4 and name in chemistry.oxidation:
            d = length_of(name, chemistry.oxidation[name], chemistry.oxidation[name] / 4)
            found += [((int(o), int(p)), CIS * d, CIS_SIGMA) for o, p in combinations(rough.around[i], 2)]
    return found


def _bridges(rough: Draft, chemistry: Chemistry, bonds: Pairs, wanted: Floats) -> list[Length]:
    """Bonds of the metals to oxygens whose wanted valence sum is given, with what heteroatoms leave of it."""
    metal = np.array([rough.species[i] == chemistry.metal for i in bonds[:, 0]])
    share = np.array([chemistry.oxidation[rough.species[i]] / rough.coordination[i] for i in bonds[:, 0]])
    n = len(rough.species)
    left = wanted - np.bincount(bonds[~metal, 1], share[~metal], minlength=n)
    count = np.bincount(bonds[metal, 1], minlength=n)
    oxidation = chemistry.oxidation[chemistry.metal]
    return [
        (
            (int(i), int(o)),
            length_of(chemistry.metal, oxidation, max(left[o], LEAST_VALENCE) / count[o]),
            BRIDGE_SIGMA,
        )
        for i, o in bonds[metal]
        if wanted[o] > 0.0
    ]


def _links(rough: Draft, chemistry: Chemistry, shared: Pairs) -> list[Length]:
    """An edge of two oxygens that bind nothing else is narrower than others, and so is that of a capping square
    pyramid; a corner counts only when its oxygen binds nothing else, for it says nothing of metals across a larger
    group."""
    found: list[Length] = []
    for i, j in combinations(rough.where(chemistry.metal), 2):
        common = np.intersect1d(rough.around[i], rough.around[j])
        if len(common) not in LINK_OF_SHARED:
            continue
        kind = LINK_OF_SHARED[len(common)]
        alone = bool((shared[common] == 2).all())
        if kind in chemistry.links and (alone or kind != "corner"):
            capping = rough.coordination[i] != rough.coordination[j]
            narrow = NARROW if kind == "edge" and (alone or capping) else 1.0
            found.append(((int(i), int(j)), chemistry.links[kind] * narrow, LINK_SIGMA))
    return found


def _wanted(rough: Draft, chemistry: Chemistry, bonds: Pairs, shared: Pairs) -> Floats:
    """Valence sum for each bridging oxygen, nought for all other atoms: (n,)."""
    given = 0.0
    for i, o in bonds:
        name = rough.species[i]
        if name != chemistry.metal:
            given += chemistry.oxidation[name] / rough.coordination[i] * float(shared[o] > 1)
        elif shared[o] == 1:
            given -= _own_valence(rough, chemistry, int(i), shared)
    given += chemistry.oxidation[chemistry.metal] * len(rough.where(chemistry.metal))
    hydrogen = np.array([chemistry.hydrogen.get(int(k), 0.0) for k in shared])
    bridging = shared > 1
    mean = (given + hydrogen[bridging].sum()) / bridging.sum()
    wanted: Floats = np.where(bridging, mean - hydrogen, 0.0)
    return wanted


def _own_valence(rough: Draft, chemistry: Chemistry, centre: int, shared: Pairs) -> float:
    """Valence of one bond of a metal of the shell to an oxygen of its own."""
    own = int((shared[rough.around[centre]] == 1).sum())
    d = own_length(chemistry.metal, own, rough.coordination[centre])
    r0 = R0[chemistry.metal, chemistry.oxidation[chemistry.metal]]
    return float(np.exp((r0 - d) / SOFTNESS))
