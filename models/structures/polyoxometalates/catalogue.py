"""The polyoxometalates of the library, one record for each compound of each identity.

Hydrogen and counter-ions are left out of every structure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from solvus.models.structures.polyoxometalates.identity import Identity
from solvus.models.structures.polyoxometalates.keggin import twisted
from solvus.models.structures.polyoxometalates.keggin_family import KEGGIN_FAMILY
from solvus.models.structures.polyoxometalates.other_families import OTHER_FAMILIES
from solvus.models.structures.polyoxometalates.relax import DECIMALS, relaxed
from solvus.models.structures.record import Record

IDENTITIES = (*KEGGIN_FAMILY, *OTHER_FAMILIES)
VALENCES = "bond valences of Brown and Altermatt, Acta Cryst. B41, 244 (1985)"


def formula_of(species: tuple[str, ...], metal: str) -> str:
    """``PW12O40``: heteroatoms, metal, oxygen."""
    count = Counter(species)
    others = sorted(set(count) - {metal, "O"})
    return "".join(f"{name}{count[name] if count[name] > 1 else ''}" for name in (*others, metal, "O"))


def record_of(identity: Identity, metal: str, hetero: str) -> Record:
    """Draft and relax one member, ``hetero`` like ``P5`` or empty."""
    rough = identity.build(metal, hetero[:-1])
    settled = relaxed(rough, identity.chemistry(metal, hetero))
    if identity.twist:
        settled = twisted(rough, metal, settled, identity.twist)
    formula = formula_of(rough.species, metal)
    return Record(
        name=f"{identity.type}{' (alternating)' if identity.twist else ''} {formula}",
        family="polyoxometalate",
        type=identity.type,
        formula=formula,
        species=rough.species,
        positions=np.round(settled, DECIMALS) + 0.0,  # no minus nought
        occupancy=(1.0,) * len(rough.species),
        source=(
            f"built with point group {identity.point_group} and relaxed by bond valence, without hydrogen and"
            f" counter-ions; geometry: {identity.reference}; {VALENCES}"
        ),
        hypothetical=identity.hypothetical,
    )


def polyoxometalates() -> Iterator[Record]:
    """Every member of every identity, in the order of the table, relaxed as it is asked for."""
    for identity in IDENTITIES:
        for metal, heteroatoms in identity.members.items():
            for hetero in heteroatoms:
                yield record_of(identity, metal, hetero)
