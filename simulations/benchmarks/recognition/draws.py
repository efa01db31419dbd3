"""Test patterns of known origin for recognition, computed by programs other than our own engine.

    a set  =  what is drawn (a structure and conditions, by seed and index)
              -> a noise-free curve by DebyeCalculator, diffpy.pdffit2 or a plain pair sum, kept in a folder
              -> the same curve with noise, as a :class:`Draw`

Everything drawn follows from the seed and the index of the draw alone, so that draw 17 is the same whether 20 are
asked for or 2,000, and the same noise is added at every level. G(r) stands on ``R``, in 1/angstrom^2, with the
normalisation in which a crystal has the baseline -4 pi rho r. Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Conditions, Pattern
from solvus.simulations.benchmarks.recognition.cached import Clean, Shelf
from solvus.simulations.benchmarks.recognition.noise import white_noise

Floats = NDArray[np.float64]
Range = tuple[float, float]
"""Least and greatest value, drawn uniformly; equal for a fixed value."""

R_STEP = 0.02
"""angstrom, a sixth of the Nyquist step at Qmax 25."""
R: Floats = np.asarray(np.arange(1501) * R_STEP, dtype=np.float64)
"""Where every set is computed: 0 to 30 angstrom."""
ORDER, VALUES, NOISE = 1, 2, 3
"""Streams of random numbers of one seed: the order of the structures, the conditions, the noise."""


class DrawError(ValueError):
    """A set that cannot be made: a peer that is missing, or a count that is none. One sentence."""


@dataclass(frozen=True)
class Draw:
    """One test pattern.

    Attributes
    ----------
    pattern : G(r) with its conditions (radiation, Qmin, Qmax, Qdamp), without composition.
    truth : name of the record or geometry that it was made of.
    type : structure type: oxide prototype, kind of polyoxometalate, kind of metal cluster.
    elements : of the structure.
    diameter : of the particle, angstrom; ``None`` for an endless crystal.
    bond : nearest-neighbour distance, of metals only, angstrom.
    conditions : everything that was drawn: ranges of Q, displacements, strains, and ``noise``, the standard deviation
        per Nyquist point as a share of max|G|.
    """

    pattern: Pattern
    truth: str
    type: str
    elements: frozenset[str]
    diameter: float | None
    bond: float | None
    conditions: dict[str, float]


@dataclass(frozen=True)
class Task:
    """How a set is made.

    Attributes
    ----------
    name : of the set, for the folder.
    recipe : everything that the curves depend on besides seed and index; equal recipes share a folder.
    make : the curve for the number of a structure and the random numbers of one draw.
    structures : how many there are to choose from.
    """

    name: str
    recipe: Mapping[str, Any]
    make: Callable[[int, np.random.Generator], Clean]
    structures: int


def drawn(
    task: Task, *, noise: float, seed: int, count: int | None, cache: Path, r_range: Range = (0.0, 30.0)
) -> Iterator[Draw]:
    """The draws of a set in their order: every structure once in random order, then all over again.

    Parameters
    ----------
    noise : standard deviation of the noise per Nyquist point, as a share of max|G|.
    count : how many; one for each structure by default.
    cache : folder where noise-free curves are kept.
    r_range : part of ``R`` that the pattern holds.

    Raises
    ------
    DrawError
        For a count or noise below zero.
    """
    wanted = task.structures if count is None else count
    if wanted < 0:
        raise DrawError(f"count: {wanted} is less than none; leave it out for one draw of each structure")
    if noise < 0:
        raise DrawError(f"noise: {noise:g} is a share of the highest peak and cannot be negative")
    order = np.random.default_rng([seed, ORDER]).permutation(task.structures)

    def make(index: int) -> Clean:
        generator = np.random.default_rng([seed, VALUES, index])
        return task.make(int(order[index % task.structures]), generator)

    shelf = Shelf(cache, task.name, {**task.recipe, "seed": seed, "points": len(R), "step": R_STEP})
    for index, clean in enumerate(shelf.rows(make, wanted)):
        yield _noisy(clean, noise, np.random.default_rng([seed, NOISE, index]), r_range)


def _noisy(clean: Clean, noise: float, generator: np.random.Generator, r_range: Range) -> Draw:
    limits = {name: clean.conditions[name] for name in ("qmin", "qmax", "qdamp")}
    level = noise * float(np.abs(clean.g).max())
    g = clean.g + level * white_noise(R, limits["qmax"], generator)
    inside = (r_range[0] - 0.5 * R_STEP <= R) & (r_range[1] + 0.5 * R_STEP >= R)
    return Draw(
        pattern=Pattern(quantity="G", x=R[inside], y=g[inside], conditions=Conditions(**limits)),
        truth=clean.truth,
        type=clean.type,
        elements=clean.elements,
        diameter=clean.diameter,
        bond=clean.bond,
        conditions={**clean.conditions, "noise": noise},
    )


def uniform(generator: np.random.Generator, values: Range) -> float:
    """One value from a range."""
    return float(generator.uniform(*values))


def named(values: Mapping[str, Range], generator: np.random.Generator) -> dict[str, float]:
    """One value from each range, by name, in the order given."""
    return {name: uniform(generator, limits) for name, limits in values.items()}
