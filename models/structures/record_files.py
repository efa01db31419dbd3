"""A user's structure files as records: CIF, VASP (POSCAR, CONTCAR, .vasp) and xyz.

CIF is read by gemmi, with occupancies and displacements; the other formats by ASE. A crystal is brought into the
standard setting of its space group, which spglib finds; where that setting does not give the same atoms back, every
atom of the cell is kept instead (space group 1). Lengths in angstrom.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import gemmi
import numpy as np
import spglib
from ase import Atoms
from ase.cell import Cell
from ase.data import atomic_numbers
from ase.formula import Formula
from ase.io import read
from numpy.typing import NDArray

from solvus.models.structures.clusters import metals
from solvus.models.structures.record import Family, Record
from solvus.models.structures.same import composition, fingerprint, same, site_counts
from solvus.models.structures.structure_files import LARGEST_CLUSTER, StructureFileError, read_structure
from solvus.models.structures.symmetry_search import symmetry_dataset

Floats = NDArray[np.float64]

SYMMETRY = 0.01
"""Angstrom: coordinates are commonly printed to 1e-3 or 1e-4 of a cell."""
ONE_SITE = 0.1
"""Atoms of a CIF nearer than this share a site."""
SMALLEST_CELL = 1.0
"""angstrom^3; no atom is smaller."""
SUFFIXES = frozenset({".cif", ".xyz", ".extxyz", ".vasp", ".poscar"})
VASP = re.compile(r"^(POSCAR|CONTCAR)|\.(vasp|poscar)$", re.IGNORECASE)
POLYOXO_METALS = frozenset({"W", "Mo", "V", "Nb", "Ta"})

Site = tuple[str, float, float]
"""Element, occupancy, and displacement (angstrom^2; 0 where the source gives none)."""


def is_structure_file(path: Path) -> bool:
    """Whether the name says that a file holds a structure."""
    return path.suffix.lower() in SUFFIXES or VASP.search(path.name) is not None


def read_records(path: Path, name: str | None = None) -> list[Record]:
    """Every structure of a CIF, or the last one of another file.

    Parameters
    ----------
    name : of the record; by default the formula with the mineral's name or the file's.

    Raises
    ------
    StructureFileError
        When the file is missing or cannot be understood, or its structure has no sense; one sentence names the file.
    """
    if not path.is_file():
        raise StructureFileError(f"{path}: no such file or folder")
    if path.suffix.lower() == ".cif":
        return list(records_of_cif(path.read_bytes(), path.name, name))
    atoms = _vasp(path) if VASP.search(path.name) else read_structure(path)
    if atoms.pbc.any() and not atoms.pbc.all():
        raise StructureFileError(
            f"{path.name}: periodic in one or two directions only; set pbc to all or none"
        )
    sites = [(str(symbol), 1.0, 0.0) for symbol in atoms.symbols]
    source = f"file {path.name}"
    if not atoms.pbc.any():
        return [cluster_record(atoms, path.stem, name, source)]
    return [
        crystal_record(
            atoms.cell.array,
            atoms.cell.scaled_positions(atoms.positions),
            [[s] for s in sites],
            path.stem,
            name,
            source,
        )
    ]


def records_of_cif(
    text: bytes, file: str, name: str | None = None, source: str | None = None
) -> Iterator[Record]:
    """The structures of a CIF.

    Parameters
    ----------
    file : its name, for messages; ``source`` : said of the records, by default the file.

    Raises
    ------
    StructureFileError
        When there is none, or one cannot be understood.
    """
    try:
        document = gemmi.cif.read_string(text.decode("utf-8", errors="replace"))
    except (ValueError, RuntimeError) as error:
        raise StructureFileError(f"{file}: not a CIF ({str(error).splitlines()[0]})") from error
    found = 0
    for block in document:
        if block.find_loop("_atom_site_fract_x") or block.find_pair("_atom_site_fract_x"):
            found += 1
            yield _of_block(block, file, name, source or f"file {file}")
    if not found:
        raise StructureFileError(f"{file}: holds no atoms with fractional coordinates")


def _of_block(block: gemmi.cif.Block, file: str, name: str | None, source: str) -> Record:
    try:
        small = gemmi.make_small_structure_from_block(block)
        if small.spacegroup is None:
            small.determine_and_set_spacegroup("s.h2")
    except (ValueError, RuntimeError) as error:
        raise StructureFileError(f"{file}: {str(error).splitlines()[0]}") from error
    if small.spacegroup is None:
        raise StructureFileError(
            f"{file}: the space group {small.spacegroup_hm!r} is unknown; give its symmetry operations"
        )
    sites = [site for site in small.get_all_unit_cell_sites() if site.occ > 0.0]
    for site in sites:
        if site.element.atomic_number < 1:
            raise StructureFileError(
                f"{file}: {site.type_symbol or site.label!r} is no element that the library knows"
            )
    places = np.array([site.fract.tolist() for site in sites]).reshape(-1, 3)
    lattice = np.array(small.cell.orth.mat.tolist()).T
    if not np.isfinite(places).all() or not places.size or not small.cell.volume >= SMALLEST_CELL:
        raise StructureFileError(
            f"{file}: needs a cell with a volume, and atoms whose coordinates are numbers"
        )
    kinds = [(site.element.name, min(1.0, float(site.occ)), max(0.0, float(site.u_iso))) for site in sites]
    unique, mixed = _mixed(lattice, places, kinds)
    for tag in ("_chemical_name_mineral", "_chemical_name_common"):
        words = gemmi.cif.as_string(block.find_value(tag) or "?").strip()
        if words:
            break
    return crystal_record(lattice, unique, mixed, words or Path(file).stem, name, _cited(block, source), file)


def _cited(block: gemmi.cif.Block, source: str) -> str:
    """The source with the publication that the CIF names."""

    def value(tag: str) -> str:
        return gemmi.cif.as_string(block.find_value(tag) or "?").strip()

    journal = value("_journal_name_full")
    parts = [journal, value("_journal_volume"), value("_journal_page_first")]
    year = value("_journal_year")
    cited = " ".join(part for part in parts if part) + (f" ({year})" if year else "")
    return f"{source}; {cited}" if journal else source


def _mixed(lattice: Floats, places: Floats, kinds: Sequence[Site]) -> tuple[Floats, list[list[Site]]]:
    """Sites with everything that shares them, the largest share first."""
    from scipy.spatial import cKDTree  # heavy, and needed here only

    wrapped = places % 1.0
    images = np.vstack([wrapped + shift for shift in np.indices((3, 3, 3)).reshape(3, -1).T - 1])
    near = cKDTree(images @ lattice).query_ball_point(wrapped @ lattice, ONE_SITE)
    unique: list[int] = []
    owner: dict[int, int] = {}
    groups: list[list[Site]] = []
    for i, found in enumerate(near):
        known = next((owner[j % len(places)] for j in found if j % len(places) in owner), None)
        if known is None:
            known = len(unique)
            unique.append(i)
            groups.append([])
        owner[i] = known
        groups[known].append(kinds[i])
    return wrapped[unique], [sorted(group, key=lambda site: (-site[1], site[0])) for group in groups]


def _vasp(path: Path) -> Atoms:
    try:
        atoms = read(path, format="vasp")
    except (ValueError, IndexError, KeyError, OSError, RuntimeError, AttributeError, TypeError) as error:
        # ASE's parsers have no common exception; these are what malformed files raise in them.
        raise StructureFileError(f"{path.name}: not a VASP structure file ({error})") from error
    if not isinstance(atoms, Atoms) or len(atoms) == 0:
        raise StructureFileError(f"{path.name}: holds no atoms")
    return atoms


def cluster_record(atoms: Atoms, stem: str, name: str | None, source: str) -> Record:
    _require_sense(np.eye(3), atoms.positions, set(atoms.symbols), stem)
    formula = str(atoms.symbols.formula.format("metal"))
    elements = set(atoms.symbols)
    return Record(
        name=name or f"{formula} {stem}",
        family=family_of(elements, cluster=True),
        type="cluster",
        formula=formula,
        species=tuple(map(str, atoms.symbols)),
        positions=atoms.positions - atoms.positions.mean(axis=0),
        source=source,
    )


def crystal_record(
    lattice: Floats,
    places: Floats,
    sites: Sequence[Sequence[Site]],
    label: str,
    name: str | None,
    source: str,
    file: str = "structure",
) -> Record:
    """A crystal as a record in the standard setting.

    Parameters
    ----------
    lattice : (3, 3) rows; places : (n, 3) fractional; sites : what shares each of the n places.
    label : follows the formula where no ``name`` is given; ``file`` : named in errors.

    Raises
    ------
    StructureFileError
        When the atoms make no crystal, or too large a one.
    """
    _require_sense(lattice, places, {element for site in sites for element, _, _ in site}, file)
    codes: dict[tuple[Site, ...], int] = {}
    # The displacement does not count for the symmetry: sites of one kind may be refined apart.
    keys = [tuple((element, share, 0.0) for element, share, _ in site) for site in sites]
    numbers = [codes.setdefault(key, len(codes) + 1) for key in keys]
    u = np.array([site[0][2] for site in sites])
    whole = _record_of(lattice, places, sites, 1, label, name, source)
    try:
        data = symmetry_dataset(lattice, places, numbers, SYMMETRY)
        standard = symmetry_dataset(data.std_lattice, data.std_positions, data.std_types.tolist(), SYMMETRY)
    except spglib.SpglibError as error:
        raise StructureFileError(
            f"{file}: the atoms make no crystal ({error}); are two in one place?"
        ) from error
    found = dict(zip(numbers, sites, strict=True))
    of_type = {n: float(u[np.array(numbers) == n].mean()) for n in found}
    if data.number == 1:
        return whole
    first = sorted(set(standard.equivalent_atoms.tolist()))
    kinds = [
        [(e, share, of_type[int(data.std_types[i])]) for e, share, _ in found[int(data.std_types[i])]]
        for i in first
    ]
    reduced = _record_of(
        data.std_lattice, data.std_positions[first], kinds, int(data.number), label, name, source
    )
    volume = abs(np.linalg.det(lattice)) / abs(np.linalg.det(data.std_lattice))
    complete = round(len(places) / volume) == len(reduced.atoms())
    return reduced if complete and same(fingerprint(whole), fingerprint(reduced), SYMMETRY * 2) else whole


def _require_sense(lattice: Floats, places: Floats, elements: set[str], file: str) -> None:
    unknown = sorted(name for name in elements if atomic_numbers.get(name, 0) < 1)
    if unknown:
        raise StructureFileError(f"{file}: {unknown[0]!r} is no element that the library knows")
    if len(places) > LARGEST_CLUSTER:
        raise StructureFileError(
            f"{file}: {len(places)} atoms in the cell; at most {LARGEST_CLUSTER} are taken"
        )
    if not (np.isfinite(lattice).all() and np.isfinite(places).all()):
        raise StructureFileError(f"{file}: a coordinate is not a finite number")
    if abs(np.linalg.det(lattice)) < SMALLEST_CELL:
        raise StructureFileError(f"{file}: the cell has no volume; give lengths in angstrom and angles")


def _record_of(
    lattice: Floats,
    places: Floats,
    sites: Sequence[Sequence[Site]],
    group: int,
    label: str,
    name: str | None,
    source: str,
) -> Record:
    flat = [(place % 1.0, one) for place, site in zip(places, sites, strict=True) for one in site]
    shares = tuple(site[1] for _, site in flat)
    displacements = tuple(round(site[2], 6) for _, site in flat)
    parameters = Cell(np.asarray(lattice)).cellpar()  # type: ignore[no-untyped-call]
    cell = tuple(round(float(x), 6) for x in parameters)
    symbol = gemmi.find_spacegroup_by_number(group).hm.replace(" ", "")
    draft = Record(
        name="",
        family=family_of({site[0] for _, site in flat}, cluster=False),
        type=symbol,
        formula="",
        species=tuple(site[0] for _, site in flat),
        positions=np.array([place for place, _ in flat]),
        source=source,
        occupancy=() if all(share == 1.0 for share in shares) else shares,
        space_group=group,
        cell=cell,  # type: ignore[arg-type]  # six of them
        u_iso=displacements if all(u > 0.0 for u in displacements) else (),
    )
    counts = site_counts(draft)
    formula = reduced_formula(composition(draft, counts), math.gcd(*counts))
    fields = {key: getattr(draft, key) for key in draft.__dataclass_fields__}
    return Record(**fields | {"name": name or f"{formula} {label}", "formula": formula})


def family_of(elements: set[str], *, cluster: bool) -> Family:
    """What a chemist would call it first, judged by the elements."""
    metallic = elements & set(metals())
    if elements == metallic:
        return "metal"
    if cluster and "O" in elements and elements & POLYOXO_METALS:
        return "polyoxometalate"
    return "oxide" if metallic and elements - metallic == {"O"} else "compound"


def reduced_formula(amounts: dict[str, float], units: int) -> str:
    """Metals first. Whole numbers are reduced; others are counted for one of the ``units`` that the multiplicities of
    the sites have in common, to three decimals."""
    if all(abs(amount - round(amount)) < 1e-3 for amount in amounts.values()):
        whole = Formula.from_dict({element: round(amount) for element, amount in amounts.items()})
        return str(whole.reduce()[0].format("metal"))
    order = sorted(amounts, key=lambda element: (element not in metals(), element))
    numbers = {element: f"{amounts[element] / units:.3f}".rstrip("0").rstrip(".") for element in order}
    return "".join(element + ("" if number == "1" else number) for element, number in numbers.items())
