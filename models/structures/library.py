"""The library of candidate geometries: metal clusters from 5 to 31,000 atoms with their scattering.

A geometry is stored in units of its bond length b (see :mod:`solvus.models.structures.clusters`) as samples
of its unit structure factor

    X(q) = 1/N sum_{i != j} sin(q d_ij) / d_ij,      q = Q b without unit, d in units of b,

so that F(Q) = X(Q b) / b exp(-u Q^2) for one kind of atom at any bond length b and displacement u. The near
distances are kept too, for the correction of correlated motion. ``solvus library build`` makes the data files.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from ase import Atoms

from solvus.models.scattering.unit_factor import UnitScattering
from solvus.models.structures.clusters import (
    ALL_FAMILIES,
    Cluster,
    all_clusters,
    bond_length,
    diameter,
    metals,
)
from solvus.models.structures.library_file import LibraryFileError, read

DATA = Path(__file__).with_name("library.npz")
FURTHER = Path(__file__).with_name("library-further.npz")
"""Geometries beside the core, in a file of their own: the core's version does not change when they do."""
Subset = Literal["core", "all"]
Q_LIMIT = 100.0
"""Largest q = Q b sampled: Q = 36 1/angstrom for platinum. Beyond it F is taken as zero, which costs under 1
% of G at room temperature (u >= 0.003 angstrom^2 leaves exp(-u Q^2) < 0.02 there)."""
NEAR = 3.6
"""Pairs up to this distance, in b, are kept for correlated motion: about 10 angstrom."""


class LibraryError(ValueError):
    """A structure name, family or element that the library does not have; the message suggests the
    nearest."""


@dataclass(frozen=True)
class Entry:
    """One geometry. ``diameter`` and ``span`` (largest distance) are in units of the bond length; ``core`` says that an
    identification searches it unless asked for more."""

    index: int
    name: str
    family: str
    shape: str
    n_atoms: int
    span: float
    core: bool = True

    @property
    def diameter(self) -> float:
        return diameter(self.family, self.n_atoms)


@dataclass(frozen=True)
class Named:
    """A geometry made of an element."""

    entry: Entry
    element: str

    def __str__(self) -> str:
        return f"{self.element} {self.entry.name}"


class Library:
    """The shipped geometries; :meth:`load` reads them once per process.

    Attributes
    ----------
    entries : every :class:`Entry`, by family and size.
    version : identifies the data file, for the record of a decision.
    """

    def __init__(
        self, entries: tuple[Entry, ...], scattering: tuple[UnitScattering, ...], version: str
    ) -> None:
        self.entries = entries
        self.version = version
        self._scattering = scattering
        self._by_name = {entry.name: entry for entry in entries}

    @staticmethod
    def load(subset: Subset = "core") -> Library:
        """The geometries shipped with the package: the core, which identification and the planner's descriptors rest
        on, or all. Raises LibraryError when a data file is missing or of another format."""
        return _load(subset)

    @property
    def families(self) -> tuple[str, ...]:
        """Families that have an entry here, in the order of ``ALL_FAMILIES``."""
        held = {entry.family for entry in self.entries}
        return tuple(family for family in ALL_FAMILIES if family in held)

    def _require_family(self, family: str) -> None:
        if family not in self.families:
            raise LibraryError(f"family: {family!r} is not one of {', '.join(self.families)}")

    def scattering(self, entry: Entry) -> UnitScattering:
        return self._scattering[entry.index]

    def subset(
        self, *, family: str | None = None, smallest: int | None = None, largest: int | None = None
    ) -> tuple[Entry, ...]:
        """Entries of one family, and between two numbers of atoms (inclusive).

        Raises
        ------
        LibraryError
            For an unknown family.
        """
        if family is not None:
            self._require_family(family)
        return tuple(
            entry
            for entry in self.entries
            if (family is None or entry.family == family)
            and (smallest is None or entry.n_atoms >= smallest)
            and (largest is None or entry.n_atoms <= largest)
        )

    def entry(self, name: str) -> Entry:
        """The geometry called ``name``, such as ``icosahedron-561``.

        Raises
        ------
        LibraryError
            When there is none; the message suggests the nearest names.
        """
        if name in self._by_name:
            return self._by_name[name]
        near = difflib.get_close_matches(name, self._by_name, n=3, cutoff=0.5)
        near = sorted(near, key=lambda other: number_gap(name, other))
        hint = f"; did you mean {' or '.join(near)}?" if near else "; names look like icosahedron-561"
        raise LibraryError(f"structure: {name!r} is not in the library{hint}")

    def resolve(self, text: str) -> Named:
        """Geometry and element named by ``"Au icosahedron-561"``.

        Raises
        ------
        LibraryError
            For an unknown geometry or an element without a known bond length.
        """
        element, _, name = text.strip().partition(" ")
        if not name:
            raise LibraryError(f"structure: {text!r} needs an element and a name, as in Au icosahedron-561")
        require_metal(element)
        return Named(self.entry(name.strip()), element)

    def atoms(self, name: str, element: str) -> Atoms:
        """The structure itself with the element's own bond length, centred at the origin.

        Raises
        ------
        LibraryError
            For an unknown geometry or an element without a known bond length.
        """
        entry, bond = self.entry(name), require_metal(element)
        positions = _clusters()[entry.name].build() * bond
        return Atoms([element] * len(positions), positions=positions)

    def nearest(self, element: str, family: str, diameter_angstrom: float) -> Entry:
        """The member of ``family`` whose diameter, made of ``element``, is nearest to the one given
        (angstrom)."""
        bond = require_metal(element)
        return min(self.subset(family=family), key=lambda e: abs(e.diameter * bond - diameter_angstrom))


def require_metal(element: str) -> float:
    """Bond length of a metal, angstrom. Raises LibraryError for what is no metal of known bond length."""
    if element in metals():
        return metals()[element]
    try:
        bond_length(element)
    except KeyError:
        hint = difflib.get_close_matches(element, metals(), n=2, cutoff=0.3)
        suggestion = f"; did you mean {' or '.join(hint)}?" if hint else "; use symbols such as Pt or Au"
        raise LibraryError(f"element: {element!r} is not a chemical element{suggestion}") from None
    raise LibraryError(f"element: {element} has no metal crystal of its own, so no bond length is known")


def number_gap(name: str, other: str) -> float:
    """How far apart the last numbers of two names are, to put 561 before 55 when 560 was asked for."""
    tails = [text.rpartition("-")[2] for text in (name, other)]
    return abs(int(tails[0]) - int(tails[1])) if all(t.isdigit() for t in tails) else float("inf")


@cache
def _clusters() -> dict[str, Cluster]:
    from solvus.models.structures.further_clusters import (
        further_clusters,
    )  # a second of work, for builders of atoms only

    return {cluster.name: cluster for cluster in (*all_clusters(), *further_clusters())}


@cache
def _load(subset: Subset) -> Library:
    files = [(DATA, True)] if subset == "core" else [(DATA, True), (FURTHER, False)]
    entries: list[Entry] = []
    scattering: list[UnitScattering] = []
    versions = []
    for path, core in files:
        try:
            rows, version = read(path)
        except LibraryFileError as error:
            raise LibraryError(str(error)) from error
        versions.append(version)
        for row in rows:
            entries.append(
                Entry(len(entries), row.name, row.family, row.shape, row.n_atoms, row.span, core=core)
            )
            scattering.append(row.scattering)
    return Library(tuple(entries), tuple(scattering), "+".join(versions))
