"""The oxides of the library: published structures first, then prototypes put together with metals.

    polymorphs()   published structures with their own coordinates
    decorated()    prototypes times metals: published cells first, then hypothetical ones
    oxides()       both, in that order

The order and every number depend on the data files alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from solvus.models.structures.oxides.decorate import decorated_oxides
from solvus.models.structures.oxides.polymorphs import published
from solvus.models.structures.record import Record


def polymorphs() -> Iterator[Record]:
    """Published oxide structures, each with its source."""
    return (oxide.record() for oxide in published())


def decorated() -> Iterator[Record]:
    """Prototypes with every chemically sensible metal; no entry repeats a published structure."""
    return (oxide.record() for oxide in decorated_oxides())


def oxides() -> Iterator[Record]:
    """Every oxide of the library, with unique names."""
    yield from polymorphs()
    yield from decorated()
