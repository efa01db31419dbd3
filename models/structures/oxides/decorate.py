"""Put every chemically sensible metal into every prototype.

A combination of ions is sensible when its charges balance, each ion is one that oxides usually hold, its radius lies
within the radii of the type's known members (with a margin), and the type's rule for quotients of radii holds. A
combination with a published cell keeps that cell and is a known compound; any other gets its cell from its relatives
(:mod:`.cells`) and is hypothetical. Lengths in angstrom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from solvus.models.structures.oxides.cells import Line, fit_cell, fit_positions
from solvus.models.structures.oxides.facts import Oxide, Site
from solvus.models.structures.oxides.polymorphs import published
from solvus.models.structures.oxides.prototypes import Ions, Prototype, known_cells, named_prototype, prototypes
from solvus.models.structures.oxides.radii import radius, split_ion

USUAL = frozenset(
    (
        "Li1+ Na1+ K1+ Rb1+ Cs1+ Cu1+ Ag1+ "
        "Be2+ Mg2+ Ca2+ Sr2+ Ba2+ Mn2+ Fe2+ Co2+ Ni2+ Cu2+ Zn2+ Pd2+ Cd2+ Eu2+ Pt2+ Hg2+ Pb2+ "
        "Al3+ Sc3+ Ti3+ V3+ Cr3+ Mn3+ Fe3+ Co3+ Ni3+ Ga3+ Y3+ Rh3+ In3+ La3+ Ce3+ Pr3+ Nd3+ Sm3+ Eu3+ Gd3+ Tb3+ "
        "Dy3+ Ho3+ Er3+ Tm3+ Yb3+ Lu3+ Tl3+ Bi3+ "
        "Ti4+ V4+ Cr4+ Mn4+ Ge4+ Zr4+ Nb4+ Mo4+ Tc4+ Ru4+ Rh4+ Pd4+ Sn4+ Ce4+ Pr4+ Tb4+ Hf4+ Ta4+ W4+ Re4+ Os4+ "
        "Ir4+ Pt4+ Pb4+ Th4+ U4+ Np4+ Pu4+ "
        "V5+ Nb5+ Mo5+ Ru5+ Sb5+ Ta5+ Re5+ Os5+ Mo6+ Te6+ W6+ Re6+ Os6+ U6+ Tc7+ Re7+"
    ).split(" ")
)
"""Ions that occur in stable oxides at ambient pressure; others appear only with a published cell."""
MARGIN = 0.04
"""Angstrom by which a radius may lie outside those of the known members: about one step along the lanthanides is 0.01,
one along a column of transition metals 0.04."""
DIGITS = 4
"""Decimals of a predicted length or angle, and six of a coordinate (1/3 stays on its axis); errors are larger."""


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
    return min(radii) - MARGIN, max(radii) + MARGIN


def _fits(prototype: Prototype, role: int, ion: str, charge: int, window: tuple[float, float]) -> bool:
    spec = list(prototype.roles.values())[role]
    if split_ion(ion)[1] != charge or (spec.only is not None and ion not in spec.only):
        return False
    return window[0] <= radius(ion, spec.coordination) <= window[1]


def build(decoration: Decoration) -> Oxide:
    """The structure itself."""
    prototype, ions = decoration.prototype, decoration.ions
    cell_line, position_line = _lines(prototype.type)
    bonds = prototype.bond_lengths(ions)
    named = {**dict(zip(prototype.roles, ions, strict=True)), "O": "O2-"}
    positions = np.array([site.position for site in prototype.placed])
    if position_line is not None:
        positions = position_line.at(bonds).reshape(-1, 3)
    sites = tuple(
        Site(named[site.ion], (round(x, 6), round(y, 6), round(z, 6)), site.occupancy)
        for site, (x, y, z) in zip(prototype.placed, positions.tolist(), strict=True)
    )
    parameters = decoration.cell or tuple(round(float(p), DIGITS) for p in cell_line.at(bonds))
    origin = decoration.source if decoration.cell else f"cell from the known members of the type {prototype.type}"
    oxide = Oxide(
        name=prototype.type,
        type=prototype.type,
        sites=sites,
        space_group=prototype.space_group,
        setting=prototype.setting,
        parameters=parameters,
        source=f"{origin}; coordinates of the type, {prototype.source}",
        hypothetical=decoration.cell is None,
    )
    return replace(oxide, name=f"{oxide.formula} {prototype.type}")


@cache
def _lines(name: str) -> tuple[Line, Line | None]:
    prototype = named_prototype(name)
    return fit_cell(prototype, known_members(prototype)), fit_positions(prototype, _members(name)[1])


@cache
def decorated_oxides() -> tuple[Oxide, ...]:
    """Every decoration that is no published structure, known members before hypothetical ones.

    A hypothetical combination gives way where the composition is known in a rival type, and a combination to an
    earlier one of the same formula and type (two distributions of the same charges).
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
        if oxide.hypothetical and any((oxide.formula, rival) in known for rival in rivals[oxide.type]):
            continue
        taken.add((oxide.formula, oxide.type))
        kept.append(oxide)
    return tuple(kept)
