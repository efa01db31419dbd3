"""How large an ion is and how strongly it binds oxygen.

Notation: r the effective ionic radius at coordination number n, r_O that of oxide, V the valence (charge), d a bond
length, all lengths in angstrom. The valence of one bond is

    s = exp((R0 - d) / b),    b = 0.37 angstrom,

(I. D. Brown, D. Altermatt, Acta Cryst. B 41, 244 (1985)), so n equal bonds that share V have d = R0 - b ln(V / n).
Where Shannon's table lacks a coordination number, or Brese and O'Keeffe's an ion, that equation gives it from the
nearest one that is there.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path

from pydantic import BaseModel

OXIDE_RADIUS = 1.40
"""Of O2- in six-fold coordination (Shannon 1976), the number that his cation radii go with."""
SOFTNESS = 0.37
"""b of the bond-valence equation, the same for every pair (Brown and Altermatt 1985)."""


class RadiusError(ValueError):
    """An ion of which nothing is known; one sentence names it."""


class _Tables(BaseModel):
    radii: dict[str, dict[int, float]]
    bond_valence: dict[str, float]


@cache
def _tables() -> _Tables:
    return _Tables.model_validate(json.loads(Path(__file__).with_name("radii.json").read_text("utf-8")))


def split_ion(ion: str) -> tuple[str, int]:
    """Element and charge of ``Ti4+`` or ``O2-``.

    Raises
    ------
    RadiusError
        For anything else, such as a bare element.
    """
    match = re.fullmatch(r"([A-Z][a-z]?)(\d)([+-])", ion)
    if match is None:
        raise RadiusError(f"ion: {ion!r} needs an element and a charge, as in Ti4+")
    return match[1], int(match[2]) * (1 if match[3] == "+" else -1)


def ions() -> tuple[str, ...]:
    """Every metal ion with a radius, in the table's order."""
    return tuple(_tables().radii)


def radius(ion: str, coordination: int) -> float:
    """Effective ionic radius, angstrom, at a coordination number.

    Shannon's value, or that of the nearest coordination number shifted by b ln(n / n'), or for an ion that he does
    not list (Sn2+) the length of its bonds by R0.

    Raises
    ------
    RadiusError
        For an ion that is not in the table.
    """
    table = _tables().radii.get(ion)
    if table is None:
        if ion not in _tables().bond_valence:
            raise RadiusError(f"ion: {ion!r} has no tabulated radius")
        share = split_ion(ion)[1] / coordination
        return bond_constant(ion) - SOFTNESS * math.log(share) - OXIDE_RADIUS
    nearest = min(table, key=lambda n: (abs(n - coordination), n))
    return table[nearest] + SOFTNESS * math.log(coordination / nearest)


def bond_length(ion: str, coordination: int) -> float:
    """Expected metal-oxygen distance, angstrom: the sum of the radii."""
    return radius(ion, coordination) + OXIDE_RADIUS


def bond_constant(ion: str) -> float:
    """R0 of an ion with oxygen, angstrom.

    Raises
    ------
    RadiusError
        For an ion that is in neither table.
    """
    known = _tables().bond_valence.get(ion)
    if known is not None:
        return known
    _, charge = split_ion(ion)
    return bond_length(ion, 6) + SOFTNESS * math.log(charge / 6)
