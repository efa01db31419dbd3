"""What one identity of the polyoxometalates is: a connectivity, its point group and the compounds that have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from solvus.models.structures.polyoxometalates.draft import Draft
from solvus.models.structures.polyoxometalates.relax import Chemistry, Link

OXIDATION = {"W": 6, "Mo": 6, "V": 5, "Nb": 5, "Ta": 5, "Cr": 6}
"""Of the metals of the shell, unless an identity says otherwise."""

Build = Callable[[str, str], Draft]


@dataclass(frozen=True)
class Identity:
    """One connectivity and the compounds that have it.

    Attributes
    ----------
    type : its name; point_group : in Schoenflies' symbols.
    build : the draft for a metal and a heteroatom (empty for none).
    members : heteroatoms with oxidation states, by metal.
    edge, corner : between metals that share two oxygens or one, angstrom; none where the relaxation may choose.
    face : between metals that share three.
    reference : of the geometry.
    oxidation : of the metal, where it is not the highest.
    hydrogen : see :class:`~solvus.models.structures.polyoxometalates.relax.Chemistry`.
    twist : angstrom, see :func:`~solvus.models.structures.polyoxometalates.keggin.twisted`.
    hypothetical : no crystal structure is known to have this geometry.
    """

    type: str
    point_group: str
    build: Build
    members: Mapping[str, tuple[str, ...]]
    reference: str
    edge: float | None = None
    corner: float | None = None
    face: float | None = None
    oxidation: int | None = None
    hydrogen: Mapping[int, float] = field(default_factory=dict)
    twist: float = 0.0
    hypothetical: bool = False

    def chemistry(self, metal: str, hetero: str) -> Chemistry:
        """What its atoms are, for a heteroatom like ``P5`` or none."""
        links: dict[Link, float] = {}
        if self.corner is not None:
            links["corner"] = self.corner
        if self.edge is not None:
            links["edge"] = self.edge
        if self.face is not None:
            links["face"] = self.face
        oxidation = {metal: self.oxidation or OXIDATION[metal]}
        if hetero:
            oxidation[hetero[:-1]] = int(hetero[-1])
        return Chemistry(metal, oxidation, links, self.hydrogen)
