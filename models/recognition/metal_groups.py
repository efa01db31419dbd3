"""Which metals scattering can tell apart, and which it cannot.

The lanthanides lanthanum to lutetium share one group: neighbours differ by one electron in sixty, and their compounds
by a fraction of a percent in every distance. Hydrogen and lithium scatter X-rays too weakly beside other atoms to be
told from nothing, and are *not determinable*.
"""

from __future__ import annotations

from functools import cache

from ase.data import atomic_numbers, chemical_symbols, covalent_radii

NOT_DETERMINABLE = ("H", "Li")
LANTHANIDES = tuple(chemical_symbols[57:72])
LANTHANIDE_GROUP = "La-Lu"
NON_METALS = frozenset(
    "H He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Te I Xe At Rn".split()  # noqa: SIM905
)
METALS = tuple(s for s in chemical_symbols[3:97] if s not in NON_METALS)
"""From Li to Cm. Silicon, germanium, arsenic and tellurium count as non-metals, as boron does."""


def group_of(element: str) -> str | None:
    """The group that stands for a metal in answers; ``None`` for what is no metal or not determinable."""
    if element not in METALS or element in NOT_DETERMINABLE:
        return None
    return LANTHANIDE_GROUP if element in LANTHANIDES else element


@cache
def groups() -> tuple[str, ...]:
    """All groups, by atomic number of their first member."""
    return tuple(dict.fromkeys(g for g in map(group_of, METALS) if g is not None))


def radius(element: str) -> float:
    """Covalent radius, angstrom (Cordero et al., Dalton Trans. 2832 (2008), as in ase)."""
    return float(covalent_radii[atomic_numbers[element]])
