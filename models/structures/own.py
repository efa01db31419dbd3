"""The user's own structures: one JSON file for each, in a folder of the user's.

The folder is ``$SOLVUS_LIBRARY`` or, without it, ``solvus/library`` where the system keeps a user's data:
``$XDG_DATA_HOME`` or ``~/.local/share`` on Linux, ``~/Library/Application Support`` on macOS, ``%LOCALAPPDATA%`` on
Windows. Files are written beside their place and moved into it, so that a reader sees a whole record or none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from solvus.models.structures.catalogue_file import CatalogueError
from solvus.models.structures.record import Record
from solvus.models.structures.record_json import RecordError, from_document, to_document

FORMAT = 1
VARIABLE = "SOLVUS_LIBRARY"
READABLE = 60
"""Characters of the name that its file's name shows."""


def default_folder() -> Path:
    """Where the user's structures are kept; it need not exist."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "solvus" / "library"


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` into ``path`` in one step.

    Raises
    ------
    CatalogueError
        When the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:  # an interrupted write must leave no litter either
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be written ({error.strerror})") from error


class OwnLibrary:
    """The records in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, name: str) -> Path:
        """The file of the record called ``name``: a readable part, and a hash that keeps names apart."""
        readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:READABLE]
        return self.folder / f"{readable}.{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"

    def read(self) -> tuple[list[Record], list[str]]:
        """Every record, by file name, and a sentence for each file that could not be read."""
        records: dict[str, Record] = {}
        warnings = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                record = _record_in(path)
            except CatalogueError as error:
                warnings.append(str(error))
                continue
            if record.name in records:
                warnings.append(f"{path}: another record is called {record.name!r} too; remove one of them")
                continue
            records[record.name] = record
        return list(records.values()), warnings

    def add(self, record: Record) -> Path:
        """Keep a record; one of the same name is replaced.

        Raises
        ------
        CatalogueError
            When the folder cannot be written.
        """
        path = self.path_of(record.name)
        document = {"format": FORMAT, "record": to_document(record)}
        write_atomically(path, json.dumps(document, indent=1, sort_keys=True).encode())
        return path

    def remove(self, name: str) -> None:
        """Delete the record called ``name``.

        Raises
        ------
        CatalogueError
            When the folder has none of that name.
        """
        for path in sorted(self.folder.glob("*.json")):
            try:
                found = _record_in(path).name == name
            except CatalogueError:
                continue  # a file that cannot be read has no name; reading the library reports it
            if found:
                path.unlink()
                return
        raise CatalogueError(
            f"structure: {name!r} is not one of your own; see solvus library list --origin own"
        )


def _record_in(path: Path) -> Record:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise CatalogueError(f"{path}: not a structure that this version wrote; remove it")
        return from_document(document.get("record"))
    except (OSError, ValueError) as error:
        if isinstance(error, CatalogueError):
            raise
        detail = str(error) if isinstance(error, RecordError) else "not JSON"
        raise CatalogueError(f"{path}: {detail}; add it again or remove it") from error
