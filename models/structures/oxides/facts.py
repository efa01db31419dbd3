"""What is known of one oxide crystal, as a crystallographer publishes it, and its reading from the data files.

Lengths in angstrom, angles in degrees, coordinates fractional. A cell is written with its free parameters only:

    cubic a; tetragonal, trigonal and hexagonal a, c; rhombohedral axes a, alpha; orthorhombic a, b, c;
    monoclinic a, b, c, beta; triclinic all six.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from typing import Annotated

import numpy as np
from ase.data import atomic_numbers
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from solvus.models.structures.oxides.radii import split_ion
from solvus.models.structures.oxides.symmetry import equivalent
from solvus.models.structures.record import SAME_SITE, Record

Cell = tuple[float, float, float, float, float, float]

RHOMBOHEDRAL_GROUPS = frozenset({146, 148, 155, 160, 161, 166, 167})
LARGE_CATIONS = frozenset(
    [
        "Ca",
        "Sr",
        "Ba",
        "Y",
        "La",
        "Ce",
        "Pr",
        "Nd",
        "Pm",
        "Sm",
        "Eu",
        "Gd",
        "Tb",
        "Dy",
        "Ho",
        "Er",
        "Tm",
        "Yb",
        "Lu",
    ]
)
"""Metals that formulas of mixed oxides name first."""
LARGEST_DENOMINATOR = 48
"""Sites filled in part have occupancies such as 1/3 or 5/6; a fraction finer than this is a measured number."""
LARGEST_FORMULA = 40
"""Atoms in a formula of whole numbers: BaFe12O19 has 32, and no usual oxide more."""


class FactError(ValueError):
    """A structure that contradicts itself; one sentence names it and what is wrong."""


@dataclass(frozen=True)
class Site:
    """One position of the asymmetric unit: an ion such as ``Ti4+``, and the share of the position that it fills."""

    ion: str
    position: tuple[float, float, float]
    occupancy: float = 1.0

    @property
    def element(self) -> str:
        return split_ion(self.ion)[0]


@dataclass(frozen=True)
class Oxide:
    """One oxide crystal; the attributes are those of :class:`~solvus.models.structures.record.Record`."""

    name: str
    type: str
    sites: tuple[Site, ...]
    space_group: int
    setting: int
    parameters: tuple[float, ...]
    source: str
    hypothetical: bool = False
    counts: tuple[int, ...] = ()
    """How many equivalent positions each site has, where that is known beforehand."""

    @property
    def cell(self) -> Cell:
        return expand_cell(self.parameters, self.space_group, self.setting)

    @cached_property
    def multiplicities(self) -> tuple[int, ...]:
        """How many equivalent positions each site has in the cell."""
        return self.counts or tuple(
            len(equivalent(self.space_group, self.setting, site.position)) for site in self.sites
        )

    def contents(self) -> dict[str, float]:
        """Ions in one cell."""
        counts: dict[str, float] = {}
        for site, multiplicity in zip(self.sites, self.multiplicities, strict=True):
            counts[site.ion] = counts.get(site.ion, 0.0) + multiplicity * site.occupancy
        return counts

    @cached_property
    def formula(self) -> str:
        """Reduced: univalent metals, other large cations, the rest, each by rising charge, oxygen last: ``BaTiO3``."""
        counts: dict[str, float] = {}
        contents = self.contents()
        for ion in sorted(contents, key=_formula_order):
            element = split_ion(ion)[0]
            counts[element] = counts.get(element, 0.0) + contents[ion]
        return reduced_formula(counts, math.gcd(*self.multiplicities))

    def record(self) -> Record:
        """As the library holds it. The species are elements: the charges serve chemistry, not scattering."""
        merged: dict[tuple[str, tuple[float, float, float]], float] = {}
        for site in self.sites:  # Fe2+ and Fe3+ on one position scatter as one iron
            key = (site.element, site.position)
            merged[key] = merged.get(key, 0.0) + site.occupancy
        return Record(
            name=self.name,
            family="oxide",
            type=self.type,
            formula=self.formula,
            species=tuple(element for element, _ in merged),
            positions=np.array([position for _, position in merged]),
            source=self.source,
            occupancy=tuple(merged.values()),
            hypothetical=self.hypothetical,
            space_group=self.space_group,
            setting=self.setting,
            cell=self.cell,
        )


def _formula_order(ion: str) -> tuple[int, int]:
    """La2CuO4 but CuLaO2, as such compounds are written."""
    element, charge = split_ion(ion)
    return (0 if charge == 1 else 1 if element in LARGE_CATIONS else 2), charge


def expand_cell(parameters: Sequence[float], space_group: int, setting: int = 1) -> Cell:
    """a, b, c, alpha, beta, gamma from the free parameters of the crystal system.

    Raises
    ------
    FactError
        When their number is not that of the crystal system.
    """
    p = [float(x) for x in parameters]
    match system(space_group, setting), len(p):
        case "cubic", 1:
            return p[0], p[0], p[0], 90.0, 90.0, 90.0
        case "hexagonal", 2:
            return p[0], p[0], p[1], 90.0, 90.0, 120.0
        case "tetragonal", 2:
            return p[0], p[0], p[1], 90.0, 90.0, 90.0
        case "rhombohedral", 2:
            return p[0], p[0], p[0], p[1], p[1], p[1]
        case "orthorhombic", 3:
            return p[0], p[1], p[2], 90.0, 90.0, 90.0
        case "monoclinic", 4:
            return p[0], p[1], p[2], 90.0, p[3], 90.0
        case "triclinic", 6:
            return p[0], p[1], p[2], p[3], p[4], p[5]
    raise FactError(
        f"cell: {len(parameters)} numbers do not make a {system(space_group, setting)} cell "
        f"(space group {space_group})"
    )


def system(space_group: int, setting: int = 1) -> str:
    """Crystal system as far as the shape of the cell goes; trigonal groups on hexagonal axes are ``hexagonal``."""
    if space_group in RHOMBOHEDRAL_GROUPS and setting == 2:
        return "rhombohedral"
    last_of = {2: "triclinic", 15: "monoclinic", 74: "orthorhombic", 142: "tetragonal", 194: "hexagonal"}
    return next((name for last, name in last_of.items() if space_group <= last), "cubic")


def reduced_formula(counts: Mapping[str, float], units: int) -> str:
    """Smallest whole numbers in the ratio of ``counts``, oxygen last: {"Ti": 4, "O": 8} gives ``TiO2``.

    Ratios that make no small formula, as in a solid solution, are written as decimals per one of ``units``.
    """
    order = sorted(counts, key=lambda element: element == "O")
    fractions = [Fraction(n).limit_denominator(LARGEST_DENOMINATOR) for n in counts.values()]
    denominator = math.lcm(*(f.denominator for f in fractions))
    whole = [int(f * denominator) for f in fractions]
    exact = all(abs(float(f) - n) < SAME_SITE for f, n in zip(fractions, counts.values(), strict=True))
    divisor = reduce(math.gcd, whole)
    if exact and sum(whole) <= LARGEST_FORMULA * divisor:
        written = {element: f"{n // divisor}" for element, n in zip(counts, whole, strict=True)}
    else:
        written = {element: f"{n / units:.4g}" for element, n in counts.items()}
    return "".join(element + (written[element] if written[element] != "1" else "") for element in order)


def _read_number(text: str) -> float:
    return float(Fraction(text))


def read_sites(text: str) -> tuple[Site, ...]:
    """``"Ti4+ 0 0 0; O2- 0.305 0.305 0"``: ion, position and, where the site is filled in part, occupancy.

    Raises
    ------
    FactError
        When a site does not read so, or its ion is no chemical element with a charge.
    """
    sites: list[Site] = []
    for entry in text.split(";"):
        try:
            ion, x, y, z, *filled = entry.split()
            occupancy = _read_number(filled[0]) if filled else 1.0
            site = Site(ion, (_read_number(x), _read_number(y), _read_number(z)), occupancy)
        except (ValueError, ZeroDivisionError) as error:
            raise FactError(f"sites: {entry.strip()!r} is not 'ion x y z [occupancy]'") from error
        if atomic_numbers.get(site.element, 0) < 1:
            raise FactError(f"sites: {site.element!r} is not a chemical element")
        if not 0.0 < site.occupancy <= 1.0:
            raise FactError(f"sites: occupancy {site.occupancy} of {ion} must be above 0 and at most 1")
        sites.append(site)
    return tuple(sites)


def _sites(value: object) -> object:
    return read_sites(value) if isinstance(value, str) else value


class Fact(BaseModel):
    """One entry of a data file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    type: str = Field(min_length=1)
    space_group: int = Field(ge=1, le=230)
    setting: int = Field(default=1, ge=1, le=2)
    cell: tuple[float, ...]
    sites: Annotated[tuple[Site, ...], BeforeValidator(_sites)]
    source: str = Field(min_length=1)

    def oxide(self) -> Oxide:
        return Oxide(self.name, self.type, self.sites, self.space_group, self.setting, self.cell, self.source)
