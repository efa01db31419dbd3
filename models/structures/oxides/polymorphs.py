"""Real oxide crystals: published structures, each with its source.

``polymorphs.json`` is the collection. An entry either holds the facts itself, or takes them from ``cod.json``, which
``python -m solvus.models.structures.oxides.cif_facts`` derives from a folder of CIFs, and adds what a CIF rarely
says: the structure type and the charges.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from solvus.models.structures.oxides.facts import Fact, FactError, Oxide, Site, read_sites


class _Taken(BaseModel):
    """An entry of the collection whose numbers stand in ``cod.json``; ``ions`` in the order of its sites."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    type: str = Field(min_length=1)
    take: str
    ions: str


class _Converted(BaseModel):
    """One structure as the conversion writes it."""

    space_group: int
    setting: int
    cell: tuple[float, ...]
    sites: str
    source: str


class _Collection(BaseModel):
    entries: list[Fact | _Taken]


@cache
def published() -> tuple[Oxide, ...]:
    """Every entry of the collection, in its order.

    Raises
    ------
    FactError
        When an entry takes a structure that ``cod.json`` lacks, or two entries have one name.
    """
    folder = Path(__file__).parent
    collection = _Collection.model_validate_json((folder / "polymorphs.json").read_bytes())
    converted = {
        key: _Converted.model_validate(value)
        for key, value in json.loads((folder / "cod.json").read_text("utf-8")).items()
    }
    found: dict[str, Oxide] = {}
    for entry in collection.entries:
        oxide = entry.oxide() if isinstance(entry, Fact) else _taken(entry, converted)
        if oxide.name in found:
            raise FactError(f"{oxide.name}: stands twice in the collection")
        found[oxide.name] = oxide
    return tuple(found.values())


def _taken(entry: _Taken, converted: dict[str, _Converted]) -> Oxide:
    if entry.take not in converted:
        raise FactError(f"{entry.name}: {entry.take} is not in cod.json")
    facts = converted[entry.take]
    ions = entry.ions.split()
    written = [text.split() for text in facts.sites.split(";")]
    if len(ions) != len(written):
        raise FactError(f"{entry.name}: {len(ions)} ions for {len(written)} sites of {entry.take}")
    sites: list[Site] = []
    for ion, (element, *rest) in zip(ions, written, strict=True):
        (site,) = read_sites(" ".join([ion, *rest]))
        if site.element != element:
            raise FactError(f"{entry.name}: {ion} stands where {entry.take} has {element}")
        sites.append(site)
    return Oxide(
        entry.name, entry.type, tuple(sites), facts.space_group, facts.setting, facts.cell, facts.source
    )
