"""Structures of other chemistry, which a recogniser of metals, oxides and polyoxometalates must answer with "none".

    foreign_records("training")    halides, nitrides, carbides, borides, hydrides, phosphides and arsenides, inorganic
                                   molecules, packings of hard spheres
    foreign_records("threshold")   silicides, germanides, antimonides, molecules with nitrogen or sulfur, carbon,
                                   grown glasses
    foreign_records("test")        organics, chalcogenides, intermetallics, liquids

The splits share structure types (rocksalt occurs in each) and no chemistry, so that what is learned from the first and
fixed on the second is tested on compounds of a kind that neither holds. ``indistinguishable(record)`` says which of
them no X-ray pattern can tell from a member of the library: leave them out of training, and report results with and
without them.
"""

from __future__ import annotations

from functools import cache

from solvus.models.recognition.foreign.glasses import hard_spheres
from solvus.models.recognition.foreign.growth import grown
from solvus.models.recognition.foreign.liquids import LIQUIDS, liquids
from solvus.models.recognition.foreign.lookalikes import indistinguishable
from solvus.models.recognition.foreign.molecules import chemistry_of_molecules, molecules
from solvus.models.recognition.foreign.prototypes import Split, chemistry_of_crystals, crystals
from solvus.models.structures.record import Record

__all__ = ["chemistry", "foreign_records", "indistinguishable"]


def foreign_records(split: Split, seed: int = 0) -> list[Record]:
    """Every structure of a split, with unique names; always the same for one seed.

    Parameters
    ----------
    seed : of the random packings.
    """
    return list(_records(split, seed))


@cache
def _records(split: Split, seed: int) -> tuple[Record, ...]:
    return (
        *crystals(split),
        *molecules(split, seed),
        *hard_spheres(split, seed),
        *grown(split, seed),
        *liquids(split, seed),
    )


def chemistry(record: Record) -> str:
    """Halide, chalcogenide, organic and so on, or what kind of disorder, of a foreign structure."""
    known = chemistry_of_crystals() | chemistry_of_molecules()
    return known.get(record.type, "liquid" if record.type in LIQUIDS else record.type)
