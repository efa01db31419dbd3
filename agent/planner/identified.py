"""From an Identification to what the planner takes in: its candidates as modes.

Each candidate structure is one reading of the pattern, with its probability; what it says of size, bond length and
family belongs together, which means and spreads over all candidates would lose.
"""

from __future__ import annotations

from solvus.agent.planner.observations import Mode
from solvus.agent.scoring import FRACTION
from solvus.models.identification import Descriptor, Identification
from solvus.models.structures.clusters import FAMILIES

LENGTH_PRECISION = 1e-4
"""Relative, of a bond length between patterns of one instrument; the error of its calibration is common to all."""
SHARE_SD = 0.02
SIZE_PRECISION = 0.015
"""Relative, of the number of atoms of a structure that the library holds."""


def modes_of(identification: Identification, least: float = 0.01) -> tuple[Mode, ...]:
    """Modes over ``fraction:<family>``, ``n_atoms``, ``diameter`` and ``bond_length``; none unless identified.

    Parameters
    ----------
    least : probability below which a candidate is left out.
    """
    if identification.verdict != "identified":
        return ()
    listed = [
        c for c in identification.candidates if c.probability >= least and "bond_length" in c.parameters
    ]
    total = sum(c.probability for c in listed)
    found = []
    for candidate in listed:
        descriptors = {
            FRACTION + family: Descriptor(mean=float(candidate.family == family), sd=SHARE_SD)
            for family in FAMILIES
        }
        for name, precision in (
            ("n_atoms", SIZE_PRECISION),
            ("diameter", SIZE_PRECISION),
            ("bond_length", LENGTH_PRECISION),
        ):
            value = candidate.parameters[name]
            descriptors[name] = Descriptor(mean=value, sd=precision * value)
        found.append(Mode.of(descriptors, min(1.0, candidate.probability / total)))
    return tuple(found)
