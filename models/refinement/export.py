"""Refined structures as files that other programs read: CIF, xyz and PDFgui's stru.

Numbers with standard uncertainties follow crystallographic notation, 5.4079(16).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.refinement import Refinement, Value
from solvus.models.refinement.symmetry import NAMES, Operations
from solvus.models.scattering.form_factors import element_of
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]
Format = Literal["cif", "xyz", "stru"]
FORMATS: tuple[Format, ...] = get_args(Format)

TWO_DIGITS = 19
"""Uncertainties up to this are written with two digits, as journals ask: 0.0019 is (19), 0.0020 is (2)."""
TAGS = {
    "a": "_cell_length_a",
    "b": "_cell_length_b",
    "c": "_cell_length_c",
    "alpha": "_cell_angle_alpha",
    "beta": "_cell_angle_beta",
    "gamma": "_cell_angle_gamma",
}


def with_uncertainty(value: float, uncertainty: float | None, digits: int = 6) -> str:
    """5.40790 and 0.0016 give ``5.4079(16)``; without an uncertainty, ``digits`` significant ones."""
    if uncertainty is None or not math.isfinite(uncertainty) or uncertainty <= 0:
        return f"{value:.{digits}g}"
    exponent = math.floor(math.log10(uncertainty))
    places = max(0, -exponent + 1)
    scaled = round(uncertainty * 10**places)
    if scaled > TWO_DIGITS and places > 0:
        places -= 1
        scaled = round(uncertainty * 10**places)
    return f"{value:.{places}f}({scaled})"


def text_of(refinement: Refinement, form: Format, label: str = "") -> str:
    """The refined structure as the text of a file.

    Parameters
    ----------
    label : of the phase, where there are several.

    Raises
    ------
    RefinementError
        When there is no such phase, or a cluster is asked for as CIF.
    """
    if label not in refinement.records:
        raise RefinementError(f"export: there is no phase {label!r}")
    record = refinement.records[label]
    end = f"@{label}" if label else ""
    values = {n[: -len(end)] if end else n: v for n, v in refinement.values.items() if n.endswith(end)}
    if form == "xyz":
        return _xyz(record)
    if form == "stru":
        return _stru(record, values)
    if record.cell is None:
        raise RefinementError(f"export: {record.name} is a cluster; give it as xyz or stru")
    return _cif(record, values, refinement)


def write_structure(refinement: Refinement, path: Path, label: str = "") -> None:
    """Write a refined structure; the ending of ``path`` (.cif, .xyz, .stru) says how.

    Raises
    ------
    RefinementError
        For another ending, a folder that does not exist or a file that cannot be written.
    """
    for form in FORMATS:
        if path.suffix.lower() == f".{form}":
            try:
                path.write_text(text_of(refinement, form, label), encoding="utf-8")
            except OSError as error:
                raise RefinementError(f"export: {path} cannot be written ({error.strerror})") from error
            return
    raise RefinementError(f"export: {path.name} needs one of the endings .cif, .xyz, .stru")


def whole(record: Record) -> tuple[list[str], Floats, Floats, Floats]:
    """Species, places (fractional in a crystal), displacements and occupancies of all atoms."""
    phase = Phase.of(record)
    if not phase.periodic:
        u = record.u_iso or (0.0,) * len(record.species)
        filled = record.occupancy or (1.0,) * len(record.species)
        return list(record.species), np.asarray(record.positions), np.array(u), np.array(filled)
    names: list[str] = []
    places, u_all, filled_all = [], [], []
    for k, own in enumerate(phase.orbits):
        size = len(own.positions)
        names += [record.species[k]] * size
        places.append(own.positions)
        u_all.append(
            np.full(size, phase.parameters[phase.kinds[k].u].value if not record.u_iso else record.u_iso[k])
        )
        filled_all.append(np.full(size, record.occupancy[k] if record.occupancy else 1.0))
    return names, np.concatenate(places), np.concatenate(u_all), np.concatenate(filled_all)


def _cif(record: Record, values: Mapping[str, Value], refinement: Refinement) -> str:
    phase = Phase.of(record)
    if phase.group is None or record.cell is None:
        raise RefinementError(f"export: {record.name} has no cell")
    tied = {NAMES[place]: name for name, places in phase.cell_names.items() for place in places}
    lines = [
        f"data_{''.join(c if c.isalnum() else '_' for c in record.name)}",
        f"_chemical_formula_sum '{record.formula}'",
        f"_refine_ls_wR_factor_all {refinement.r_w:.4f}",
        f"_space_group_IT_number {phase.group.number}",
    ]
    for k, name in enumerate(NAMES):
        free = values.get(tied.get(name, ""))
        sd = free.uncertainty if free is not None else None
        lines.append(f"{TAGS[name]} {with_uncertainty(record.cell[k], sd, 8)}")
    lines += ["loop_", "_space_group_symop_operation_xyz"]
    lines += [f"'{_operation(phase.group, m)}'" for m in range(len(phase.group.rotations))]
    columns = (
        "label",
        "type_symbol",
        "fract_x",
        "fract_y",
        "fract_z",
        "occupancy",
        "U_iso_or_equiv",
        "adp_type",
    )
    lines += ["loop_", *(f"_atom_site_{name}" for name in columns)]
    for k, kind in enumerate(phase.kinds):
        place = []
        for axis, letter in enumerate("xyz"):
            free = values.get(f"{letter}_{kind.label}")
            place.append(
                with_uncertainty(float(record.positions[k][axis]), free.uncertainty if free else None, 8)
            )
        u = values.get(kind.u)
        shown = with_uncertainty(record.u_iso[k], u.uncertainty if u else None, 5)
        lines.append(f"{kind.label} {kind.species} {' '.join(place)} {record.occupancy[k]:.5g} {shown} Uiso")
    return "\n".join(lines) + "\n"


def _operation(group: Operations, m: int) -> str:
    """An operation as ``-y,x-y,z+1/3``."""
    parts = []
    for row, shift in zip(group.rotations[m], group.translations[m], strict=True):
        text = ""
        for factor, letter in zip(row, "xyz", strict=True):
            if abs(factor) > 0.5:
                text += ("-" if factor < 0 else "+" if text else "") + letter
        twelfths = round(float(shift % 1.0) * 12) % 12
        if twelfths:
            divisor = math.gcd(twelfths, 12)
            text += f"+{twelfths // divisor}/{12 // divisor}"
        parts.append(text)
    return ",".join(parts)


def _xyz(record: Record) -> str:
    """Atoms; where sites are shared or filled in part, every species with its share in a column ``occupancy``."""
    names, places, _, filled = whole(record)
    partly = bool((filled != 1.0).any())
    column = ":occupancy:R:1" if partly else ""
    comment = f'Properties=species:S:1:pos:R:3{column} name="{record.name}"' if partly else record.name
    if record.cell is not None:
        from ase.cell import Cell

        lattice = np.asarray(Cell.fromcellpar(record.cell).array)  # type: ignore[no-untyped-call]
        places = places @ lattice
        cell = " ".join(f"{v:.8f}" for v in lattice.ravel())
        comment = f'Lattice="{cell}" Properties=species:S:1:pos:R:3{column} pbc="T T T"'
    rows = [
        f"{element_of(name):2} {x:14.8f} {y:14.8f} {z:14.8f}" + (f" {share:8.5f}" if partly else "")
        for name, (x, y, z), share in zip(names, places, filled, strict=True)
    ]
    return "\n".join([str(len(rows)), comment, *rows]) + "\n"


def _stru(record: Record, values: Mapping[str, Value]) -> str:
    """PDFgui's format. A cluster stands in a cell of one angstrom, which that program takes as no cell."""
    names, places, u, filled = whole(record)
    cell = record.cell or (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
    sharp = [values[name].value if name in values else 0.0 for name in ("delta2", "delta1")]
    scale = values["scale"].value if "scale" in values else 1.0
    lines = [
        f"title  {record.name}",
        "format pdffit",
        f"scale  {scale:.6f}",
        f"sharp  {sharp[0]:.6f}, {sharp[1]:.6f}, 1.000000, 0.000000",
        "spcgr  P1",
        "cell   " + ", ".join(f"{v:.6f}" for v in cell),
        "dcell  " + ", ".join(["0.000000"] * 6),
        f"ncell  1, 1, 1, {len(names)}",
        "atoms",
    ]
    zeros = "    " + "  ".join(["0.00000000"] * 3)
    for name, place, own, occupancy in zip(names, places, u, filled, strict=True):
        x, y, z = place
        lines += [
            f"{element_of(name).upper():4} {x:17.8f} {y:17.8f} {z:17.8f} {occupancy:12.4f}",
            zeros + "  0.0000",
            "    " + "  ".join([f"{own:.8f}"] * 3),
            zeros,
            zeros,
            zeros,
        ]
    return "\n".join(lines) + "\n"
