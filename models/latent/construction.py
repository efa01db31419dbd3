"""A particle as a packing, a centre and the heights of its faces: the words that the decoder speaks.

Lengths in units of the bond length, in the frame of the packing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from solvus.models.latent.packings import ELSEWHERE, PACKINGS, Packing, largest, lengths, sites
from solvus.models.structures.clusters import unit_positions, volume_per_atom
from solvus.models.structures.stacking import HEIGHT

Floats = NDArray[np.float64]

DEEPEST = 12
"""Layers on either side of the centre whose stacking is told one by one."""
SLACK = 1e-4
"""Sites nearer than this to a limit are inside: rounding does not cut a face."""
FEWEST, MOST = 5, 31_000
"""Atoms."""
TOUCHING = 0.2
"""Of the sites added to a reach, so that the outermost are seen whole."""
COMPARED = 400
"""Atoms up to which all distances are compared; beyond, those from the centre are enough."""
BESIDE = 0.5
"""Radii from the centre to the axis of twins beyond which most of a particle is one crystal and its twins."""
MIXED = (0.1, 0.9)
"""Share of h layers between which a stacking is neither fcc nor hcp."""


class ConstructionError(ValueError):
    """A description that makes no particle. One sentence."""


@dataclass(frozen=True)
class Construction:
    """A particle.

    Attributes
    ----------
    packing : one of ``PACKINGS``.
    centre : name of a special position, or ``elsewhere`` with the place in ``offset``.
    heights : limit in each form; infinite where a form does not cut.
    letters : of layers, h or c, from ``-DEEPEST`` to ``DEEPEST + 1``; what lies beyond follows the last of them.
    """

    packing: str
    centre: str
    heights: tuple[float, ...]
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    letters: str = ""

    @property
    def kind(self) -> Packing:
        return PACKINGS[self.packing]

    @property
    def origin(self) -> Floats:
        """Where the heights are counted from: (3,)."""
        place = self.offset if self.centre == ELSEWHERE else self.kind.centres[self.centre]
        return np.array(place, dtype=np.float64)

    def letter(self, layer: int) -> str:
        """h or c."""
        place = min(max(layer + DEEPEST, 0), len(self.letters) - 1)
        return self.letters[place]

    @property
    def reach(self) -> float:
        """Radius of a sphere that holds the particle."""
        return float(_reach(self.packing, np.array(self.heights)))

    @cached_property
    def sites(self) -> Floats:
        """The atoms, relative to the centre, as the packing has them: (n, 3).

        Raises
        ------
        ConstructionError
            When no face closes the particle.
        """
        reach = self.reach
        if not math.isfinite(reach):
            raise ConstructionError(f"heights: no face of {self.packing} closes the particle")
        found = self.near(reach + TOUCHING)
        inside = largest(self.kind.heights(found) - np.array(self.heights)) <= SLACK
        return np.asarray(found[inside])

    def near(self, radius: float) -> Floats:
        """Sites of the packing within ``radius`` of the centre, relative to it: (n, 3)."""
        origin = self.origin
        letters = self.letter if self.kind.layered else None
        return np.asarray(sites(self.packing, origin, radius, letters) - origin)

    def around(self, margin: float = 1.1) -> Floats:
        """Sites of the packing up to ``margin`` outside of the particle's reach, relative to the centre: (n, 3)."""
        outermost = float(lengths(self.sites).max())
        return self.near(outermost + margin)

    @cached_property
    def positions(self) -> Floats:
        """The atoms as a unit geometry: centred, mean contact distance 1, (n, 3)."""
        return unit_positions(self.sites)

    @property
    def n_atoms(self) -> int:
        return len(self.sites)

    @cached_property
    def tight(self) -> Construction:
        """The same particle with the smallest heights that hold it, written the same way whatever it was made from."""
        heights = self.kind.heights(self.sites).max(axis=0)
        found = replace(self, heights=_numbers(heights))
        alike = list(self.kind.alike)
        heights[alike] = np.sort(heights[alike])[::-1]
        turned = replace(found, heights=_numbers(heights))
        found = turned if self.same(turned) else found
        if not self.letters:
            return found
        top = 1 if self.centre.endswith("-between") else 0
        span = range(-DEEPEST, DEEPEST + 2)
        straight = replace(found, letters="".join(self.letter(k) for k in span))
        over = replace(found, letters="".join(self.letter(top - k) for k in span))
        return over if over._inner() < straight._inner() and self.same(over) else straight

    def _inner(self) -> str:
        """The letters that matter."""
        return "".join(self.letter(k) for k in sorted(self.layers))

    def same(self, other: Construction) -> bool:
        """Whether both have equal numbers of atoms at equal distances from the centre and from one another."""
        if self.n_atoms != other.n_atoms:
            return False
        if self.n_atoms < 2:
            return True
        ours, theirs = (np.sort(lengths(c.sites)) for c in (self, other))
        if np.abs(ours - theirs).max() > SLACK:
            return False
        return self.n_atoms > COMPARED or bool(
            np.abs(np.sort(pdist(self.sites)) - np.sort(pdist(other.sites))).max() < SLACK
        )

    @property
    def faces(self) -> int:
        """How many different limits are needed to say the particle's shape: one for a sphere or an octahedron, more
        where several forms cut or where forms that a rotation exchanges lie at different heights."""
        return self._different(self._cutting, np.array(self.tight.heights))

    @property
    def lean(self) -> Construction:
        """The same particle without the limits that others make superfluous: a sphere is a sphere in every size."""
        limits = self.tight.heights
        heights = tuple(h if form in self._cutting else math.inf for form, h in enumerate(limits))
        found = replace(self.tight, heights=heights)
        return found if math.isfinite(found.reach) else self.tight

    @cached_property
    def _cutting(self) -> list[int]:
        """Forms that shape the particle."""
        limits = np.array(self.tight.heights)
        around = self.near(float(lengths(self.sites).max()) + TOUCHING + 1.0)
        under = self.kind.heights(around) <= limits + SLACK
        forms = list(range(len(limits)))
        kept = [self._needed(under, order) for order in (forms, forms[::-1])]
        return min(kept, key=lambda forms: self._different(forms, limits))

    def _different(self, forms: list[int], limits: Floats) -> int:
        """How many different numbers the limits of these forms are."""
        alike = {round(float(limits[form]), 2) for form in forms if form in self.kind.alike}
        return len(alike) + sum(form not in self.kind.alike for form in forms)

    def _needed(self, under: NDArray[np.bool_], order: list[int]) -> list[int]:
        """Forms left when those that the others make superfluous are dropped in the order given."""
        kept = list(order)
        for form in order:
            without = [other for other in kept if other != form]
            if without and under[:, without].all(axis=1).sum() == self.n_atoms:
                kept = without
        return kept

    @cached_property
    def layers(self) -> frozenset[int]:
        """Layers of a stacking that have a layer of the particle on either side: only their letters matter."""
        if not self.kind.layered:
            return frozenset()
        numbers = np.rint((self.sites[:, 2] + self.origin[2]) / HEIGHT).astype(int)
        held = set(numbers.tolist())
        return frozenset(k for k in held if k - 1 in held and k + 1 in held)

    @cached_property
    def hexagonality(self) -> float:
        """Share of h among the layers that matter; zero where there are none."""
        inner = self.layers
        return sum(self.letter(k) == "h" for k in inner) / len(inner) if inner else 0.0

    @cached_property
    def family(self) -> str:
        """As the library of metal clusters calls it; a particle that lies beside the axis of its twins is fcc with twin
        planes."""
        if self.twinned_beside:
            return "fcc"
        if not self.kind.layered:
            return self.packing
        share = self.hexagonality
        return "fcc" if share < MIXED[0] else "hcp" if share > MIXED[1] else "faulted"

    @property
    def twinned_beside(self) -> bool:
        """Whether the axis or point that twins meet at lies more than ``BESIDE`` radii from the centre."""
        if not self.kind.eccentric or self.centre != ELSEWHERE:
            return False
        return bool(np.linalg.norm(self.offset) > BESIDE * radius_of(self.packing, self.n_atoms))

    @property
    def name(self) -> str:
        """Readable, not unique: ``icosahedral-55``, ``faulted-0.40-134``, ``fcc-twinned-201``."""
        share = f"-{self.hexagonality:.2f}" if self.family == "faulted" else ""
        return f"{self.family}{share}{'-twinned' if self.twinned_beside else ''}-{self.n_atoms}"


def _numbers(heights: Floats) -> tuple[float, ...]:
    return tuple(float(h) for h in heights)


def radius_of(packing: str, atoms: float) -> float:
    """Of the sphere of the volume of so many atoms."""
    family = "fcc" if packing == "layers" else packing
    return float((3.0 * atoms * volume_per_atom(family) / (4.0 * math.pi)) ** (1.0 / 3.0))


def _reach(packing: str, heights: Floats) -> float:
    """Radius of a sphere about the centre that holds every point below the limits; infinite where there is none."""
    h = dict(zip(PACKINGS[packing].forms, heights, strict=True))
    if PACKINGS[packing].forms[1] == "100":
        box = math.sqrt(sum(h[form] ** 2 for form in ("100", "010", "001")))
        return float(min(h["sphere"], box, math.sqrt(3.0) * h["111"], math.sqrt(2.0) * h["110"]))
    if packing == "layers":
        across = sorted(h[form] for form in ("prism-1", "prism-2", "prism-3"))[:2]
        # The far corner of the parallelogram of the two narrowest prisms.
        flat = min((across[0] + across[1]) * 2.0 / math.sqrt(3.0), h["prism-11"] * 2.0 / math.sqrt(3.0))
        pyramid = h["pyramid"] * 2.5
        return float(min(h["sphere"], math.hypot(flat, h["basal"]), pyramid))
    if packing == "decahedral":
        tall = min(h["basal"], h["cap"])
        wide = min(h["side"], 2.0 * h["cap"], 2.0 * h["notch"])
        return float(min(h["sphere"], math.hypot(tall, wide)))
    return float(min(h["sphere"], 1.01 * h["face"], 1.3 * h["vertex"]))
