"""Molecules of other chemistry, alone as in a gas and packed at random as in a liquid or a powder of tiny grains.

Geometries: the G2 set that `ase.build.molecule` ships (MP2 geometries, L. A. Curtiss et al., J. Chem. Phys. 106, 1063
(1997)), and simple shapes with the bond length of electron diffraction in the gas (Landolt-Boernstein, New Series II/7
and II/25; CRC Handbook of Chemistry and Physics, section 9). Packed molecules touch at the van der Waals radii of
`ase.data.vdw` (S. Alvarez, Dalton Trans. 42, 8617 (2013); before him A. Bondi). Lengths in angstrom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.data.vdw import vdw_radii
from numpy.typing import NDArray

from solvus.models.recognition.foreign.packing import Body, droplet
from solvus.models.recognition.foreign.prototypes import ForeignError, Split
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

G2 = "G2 set of ase.build.molecule (Curtiss et al., J. Chem. Phys. 106 (1997) 1063)"
GAS = "shape with the bond length of gas electron diffraction, Landolt-Boernstein II/7"
PACKED_ATOMS = 700
"""In the box of a packing; half of them are in the droplet, about 20 angstrom across."""
FILLING = 0.57
"""Of packed molecules: benzene, CO2 and SiCl4 get the densities of their liquids within 15 % by it."""
USUAL_CONTACT = 2.1
"""Contact radius of heavy elements without a van der Waals radius in the table (Bi, Te, ... have 1.9 to 2.2)."""

_THIRD = 1.0 / np.sqrt(3.0)
_SHAPES: dict[str, list[tuple[float, float, float]]] = {
    "pair": [(1, 0, 0)],
    "line": [(0, 0, 1), (0, 0, -1)],
    "triangle": [(1, 0, 0), (-0.5, 0.75**0.5, 0), (-0.5, -(0.75**0.5), 0)],
    "tetrahedron": [
        (_THIRD, _THIRD, _THIRD),
        (_THIRD, -_THIRD, -_THIRD),
        (-_THIRD, _THIRD, -_THIRD),
        (-_THIRD, -_THIRD, _THIRD),
    ],
    "bipyramid": [(0, 0, 1), (0, 0, -1), (1, 0, 0), (-0.5, 0.75**0.5, 0), (-0.5, -(0.75**0.5), 0)],
    "octahedron": [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)],
}
"""Directions from the centre to each ligand."""


@dataclass(frozen=True)
class _Names:
    """Molecules of one split: of the G2 set, and shapes as ``shape: "centre ligand bond"``; ``packed`` are both alone
    and packed."""

    kind: str
    g2: str
    shapes: dict[str, str]
    packed: str


_INORGANIC = _Names(
    kind="inorganic molecule",
    g2="PH3 P2 HOCl SiH4 SiF4 ClF3 AlF3 ClF PF3 BCl3 O3 AlCl3 SiCl4 BF3 F2O O2 Si2H6 F2 Cl2 H2O2 CO CO2 Li2 Na2 SiO "
    "HCl HF LiF NaCl",
    shapes={
        "pair": "Br Br 2.281, I I 2.666, I Cl 2.321, K Cl 2.667, Cs I 3.315",
        "line": "Hg Cl 2.252, Hg Br 2.374, Hg I 2.568, Zn Cl 2.062, Cd Cl 2.266, Xe F 1.977, Kr F 1.889",
        "triangle": "B Br 1.893, B I 2.118, Ga Cl 2.093, Al Br 2.221",
        "tetrahedron": "Ti Cl 2.170, Ti Br 2.339, Sn Cl 2.281, Sn Br 2.440, Ge Cl 2.113, Ge Br 2.272, Si Br 2.183, "
        "V Cl 2.138, Zr Cl 2.320, Hf Cl 2.316, Si I 2.429",
        "bipyramid": "P F 1.552, Nb Cl 2.280, Ta Cl 2.283, Sb Cl 2.300, Mo Cl 2.250, As F 1.673",
        "octahedron": "W F 1.832, U F 1.996, Mo F 1.817, Re F 1.832, Ir F 1.831, Pt F 1.850, W Cl 2.260, Te F 1.815",
    },
    packed="SiH4 SiF4 PF3 BCl3 SiCl4 Si2H6 Cl2 H2O2 CO2 Br2 I2 TiCl4 SnBr4 GeCl4 SbCl5 UF6 WF6 HgCl2 BI3",
)
_NAMES: dict[Split, tuple[_Names, ...]] = {"training": (_INORGANIC,)}


def molecules(split: Split, seed: int) -> Iterator[Record]:
    """Single molecules of a split, then droplets of packed ones."""
    for names in _NAMES.get(split, ()):
        alone = dict(_alone(names))
        for formula, (atoms, source) in alone.items():
            yield _record(f"{formula} {names.kind}", names.kind, formula, atoms, source)
        for formula in names.packed.split():
            if formula not in alone:
                raise ForeignError(f"molecules: {formula} is packed but not among the single molecules")
            atoms, source = alone[formula]
            yield packed(formula, f"packed {names.kind}", atoms, source, seed)


def packed(formula: str, kind: str, atoms: Atoms, source: str, seed: int) -> Record:
    """A droplet of one kind of molecule, another one for each formula."""
    body = body_of(atoms)
    bodies = [body] * (PACKED_ATOMS // len(atoms))
    species, positions = droplet(bodies, FILLING, seed=(seed, *formula.encode()))
    together = Atoms(species, positions=positions)
    return _record(
        f"{formula} {kind}", kind, formula, together, f"random packing of rigid molecules; {source}"
    )


def body_of(atoms: Atoms) -> Body:
    """A molecule as a rigid body with van der Waals contacts."""
    radii = np.array([vdw_radii[z] if z < len(vdw_radii) else np.nan for z in atoms.numbers])
    radii = np.where(np.isnan(radii), USUAL_CONTACT, radii)
    return Body(tuple(atoms.symbols), atoms.positions - atoms.positions.mean(axis=0), radii)


def shaped(shape: str, centre: str, ligand: str, bond: float) -> Atoms:
    """A centre with ligands at ``bond``."""
    directions = np.array(_SHAPES[shape], dtype=np.float64)
    return Atoms([centre] + [ligand] * len(directions), positions=np.vstack([np.zeros(3), bond * directions]))


def _alone(names: _Names) -> Iterator[tuple[str, tuple[Atoms, str]]]:
    for name in names.g2.split():
        yield name, (molecule(name), G2)  # type: ignore[no-untyped-call]
    for shape, entries in names.shapes.items():
        for entry in entries.split(", "):
            centre, ligand, bond = entry.split()
            count = len(_SHAPES[shape])
            formula = f"{centre}2" if centre == ligand else f"{centre}{ligand}{count if count > 1 else ''}"
            yield formula, (shaped(shape, centre, ligand, float(bond)), GAS)


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
