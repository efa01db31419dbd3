"""Names that mean one thing to a measurement: structure types and structures that the library holds in one class.

The classes are the library's own (:mod:`solvus.models.structures.classes`): an entry is in the class of another when it
refines onto its pattern to R_w 0.02. They are looked up, not measured again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from solvus.models.structures.catalogue import Catalogue

SHARED = 0.5
"""Share of the entries of a type that must have an entry of the other type in their class."""


def merged_types(catalogue: Catalogue) -> dict[str, str]:
    """For each structure type the one name that stands for it and for those it cannot be told from.

    Two types are one when at least half (``SHARED``) of the entries of either share a class with an entry of the
    other; what is one with a third is one with both. So spinel and inverse spinel are one, whose cations differ by a
    few electrons in most compounds, and cubic and double perovskite are two: few of their entries share a class. The
    commonest type gives the name.
    """
    types = {item.name: item.type for item in catalogue.items}
    count = Counter(types.values())
    shared: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, own in types.items():
        for other in {types[alike] for alike in catalogue.alike(name)} - {own}:
            shared[own, other].add(name)
    pairs = [(a, b) for (a, b), members in shared.items() if len(members) >= SHARED * count[a]]
    return _leaders(count, pairs)


def merged_structures(catalogue: Catalogue) -> dict[str, str]:
    """For each shipped structure the first, by name, of those in its class."""
    return {item.name: min([item.name, *catalogue.alike(item.name)]) for item in catalogue.items}


def _leaders(count: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The commonest (then first) name of the group that each name is joined to."""
    group = {name: frozenset({name}) for name in count}
    for a, b in pairs:
        joined = group[a] | group[b]
        group |= dict.fromkeys(joined, joined)
    return {name: min(members, key=lambda m: (-count[m], m)) for name, members in group.items()}
