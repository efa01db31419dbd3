"""The shipped classes of entries that the reference measurement cannot tell apart: one JSON file.

    {"format": 1, "catalogue": version, "measurement": {...}, "classes": {leader: {member: R_w, ...}, ...}}

Classes of one entry are left out. ``solvus library classes --build`` makes the file
(:mod:`solvus.models.structures.classes`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from solvus.models.structures.catalogue_file import CatalogueError

DATA = Path(__file__).with_name("classes.json")
FORMAT = 1


@dataclass(frozen=True)
class Class:
    """``members`` maps each entry to the R_w with which it refines onto the leader's curve; the leader's own is 0."""

    leader: str
    members: dict[str, float]


def encoded(classes: Sequence[Class], version: str, measurement: Mapping[str, object]) -> bytes:
    """The file, for the catalogue of that version."""
    document = {
        "format": FORMAT,
        "catalogue": version,
        "measurement": dict(measurement),
        "classes": {c.leader: dict(sorted(c.members.items())) for c in classes if len(c.members) > 1},
    }
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read(path: Path = DATA) -> tuple[dict[str, Class], str]:
    """The class of each entry that shares one, by name, and the version of the catalogue they were found for.

    Raises
    ------
    CatalogueError
        When the file is missing or of another format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(
            f"{path.name}: cannot be read; make it with solvus library classes --build"
        ) from error
    if document.get("format") != FORMAT:
        raise CatalogueError(f"{path.name}: format {document.get('format')}, but this version reads {FORMAT}")
    found = [Class(leader, members) for leader, members in document["classes"].items()]
    return {name: c for c in found for name in c.members}, str(document["catalogue"])
