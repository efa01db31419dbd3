"""Structures of the Crystallography Open Database (https://www.crystallography.net/cod): a search, then one CIF for
each number found. Its entries are in the public domain (CC0)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from solvus.models.structures.databases.web import Fetched, FetchError, Web
from solvus.models.structures.record_files import records_of_cif
from solvus.models.structures.structure_files import StructureFileError

BASE = "https://www.crystallography.net/cod"


def structures(web: Web, elements: Collection[str], limit: int, base: str = BASE) -> Iterator[Fetched]:
    """Structures of exactly these elements, by COD number.

    Raises
    ------
    FetchError
        When the database cannot be asked or its answer is not understood.
    """
    root = base.rstrip("/")
    parameters: dict[str, str | int] = {
        f"el{number}": element for number, element in enumerate(sorted(elements), start=1)
    }
    parameters |= {"strictmin": len(elements), "strictmax": len(elements), "format": "json"}
    answer = web.json(f"{root}/result", parameters)
    if not isinstance(answer, list) or not all(isinstance(entry, dict) for entry in answer):
        raise FetchError(f"{root}: the search did not return a list of entries")
    numbers = [str(entry.get("file", "")) for entry in answer]
    if not all(number.isdigit() for number in numbers):
        raise FetchError(f"{root}: an entry of the search has no COD number")
    for number in sorted(numbers, key=int)[:limit]:
        yield from _fetched(web, root, number)


def _fetched(web: Web, root: str, number: str) -> Iterator[Fetched]:
    origin = f"COD {number}"
    try:
        text = web.get(f"{root}/{number}.cif")
        for record in records_of_cif(text, f"{number}.cif", source=origin):
            yield Fetched(origin, record)
    except (StructureFileError, FetchError) as error:
        yield Fetched(origin, None, str(error))
