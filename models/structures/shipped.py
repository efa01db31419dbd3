"""Where the shipped records come from, and the making of every data file: ``solvus library build``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solvus.models.structures import catalogue_file, library, library_file
from solvus.models.structures.build import rows_of, worker_pool
from solvus.models.structures.clusters import all_clusters
from solvus.models.structures.elements import metal_crystals
from solvus.models.structures.further_clusters import further_clusters
from solvus.models.structures.library_file import Row
from solvus.models.structures.oxides.catalogue import oxides
from solvus.models.structures.polyoxometalates.catalogue import polyoxometalates
from solvus.models.structures.record import Record

Progress = Callable[[Iterable[Row], int], Iterable[Row]]


@dataclass(frozen=True)
class DataFile:
    """One data file as it should be; ``path`` is where the package keeps it, ``entries`` what it holds and ``held``
    reads the version of the file that is there."""

    path: Path
    content: bytes
    version: str
    entries: int
    held: Callable[[Path], str]


SOURCES: dict[str, Callable[[], Iterator[Record]]] = {
    "metals": metal_crystals,
    "oxides": oxides,
    "polyoxometalates": polyoxometalates,
}
"""Where the records come from, by the name of the family."""


def entries_from(source: str) -> list[dict[str, Any]]:
    """Every entry of one of ``SOURCES``."""
    return [catalogue_file.entry_of(record) for record in SOURCES[source]()]


def catalogue(*, processes: int = 1) -> DataFile:
    """The catalogue of records.

    Raises
    ------
    CatalogueError
        When two records share a name.
    """
    with worker_pool(min(processes, len(SOURCES))) as pool:
        entries = [entry for found in pool.map(entries_from, SOURCES) for entry in found]
    content, version = catalogue_file.encoded(entries)
    return DataFile(catalogue_file.DATA, content, version, len(entries), lambda p: catalogue_file.read(p)[1])


def clusters(*, processes: int, progress: Progress = lambda rows, total: rows) -> Iterator[DataFile]:
    """The metal geometries: the core, then the further ones.

    Parameters
    ----------
    processes : to compute in; the files do not depend on it.
    progress : see :func:`solvus.models.structures.build.rows_of`.
    """
    core = rows_of(all_clusters(), processes=processes, progress=progress)
    yield _packed(library.DATA, core)
    further = rows_of(further_clusters(), core, processes=processes, progress=progress)
    yield _packed(library.FURTHER, further)


def _packed(path: Path, rows: Sequence[Row]) -> DataFile:
    content, version = library_file.encoded(rows)
    return DataFile(path, content, version, len(rows), lambda p: library_file.read(p)[1])


def difference(file: DataFile) -> str | None:
    """How the file in the package differs from what it should be; ``None`` when it does not, byte for byte."""
    if not file.path.is_file():
        return "missing"
    if file.path.read_bytes() == file.content:
        return None
    try:
        held = file.held(file.path)
    except ValueError as error:
        return str(error)
    if held == file.version:
        return f"equal content, version {held}, but packed by another compression library"
    return f"version {held} in the package, {file.version} built"
