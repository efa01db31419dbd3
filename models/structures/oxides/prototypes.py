"""Structure types that metals are put into, and the published cells of compounds that have them.

A prototype is a crystal whose cations are roles (``A``, ``B``, ``C``) instead of ions. ``prototypes.json`` holds
them, ``known_cells.json`` the cells of known members, by the ions of the roles: ``"Sr2+ Ti4+": [3.905]``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from solvus.models.structures.oxides.facts import FactError, Oxide, Site
from solvus.models.structures.oxides.radii import bond_length, radius, split_ion
from solvus.models.structures.oxides.symmetry import equivalent

Ions = tuple[str, ...]
"""One ion for each role of a prototype, in its order."""


class Role(BaseModel):
    """What one kind of cation does: its coordination number and, where chemistry narrows it, the ions allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coordination: int = Field(ge=1, le=12)
    only: frozenset[str] | None = None


class Rule(BaseModel):
    """A quotient of radii that a combination must have to take a structure type.

    ``tolerance``: (r_A + r_O) / (sqrt(2) (r_B + r_O)) with r_A in twelve-fold coordination (V. M. Goldschmidt,
    Naturwissenschaften 14, 477 (1926)); r_B is the mean of the roles after the first. ``ratio``: r_A / r_B, each in
    its own coordination.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["tolerance", "ratio"]
    between: tuple[float, float]


def _template(value: object) -> object:
    """``"A 0 0 0; O 0.3 0.3 0"`` to label, position and occupancy of each site."""
    if not isinstance(value, str):
        return value
    return [entry.split() for entry in value.split(";")]


class Prototype(BaseModel):
    """A structure type.

    Attributes
    ----------
    type : its name, the ``type`` of the records made of it.
    sites : label (a role, or ``O``), position and, where filled in part, occupancy.
    roles : by label, in the order of the formula.
    charges : combinations of the roles' charges that balance.
    rule : what quotient of radii the type needs, if any.
    rivals : types that the same composition takes instead: where one of those is known, this one is not proposed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    space_group: int = Field(ge=1, le=230)
    setting: int = 1
    sites: Annotated[tuple[tuple[str, ...], ...], BeforeValidator(_template)]
    roles: dict[str, Role]
    charges: tuple[tuple[int, ...], ...]
    rule: Rule | None = None
    rivals: frozenset[str] = frozenset()
    source: str

    @cached_property
    def placed(self) -> tuple[Site, ...]:
        """The sites with their role in place of the ion."""
        placed: list[Site] = []
        for label, x, y, z, *filled in self.sites:
            if label != "O" and label not in self.roles:
                raise FactError(f"{self.type}: site {label!r} is no role")
            placed.append(
                Site(label, (_number(x), _number(y), _number(z)), _number(filled[0]) if filled else 1.0)
            )
        return tuple(placed)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How many equivalent positions each site has."""
        return tuple(len(equivalent(self.space_group, self.setting, site.position)) for site in self.placed)

    @cached_property
    def shares(self) -> dict[str, float]:
        """How many of each label one cell holds."""
        counts = dict.fromkeys([*self.roles, "O"], 0.0)
        for site, count in zip(self.placed, self.counts, strict=True):
            counts[site.ion] += count * site.occupancy
        return counts

    def fill(self, ions: Ions) -> tuple[Site, ...]:
        """The sites with the ions in their roles, at the prototype's coordinates."""
        named = {**dict(zip(self.roles, ions, strict=True)), "O": "O2-"}
        return tuple(replace(site, ion=named[site.ion]) for site in self.placed)

    def bond_lengths(self, ions: Ions) -> tuple[float, ...]:
        """Expected metal-oxygen distance in each role, angstrom."""
        return tuple(
            bond_length(ion, role.coordination) for ion, role in zip(ions, self.roles.values(), strict=True)
        )

    def obeys(self, ions: Ions) -> bool:
        """Whether the radii fit the type's rule."""
        if self.rule is None:
            return True
        low, high = self.rule.between
        return low <= self._quotient(self.rule, ions) < high

    def _quotient(self, rule: Rule, ions: Ions) -> float:
        if rule.kind == "tolerance":
            others = [bond_length(ion, 6) for ion in ions[1:]]
            return bond_length(ions[0], 12) / (2**0.5 * sum(others) / len(others))
        first, second = list(self.roles.values())[:2]
        return radius(ions[0], first.coordination) / radius(ions[1], second.coordination)

    def assign(self, oxide: Oxide) -> Ions | None:
        """The ions that play the roles in a structure of this type, or none where it is described otherwise.

        It must have the same space group, setting and sites in the same order, with one ion for each role.
        """
        if (oxide.space_group, oxide.setting) != (self.space_group, self.setting):
            return None
        if len(oxide.sites) != len(self.placed):
            return None
        found: dict[str, str] = {}
        for site, ours in zip(oxide.sites, self.placed, strict=True):
            if found.setdefault(ours.ion, site.ion) != site.ion or site.occupancy != ours.occupancy:
                return None
        return tuple(found[label] for label in self.roles)


def _number(text: str) -> float:
    numerator, _, denominator = text.partition("/")
    return float(numerator) / float(denominator or 1)


class KnownCells(BaseModel):
    """Published cells of one type: free parameters (see :mod:`.facts`) by ions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    source: str
    cells: dict[str, tuple[float, ...]]


@cache
def prototypes() -> tuple[Prototype, ...]:
    """Every prototype, in the order of the file.

    Raises
    ------
    FactError
        When the charges of a combination do not balance, or two prototypes have one name.
    """
    path = Path(__file__).with_name("prototypes.json")
    found = tuple(Prototype.model_validate(entry) for entry in json.loads(path.read_text("utf-8")))
    for prototype in found:
        for charges in prototype.charges:
            shares = [prototype.shares[label] for label in prototype.roles]
            total = sum(n * q for n, q in zip(shares, charges, strict=True)) - 2 * prototype.shares["O"]
            if abs(total) > 1e-6:
                raise FactError(f"{prototype.type}: charges {charges} leave {total:+g} in the cell")
    for first, second in pairwise(sorted(prototype.type for prototype in found)):
        if first == second:
            raise FactError(f"{first}: stands twice among the prototypes")
    return found


@cache
def named_prototype(name: str) -> Prototype:
    """The prototype of one structure type.

    Raises
    ------
    FactError
        When there is none of that name.
    """
    for prototype in prototypes():
        if prototype.type == name:
            return prototype
    raise FactError(f"type: {name!r} is no prototype")


@cache
def known_cells() -> dict[str, dict[Ions, tuple[tuple[float, ...], str]]]:
    """Published cell and its source, by type and ions.

    Raises
    ------
    FactError
        When a cell stands under two sources, or under ions that are none.
    """
    path = Path(__file__).with_name("known_cells.json")
    found: dict[str, dict[Ions, tuple[tuple[float, ...], str]]] = {}
    for entry in json.loads(path.read_text("utf-8")):
        block = KnownCells.model_validate(entry)
        members = found.setdefault(block.type, {})
        for text, cell in block.cells.items():
            ions = tuple(text.split())
            for ion in ions:
                split_ion(ion)
            if ions in members:
                raise FactError(f"{block.type} {text}: stands twice among the known cells")
            members[ions] = (cell, block.source)
    return found
