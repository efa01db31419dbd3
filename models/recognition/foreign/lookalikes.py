"""Which foreign structures no X-ray pattern can tell from a member of the library.

X-rays see how many electrons sit where, so a foreign crystal looks like one of the library when its sites are the same
and its electrons are nearly in the same proportion. Two rules, both from the structure alone:

- *built alike*: it has the sites of an oxide or metal (:func:`solvus.models.structures.class_sites.matched`: same
  symmetry, sites within 0.12 angstrom, cell lengths within 8 %), and the contrast between the electrons of both is
  at most ``LEFT``; that is about the R_w that an exchange of the elements leaves: 0.5 % between TiN and a rocksalt
  oxide of Z = 25.
- *one lattice*: without its lightest elements (whose omission makes a contrast of at most ``LEFT``: hydrogen beside
  lanthanum) its sites are those of a metal, and the electrons b of the sites differ by
  <(b - <b>)^2> / <b>^2 <= ``LEFT``. On equivalent sites the terms linear in b - <b> add up to nothing, and the
  quadratic ones are what a superlattice changes: 0.1 % in FeNi3.

In the second rule the size of a cell is no argument: among all the metals, every contact from 2.2 to 4 angstrom occurs
within 8 %. Crystals that are only near to one of the library (a distorted lattice, other free coordinates) are none of
these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.class_sites import Frame, contrast, frame_of, matched
from solvus.models.structures.classes import NOISE, STRETCH
from solvus.models.structures.record import Record
from solvus.models.structures.symmetry_search import symmetry_dataset

Floats = NDArray[np.float64]

LEFT = 2.0 * NOISE
"""R_w: refinement leaves half of a contrast or more, so that below this some pairs are within the noise of a good
measurement, and all are within that of a poor one (3 %)."""
TOLERANCE = 0.01
"""angstrom, in the search for symmetry: published cells have three decimals."""
METALS = {225: (4, 1.0), 229: (2, 1.0), 221: (1, 1.0), 194: (2, math.sqrt(8.0 / 3.0))}
"""fcc, bcc, simple cubic and hcp by space group: atoms in the standard cell, and c / a."""


def indistinguishable(record: Record) -> bool:
    """Whether a foreign structure is one that the library's own types describe within ``LEFT``."""
    if not record.periodic:
        return False
    if _one_lattice(record.atoms()):
        return True
    near = [other for other in _crystals(record.space_group or 1) if _like_in_size(record, other)]
    return bool(near) and _alike(frame_of(record), near)


def _like_in_size(record: Record, other: Record) -> bool:
    sizes = np.array(record.cell) / np.array(other.cell)
    return float(np.abs(sizes - 1.0).max()) <= STRETCH


def _alike(frame: Frame, others: Iterable[Record]) -> bool:
    for other in map(_frame, others):
        order = matched(other, frame, STRETCH)
        if order is not None and contrast(other, frame, order) <= LEFT:
            return True
    return False


@cache
def _crystals(space_group: int) -> tuple[Record, ...]:
    """Those of the shipped library with one space group."""
    found = Catalogue.load(own_too=False).select(space_group=space_group)
    return tuple(item.record for item in found if item.span is None)


_frames: dict[str, Frame] = {}


def _frame(record: Record) -> Frame:
    """Of a library crystal, kept by its name."""
    if record.name not in _frames:
        _frames[record.name] = frame_of(record)
    return _frames[record.name]


def _one_lattice(atoms: Atoms) -> bool:
    electrons = atoms.numbers.astype(np.float64)
    for lightest in sorted(set(atoms.numbers.tolist())):
        kept = atoms.numbers >= lightest
        if _omission(electrons, kept) > LEFT:
            break
        b = electrons[kept]
        if float(b.var() / b.mean() ** 2) <= LEFT and _is_a_metal(atoms[kept]):
            return True
    return False


def _omission(electrons: Floats, kept: NDArray[np.bool_]) -> float:
    """Contrast that leaving out the other atoms makes: the sine between the weights of all pairs."""
    cosine = float((electrons[kept] ** 2).sum() / (electrons**2).sum())
    return float(np.sqrt(max(0.0, 1.0 - cosine**2)))


def _is_a_metal(atoms: Atoms) -> bool:
    """fcc, bcc, simple cubic or hcp when all atoms count as one element."""
    one = [1] * len(atoms)
    places = atoms.positions @ np.linalg.inv(atoms.cell.array)
    found = symmetry_dataset(atoms.cell.array, places, one, TOLERANCE)
    count, ratio = METALS.get(found.number, (0, 1.0))
    cell = found.std_lattice
    return len(found.std_types) == count and abs(cell[2, 2] / cell[0, 0] / ratio - 1.0) <= STRETCH
