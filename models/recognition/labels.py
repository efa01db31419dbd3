"""What the recogniser can say: library entries, structure types and groups of metals, each with a number.

The *kind* of a structure is the level at which a chemist names it: the family of a metal cluster (fcc, icosahedral),
the structure type of an oxide (spinel), the identity of a polyoxometalate (alpha-Keggin). One kind more stands for all
that is none of these.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvus.models.identification import NONE
from solvus.models.recognition.metal_groups import group_of, groups
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.library import Library


@dataclass(frozen=True)
class Labels:
    """Names by number.

    Attributes
    ----------
    entries : records of the catalogue, then geometries of metals.
    kinds : structure types; the last is "none of these".
    kind_of_entry : the kind of each entry.
    groups : of metals.
    """

    entries: tuple[str, ...]
    kinds: tuple[str, ...]
    kind_of_entry: tuple[int, ...]
    groups: tuple[str, ...]

    @staticmethod
    def of(catalogue: Catalogue, library: Library) -> Labels:
        """Those of a catalogue and the geometries of metals."""
        types = {item.name: item.type for item in catalogue.items}
        types |= {entry.name: entry.family for entry in library.entries}
        kinds = (*sorted(set(types.values())), NONE)
        place = {kind: k for k, kind in enumerate(kinds)}
        return Labels(tuple(types), kinds, tuple(place[t] for t in types.values()), groups())

    def entry(self, name: str) -> int:
        return self._entries[name]

    def kind(self, name: str) -> int:
        return self._kinds[name]

    def metals(self, elements: Collection[str]) -> NDArray[np.bool_]:
        """Which groups the elements belong to: (groups,)."""
        found = np.zeros(len(self.groups), dtype=bool)
        for group in {group_of(element) for element in elements} - {None}:
            found[self._groups[str(group)]] = True
        return found

    @cached_property
    def _entries(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.entries)}

    @cached_property
    def _kinds(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.kinds)}

    @cached_property
    def _groups(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.groups)}
