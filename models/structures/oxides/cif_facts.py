"""Take the crystallographic facts out of a folder of CIFs: ``python -m solvus.models.structures.oxides.cif_facts``.

Formula, space group, cell, asymmetric unit and origin of the numbers are kept; text, symmetry lists and everything
else of the files are not. A structure keeps its published setting where `ase.spacegroup` has that setting, and is
otherwise brought to the standard one by spglib (A. Togo, K. Shinohara, I. Tanaka, Sci. Technol. Adv. Mater. Meth. 4,
2384822 (2024)). The same files give the same bytes. Lengths in angstrom.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import spglib
from ase.data import atomic_numbers
from ase.io.cif import parse_cif
from ase.spacegroup.spacegroup import parse_sitesym

from solvus.models.structures.oxides.facts import system
from solvus.models.structures.oxides.symmetry import (
    cell_parameters,
    distinct,
    equivalent,
    lattice,
    operations,
)
from solvus.models.structures.record import SAME_SITE, Floats
from solvus.models.structures.symmetry_search import symmetry_dataset

FREE_PARAMETERS = {
    "cubic": [0],
    "tetragonal": [0, 2],
    "hexagonal": [0, 2],
    "rhombohedral": [0, 3],
    "orthorhombic": [0, 1, 2],
    "monoclinic": [0, 1, 2, 4],
    "triclinic": [0, 1, 2, 3, 4, 5],
}
Block = Mapping[str, Any]
"""The tags of one structure in a CIF, in small letters, and their values."""
NO_METALS = frozenset(
    [
        "H",
        "He",
        "B",
        "C",
        "N",
        "O",
        "F",
        "Ne",
        "Si",
        "P",
        "S",
        "Cl",
        "Ar",
        "As",
        "Se",
        "Br",
        "Kr",
        "I",
        "Xe",
        "Rn",
    ]
)
DIGITS = 5
"""Decimals of coordinates; published ones have four or five."""


class CifError(ValueError):
    """A CIF that gives no structure; one sentence names the file and what is missing."""


@dataclass(frozen=True)
class CifSite:
    element: str
    position: tuple[float, float, float]
    occupancy: float


@dataclass(frozen=True)
class CifFacts:
    """What is kept of one file; ``key`` identifies it in its database."""

    key: str
    space_group: int
    setting: int
    parameters: tuple[float, ...]
    sites: tuple[CifSite, ...]
    source: str

    def line(self) -> str:
        sites = "; ".join(
            " ".join([site.element, *(f"{x:.{DIGITS}g}" for x in site.position)])
            + (f" {site.occupancy:g}" if site.occupancy < 1.0 else "")
            for site in self.sites
        )
        content = {
            "space_group": self.space_group,
            "setting": self.setting,
            "cell": [round(x, DIGITS) for x in self.parameters],
            "sites": sites,
            "source": self.source,
        }
        return f"{json.dumps(self.key)}: {json.dumps(content)}"


def read_cif(path: Path) -> CifFacts:
    """The facts of the first structure in a CIF.

    Raises
    ------
    CifError
        When it is no CIF, holds no oxide of a metal, or lacks cell, symmetry or coordinates.
    """
    try:
        return _facts(next(iter(parse_cif(str(path)))), path.stem)
    except StopIteration:
        raise CifError(f"{path.name}: holds no structure") from None
    except KeyError as error:
        raise CifError(f"{path.name}: lacks {error.args[0]}") from error
    except (ValueError, RuntimeError, IndexError, AssertionError, TypeError) as error:
        # ASE's reader has no common exception; these are what malformed files raise in it.
        raise CifError(f"{path.name}: {error}") from error


def _facts(block: Block, name: str) -> CifFacts:
    sites = _sites(block)
    elements = {site.element for site in sites}
    if "O" not in elements or "H" in elements or not elements - NO_METALS:
        raise ValueError("not an oxide of a metal")
    cell = [_number(block[f"_cell_length_{x}"]) for x in "abc"]
    cell += [_number(block[f"_cell_angle_{x}"]) for x in ("alpha", "beta", "gamma")]
    rotations, translations = _operations(block)
    try:
        kind = spglib.get_spacegroup_type_from_symmetry(
            rotations, translations, lattice=lattice(cell), symprec=SAME_SITE
        )
    except spglib.SpglibError as error:
        raise ValueError("the symmetry operations form no space group") from error
    if kind is None:  # before spglib 2.7
        raise ValueError("the symmetry operations form no space group")
    number = kind.number
    setting = _published_setting(number, rotations, translations)
    if setting is None:
        cell, sites = _standardise(number, cell, sites, rotations, translations)
        setting = 1
    free = FREE_PARAMETERS[system(number, setting)]
    return CifFacts(
        key=_key(block, name),
        space_group=number,
        setting=setting,
        parameters=tuple(cell[i] for i in free),
        sites=sites,
        source=_source(block, name),
    )


def _number(value: object) -> float:
    """A CIF number with or without its uncertainty in brackets."""
    return float(re.sub(r"\(\d*\)$", "", str(value)))


def _sites(block: Block) -> tuple[CifSite, ...]:
    labels = block.get("_atom_site_type_symbol") or block["_atom_site_label"]
    columns = [[_number(x) for x in block[f"_atom_site_fract_{axis}"]] for axis in "xyz"]
    occupancies = block.get("_atom_site_occupancy") or [1.0] * len(labels)
    sites = []
    for label, x, y, z, occupancy in zip(labels, *columns, occupancies, strict=True):
        match = re.match(r"[A-Z][a-z]?", str(label))
        element = match[0] if match and match[0] in atomic_numbers else str(label)[:1]
        if element not in atomic_numbers:
            raise ValueError(f"site {label!r} is no chemical element")
        sites.append(CifSite(element, (x, y, z), _number(occupancy)))
    return tuple(sites)


def _operations(block: Block) -> tuple[Floats, Floats]:
    for tag in ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"):
        texts = block.get(tag)
        if texts:
            texts = [texts] if isinstance(texts, str) else texts
            parse: Any = parse_sitesym  # without annotations in ASE
            rotations, translations = parse([text.replace("'", "") for text in texts])
            return np.asarray(rotations), np.asarray(translations) % 1.0
    raise KeyError("the list of symmetry operations")


def _published_setting(number: int, rotations: Floats, translations: Floats) -> int | None:
    """The setting of ASE whose operations are those of the file, or none."""
    published = {_operation_key(r, t) for r, t in zip(rotations, translations, strict=True)}
    for setting in (1, 2):
        known = operations(number, setting)
        if known and {_operation_key(r, t) for r, t in zip(*known, strict=True)} == published:
            return setting
    return None


def _operation_key(rotation: Floats, translation: Floats) -> tuple[int, ...]:
    """Whole numbers: translations in forty-eighths, finer than any space group has."""
    return (*(int(x) for x in np.rint(rotation).ravel()), *(int(x) % 48 for x in np.rint(translation * 48)))


def _standardise(
    number: int,
    cell: Sequence[float],
    sites: tuple[CifSite, ...],
    rotations: Floats,
    translations: Floats,
) -> tuple[list[float], tuple[CifSite, ...]]:
    """The structure in the standard setting, one representative of each site."""
    kinds: list[tuple[CifSite, ...]] = []
    positions: list[Floats] = []
    numbers: list[int] = []
    for shared in _by_position(sites):
        kinds.append(shared)
        images = distinct(rotations @ np.array(shared[0].position) + translations)
        positions += list(images)
        numbers += [len(kinds)] * len(images)
    try:
        dataset = symmetry_dataset(lattice(cell), np.array(positions), numbers, SAME_SITE)
    except spglib.SpglibError as error:
        raise ValueError(f"space group {number} is published, but the sites have none") from error
    if dataset.number != number:
        raise ValueError(f"space group {number} is published, but the sites have {dataset.number}")
    chosen: list[CifSite] = []
    for kind, shared in enumerate(kinds, start=1):
        images = dataset.std_positions[dataset.std_types == kind]
        x, y, z = min(tuple(float(x) for x in np.round(image % 1.0, DIGITS) % 1.0) for image in images)
        if len(equivalent(number, 1, (x, y, z))) != len(images):
            raise ValueError("the standard setting splits a site; give the file in a standard setting")
        chosen += [CifSite(site.element, (x, y, z), site.occupancy) for site in shared]
    return cell_parameters(dataset.std_lattice), tuple(chosen)


def _by_position(sites: Iterable[CifSite]) -> list[tuple[CifSite, ...]]:
    """Sites grouped where several elements share one position."""
    groups: dict[tuple[int, ...], list[CifSite]] = {}
    for site in sites:
        groups.setdefault(tuple(round(x / SAME_SITE) for x in site.position), []).append(site)
    return [tuple(group) for group in groups.values()]


def _key(block: Block, name: str) -> str:
    number = block.get("_cod_database_code")
    return f"COD {number}" if number is not None else f"CIF {name}"


def _source(block: Block, name: str) -> str:
    """``COD 9009086; Wyckoff, Crystal Structures 1 (1963) 239``, as far as the file says."""
    authors = block.get("_publ_author_name") or []
    authors = [authors] if isinstance(authors, str) else authors
    names = [_family_name(str(author)) for author in authors[:3]]
    written = ", ".join(names) + (" et al." if len(authors) > 3 else "")
    journal = re.sub(r"\s+", " ", str(block.get("_journal_name_full") or "")).split("(")[0].strip()
    place = " ".join(
        str(x)
        for x in (journal.split(",Kristall")[0], block.get("_journal_volume"))
        if x not in (None, "", "?")
    )
    year, page = block.get("_journal_year"), block.get("_journal_page_first")
    end = " ".join(str(x) for x in (f"({year})" if year else None, page) if x not in (None, "", "?"))
    return f"{_key(block, name)}; {written}, {place} {end}".rstrip(" ,")


def _family_name(author: str) -> str:
    """``Wyckoff`` of ``Wyckoff, R. W. G.`` or ``Wyckoff R W G``."""
    return author.split(",")[0].strip() if "," in author else author.split()[0]


def main(arguments: Sequence[str]) -> int:
    """``cif_facts FOLDER OUT.json``: convert every .cif below FOLDER; errors go to standard error, file by file."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m solvus.models.structures.oxides.cif_facts FOLDER OUT.json\n")
        return 2
    folder, out = Path(arguments[0]), Path(arguments[1])
    found: dict[str, CifFacts] = {}
    for path in sorted(folder.rglob("*.cif")):
        try:
            facts = read_cif(path)
        except CifError as error:
            sys.stderr.write(f"left out: {error}\n")
        else:
            found[facts.key] = facts
    lines = ",\n".join(found[key].line() for key in sorted(found))
    out.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    sys.stderr.write(f"{len(found)} structures written to {out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
