"""A second phase beside the best candidate of an identification, as shares of the sample."""

from __future__ import annotations

from solvus.models.identification import Candidate, Descriptor, PhaseShare
from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.compounds import Compound
from solvus.models.recognition.second_phase import record_of_metal, second_phase
from solvus.models.structures.catalogue import Catalogue


def phases_of(
    pattern: Pattern,
    data: Data,
    first: Candidate,
    compound: Compound | None,
    r_range: tuple[float, float],
    *,
    elements: frozenset[str] | None,
    qdamp: float,
    catalogue: Catalogue,
) -> tuple[PhaseShare, ...]:
    """The best candidate and the phase beside it; empty where one is enough.

    Parameters
    ----------
    first : the best candidate; compound : its refinement, ``None`` for a metal cluster.
    elements, qdamp, catalogue : as of :func:`solvus.models.recognition.second_phase.second_phase`.
    """
    if compound is None and not first.elements:
        return ()  # no metal has this bond length, so that no crystal can stand for the cluster
    name = first.structure if compound else f"{first.elements[0]} {first.structure}"
    record = (
        compound.item.record
        if compound
        else record_of_metal(first.elements[0], first.family, first.structure, catalogue)
    )
    if record is None:
        return ()
    second = second_phase(
        pattern,
        data,
        record,
        compound.fit if compound else None,
        r_range,
        elements=elements,
        qdamp=qdamp,
        catalogue=catalogue,
    )
    if second is None:
        return ()
    return (
        PhaseShare(structure=name, family=first.family, atoms=_rest(second.atoms), mass=_rest(second.mass)),
        PhaseShare(structure=second.item.name, family=second.item.type, atoms=second.atoms, mass=second.mass),
    )


def _rest(share: Descriptor) -> Descriptor:
    """What a share leaves, as uncertain."""
    return Descriptor(mean=1.0 - share.mean, sd=share.sd)
