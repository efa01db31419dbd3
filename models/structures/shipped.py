"""Where the shipped records come from, and the making of every data file: ``solvus library build``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from solvus.models.structures import catalogue_file, library, library_file
from solvus.models.structures.build import rows_of
from solvus.models.structures.clusters import all_clusters
from solvus.models.structures.elements import metal_crystals
from solvus.models.structures.further_clusters import further_clusters
from solvus.models.structures.library_file import Row
from solvus.models.structures.record import Record

Progress = Callable[[Iterable[Row], int], Iterable[Row]]


@dataclass(frozen=True)
class DataFile:
    """One data file as it should be; ``path`` is where the package keeps it, ``entries`` what it holds."""

    path: Path
    content: bytes
    version: str
    entries: int


def shipped_records() -> Iterator[Record]:
    """Every record of the shipped catalogue, by family."""
    yield from metal_crystals()


def catalogue() -> DataFile:
    """The catalogue of records."""
    records = list(shipped_records())
    content, version = catalogue_file.encoded(records)
    return DataFile(catalogue_file.DATA, content, version, len(records))


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
    return DataFile(path, content, version, len(rows))


def difference(file: DataFile) -> str | None:
    """How the file in the package differs from what it should be; ``None`` when it does not, byte for byte."""
    if not file.path.is_file():
        return "missing"
    if file.path.read_bytes() == file.content:
        return None
    try:
        held = _version(file.path)
    except (library_file.LibraryFileError, catalogue_file.CatalogueError) as error:
        return str(error)
    if held == file.version:
        return f"equal content, version {held}, but packed by another compression library"
    return f"version {held} in the package, {file.version} built"


def _version(path: Path) -> str:
    return (catalogue_file.read if path == catalogue_file.DATA else library_file.read)(path)[1]
