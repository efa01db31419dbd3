"""Random dense packings of rigid bodies: atoms as hard spheres, or whole molecules, in a sphere.

Bodies start at random places and orientations in a periodic cubic box and are pushed apart until nothing overlaps much:
where atoms i and j of two bodies, with radii c_i and c_j, are nearer than c_i + c_j, each is pushed away by half of
what is missing. A body follows the mean push on its atoms and turns with

    omega = sum_i (x_i - centre) x push_i / sum_i |x_i - centre|^2,      i over its contacts,

so that only relative positions between bodies change. Of the result, the bodies with their centre in the largest sphere
inside the box are kept: a droplet with free boundary, whose pattern holds no repeat of the box. Lengths in angstrom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

Floats = NDArray[np.float64]

SWEEPS = 120
"""Pushes after which a packing at 60 % filling has lost its overlaps but for a few per cent of a diameter."""
LARGEST_TURN = 0.3
"""Radian in one sweep; beyond, the linear rule for omega overshoots."""
SAMPLES = 4000
"""Points per body for its volume: good to 2 %."""


@dataclass(frozen=True)
class Body:
    """One rigid body: ``places`` (m, 3) about its centre, ``radii`` (m,) of contact with other bodies."""

    species: tuple[str, ...]
    places: Floats
    radii: Floats


def volume(body: Body) -> float:
    """Of the union of a body's spheres, angstrom^3, from fixed points."""
    low = (body.places - body.radii[:, None]).min(axis=0)
    high = (body.places + body.radii[:, None]).max(axis=0)
    points = low + (high - low) * np.random.default_rng(0).random((SAMPLES, 3))
    distance = np.linalg.norm(points[:, None] - body.places[None], axis=-1)
    return float((distance < body.radii).any(axis=1).mean() * np.prod(high - low))


@dataclass(frozen=True)
class Box:
    """Bodies in a periodic cube of length ``size``: ``centres`` (n, 3), and the atoms (m,) of ``owner`` at ``offsets``
    (m, 3) from them."""

    size: float
    centres: Floats
    offsets: Floats
    owner: NDArray[np.int64]
    species: tuple[str, ...]

    def droplet(self) -> tuple[tuple[str, ...], Floats]:
        """Species and positions (k, 3) of the bodies in the largest sphere inside, about its middle."""
        centres = self.centres % self.size - self.size / 2
        kept = (np.linalg.norm(centres, axis=1) <= self.size / 2)[self.owner]
        positions: Floats = (centres[self.owner] + self.offsets)[kept]
        return tuple(name for name, here in zip(self.species, kept, strict=True) if here), positions


def packed_box(bodies: Sequence[Body], filling: float, seed: Sequence[int]) -> Box:
    """A random packing.

    Parameters
    ----------
    bodies : all that the box holds.
    filling : share of the box that the bodies' volumes take; random packings jam at 0.64.
    seed : whole numbers that together fix the draw.
    """
    draw = np.random.default_rng(list(seed))
    volumes = {id(body): volume(body) for body in {id(body): body for body in bodies}.values()}
    size = (sum(volumes[id(body)] for body in bodies) / filling) ** (1 / 3)
    owner = np.repeat(np.arange(len(bodies)), [len(body.radii) for body in bodies])
    radii = np.concatenate([body.radii for body in bodies])
    centres = size * draw.random((len(bodies), 3))
    turns = Rotation.random(len(bodies), random_state=draw)
    offsets = turns[owner].apply(np.concatenate([body.places for body in bodies]))
    for _ in range(SWEEPS):
        centres, offsets = _sweep(centres, offsets, owner, radii, size)
    species = tuple(name for body in bodies for name in body.species)
    return Box(size, centres, offsets, owner, species)


def _sweep(
    centres: Floats, offsets: Floats, owner: NDArray[np.int64], radii: Floats, box: float
) -> tuple[Floats, Floats]:
    places = (centres[owner] + offsets) % box
    tree = cKDTree(places % box, boxsize=box)
    i, j = tree.query_pairs(2.0 * radii.max(), output_type="ndarray").T
    apart = owner[i] != owner[j]
    i, j = i[apart], j[apart]
    away = (places[i] - places[j] + box / 2) % box - box / 2
    distance = np.linalg.norm(away, axis=1)
    lacking = radii[i] + radii[j] - distance
    touching = lacking > 0.0
    i, j = i[touching], j[touching]
    push = 0.5 * away[touching] * (lacking[touching] / np.maximum(distance[touching], 1e-9))[:, None]
    pushed, pushes = np.concatenate([i, j]), np.concatenate([push, -push])
    body, arm = owner[pushed], offsets[pushed]
    n = len(centres)
    contacts = np.maximum(np.bincount(body, minlength=n), 1)
    shift = _summed(body, pushes, n) / contacts[:, None]
    # A body that touches several others on all sides must still yield: the mean push alone is too timid.
    shift *= np.minimum(contacts, 3)[:, None] ** 0.5
    turning = _summed(body, np.cross(arm, pushes), n)
    lever = np.bincount(body, weights=(arm**2).sum(axis=1), minlength=n)
    omega = turning / np.maximum(lever, 1e-9)[:, None]
    angle = np.linalg.norm(omega, axis=1, keepdims=True)
    omega *= np.minimum(1.0, LARGEST_TURN / np.maximum(angle, 1e-9))
    turned: Floats = Rotation.from_rotvec(omega)[owner].apply(offsets)
    return centres + shift, turned


def _summed(group: NDArray[np.int64], vectors: Floats, n: int) -> Floats:
    """Vectors (m, 3) added up by group: (n, 3)."""
    return np.stack([np.bincount(group, weights=vectors[:, k], minlength=n) for k in range(3)], axis=1)
