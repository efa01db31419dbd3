"""The door to the databases: entries of OPTIMADE providers, COD and the Materials Project, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from solvus.models.structures.databases import cod, materials_project, optimade
from solvus.models.structures.databases.web import PAUSE, Fetched, Web

Database = Literal["optimade", "cod", "mp"]


def fetched(
    database: Database,
    elements: Sequence[str],
    limit: int,
    *,
    base: str | None = None,
    cache: Path | None = None,
    pause: float = PAUSE,
) -> Iterator[Fetched]:
    """Up to ``limit`` structures that hold exactly these elements.

    Parameters
    ----------
    base : address of the database, by default its own; for ``optimade`` the Materials Project's provider.
    cache : folder of earlier answers; ``None`` asks anew.
    pause : seconds between requests.

    Raises
    ------
    FetchError
        When the database cannot be asked or does not answer as its protocol says.
    """
    source = {"optimade": optimade, "cod": cod, "mp": materials_project}[database]
    headers = materials_project.headers() if database == "mp" else None
    with Web(cache=cache, headers=headers, pause=pause) as web:
        yield from source.structures(web, elements, limit, base or source.BASE)
