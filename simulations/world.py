"""What a simulated chemistry is: recipe in, product out, and a pattern of the product when it is measured.

A world stands in for nature. It knows the truth of every product; the truth is kept beside the simulated
devices and never goes on the wire. Worlds are found through the entry-point group ``solvus.worlds``, so
another package can add one.

Everything a world returns depends on its arguments alone: the same seed, experiment and replicate give the
same product and the same pattern in any process and any order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from solvus.drivers.messages import ParameterSpec, Signals, Value
from solvus.models.pattern import Pattern

WORLDS = "solvus.worlds"


class NoProduct(Exception):  # noqa: N818 -- an outcome of chemistry, not a fault
    """The synthesis gave nothing to measure; the message says why in one sentence."""


class WorldError(ValueError):
    """A world that does not exist, or a product it cannot have made."""


class Instrument(BaseModel):
    """The virtual diffractometer, as calibrated with a standard.

    Attributes
    ----------
    qmin, qmax : range of the transform, 1/angstrom.
    qdamp, qbroad : resolution, 1/angstrom.
    wavelength : angstrom.
    rmax, rstep : grid of G(r), angstrom.
    exposure : seconds; noise falls with its square root.
    counts : detected photons per second, atom, electron unit^2 and bin of Q; sets the noise for one second.
    output : ``"pdf"`` for G(r), as a beamline that reduces its own data sends it, or ``"raw"`` for I(Q) with all that
        solvent and container add. A world that knows no raw data sends G(r).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    qmin: float = Field(default=0.8, ge=0.1, lt=10.0)
    qmax: float = Field(default=20.0, gt=5.0, le=35.0)
    qdamp: float = Field(default=0.03, ge=0.0, lt=0.3)
    qbroad: float = Field(default=0.01, ge=0.0, lt=0.1)
    wavelength: float = Field(default=0.1822, gt=0.0, lt=1.0)
    rmax: float = Field(default=60.0, ge=20.0, le=60.0)
    rstep: float = Field(default=0.02, ge=0.01, le=0.1)
    exposure: float = Field(default=60.0, gt=0.0)
    counts: float = Field(default=0.1, gt=0.0)
    output: Literal["pdf", "raw"] = "pdf"

    @model_validator(mode="after")
    def _wavelength_reaches_qmax(self) -> Instrument:
        # Q = 4 pi sin(theta) / wavelength cannot exceed 4 pi / wavelength.
        longest = 4.0 * math.pi / self.qmax
        if self.wavelength > longest:
            raise ValueError(
                f"wavelength: {self.wavelength:g} angstrom cannot reach qmax {self.qmax:g}; "
                f"give at most {longest:.3g}"
            )
        return self


class Product(BaseModel):
    """The truth of one sample of nanoparticles.

    Attributes
    ----------
    composition : chemical formula; the only part that a measuring program would also know.
    fractions : share of the atoms in each family of structures; sums to 1.
    diameter : mean by atoms of the equal-volume diameter, angstrom.
    relative_width : standard deviation of the diameter by atoms over its mean.
    bond_length : mean distance of nearest neighbours in the crystal, angstrom.
    u_iso, delta2 : displacement (angstrom^2) and its correlation between neighbours (angstrom^2).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    world: str
    composition: str
    fractions: dict[str, float]
    diameter: float = Field(gt=0.0)
    relative_width: float = Field(gt=0.0)
    bond_length: float = Field(gt=0.0)
    u_iso: float = Field(gt=0.0)
    delta2: float = Field(default=0.0, ge=0.0)

    @property
    def family(self) -> str:
        """The family with the largest share."""
        return max(self.fractions, key=lambda family: self.fractions[family])


@runtime_checkable
class World(Protocol):
    """A simulated chemistry; the class takes no arguments."""

    parameters: tuple[ParameterSpec, ...]
    """What its synthesis takes, with the limits of the simulated robot."""

    def make(self, recipe: Mapping[str, Value], *, seed: int, experiment: int, replicate: int) -> Product:
        """Carry out a synthesis. Raises :class:`NoProduct` when nothing comes of it."""
        ...

    def minutes(self, recipe: Mapping[str, Value]) -> float:
        """How long the synthesis takes."""
        ...

    def measure(
        self,
        product: Product,
        instrument: Instrument,
        *,
        seed: int,
        experiment: int,
        replicate: int,
        repeat: int = 0,
    ) -> Pattern:
        """Measure a product; ``repeat`` counts the measurements of one sample."""
        ...


@runtime_checkable
class Transparent(World, Protocol):
    """A world whose samples can be looked at before they are measured."""

    def look(self, recipe: Mapping[str, Value], *, seed: int, experiment: int, replicate: int) -> Signals:
        """Cheap signals of what :meth:`make` makes of the same arguments. Raises as ``make``."""
        ...


def find_world(name: str) -> World:
    """The world registered under ``name``.

    Raises
    ------
    WorldError
        When no installed package registers it, or what is registered is no world.
    """
    known = {entry.name: entry for entry in entry_points(group=WORLDS)}
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"installed: {', '.join(sorted(known)) or 'none'}"
        raise WorldError(f"world: {name!r} is not installed; {hint}")
    world = known[name].load()()
    if not isinstance(world, World):
        raise WorldError(f"world: {name!r} lacks one of parameters, make, minutes and measure")
    return world
