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
CALIBRATION = 5e-4
"""Relative, of a bond length between patterns of different days."""
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


MATTERS = 0.1
"""Probability from which on another family is a reading that matters."""
UNSETTLED = 0.2
"""Standard uncertainty of a family's share from which on a mixture cannot tell it from the others: it may be all of the
sample, or nothing."""


def ambiguous_modes(identification: Identification) -> tuple[Mode, ...]:
    """One mode for each family that the pattern may show, over the descriptors of the identification; none where it is
    clear what it shows.

    A sample that is seen to be a mixture is not ambiguous, however alike its families are in probability: its shares
    are known. Where they are not, its size and bond length go with the family that it has.
    """
    if identification.verdict != "identified":
        return ()
    shares = {
        name.removeprefix(FRACTION): d
        for name, d in identification.descriptors.items()
        if name.startswith(FRACTION)
    }
    weights: dict[str, float] = {}
    for candidate in identification.candidates:
        if candidate.family in shares:
            weights[candidate.family] = weights.get(candidate.family, 0.0) + candidate.probability
    listed = {family: weight for family, weight in weights.items() if weight >= MATTERS}
    if len(listed) < 2 or max(shares[family].sd for family in listed) < UNSETTLED:
        return ()
    total = sum(listed.values())
    return tuple(
        Mode.of(_of_family(identification, family), min(1.0, weight / total))
        for family, weight in sorted(listed.items(), key=lambda item: (-item[1], item[0]))
    )


def _of_family(identification: Identification, family: str) -> dict[str, Descriptor]:
    """What the identification says if the sample is all of this family; of what does not depend on it, as it is."""
    own = [c for c in identification.candidates if c.family == family]
    weights = [c.probability for c in own]
    found = dict(identification.descriptors)
    for name in found:
        if name.startswith(FRACTION):
            found[name] = Descriptor(mean=float(name == FRACTION + family), sd=SHARE_SD)
    for name, precision in (("diameter", SIZE_PRECISION), ("bond_length", CALIBRATION)):
        if name not in found or not all(name in c.parameters for c in own):
            continue
        values = [c.parameters[name] for c in own]
        mean = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
        variance = sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)) / sum(weights)
        sd = (variance + (precision * mean) ** 2) ** 0.5
        found[name] = Descriptor(mean=mean, sd=sd, lower_bound=found[name].lower_bound)
    return found
