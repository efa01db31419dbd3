"""Every structure that Solvus knows, found by name, elements, family, type, space group, size or words.

    >>> catalogue = Catalogue.load()
    >>> [item.name for item in catalogue.select(elements=["Ti", "O"], containing=["Ti"])]
    >>> catalogue.find("TiO2 anatase").atoms()

Three shelves: the shipped records (oxides, polyoxometalates, crystals of the metals), the user's own, and the metal
clusters of :mod:`solvus.models.structures.library`, which are geometries of any metal and therefore appear once metals
are named. Lengths in angstrom.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from ase.data import atomic_numbers

from solvus.models.scattering.form_factors import element_of
from solvus.models.structures import catalogue_file, classes_file, own
from solvus.models.structures.catalogue_file import CatalogueError
from solvus.models.structures.clusters import metals
from solvus.models.structures.library import Entry, Library, number_gap
from solvus.models.structures.record import Family, Record
from solvus.models.structures.record_json import trusted

Origin = Literal["shipped", "own", "clusters"]
MORE_ATOMS = 10**9
"""No structure is larger."""


@dataclass(frozen=True)
class Item:
    """What the catalogue knows of one structure without making its atoms.

    Attributes
    ----------
    n_atoms : in the cell of a crystal, or in the cluster.
    span : longest distance between two atoms of a cluster, angstrom; ``None`` for a crystal.
    origin : the shelf.
    make : the record itself; :attr:`record` is the convenient form.
    """

    name: str
    family: Family
    type: str
    formula: str
    elements: frozenset[str]
    space_group: int | None
    n_atoms: int
    span: float | None
    source: str
    hypothetical: bool
    origin: Origin
    make: Callable[[], Record] = field(repr=False, compare=False)

    @property
    def record(self) -> Record:
        return self.make()


class Catalogue:
    """Shipped and own structures under unique names; :meth:`load` reads them.

    Attributes
    ----------
    items : by name; metal clusters are made on demand and are not among them.
    version : of the shipped file.
    warnings : one sentence for each of the user's files that could not be read.
    """

    def __init__(self, items: Iterable[Item], version: str, warnings: tuple[str, ...] = ()) -> None:
        self.items = tuple(items)
        self.version, self.warnings = version, warnings
        self._by_name = {item.name: item for item in self.items}

    @staticmethod
    def load(folder: Path | None = None, *, own_too: bool = True) -> Catalogue:
        """The shipped structures and, unless ``own_too`` is false, those in the user's ``folder``
        (:func:`solvus.models.structures.own.default_folder`). A broken file there becomes a warning.

        Raises
        ------
        CatalogueError
            When the shipped file is missing or of another format.
        """
        items, version = _shipped()
        if not own_too:
            return Catalogue(items, version)
        kept, warnings = own.OwnLibrary(folder or own.default_folder()).read()
        mine = [_item_of(catalogue_file.entry_of(record), "own") for record in kept]
        names = {item.name for item in mine}
        merged = [item for item in items if item.name not in names] + mine
        return Catalogue(sorted(merged, key=lambda item: item.name), version, tuple(warnings))

    def select(
        self,
        *,
        elements: Collection[str] | None = None,
        containing: Collection[str] = (),
        family: str | None = None,
        type: str | None = None,
        space_group: int | None = None,
        smallest: int = 1,
        largest: int = MORE_ATOMS,
        span: tuple[float, float] | None = None,
        text: str = "",
        origin: Origin | None = None,
        hypothetical: bool | None = None,
    ) -> list[Item]:
        """Structures that meet every condition given, by name, metal clusters last and by size.

        Parameters
        ----------
        elements : the structure holds *no others* than these (it need not hold all): what a sample of them can be.
            Metal clusters are made of each metal among them.
        containing : the structure holds *all* of these, and may hold others.
        family : ``metal``, ``oxide``, ``polyoxometalate`` or ``compound``.
        type : structure type, such as ``spinel``; the case does not matter.
        smallest, largest : atoms in the cell or cluster, inclusive.
        span : longest distance in a cluster, angstrom, inclusive; leaves crystals out.
        text : words that all occur in name, type, formula or source.
        origin : one shelf only.
        hypothetical : only decorated prototypes, or none of them.

        Raises
        ------
        CatalogueError
            For an unknown element, family, type or space group, or limits in reverse order.
        """
        only = None if elements is None else require_elements(elements)
        needed = require_elements(containing)
        self._check(family, type, space_group)
        for name, (low, high) in {"atoms": (smallest, largest), "span": span or (0.0, 0.0)}.items():
            if not low <= high:
                raise CatalogueError(f"{name}: {low:g} to {high:g} holds nothing; give the smaller one first")
        wanted_type = type.casefold() if type else None
        words = text.casefold().split()

        def fits(item: Item) -> bool:
            return (
                (only is None or item.elements <= only)
                and needed <= item.elements
                and family in (None, item.family)
                and wanted_type in (None, item.type.casefold())
                and space_group in (None, item.space_group)
                and smallest <= item.n_atoms <= largest
                and (span is None or (item.span is not None and span[0] <= item.span <= span[1]))
                and origin in (None, item.origin)
                and hypothetical in (None, item.hypothetical)
                and all(word in _words(item) for word in words)
            )

        shelves: list[Iterable[Item]] = [self.items]
        if origin in (None, "clusters"):
            shelves.append(
                item for metal in sorted((only or needed) & set(metals())) for item in clusters_of(metal)
            )
        return [item for shelf in shelves for item in shelf if fits(item)]

    def find(self, name: str) -> Record:
        """The record called ``name``, such as ``TiO2 anatase`` or ``Au icosahedron-561``; the case does not matter.

        Raises
        ------
        CatalogueError
            When there is none; the message suggests the nearest names.
        """
        return self.item(name).record

    def item(self, name: str) -> Item:
        """What is known of the structure called ``name``; as :meth:`find`."""
        wanted = " ".join(name.split())
        if wanted in self._by_name:
            return self._by_name[wanted]
        folded = {known.casefold(): known for known in self._by_name}
        if wanted.casefold() in folded:
            return self._by_name[folded[wanted.casefold()]]
        element, _, geometry = wanted.partition(" ")
        cluster = (
            {item.name: item for item in clusters_of(element)} if element in metals() and geometry else {}
        )
        if wanted in cluster:
            return cluster[wanted]
        near = difflib.get_close_matches(wanted, [*self._by_name, *cluster], n=3, cutoff=0.5)
        near.sort(key=lambda other: number_gap(wanted, other))
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "see solvus library list"
        raise CatalogueError(f"structure: {name!r} is not in the library; {hint}")

    def alike(self, name: str) -> list[str]:
        """The other shipped structures of the same class, which the reference measurement cannot tell from this one
        (:mod:`solvus.models.structures.classes`).

        Raises
        ------
        CatalogueError
            When the file of classes cannot be read.
        """
        shared = _classes()[0].get(name)
        return sorted(set(shared.members) - {name}) if shared and name in self._by_name else []

    def _check(self, family: str | None, type: str | None, space_group: int | None) -> None:
        if family is not None and family not in get_args(Family):
            raise CatalogueError(_unknown("family", family, get_args(Family)))
        if space_group is not None and not 1 <= space_group <= 230:
            raise CatalogueError(f"space_group: {space_group} is not a number from 1 to 230")
        if type is not None:
            known = {item.type for item in self.items} | {
                entry.shape for entry in Library.load("all").entries
            }
            if type.casefold() not in {name.casefold() for name in known}:
                raise CatalogueError(_unknown("type", type, sorted(known)))


def clusters_of(metal: str) -> Iterator[Item]:
    """Every metal geometry made of ``metal``, by family and size.

    Raises
    ------
    LibraryError
        For what is no metal of known bond length.
    """
    bond = metals()[metal]
    for entry in Library.load("all").entries:
        yield Item(
            name=f"{metal} {entry.name}",
            family="metal",
            type=entry.shape,
            formula=f"{metal}{entry.n_atoms}",
            elements=frozenset({metal}),
            space_group=None,
            n_atoms=entry.n_atoms,
            span=round(entry.span * bond, 3),
            source=f"constructed, {entry.family}; bond length {bond:.3f} angstrom",
            hypothetical=True,
            origin="clusters",
            make=_Maker(metal, entry),
        )


@dataclass(frozen=True)
class _Maker:
    metal: str
    entry: Entry

    def __call__(self) -> Record:
        atoms = Library.load("all").atoms(self.entry.name, self.metal)
        return Record(
            name=f"{self.metal} {self.entry.name}",
            family="metal",
            type=self.entry.shape,
            formula=f"{self.metal}{len(atoms)}",
            species=(self.metal,) * len(atoms),
            positions=atoms.positions,
            source=f"constructed, {self.entry.family}",
            hypothetical=True,
        )


def require_elements(names: Collection[str]) -> frozenset[str]:
    """Element symbols, each checked.

    Raises
    ------
    CatalogueError
        For what is no chemical element.
    """
    for name in names:
        if atomic_numbers.get(name, 0) < 1:
            raise CatalogueError(_unknown("elements", name, [s for s in atomic_numbers if s != "X"]))
    return frozenset(names)


def _unknown(what: str, given: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(given.casefold(), [name.casefold() for name in known], n=2, cutoff=0.4)
    names = [name for name in known if name.casefold() in near]
    hint = f"did you mean {' or '.join(names)}?" if names else f"known are {', '.join(list(known)[:12])}"
    return f"{what}: {given!r} is unknown; {hint}"


def _words(item: Item) -> str:
    return f"{item.name} {item.type} {item.formula} {item.source}".casefold()


def _item_of(entry: Mapping[str, Any], origin: Origin) -> Item:
    document = entry["record"]
    return Item(
        name=document["name"],
        family=document["family"],
        type=document["type"],
        formula=document["formula"],
        elements=frozenset(element_of(species) for species in document["species"]),
        space_group=document.get("space_group"),
        n_atoms=entry["n_atoms"],
        span=entry["span"],
        source=document["source"],
        hypothetical=document.get("hypothetical", False),
        origin=origin,
        make=lambda: trusted(document),
    )


@cache
def _shipped() -> tuple[tuple[Item, ...], str]:
    entries, version = catalogue_file.read()
    return tuple(_item_of(entry, "shipped") for entry in entries), version


@cache
def _classes() -> tuple[dict[str, classes_file.Class], str]:
    return classes_file.read()
