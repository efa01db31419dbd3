"""Clusters fused from lacunary Keggin units: Wells-Dawson, its lacunary forms, and Preyssler.

The Wells-Dawson ion X2M18O62 (alpha, D3h) is two A-alpha-XM9O34 units face to face; their six oxygens of the rim are
shared. The Preyssler ion NaP5W30O110 is five PW6 units around a fivefold axis, each a Keggin ion that has lost two sets
of three corner-sharing metals: the two faces so cut make an angle of 70.5 degrees, nearly a fifth of a turn.
"""

from __future__ import annotations

import numpy as np

from solvus.models.structures.polyoxometalates.draft import Draft, draft, merged
from solvus.models.structures.polyoxometalates.keggin import TRIADS, keggin, lacunary, trilacunary
from solvus.models.structures.polyoxometalates.symmetry import group_of, reflection, rotation
from solvus.models.structures.record import Floats

UPRIGHT = np.array([[1, -1, 0] / np.sqrt(2.0), [1, 1, -2] / np.sqrt(6.0), [1, 1, 1] / np.sqrt(3.0)])
"""Turns the first triad's axis into z, and a mirror plane of the Keggin ion into x = 0."""
D3H = group_of(rotation([0, 0, 1], 3), reflection([1, 0, 0]), reflection([0, 0, 1]))
"""(12, 3, 3)."""
D5H = group_of(rotation([0, 0, 1], 5), reflection([0, 1, 0]), reflection([0, 0, 1]))
"""(20, 3, 3)."""
RIM = 6
SAME_OXYGEN = 1.2
"""angstrom: oxygens of two units this near are the one that they share; any others are over 2 apart."""
SODIUM_HEIGHT = 1.25
"""angstrom above the plane of the phosphorus atoms, Alizadeh et al. (1985)."""


def wells_dawson(metal: str, hetero: str, turned: int = 0) -> Draft:
    """X2M18O62 with none (alpha) or one (beta) of its polar triads turned by 60 degrees."""
    upper = _half(metal, hetero, min(turned, 1))
    lower = _half(metal, hetero, 0)
    heights = [h.positions[h.where("O")] @ UPRIGHT[2] for h in (upper, lower)]
    rims = [np.sort(h)[:RIM].mean() for h in heights]
    places = [h.positions @ UPRIGHT.T - [0.0, 0.0, rim] for h, rim in zip((upper, lower), rims, strict=True)]
    places[1] = places[1] * [1.0, 1.0, -1.0]
    return _joined([metal, hetero], upper.species, places, D3H)


def _half(metal: str, hetero: str, turned: int) -> Draft:
    return trilacunary(keggin(metal, hetero, turned), metal, axis=0, kind="A")


def _joined(elements: list[str], species: tuple[str, ...], parts: list[Floats], parent: Floats) -> Draft:
    """Parts of the same species put together, their common oxygens merged."""
    kinds = np.array(species)
    found = {
        name: merged(np.concatenate([part[kinds == name] for part in parts]), SAME_OXYGEN)
        for name in [*elements, "O"]
    }
    names = [name for name, places in found.items() for _ in places]
    bound = {elements[0]: 6, elements[1]: 4}
    return draft(names, np.concatenate(list(found.values())), bound, parent=parent)


def alpha_one(metal: str, hetero: str) -> Draft:
    """alpha1-X2M17O61: one metal of a belt missing, C1."""
    whole = wells_dawson(metal, hetero)
    heights = np.abs(whole.positions[whole.where(metal), 2])
    return lacunary(whole, [int(whole.where(metal)[heights.argmin()])])


def alpha_two(metal: str, hetero: str) -> Draft:
    """alpha2-X2M17O61: one metal of a polar triad missing, Cs."""
    whole = wells_dawson(metal, hetero)
    heights = whole.positions[whole.where(metal), 2]
    return lacunary(whole, [int(whole.where(metal)[heights.argmax()])])


def trivacant(metal: str, hetero: str) -> Draft:
    """X2M15O56: a polar triad missing, C3v."""
    whole = wells_dawson(metal, hetero)
    order = np.argsort(-whole.positions[whole.where(metal), 2], kind="stable")
    return lacunary(whole, [int(i) for i in whole.where(metal)[order[:3]]])


def hexavacant(metal: str, hetero: str) -> Draft:
    """X2M12O48: a stripe of six metals missing, one of each polar triad and two of each belt, C2v."""
    whole = wells_dawson(metal, hetero)
    metals = whole.where(metal)
    y, height = whole.positions[metals, 1], np.abs(whole.positions[metals, 2])
    polar = height > height.mean()
    side = np.sign(y[polar][np.argmax(np.abs(y[polar]))])  # where each triad has one metal, not two
    order = np.argsort(-side * y, kind="stable")
    taken = [i for i in order if polar[i]][:2] + [i for i in order if not polar[i]][:4]
    return lacunary(whole, [int(metals[i]) for i in taken])


def preyssler(metal: str, hetero: str, guest: str) -> Draft:
    """NaX5M30O110, C5v: D5h but for the sodium ion, which sits off the centre."""
    whole = keggin(metal, hetero)
    metals = whole.where(metal)
    cut = [metals[np.argsort(whole.positions[metals] @ TRIADS[k], kind="stable")[:3]] for k in (0, 1)]
    unit = lacunary(whole, [int(i) for i in np.concatenate(cut)])
    origin = unit.positions[unit.where(hetero)[0]]
    places = unit.positions - origin
    names = np.array(unit.species)
    outward = np.sort(-(places[names == "O"] @ TRIADS[0]))[-4:].mean()
    frame = np.array([[1.0, 0.0, 0.0], [0, 1, 1] / np.sqrt(2.0), [0, 1, -1] / np.sqrt(2.0)])
    reach = outward / np.sin(np.pi / 5.0)
    wedge = places @ frame.T + [reach, 0.0, 0.0]
    parts = [wedge @ np.linalg.matrix_power(rotation([0, 0, 1], 5), k).T for k in range(5)]
    ring = _joined([metal, hetero], unit.species, parts, D5H)
    places = np.concatenate([ring.positions, [[0.0, 0.0, SODIUM_HEIGHT]]])
    return draft([*ring.species, guest], places, [*ring.coordination, 0], parent=D5H)
