"""Structures of any OPTIMADE provider (https://www.optimade.org, specification 1.1): JSON:API, filter grammar, and
paging by ``links.next``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urljoin

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from solvus.models.structures.databases.web import Fetched, FetchError, Web, same_host
from solvus.models.structures.record import Record
from solvus.models.structures.record_files import Site, cluster_record, crystal_record
from solvus.models.structures.structure_files import StructureFileError

BASE = "https://optimade.materialsproject.org"
PAGE = 50
"""Structures on a page; providers commonly allow up to 100."""
FIELDS = "lattice_vectors,cartesian_site_positions,species_at_sites,species,dimension_types"
NOT_ELEMENTS = frozenset({"X", "vacancy"})
"""What a provider may put in the place of an element."""

Vector = tuple[float, float, float]


class _Species(BaseModel):
    name: str
    chemical_symbols: list[str]
    concentration: list[float]


class _Attributes(BaseModel):
    lattice_vectors: list[Vector] | None = None
    cartesian_site_positions: list[Vector]
    species_at_sites: list[str]
    species: list[_Species]
    dimension_types: list[int]


class _Resource(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    attributes: dict[str, Any]


class _Page(BaseModel):
    data: list[_Resource]
    links: dict[str, Any] = Field(default_factory=dict)


def structures(web: Web, elements: Collection[str], limit: int, base: str = BASE) -> Iterator[Fetched]:
    """Structures of exactly these elements.

    Parameters
    ----------
    base : address of the provider's OPTIMADE interface, with or without ``/v1``.

    Raises
    ------
    FetchError
        When the provider cannot be asked or does not speak OPTIMADE.
    """
    root = base.rstrip("/").removesuffix("/v1")
    quoted = ",".join(f'"{element}"' for element in sorted(elements))
    url: str | None = f"{root}/v1/structures"
    parameters: dict[str, str | int] | None = {
        "filter": f"elements HAS ALL {quoted} AND nelements={len(elements)}",
        "page_limit": min(PAGE, limit),
        "response_fields": FIELDS,
        "response_format": "json",
    }
    count, seen = 0, set()
    while url is not None and count < limit:
        page = _page(web.json(url, parameters), root)
        seen.add(url)
        for resource in page.data[: limit - count]:
            count += 1
            yield _fetched(resource, root)
        url, parameters = _next(page, url), None
        if url in seen:
            raise FetchError(f"{root}: links.next leads back to a page already read")
        if url is not None and not same_host(url, root):
            raise FetchError(f"{root}: links.next leads to another host, {url}; give that as the address")


def _page(document: Any, root: str) -> _Page:
    try:
        return _Page.model_validate(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise FetchError(f"{root}: not an OPTIMADE answer ({where}: {error.errors()[0]['msg']})") from error


def _next(page: _Page, here: str) -> str | None:
    """Address of the next page: a string, or an object with ``href``, or null at the end."""
    link = page.links.get("next")
    address = link.get("href") if isinstance(link, dict) else link
    return urljoin(here, str(address)) if address else None


def _fetched(resource: _Resource, root: str) -> Fetched:
    origin = f"{root}/v1/structures/{resource.id}"
    try:
        return Fetched(origin, _record(_Attributes.model_validate(resource.attributes), resource.id, origin))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return Fetched(origin, None, f"{resource.id}: {where} is missing or malformed")
    except StructureFileError as error:
        return Fetched(origin, None, str(error))


def _record(attributes: _Attributes, label: str, source: str) -> Record:
    kinds = {species.name: _sites(species) for species in attributes.species}
    unknown = next((name for name in attributes.species_at_sites if name not in kinds), None)
    if unknown is not None or len(attributes.species_at_sites) != len(attributes.cartesian_site_positions):
        raise StructureFileError(f"{label}: species_at_sites does not go with species and positions")
    places = np.array(attributes.cartesian_site_positions, dtype=np.float64)
    sites = [kinds[name] for name in attributes.species_at_sites]
    filled = [i for i, site in enumerate(sites) if site]
    if not filled:
        raise StructureFileError(f"{label}: holds no atoms")
    places, sites = places[filled], [sites[i] for i in filled]
    if sum(attributes.dimension_types) == 0:
        if any(len(site) > 1 or site[0][1] < 1.0 for site in sites):
            raise StructureFileError(f"{label}: a molecule with sites filled in part")
        return cluster_record(Atoms([site[0][0] for site in sites], positions=places), label, None, source)
    if sum(attributes.dimension_types) != 3 or attributes.lattice_vectors is None:
        raise StructureFileError(f"{label}: periodic in one or two directions only")
    lattice = np.array(attributes.lattice_vectors, dtype=np.float64)
    if lattice.shape != (3, 3) or abs(np.linalg.det(lattice)) < 1.0:
        raise StructureFileError(f"{label}: lattice_vectors span no volume")
    return crystal_record(lattice, places @ np.linalg.inv(lattice), sites, label, None, source, label)


def _sites(species: _Species) -> list[Site]:
    pairs = zip(species.chemical_symbols, species.concentration, strict=False)
    kept = [
        (symbol, min(1.0, share), 0.0) for symbol, share in pairs if symbol not in NOT_ELEMENTS and share > 0
    ]
    return sorted(kept, key=lambda site: (-site[1], site[0]))
