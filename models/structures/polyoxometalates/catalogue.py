"""The polyoxometalates of the library, one record for each compound of each identity.

Hydrogen and counter-ions are left out of every structure.

The relaxed coordinates are kept in ``relaxed.json``: a relaxation leaves soft directions (how a whole ion is turned,
or puckers) that the last digits of a sum decide, so that two machines agree to hundredths of an angstrom and not to the
last bit. ``python -m solvus.models.structures.polyoxometalates.catalogue`` relaxes all of them anew, in a minute.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solvus.models.structures.polyoxometalates.identity import Identity
from solvus.models.structures.polyoxometalates.keggin import twisted
from solvus.models.structures.polyoxometalates.keggin_family import KEGGIN_FAMILY
from solvus.models.structures.polyoxometalates.other_families import OTHER_FAMILIES
from solvus.models.structures.polyoxometalates.relax import DECIMALS, relaxed
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

MODULE = "solvus.models.structures.polyoxometalates.catalogue"
DATA = Path(__file__).with_name("relaxed.json")
IDENTITIES = (*KEGGIN_FAMILY, *OTHER_FAMILIES)
VALENCES = "bond valences of Brown and Altermatt, Acta Cryst. B41, 244 (1985)"


def formula_of(species: tuple[str, ...], metal: str) -> str:
    """``PW12O40``: heteroatoms, metal, oxygen."""
    count = Counter(species)
    others = sorted(set(count) - {metal, "O"})
    return "".join(f"{name}{count[name] if count[name] > 1 else ''}" for name in (*others, metal, "O"))


class RelaxedError(ValueError):
    """A member whose relaxed coordinates are not kept; the message says how to make them."""


def record_of(identity: Identity, metal: str, hetero: str) -> Record:
    """Draft and relax one member, ``hetero`` like ``P5`` or empty."""
    rough = identity.build(metal, hetero[:-1])
    settled = relaxed(rough, identity.chemistry(metal, hetero))
    if identity.twist:
        settled = twisted(rough, metal, settled, identity.twist)
    return _record(identity, metal, rough.species, settled)


def _name(identity: Identity, metal: str, species: tuple[str, ...]) -> str:
    return f"{identity.type}{' (alternating)' if identity.twist else ''} {formula_of(species, metal)}"


def _record(identity: Identity, metal: str, species: tuple[str, ...], settled: Floats) -> Record:
    formula = formula_of(species, metal)
    return Record(
        name=_name(identity, metal, species),
        family="polyoxometalate",
        type=identity.type,
        formula=formula,
        species=species,
        positions=np.round(settled, DECIMALS) + 0.0,  # no minus nought
        occupancy=(1.0,) * len(species),
        source=(
            f"built with point group {identity.point_group} and relaxed by bond valence, without hydrogen and"
            f" counter-ions; geometry: {identity.reference}; {VALENCES}"
        ),
        hypothetical=identity.hypothetical,
    )


def members() -> Iterator[tuple[Identity, str, str]]:
    """Every identity with each of its metals and heteroatoms, in the order of the table."""
    for identity in IDENTITIES:
        for metal, heteroatoms in identity.members.items():
            for hetero in heteroatoms:
                yield identity, metal, hetero


def polyoxometalates() -> Iterator[Record]:
    """Every member of every identity, in the order of the table.

    Raises
    ------
    RelaxedError
        For a member that is new since the coordinates were relaxed.
    """
    kept = json.loads(DATA.read_text(encoding="utf-8"))
    for identity, metal, hetero in members():
        species = identity.build(metal, hetero[:-1]).species
        name = _name(identity, metal, species)
        if name not in kept:
            raise RelaxedError(
                f"{name}: not relaxed yet; run python -m solvus.models.structures.polyoxometalates.catalogue"
            )
        yield _record(identity, metal, species, np.array(kept[name]))


def relax_all() -> None:
    """Relax every member and keep the coordinates."""
    settled = {
        record.name: record.positions.tolist() for record in (record_of(*member) for member in members())
    }
    rows = [
        f"{json.dumps(name)}: {json.dumps(places, separators=(',', ':'))}" for name, places in settled.items()
    ]
    DATA.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    relax_all()
