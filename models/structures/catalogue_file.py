"""The shipped catalogue of records: one gzip file of canonical JSON, built by ``solvus library build``.

    {"format": 1, "version": hash of the entries, "entries": [{"record": {...}, "n_atoms": n, "span": angstrom}, ...]}

Entries are sorted by name. ``record`` is laid out as in :mod:`solvus.models.structures.record_json`, with its source;
``n_atoms`` counts the atoms of the cell or the cluster and ``span`` is the longest distance in a cluster, so that a
search need not make any atoms. Classes of entries that a measurement cannot tell apart are kept beside it, see
:mod:`solvus.models.structures.classes`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from scipy.spatial.distance import pdist

from solvus.models.structures.record import Record
from solvus.models.structures.record_json import canonical, to_document

DATA = Path(__file__).with_name("catalogue.json.gz")
FORMAT = 1


class CatalogueError(ValueError):
    """A name, filter or file of the catalogue that cannot be used; the message says what to do."""


def entry_of(record: Record) -> dict[str, Any]:
    """One entry of the file: the record with its size."""
    atoms = record.atoms()
    span = None
    if not record.periodic:
        span = round(float(pdist(atoms.positions).max()), 3) if len(atoms) > 1 else 0.0
    return {"record": to_document(record), "n_atoms": len(atoms), "span": span}


def encoded(entries: Iterable[dict[str, Any]]) -> tuple[bytes, str]:
    """The file and its version, whatever the order of the entries (:func:`entry_of`).

    Raises
    ------
    CatalogueError
        When two records share a name.
    """
    ordered = sorted(entries, key=lambda entry: str(entry["record"]["name"]))
    names = [entry["record"]["name"] for entry in ordered]
    for name, following in pairwise(names):
        if name == following:
            raise CatalogueError(f"name: {name!r} is taken by two records; names must be unique")
    version = _version(ordered)
    stream = io.BytesIO()
    text = canonical({"format": FORMAT, "version": version, "entries": ordered})
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
        packed.write(text.encode())
    return stream.getvalue(), version


def read(path: Path = DATA) -> tuple[list[dict[str, Any]], str]:
    """The entries of a catalogue file, and its version.

    Raises
    ------
    CatalogueError
        When the file is missing, damaged or of another format.
    """
    try:
        return decoded(path.read_bytes(), path.name)
    except FileNotFoundError as error:
        raise CatalogueError(
            f"{path.name}: the data file is missing; make it with solvus library build"
        ) from error


def decoded(content: bytes, name: str = DATA.name) -> tuple[list[dict[str, Any]], str]:
    """The entries in the bytes of a catalogue file called ``name``, and their version; errors as :func:`read`."""
    try:
        document = json.loads(gzip.decompress(content))
    except (OSError, EOFError, ValueError) as error:
        raise CatalogueError(f"{name}: damaged; make it again with solvus library build") from error
    if document.get("format") != FORMAT:
        raise CatalogueError(f"{name}: format {document.get('format')}, but this version reads {FORMAT}")
    entries: list[dict[str, Any]] = document["entries"]
    return entries, str(document["version"])


def _version(entries: list[dict[str, Any]]) -> str:
    return f"{FORMAT}.{hashlib.sha256(canonical(entries).encode()).hexdigest()[:12]}"
