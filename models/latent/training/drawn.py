"""Particles for training: random packings, centres, faces, stackings and sizes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvus.models.latent.construction import DEEPEST, Construction, radius_of
from solvus.models.latent.packings import ELSEWHERE, MOST_ECCENTRIC, PACKINGS, Packing

Floats = NDArray[np.float64]
Generator = np.random.Generator

SHARES = {"fcc": 0.24, "layers": 0.28, "bcc": 0.14, "sc": 0.08, "decahedral": 0.15, "icosahedral": 0.11}
"""How often each packing is drawn."""
SMALL, LARGE = (5.0, 1500.0), (1500.0, 8000.0)
"""Atoms; larger particles scatter as these do, but for what lies beyond the data."""
OF_LARGE = 0.05
ELSEWHERE_SHARE = 0.12
CUTS = (1.0, 1.5)
"""Relative heights of the forms that cut."""
ELONGATED, ELONGATION = 0.4, 0.5
"""Share of particles whose axes differ, and the standard deviation of their logarithms."""
PLATE = 0.8
"""The same deviation for layers, whose axes always differ: from rods of two rows to plates of two layers."""
ECCENTRIC = (0.1, 1.1)
"""Distance of the axis from the centre, in radii."""
STACKINGS = (0.45, 0.2, 0.35)
"""Shares of hcp, of one twin or fault, and of any mixture."""


def drawn(generator: Generator) -> Construction:
    """One particle, written tightly."""
    while True:
        found = _attempt(generator)
        if found is not None and 5 <= found.n_atoms <= 2 * LARGE[1]:
            return found.tight


def _attempt(generator: Generator) -> Construction | None:
    packing = PACKINGS[str(generator.choice(list(SHARES), p=np.array(list(SHARES.values()))))]
    limits = LARGE if generator.random() < OF_LARGE else SMALL
    atoms = math.exp(generator.uniform(*np.log(limits)))
    radius = radius_of(packing.name, atoms)
    centre, offset = _centre(packing, radius, generator)
    relative = _relative(packing, centre, generator)
    letters = _stacking(generator) if packing.layered else ""
    # A shape of faces is smaller than the sphere of its heights; the sites sorted by the gauge give the right size.
    bounded = Construction(packing.name, centre, tuple(3.0 * radius * relative), offset, letters)
    reach = min(bounded.reach, 4.0 * radius + 2.0)
    if not math.isfinite(reach):
        return None
    sites = bounded.near(reach)
    gauge = (packing.heights(sites) / relative).max(axis=1)
    if len(gauge) < atoms:
        return None
    level = np.partition(gauge, round(atoms) - 1)[round(atoms) - 1]
    return Construction(packing.name, centre, tuple(level * relative * (1.0 + 1e-6)), offset, letters)


def _centre(packing: Packing, radius: float, generator: Generator) -> tuple[str, tuple[float, float, float]]:
    if generator.random() < ELSEWHERE_SHARE and not (packing.eccentric and radius > MOST_ECCENTRIC):
        direction = generator.standard_normal(3)
        if packing.name == "decahedral":
            direction[2] = 0.0
        direction /= np.linalg.norm(direction)
        distance = radius * generator.uniform(*ECCENTRIC) if packing.eccentric else 1.0
        place = distance * direction if packing.eccentric else generator.uniform(-0.5, 0.5, 3)
        return ELSEWHERE, (float(place[0]), float(place[1]), float(place[2]))
    names = list(packing.centres)
    weights = np.ones(len(names))
    weights[0] = 2.0
    if packing.layered:
        weights[names.index("block-between")] = 6.0
        weights[names.index("hollow-between")] = 2.0
    return str(generator.choice(names, p=weights / weights.sum())), (0.0, 0.0, 0.0)


def _relative(packing: Packing, centre: str, generator: Generator) -> Floats:
    """Heights of the forms to within a factor; infinite for those that do not cut."""
    forms = packing.forms
    if centre == ELSEWHERE and packing.eccentric:
        return np.array([1.0] + [math.inf] * (len(forms) - 1))
    cut = generator.random(len(forms)) < 0.5
    if not cut.any():
        cut[0] = True
    heights = np.where(cut, generator.uniform(*CUTS, len(forms)), math.inf)
    if packing.name in ("fcc", "bcc", "sc"):
        heights[1:4] = _axes(heights[1], ELONGATED, ELONGATION, generator)
    elif packing.layered:
        heights = _of_layers(heights, generator)
    elif packing.name == "decahedral" and not cut[0]:
        # A cap or a side must close the particle along and across the axis.
        heights[2] = generator.uniform(0.6, 1.8)
        heights[3] = generator.uniform(1.0, 1.5)
    elif packing.name == "icosahedral" and not cut[0]:
        heights[1] = generator.uniform(*CUTS)
    if not np.isfinite(heights).any():
        heights[0] = 1.0
    return heights


def _axes(height: float, share: float, deviation: float, generator: Generator) -> Floats:
    """The three heights of forms that a rotation exchanges."""
    if not math.isfinite(height):
        return np.full(3, math.inf)
    spread = np.exp(deviation * generator.standard_normal(3)) if generator.random() < share else np.ones(3)
    return np.asarray(height * spread)


def _of_layers(heights: Floats, generator: Generator) -> Floats:
    """Spheres, hexagonal prisms with or without pyramids, and parallelepipeds."""
    shape = generator.random()
    if shape < 0.35:
        heights[1:] = math.inf
        heights[0] = 1.0
    elif shape < 0.6:
        heights[2:5] = generator.uniform(*CUTS)
        heights[1] = generator.uniform(*CUTS) * math.exp(PLATE * generator.standard_normal())
    else:
        heights[:] = math.inf
        heights[1:4] = np.exp(PLATE * generator.standard_normal(3))
    return heights


def _stacking(generator: Generator) -> str:
    span = 2 * DEEPEST + 2
    hexagonal, twin, _ = STACKINGS
    chance = generator.random()
    if chance < hexagonal:
        return "h" * span
    if chance < hexagonal + twin:
        letters = list("c" * span if generator.random() < 0.7 else "h" * span)
        place = DEEPEST + int(generator.integers(-3, 4))
        for k in range(int(generator.integers(1, 3))):
            letters[place + k] = "h" if letters[place + k] == "c" else "c"
        return "".join(letters)
    share = generator.uniform(0.1, 0.9)
    return "".join("h" if generator.random() < share else "c" for _ in range(span))
