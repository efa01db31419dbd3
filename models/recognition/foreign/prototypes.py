"""Crystals of other chemistry: published structure types filled with the elements of known compounds.

``prototypes.json`` holds the types as published: space group, setting and sites, each a role (``A``, ``B``, ``C``,
``X``, ``Y``) at fractional coordinates. ``members.json`` says which elements fill the roles, in their order in the
sites, and with what cell; a list ``[a]``, ``[a, c]``, ``[a, b, c]`` or ``[a, b, c, beta]`` leaves out what the symmetry
fixes. Lengths in angstrom, angles in degrees. Coordinates that the symmetry leaves free are those of the type, so that
they are off by some hundredths of the cell in a few members: enough for a pattern of that chemistry, not for a
refinement.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from solvus.models.refinement.symmetry import operations, orbit
from solvus.models.structures.record import Record

Split = Literal["training", "threshold", "test"]
Cell = tuple[float, float, float, float, float, float]
Site = tuple[str, float, float, float]

FIRST_CUBIC, FIRST_HEXAGONAL, FIRST_TETRAGONAL, FIRST_ORTHORHOMBIC, FIRST_MONOCLINIC = 195, 143, 75, 16, 3
"""Space groups are numbered by crystal system; trigonal ones are written with hexagonal axes here."""
CELLS_FROM = "cell as tabulated by Wyckoff (1963-1965) or Villars and Calvert, Pearson's Handbook (1991)"


class ForeignError(ValueError):
    """A prototype or member that does not fit together; one sentence names it."""


def _sites(value: object) -> object:
    """``"A 0 0 0; X 1/3 2/3 0.25"`` to role and position of each site."""
    if not isinstance(value, str):
        return value
    entries = (entry.split() for entry in value.split(";"))
    return [(role, *(float(Fraction(number)) for number in place)) for role, *place in entries]


class Prototype(BaseModel):
    """A structure type: its sites, each with the role that fills it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    space_group: int = Field(ge=1, le=230)
    setting: Literal[1, 2] = 1
    sites: Annotated[tuple[Site, ...], BeforeValidator(_sites)]
    source: str

    @property
    def roles(self) -> tuple[str, ...]:
        """In the order of their first site."""
        return tuple(dict.fromkeys(role for role, *_ in self.sites))


class Group(BaseModel):
    """Compounds of one kind: elements, in the order of the prototype's roles, to the free lengths of the cell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Split
    chemistry: str
    kind: str
    prototype: str
    members: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Member:
    """One compound: a kind's prototype with its elements and cell."""

    group: Group
    prototype: Prototype
    elements: tuple[str, ...]
    cell: Cell

    def record(self) -> Record:
        """The structure, named by its formula and kind."""
        filled = dict(zip(self.prototype.roles, self.elements, strict=True))
        species = tuple(filled[role] for role, *_ in self.prototype.sites)
        positions = np.array([place for _, *place in self.prototype.sites], dtype=np.float64)
        symmetry = operations(self.prototype.space_group, self.prototype.setting)
        counts = dict.fromkeys(filled.values(), 0)
        for element, place in zip(species, positions, strict=True):
            counts[element] += len(orbit(symmetry, place).positions)
        formula = _formula(counts)
        return Record(
            name=f"{formula} {self.group.kind}",
            family="compound",
            type=self.group.kind,
            formula=formula,
            species=species,
            positions=positions,
            source=f"{CELLS_FROM}; type {self.prototype.type}, {self.prototype.source}",
            space_group=self.prototype.space_group,
            setting=self.prototype.setting,
            cell=self.cell,
        )


def crystals(split: Split) -> Iterator[Record]:
    """Every compound of one split, by kind in the order of the data file.

    Raises
    ------
    ForeignError
        For a member that does not fill its prototype; the message names both.
    """
    types = _prototypes()
    for group in _groups():
        if group.split == split:
            prototype = types[group.prototype]
            for name, free in group.members.items():
                elements = tuple(name.split())
                if len(elements) != len(prototype.roles):
                    raise ForeignError(
                        f"members: {name!r} of {group.kind} needs one element for each of {prototype.roles}"
                    )
                yield Member(group, prototype, elements, whole_cell(prototype.space_group, free)).record()


def chemistry_of_crystals() -> dict[str, str]:
    """Chemistry (halide, intermetallic, ...) by kind."""
    return {group.kind: group.chemistry for group in _groups()}


def whole_cell(space_group: int, free: tuple[float, ...]) -> Cell:
    """a, b, c, alpha, beta, gamma from the parameters that the crystal system leaves free.

    Raises
    ------
    ForeignError
        For another number of parameters than the system has.
    """
    match space_group, free:
        case group, (a,) if group >= FIRST_CUBIC:
            return (a, a, a, 90.0, 90.0, 90.0)
        case group, (a, c) if FIRST_HEXAGONAL <= group < FIRST_CUBIC:
            return (a, a, c, 90.0, 90.0, 120.0)
        case group, (a, c) if FIRST_TETRAGONAL <= group < FIRST_HEXAGONAL:
            return (a, a, c, 90.0, 90.0, 90.0)
        case group, (a, b, c) if FIRST_ORTHORHOMBIC <= group < FIRST_TETRAGONAL:
            return (a, b, c, 90.0, 90.0, 90.0)
        case group, (a, b, c, beta) if FIRST_MONOCLINIC <= group < FIRST_ORTHORHOMBIC:
            return (a, b, c, 90.0, beta, 90.0)
    raise ForeignError(f"members: {list(free)} is no cell of space group {space_group}")


def _formula(counts: dict[str, int]) -> str:
    """Reduced, in the order of the roles."""
    divisor = int(np.gcd.reduce(list(counts.values())))
    return "".join(f"{e}{n // divisor if n > divisor else ''}" for e, n in counts.items())


@cache
def _prototypes() -> dict[str, Prototype]:
    read = TypeAdapter(list[Prototype]).validate_json(
        Path(__file__).with_name("prototypes.json").read_text("utf-8")
    )
    return {prototype.type: prototype for prototype in read}


@cache
def _groups() -> tuple[Group, ...]:
    text = Path(__file__).with_name("members.json").read_text("utf-8")
    return tuple(TypeAdapter(list[Group]).validate_python(json.loads(text)))
