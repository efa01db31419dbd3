"""Structures of the Materials Project (https://api.materialsproject.org; CC BY 4.0): calculated cells, at 0 K.

It needs a key of one's own, in the environment variable ``MP_API_KEY``; the key is sent as a header, and is neither
printed nor kept.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from solvus.models.structures.databases.web import Fetched, FetchError, Web
from solvus.models.structures.record import Record
from solvus.models.structures.record_files import Site, crystal_record
from solvus.models.structures.structure_files import StructureFileError

BASE = "https://api.materialsproject.org"
KEY_VARIABLE = "MP_API_KEY"
PAGE = 100
CITATION = "Materials Project (CC BY 4.0)"

Vector = tuple[float, float, float]


class _Lattice(BaseModel):
    matrix: tuple[Vector, Vector, Vector]


class _Share(BaseModel):
    element: str
    occu: float


class _SiteDocument(BaseModel):
    species: list[_Share]
    abc: Vector


class _Structure(BaseModel):
    lattice: _Lattice
    sites: list[_SiteDocument]


class _Entry(BaseModel):
    material_id: str
    structure: _Structure


def headers() -> dict[str, str]:
    """What authorises the requests.

    Raises
    ------
    FetchError
        When the environment holds no key.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise FetchError(
            f"mp: set {KEY_VARIABLE} to your key from materialsproject.org/api; it is not stored or printed"
        )
    if not key.isascii() or not key.isprintable():
        raise FetchError(f"mp: {KEY_VARIABLE} holds characters that no key has")
    return {"X-API-KEY": key}


def structures(web: Web, elements: Collection[str], limit: int, base: str = BASE) -> Iterator[Fetched]:
    """Structures of exactly these elements. ``web`` carries :func:`headers`.

    Raises
    ------
    FetchError
        When the database cannot be asked, refuses the key, or its answer is not understood.
    """
    root, skip = base.rstrip("/"), 0
    while skip < limit:
        parameters: dict[str, str | int] = {
            "chemsys": "-".join(sorted(elements)),
            "deprecated": "false",
            "_fields": "material_id,structure",
            "_limit": min(PAGE, limit - skip),
            "_skip": skip,
        }
        answer = web.json(f"{root}/materials/summary/", parameters)
        entries = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(entries, list):
            raise FetchError(f"{root}: the answer has no list of data; is this the right address?")
        yield from map(_fetched, entries)
        skip += len(entries)
        if len(entries) < int(parameters["_limit"]):
            return


def _fetched(document: Any) -> Fetched:
    label = str(document.get("material_id", "entry")) if isinstance(document, dict) else "entry"
    origin = f"{CITATION} {label}"
    try:
        return Fetched(origin, _record(_Entry.model_validate(document), origin))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return Fetched(origin, None, f"{label}: {where} is missing or malformed")
    except StructureFileError as error:
        return Fetched(origin, None, str(error))


def _record(entry: _Entry, source: str) -> Record:
    sites: list[list[Site]] = [
        [(share.element, min(1.0, share.occu), 0.0) for share in site.species if share.occu > 0]
        for site in entry.structure.sites
    ]
    if not sites or not all(sites):
        raise StructureFileError(f"{entry.material_id}: a site without an element")
    lattice = np.array(entry.structure.lattice.matrix, dtype=np.float64)
    places = np.array([site.abc for site in entry.structure.sites], dtype=np.float64)
    label = entry.material_id
    return crystal_record(lattice, places, sites, label, None, source, label)
