"""From places in the latent space to atoms.

The speaker's words are made into a :class:`~solvus.models.latent.construction.Construction`: sites of the packing are
ordered by how near they lie to the limits, and the particle ends between two shells of equivalent sites, where number
of atoms and heights agree best with what was said. Every structure is a piece of a packing, so none has atoms that
overlap, and the cost does not depend on the dimensions of the latent space but on the number of atoms alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.latent.construction import FEWEST, MOST, Construction, radius_of
from solvus.models.latent.network import CENTRES, NAMES, Autoencoder, Spoken
from solvus.models.latent.packings import ELSEWHERE, MOST_ECCENTRIC, PACKINGS, largest

Floats = NDArray[np.float64]

WIDEST = 2.6
"""Reach of the sites that are looked at, in radii of the sphere of equal volume."""
LOOSE = 1.35
"""Factor on the heights within which the particle ends."""
SHELL = 1e-4
"""Relative difference of the gauge between two shells of equivalent sites."""
SIZE_SD, HEIGHT_SD = 0.02, 0.03
"""Least standard deviations, of logarithms, with which number of atoms (a third of it) and heights are weighed."""
EVEN = 0.03
"""Logarithm of the ratio of heights that a rotation exchanges, below which they are taken for equal."""


@dataclass(frozen=True)
class _Words:
    """One particle as the speaker says it, numbers only."""

    packing: str
    centre: str
    heights: Floats
    radius: float
    radius_sd: float
    letters: str
    eccentricity: float


def decoded(
    model: Autoencoder, z: Floats, generator: np.random.Generator | None = None
) -> list[Construction | None]:
    """A structure for each place; ``None`` where what is said makes none.

    Parameters
    ----------
    z : (n, d).
    generator : draws from what the speaker holds possible; without one, the most probable is taken.
    """
    with torch.inference_mode():
        spoken = model.speak(torch.from_numpy(z.astype(np.float32)))
    return [_built(_words(spoken, k, generator), generator) for k in range(len(z))]


def _words(spoken: Spoken, row: int, generator: np.random.Generator | None) -> _Words:
    def normal(mean: torch.Tensor, sd: torch.Tensor) -> Floats:
        centre = mean.double().numpy()
        if generator is None:
            return np.asarray(centre)
        return np.asarray(centre + sd.double().numpy() * generator.standard_normal(centre.shape))

    p = _chosen(spoken.packing[row], generator)
    packing = PACKINGS[NAMES[p]]
    names = CENTRES[p]
    centre = names[_chosen(spoken.centre[row, p, : len(names)], generator)]
    forms = len(packing.forms)
    heights = normal(spoken.height[row, p, :forms], spoken.height_sd[row, p, :forms])
    radius = math.exp(float(normal(spoken.radius[row], spoken.radius_sd[row])))
    share = torch.sigmoid(spoken.letters[row]).double().numpy()
    drawn = generator.random(len(share)) if generator is not None else np.full(len(share), 0.5)
    letters = "".join("h" if s > d else "c" for s, d in zip(share, drawn, strict=True))
    apart = float(normal(spoken.eccentricity[row], spoken.eccentricity_sd[row]))
    return _Words(
        packing.name,
        centre,
        _evened(heights, packing.alike),
        radius,
        max(SIZE_SD, float(spoken.radius_sd[row])),
        letters if packing.layered else "",
        max(0.0, apart),
    )


def _evened(heights: Floats, alike: tuple[int, ...]) -> Floats:
    """Logarithms of heights, with those that a rotation exchanges made equal where they nearly are."""
    if alike and np.ptp(heights[list(alike)]) < EVEN:
        heights[list(alike)] = heights[list(alike)].mean()
    return heights


def _chosen(logits: torch.Tensor, generator: np.random.Generator | None) -> int:
    p = torch.softmax(logits.double(), 0).numpy()
    return int(p.argmax()) if generator is None else int(generator.choice(len(p), p=p / p.sum()))


def _built(words: _Words, generator: np.random.Generator | None) -> Construction | None:
    packing = PACKINGS[words.packing]
    heights = np.exp(words.heights) * words.radius
    offset = (0.0, 0.0, 0.0)
    if words.centre == ELSEWHERE and packing.eccentric and words.radius > MOST_ECCENTRIC:
        return None  # no such particle was ever shown to the speaker
    if words.centre == ELSEWHERE:
        offset = _offset(words, generator or np.random.default_rng(0))
        if packing.eccentric:
            # Beside its axis a particle has no faces of the packing's forms.
            heights[1:] = math.inf
    plain = Construction(words.packing, words.centre, tuple(heights * LOOSE), offset, words.letters)
    sites = plain.near(min(plain.reach, WIDEST * words.radius + 1.0))
    gauge = np.sort(largest(packing.heights(sites) / heights))
    ends = np.flatnonzero(np.diff(gauge, append=np.inf) > SHELL * np.maximum(gauge, 0.1)) + 1
    ends = ends[(ends >= FEWEST) & (ends <= MOST)]
    if not len(ends):
        return None
    atoms = (words.radius / radius_of(words.packing, 1.0)) ** 3
    size = np.log(ends / atoms) / 3.0 / words.radius_sd
    cut = np.log(np.maximum(gauge[ends - 1], 1e-3)) / HEIGHT_SD
    # A limit between the last shell inside and the first outside is as good as any other.
    outside = np.log(np.append(gauge, np.inf)[ends]) / HEIGHT_SD
    cut = np.where((cut < 0) & (outside > 0), 0.0, np.minimum(np.abs(cut), np.abs(outside)))
    best = int(ends[np.argmin(size**2 + cut**2)])
    level = float(gauge[best - 1]) * (1.0 + 0.5 * SHELL)
    limits = tuple(float(h) for h in heights * level)
    found = Construction(words.packing, words.centre, limits, offset, words.letters)
    return found.tight if found.n_atoms >= FEWEST else None


def _offset(words: _Words, generator: np.random.Generator) -> tuple[float, float, float]:
    """A place of the centre: drawn in the cell of a crystal, or at the distance said from the axis of a twin."""
    if not PACKINGS[words.packing].eccentric:
        x, y, z = generator.uniform(-0.5, 0.5, 3)
        return float(x), float(y), float(z)
    direction = generator.standard_normal(3)
    if words.packing == "decahedral":
        direction[2] = 0.0
    x, y, z = direction * (words.eccentricity * words.radius / np.linalg.norm(direction))
    return float(x), float(y), float(z)
