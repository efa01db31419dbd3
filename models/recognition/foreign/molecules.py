"""Molecules of other chemistry, alone as in a gas and packed at random as in a liquid or a powder of tiny grains.

Geometries: the G2 set that `ase.build.molecule` ships (MP2 geometries, L. A. Curtiss et al., J. Chem. Phys. 106, 1063
(1997)), and simple shapes with the bond length of electron diffraction in the gas (Landolt-Boernstein, New Series II/7
and II/25; CRC Handbook of Chemistry and Physics, section 9). Packed molecules touch at the van der Waals radii of
`ase.data.vdw` (S. Alvarez, Dalton Trans. 42, 8617 (2013); before him A. Bondi). Lengths in angstrom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.data.vdw import vdw_radii
from pydantic import BaseModel, ConfigDict, TypeAdapter

from solvus.models.recognition.foreign.packing import Body, packed_box
from solvus.models.recognition.foreign.prototypes import ForeignError, Split
from solvus.models.recognition.foreign.shapes import alkane, fused_rings, shaped
from solvus.models.structures.record import Record

G2 = "G2 set of ase.build.molecule (Curtiss et al., J. Chem. Phys. 106 (1997) 1063)"
GAS = "shape with the bond length of gas electron diffraction, Landolt-Boernstein II/7"
MODEL = "model with the mean bond lengths of Allen et al., J. Chem. Soc. Perkin Trans. II (1987) S1"
PACKED_ATOMS = 700
"""In the box of a packing; half of them are in the droplet, about 20 angstrom across."""
FILLING = 0.57
"""Of packed molecules: benzene, CO2 and SiCl4 get the densities of their liquids within 15 % by it."""
USUAL_CONTACT = 2.1
"""Contact radius of heavy elements without a van der Waals radius in the table (Bi, Te, ... have 1.9 to 2.2)."""


class Molecules(BaseModel):
    """Molecules of one split.

    Attributes
    ----------
    g2 : names in `ase.build.molecule`, apart by blanks.
    shapes : by shape, ``"centre ligand bond"`` or ``"element bond"``, apart by commas.
    chains : numbers of carbon atoms in a straight alkane.
    rings : fused benzene rings by name, each at ``"i j"`` of the lattice of hexagons.
    packed : those that occur packed as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Split
    chemistry: str
    kind: str
    g2: str
    shapes: dict[str, str] = {}
    chains: str = ""
    rings: dict[str, str] = {}
    packed: str


def molecules(split: Split, seed: int) -> Iterator[Record]:
    """Single molecules of a split, then droplets of packed ones."""
    for names in _all():
        if names.split != split:
            continue
        alone = dict(_alone(names))
        for formula, (atoms, source) in alone.items():
            yield _record(f"{formula} {names.kind}", names.kind, formula, atoms, source)
        for formula in names.packed.split():
            if formula not in alone:
                raise ForeignError(f"molecules: {formula} is packed but not among the single molecules")
            atoms, source = alone[formula]
            yield packed(formula, _packed_kind(names.kind), atoms, source, seed)


def chemistry_of_molecules() -> dict[str, str]:
    """Chemistry by kind."""
    return {kind: m.chemistry for m in _all() for kind in (m.kind, _packed_kind(m.kind))}


def _packed_kind(kind: str) -> str:
    return f"packed {kind}"


def packed(formula: str, kind: str, atoms: Atoms, source: str, seed: int) -> Record:
    """A droplet of one kind of molecule, another one for each formula."""
    body = body_of(atoms)
    bodies = [body] * (PACKED_ATOMS // len(atoms))
    species, positions = packed_box(bodies, FILLING, (seed, *formula.encode())).droplet()
    together = Atoms(species, positions=positions)
    return _record(
        f"{formula} {kind}", kind, formula, together, f"random packing of rigid molecules; {source}"
    )


def body_of(atoms: Atoms) -> Body:
    """A molecule as a rigid body with van der Waals contacts."""
    radii = np.array([vdw_radii[z] if z < len(vdw_radii) else np.nan for z in atoms.numbers])
    radii = np.where(np.isnan(radii), USUAL_CONTACT, radii)
    return Body(tuple(atoms.symbols), atoms.positions - atoms.positions.mean(axis=0), radii)


def _alone(names: Molecules) -> Iterator[tuple[str, tuple[Atoms, str]]]:
    for name in names.g2.split():
        yield name, (molecule(name), G2)  # type: ignore[no-untyped-call]
    for shape, entries in names.shapes.items():
        for entry in entries.split(", "):
            *elements, bond = entry.split()
            atoms = shaped(shape, elements, float(bond))
            counts = Counter(atoms.symbols)
            yield "".join(f"{e}{n if n > 1 else ''}" for e, n in counts.items()), (atoms, GAS)
    for count in names.chains.split():
        yield f"C{count}H{2 * int(count) + 2}", (alkane(int(count)), MODEL)
    for name, places in names.rings.items():
        yield name, (fused_rings(places), MODEL)


@cache
def _all() -> tuple[Molecules, ...]:
    text = Path(__file__).with_name("molecules.json").read_text("utf-8")
    return tuple(TypeAdapter(list[Molecules]).validate_json(text))


def _record(name: str, kind: str, formula: str, atoms: Atoms, source: str) -> Record:
    return Record(
        name=name,
        family="compound",
        type=kind,
        formula=formula,
        species=tuple(atoms.symbols),
        positions=np.array(atoms.positions, dtype=np.float64),
        source=source,
    )
