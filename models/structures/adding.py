"""Take structures into the user's own library: each kept, recognised as known, or refused with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.catalogue_file import CatalogueError
from solvus.models.structures.databases.web import Fetched
from solvus.models.structures.own import OwnLibrary
from solvus.models.structures.record import Record
from solvus.models.structures.record_files import is_structure_file, read_records
from solvus.models.structures.same import Fingerprint, fingerprint, same
from solvus.models.structures.structure_files import StructureFileError


@dataclass(frozen=True)
class Outcome:
    """What became of one structure.

    Attributes
    ----------
    origin : the file or database entry; name : in the library, empty for an error.
    status : ``duplicate`` when the library has it already, under ``name``; message : the reason of an error.
    """

    origin: str
    status: Literal["added", "duplicate", "error"]
    name: str = ""
    message: str = ""


class Shelf:
    """The user's library while structures are put into it."""

    def __init__(self, own: OwnLibrary, catalogue: Catalogue, *, keep_duplicates: bool = False) -> None:
        self._own, self._keep_duplicates = own, keep_duplicates
        self._names = {item.name: item.origin for item in catalogue.items}
        self._by_formula: dict[str, list[tuple[str, Record]]] = {}
        for item in catalogue.items:
            self._by_formula.setdefault(item.formula, []).append((item.name, item.record))
        self._prints: dict[str, Fingerprint] = {}

    def put(self, record: Record, origin: str) -> Outcome:
        """Keep a record under a name of its own unless the library has the same structure.

        Raises
        ------
        CatalogueError
            When the folder cannot be written.
        """
        print_ = fingerprint(record)
        if not self._keep_duplicates:
            for name, known in self._by_formula.get(record.formula, []):
                if same(print_, self._print(name, known)):
                    return Outcome(origin, "duplicate", name)
        kept = replace(record, name=self._free_name(record.name))
        self._own.add(kept)
        self._names[kept.name] = "own"
        self._by_formula.setdefault(kept.formula, []).append((kept.name, kept))
        self._prints[kept.name] = print_
        return Outcome(origin, "added", kept.name)

    def take(self, entry: Fetched) -> Outcome:
        """Keep an entry of a database. Raises CatalogueError as :meth:`put`."""
        if entry.record is None:
            return Outcome(entry.origin, "error", message=entry.message)
        return self.put(entry.record, entry.origin)

    def _print(self, name: str, record: Record) -> Fingerprint:
        if name not in self._prints:
            self._prints[name] = fingerprint(record)
        return self._prints[name]

    def _free_name(self, name: str) -> str:
        free, number = name, 2
        while free in self._names:
            free, number = f"{name} ({number})", number + 1
        return free


def structure_files(paths: Iterable[Path]) -> list[Path]:
    """Files as they are, found or not, and the structure files below each folder.

    Raises
    ------
    CatalogueError
        When a folder holds no structure file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.is_file() and is_structure_file(p))
            if not below:
                raise CatalogueError(f"{path}: holds no .cif, .xyz, .vasp or POSCAR file")
            found += below
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def add_files(files: Iterable[Path], shelf: Shelf, name: str | None = None) -> Iterator[Outcome]:
    """Add the structures of each file; a file that cannot be used does not stop the others.

    Raises
    ------
    CatalogueError
        When the library's folder cannot be written.
    """
    for path in files:
        try:
            records = read_records(path, name)
        except StructureFileError as error:
            yield Outcome(str(path), "error", message=str(error))
            continue
        for record in records:
            yield shelf.put(record, str(path))
