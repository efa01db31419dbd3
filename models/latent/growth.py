"""The nearest relatives of a structure: shells more or less, faces moved, another centre, one layer turned.

What the latent space tells is where to look; between structures that differ by a few atoms the pattern decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvus.models.latent.construction import DEEPEST, FEWEST, MOST, Construction, radius_of
from solvus.models.latent.packings import ELSEWHERE, PACKINGS, largest, lengths
from solvus.models.latent.particle import Particle
from solvus.models.structures.elements import CONTACT

Floats = NDArray[np.float64]

SHELLS = 8
"""Outermost shells that are taken away, and nearest that are added."""
LADDER = (0.12, 0.2, 0.3, 0.45, 0.67, 1.0, 1.5, 2.25)
"""Factors on the number of atoms."""
LEAST_LIMIT = 0.25
"""Bond lengths: what a height of zero, of a single plane, is taken for."""
FEW_LAYERS = 6
SIZES = 3
"""Larger and smaller ones of the same shape."""
LARGE = 1500
"""Atoms from which on only the size matters."""
RESOLVED = 0.004
"""Least share of the atoms in a shell: what a pattern can tell of a large particle."""
BARE = 3
"""Neighbours that an added atom has at least."""
LOOSE = 1.15
"""Factor on the other limits while one face moves outward, so that the new layer is not cut."""
SHELL = 1e-4


def relatives(particle: Particle, *, thorough: bool = False) -> list[Particle]:
    """Distinct structures beside the one given; ``thorough`` : with every stacking of few layers."""
    found: dict[tuple[int, int, int], Particle] = {}
    others = every_stacking(particle.construction) if thorough else ()
    for relative in (*_all(particle), *others):
        if relative.n_atoms >= FEWEST and relative.key != particle.key:
            found.setdefault(relative.key, relative)
    return list(found.values())


def _all(particle: Particle) -> Iterator[Particle]:
    if particle.construction.centre == ELSEWHERE and particle.construction.kind.eccentric:
        yield from _shells(particle)
        return
    if particle.n_atoms > LARGE:
        yield from _sizes(particle.construction)
        return
    yield from _shells(particle)
    yield from _faces(particle)
    yield from _sizes(particle.construction)
    yield from _centres(particle.construction)
    yield from _stackings(particle.construction)


def shells_of(construction: Construction, sites: Floats) -> NDArray[np.int64]:
    """Number of the shell that each site belongs to: sites that the packing's symmetry about the centre exchanges."""
    if construction.centre == ELSEWHERE:
        return np.arange(len(sites))
    heights = construction.kind.heights(sites)
    alike = list(construction.kind.alike)
    if alike:
        heights[:, alike] = np.sort(heights[:, alike], axis=1)
    return np.asarray(np.unique(np.round(heights, 3), axis=0, return_inverse=True)[1].ravel())


def _shells(particle: Particle) -> Iterator[Particle]:
    construction = particle.construction
    around = construction.near(float(lengths(particle.sites).max()) + 1.1)
    inside = cKDTree(particle.sites).query(around)[0] < SHELL
    shell = shells_of(construction, around)
    gauge = largest(construction.kind.heights(around) / _limits(construction))
    size = np.bincount(shell)[shell] >= RESOLVED * len(particle.sites)
    outermost = _first(shell[inside & size], -gauge[inside & size])
    for number in outermost:
        yield Particle(construction, around[inside & (shell != number)])
    near = np.array([len(n) for n in cKDTree(particle.sites).query_ball_point(around, CONTACT)])
    growing = ~inside & size & (near >= BARE)
    for number in _first(shell[growing], gauge[growing]):
        yield Particle(construction, around[inside | (growing & (shell == number))])


def _limits(construction: Construction) -> Floats:
    return np.asarray(np.maximum(np.array(construction.tight.heights), LEAST_LIMIT))


def _first(shell: NDArray[np.int64], order: Floats) -> list[int]:
    """Numbers of the first ``SHELLS`` shells in a given order."""
    return list(dict.fromkeys(shell[np.argsort(order, kind="stable")].tolist()))[:SHELLS]


def _faces(particle: Particle) -> Iterator[Particle]:
    """One face moved by one layer; faces that a rotation exchanges one at a time."""
    construction = particle.construction
    if construction.centre == ELSEWHERE and construction.kind.eccentric:
        return
    sites, kind = particle.sites, construction.kind
    limits = kind.heights(sites).max(axis=0)
    around = construction.near(float(lengths(sites).max()) + 1.1)
    heights = kind.heights(around)
    for form in range(len(kind.forms)):
        lower = kind.heights(sites)[:, form] < limits[form] - 1e-3
        if FEWEST <= lower.sum() < len(sites):
            yield Particle(construction, sites[lower])
        above = heights[:, form][heights[:, form] > limits[form] + 1e-3]
        if len(above):
            raised = limits * LOOSE
            raised[form] = above.min() + 1e-3
            grown = around[(heights <= raised).all(axis=1)]
            if len(grown) > len(sites):
                yield Particle(construction, grown)
            apart = limits.copy()
            apart[form] = above.min() + 1e-3
            longer = around[(heights <= np.where(_free(kind.forms), np.inf, apart + 1e-3)).all(axis=1)]
            if len(longer) > len(sites):
                yield Particle(construction, longer)


def _free(forms: tuple[str, ...]) -> NDArray[np.bool_]:
    """Forms that only follow the others in a particle bounded by flat faces."""
    return np.array([form in ("sphere", "pyramid", "prism-11", "110", "111") for form in forms])


def resized(
    construction: Construction, like: Construction | None = None, factor: float = 1.0
) -> list[Construction]:
    """The same shape with the nearest numbers of atoms, nearest first.

    Parameters
    ----------
    like : whose faces and size are taken, where the centre of ``construction`` is another.
    factor : on the number of atoms.
    """
    like = like or construction
    heights = np.maximum(np.array(like.lean.heights), LEAST_LIMIT)
    atoms = factor * like.n_atoms
    reach = 1.25 * float(lengths(like.sites).max()) * max(1.0, factor) ** (1.0 / 3.0) + 1.2
    sites = construction.near(reach)
    gauge = np.sort(largest(PACKINGS[construction.packing].heights(sites) / heights))
    ends = np.flatnonzero(np.diff(gauge, append=np.inf) > SHELL) + 1
    ends = ends[(ends >= FEWEST) & (ends < len(gauge))]
    order = ends[np.argsort(np.abs(np.log(ends / atoms)), kind="stable")][: 2 * SIZES]
    return [
        replace(construction, heights=tuple(float(h * gauge[e - 1] * (1.0 + 0.5 * SHELL)) for h in heights))
        for e in order.tolist()
    ]


def ladder(particle: Particle) -> list[Particle]:
    """The same shape, and a sphere of the same packing, in other sizes, far apart."""
    found: list[Particle] = []
    if particle.construction.centre == ELSEWHERE and particle.construction.kind.eccentric:
        return found
    for shape in (particle.construction, _sphere(particle.construction)):
        for factor in LADDER if shape.n_atoms >= FEWEST else ():
            if FEWEST <= factor * particle.n_atoms <= MOST:
                found += [Particle.of(other) for other in resized(shape, factor=factor)[:1]]
    return found


def spheres(particle: Particle) -> list[Particle]:
    """Of the same packing and about the same number of atoms, about each of its special positions."""
    construction = particle.construction
    if construction.centre == ELSEWHERE and construction.kind.eccentric:
        return []
    shape = _sphere(construction)
    if shape.n_atoms < FEWEST:
        return []
    return [
        Particle.of(other)
        for name in construction.kind.centres
        for other in resized(replace(shape, centre=name), shape)[:4]
    ]


def _sphere(construction: Construction) -> Construction:
    """Of the same packing, centre and number of atoms."""
    radius = radius_of(construction.packing, construction.n_atoms)
    others = (math.inf,) * (len(construction.heights) - 1)
    return replace(construction, heights=(radius, *others))


def _sizes(construction: Construction) -> Iterator[Particle]:
    for other in resized(construction):
        yield Particle.of(other)


def _centres(construction: Construction) -> Iterator[Particle]:
    if construction.centre == ELSEWHERE:
        return
    for name in construction.kind.centres:
        if name != construction.centre:
            for other in resized(replace(construction, centre=name), construction)[:2]:
                yield Particle.of(other)


def every_stacking(construction: Construction) -> list[Particle]:
    """All stackings of a particle of at most ``FEW_LAYERS`` layers whose letters matter; nothing for others."""
    inner = sorted(construction.layers)
    if not construction.letters or not 0 < len(inner) <= FEW_LAYERS:
        return []
    found = []
    for word in product("hc", repeat=len(inner)):
        letters = list(construction.letters)
        for layer, letter in zip(inner, word, strict=True):
            letters[layer + DEEPEST] = letter
        found.append(Particle.of(replace(construction, letters="".join(letters))))
    return found


def _stackings(construction: Construction) -> Iterator[Particle]:
    """One layer turned from h to c or back, or all moved by one; nothing where a cluster is no stacking."""
    if construction.letters:
        for letters in (construction.letters[1:] + "c", "c" + construction.letters[:-1]):
            yield Particle.of(replace(construction, letters=letters))
    inner = sorted(construction.layers, key=abs)[:SHELLS]
    for layer in inner:
        place = layer + DEEPEST
        if 0 <= place < len(construction.letters):
            turned = "c" if construction.letters[place] == "h" else "h"
            letters = construction.letters[:place] + turned + construction.letters[place + 1 :]
            yield Particle.of(replace(construction, letters=letters))
