"""Put every chemically sensible metal into every prototype.

A combination of ions is sensible when its charges balance, each ion is one that oxides usually hold, its radius lies
within the radii of the type's known members (with a margin), and the type's rule for quotients of radii holds. A
combination with a published cell keeps that cell and is a known compound; any other gets its cell from its relatives
(:mod:`.cells`) and is hypothetical; its bonds must carry the charges. Lengths in angstrom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from solvus.models.structures.oxides.cells import Line, fit_cell, fit_positions, ratios
from solvus.models.structures.oxides.facts import Oxide
from solvus.models.structures.oxides.polymorphs import published
from solvus.models.structures.oxides.prototypes import (
    Ions,
    Prototype,
    known_cells,
    named_prototype,
    prototypes,
)
from solvus.models.structures.oxides.radii import radius, split_ion
from solvus.models.structures.oxides.relax import Neighbours, carried, instability, neighbours, relaxed
from solvus.models.structures.record import Floats

_ELEMENTS_BY_CHARGE = {
    1: "Li Na K Rb Cs Cu Ag",
    2: "Be Mg Ca Sr Ba Mn Fe Co Ni Cu Zn Pd Cd Eu Pt Hg Pb",
    3: "Al Sc Ti V Cr Mn Fe Co Ni Ga Y Rh In La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Tl Bi",
    4: "Ti V Cr Mn Ge Zr Nb Mo Tc Ru Rh Pd Sn Ce Pr Tb Hf Ta W Re Os Ir Pt Pb Th U Np Pu",
    5: "V Nb Mo Ru Sb Ta Re Os",
    6: "Mo Te W Re Os U",
    7: "Tc Re",
}
USUAL = frozenset(
    f"{element}{charge}+" for charge, elements in _ELEMENTS_BY_CHARGE.items() for element in elements.split()
)
"""Ions that occur in stable oxides at ambient pressure; others appear only with a published cell."""
MARGIN = 0.04
"""Angstrom by which a radius may lie outside those of the known members: four steps along the lanthanides."""
FEW, MARGIN_OF_FEW = 4, 0.10
"""Where fewer than ``FEW`` members are known they do not show the limits of the type, so that the margin is wider."""
LARGEST_INSTABILITY = 0.8
"""Valence units: the global instability index of a hypothetical compound. Real ones stay below 0.2 where the tables fit
(Brown 2002), and below 0.7 in the tetravalent ions whose bond-valence constant comes from a radius."""
DIGITS = 6
"""Decimals of a coordinate (1/3 stays on its axis) or a cell; their errors are larger by far."""


@dataclass(frozen=True)
class Decoration:
    """One combination of ions in one prototype, with its cell where published."""

    prototype: Prototype
    ions: Ions
    cell: tuple[float, ...] | None
    source: str


@cache
def _members(name: str) -> tuple[Mapping[Ions, tuple[tuple[float, ...], str]], Mapping[Ions, Oxide]]:
    """Known cells with their sources, and among them the published structures with coordinates."""
    prototype = named_prototype(name)
    structures: dict[Ions, Oxide] = {}
    for oxide in published():
        ions = prototype.assign(oxide) if oxide.type == name else None
        if ions is not None:
            structures.setdefault(ions, oxide)
    cells = {ions: (oxide.parameters, oxide.source) for ions, oxide in structures.items()}
    return {**known_cells().get(name, {}), **cells}, structures


def known_members(prototype: Prototype) -> dict[Ions, tuple[float, ...]]:
    """Published cells of a type, from the polymorphs and from ``known_cells.json``."""
    return {ions: cell for ions, (cell, _) in _members(prototype.type)[0].items()}


def combinations(prototype: Prototype) -> Iterator[Decoration]:
    """Known members first, then the sensible combinations that are not known."""
    known, _ = _members(prototype.type)
    for ions, (cell, source) in known.items():
        yield Decoration(prototype, ions, cell, source)
    windows = [_window(prototype, known, role) for role in range(len(prototype.roles))]
    for charges in prototype.charges:
        pools = [
            [ion for ion in sorted(USUAL) if _fits(prototype, role, ion, charge, windows[role])]
            for role, charge in enumerate(charges)
        ]
        for ions in product(*pools):
            elements = {split_ion(ion)[0] for ion in ions}
            if ions not in known and len(elements) == len(ions) and prototype.obeys(ions):
                yield Decoration(prototype, ions, None, prototype.source)


def _window(prototype: Prototype, known: Mapping[Ions, object], role: int) -> tuple[float, float]:
    """Smallest and largest radius that a role takes."""
    coordination = list(prototype.roles.values())[role].coordination
    radii = [radius(ions[role], coordination) for ions in known]
    margin = MARGIN if len(radii) >= FEW else MARGIN_OF_FEW
    return min(radii) - margin, max(radii) + margin


def _fits(prototype: Prototype, role: int, ion: str, charge: int, window: tuple[float, float]) -> bool:
    spec = list(prototype.roles.values())[role]
    if split_ion(ion)[1] != charge or (spec.only is not None and ion not in spec.only):
        return False
    return window[0] <= radius(ion, spec.coordination) <= window[1]


def build(decoration: Decoration) -> Oxide:
    """The structure itself."""
    prototype, ions = decoration.prototype, decoration.ions
    rules = _rules(prototype.type)
    bonds = prototype.bond_lengths(ions)
    positions = np.array([site.position for site in prototype.placed])
    if rules.positions is not None:
        positions = rules.positions.at(ratios(bonds)).reshape(-1, 3)
    sites = tuple(
        replace(site, position=(round(x, DIGITS), round(y, DIGITS), round(z, DIGITS)))
        for site, (x, y, z) in zip(prototype.fill(ions), positions.tolist(), strict=True)
    )
    parameters = decoration.cell or tuple(round(float(p), DIGITS) for p in rules.cell.at(bonds))
    origin = (
        decoration.source if decoration.cell else f"cell from the known members of the type {prototype.type}"
    )
    oxide = Oxide(
        name=prototype.type,
        type=prototype.type,
        sites=sites,
        space_group=prototype.space_group,
        setting=prototype.setting,
        parameters=parameters,
        source=f"{origin}; coordinates of the type, {prototype.source}",
        hypothetical=decoration.cell is None,
        counts=prototype.counts,
    )
    oxide = replace(oxide, name=f"{oxide.formula} {prototype.type}")
    # One kind of cation leaves no ratio of sizes to follow: the mean coordinates predict better (see the docs).
    return relaxed(oxide, rules.share, rules.around) if len(prototype.roles) > 1 else oxide


@dataclass(frozen=True)
class _Rules:
    """What the members of one type share.

    ``share`` is the part of its charge that each site carries in published structures; ``around`` says which sites
    face each other.
    """

    cell: Line
    positions: Line | None
    share: Floats
    around: Neighbours


@cache
def _rules(name: str) -> _Rules:
    prototype, structures = named_prototype(name), _members(name)[1]
    known = known_members(prototype)
    shares = [carried(oxide) for oxide in structures.values()] or [np.ones(len(prototype.placed))]
    # The smallest member has the most neighbours within reach.
    smallest = min(known, key=lambda ions: sum(prototype.bond_lengths(ions)))
    pattern = Oxide(
        name=name,
        type=name,
        sites=prototype.fill(smallest),
        space_group=prototype.space_group,
        setting=prototype.setting,
        parameters=known[smallest],
        source=prototype.source,
    )
    return _Rules(
        cell=fit_cell(prototype, known),
        positions=fit_positions(prototype, structures),
        share=np.mean(shares, axis=0),
        around=neighbours(pattern),
    )


@cache
def decorated_oxides() -> tuple[Oxide, ...]:
    """Every decoration that is no published structure, known members before hypothetical ones.

    A hypothetical combination gives way where the composition is known in a rival type or its bonds do not carry its
    charges, and a combination to an earlier one of the same formula and type (two distributions of the same charges).
    """
    structures = [build(decoration) for prototype in prototypes() for decoration in combinations(prototype)]
    real = [*published(), *(oxide for oxide in structures if not oxide.hypothetical)]
    known = {(oxide.formula, oxide.type) for oxide in real}
    rivals = {prototype.type: prototype.rivals for prototype in prototypes()}
    taken = {(oxide.formula, oxide.type) for oxide in published()}
    kept: list[Oxide] = []
    for oxide in sorted(structures, key=lambda oxide: oxide.hypothetical):
        if (oxide.formula, oxide.type) in taken:
            continue
        if oxide.hypothetical and (
            any((oxide.formula, rival) in known for rival in rivals[oxide.type])
            or instability(oxide, _rules(oxide.type).around) > LARGEST_INSTABILITY
        ):
            continue
        taken.add((oxide.formula, oxide.type))
        kept.append(oxide)
    return tuple(kept)
