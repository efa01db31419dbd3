"""Read a curve from any file of the field: the one door is :func:`read_pattern`.

Text files with columns x, y and perhaps dy (``.sq .fq .iq .chi .xy .xye .dat .csv``), G(r) files and NeXus/HDF5. A file
is only ever read. What it does not say (unit, quantity, wavelength) is asked for in one sentence; nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from solvus.models.formats.units import (
    UNITS,
    Header,
    XUnit,
    quantity_of,
    to_inverse_angstrom,
    unit_of,
)
from solvus.models.pattern import MIN_POINTS, X_UNIT_OF, Conditions, Pattern, PatternError, Quantity
from solvus.models.pattern_files import read_gr
from solvus.models.text_file import read_lines, refuse

LARGEST_FILE = 200_000_000
"""Bytes; a million points in three columns take 80 MB as text."""
NEXUS = {".nxs", ".nx", ".h5", ".hdf5", ".hdf"}
FIELD = re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?$|^[-+]?(?:nan|inf)$", re.IGNORECASE)
SEPARATOR = re.compile(r"\s*[,;\t]\s*|\s+")
DECIMAL_COMMA = re.compile(r"^\s*[-+]?\d+,\d+(?:\s+|;)[-+]?\d+,\d+")
TAIL = 0.2
"""Share of the points, at the high-Q end, whose mean tells S(Q) from S(Q) - 1: there S tends to 1."""


@dataclass(frozen=True)
class Reading:
    """A pattern and what was inferred while reading it, one sentence each, to be shown to the user."""

    pattern: Pattern
    notes: tuple[str, ...] = ()
    tilt_degrees: float | None = None
    """Tilt of the detector that the header names."""


@dataclass(frozen=True)
class Table:
    """What a file holds before its meaning is known."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    dy: NDArray[np.float64] | None
    header: Header
    quantity: Quantity | None = None
    unit: XUnit | None = None
    stated: dict[str, Any] = field(default_factory=dict)


def read_pattern(
    path: Path | str,
    *,
    x_unit: XUnit | None = None,
    quantity: Quantity | None = None,
    wavelength: float | None = None,
) -> Reading:
    """Read one curve.

    Parameters
    ----------
    x_unit : ``"1/angstrom"``, ``"1/nm"`` or ``"2theta"`` (degrees): takes the place of what the header says.
    quantity : ``"G"``, ``"S"``, ``"F"`` or ``"I"``: takes the place of what header and ending say.
    wavelength : angstrom; needed for 2theta where the header has none.

    Returns
    -------
    Reading
        Its pattern has Q in 1/angstrom (or r in angstrom), and S(Q) even where the file's column was S(Q) - 1.

    Raises
    ------
    PatternError
        One sentence with the file and, where known, the line.
    """
    path = Path(path)
    x_unit, quantity = require_unit(x_unit), require_quantity(quantity)
    if path.suffix.lower() == ".gr" and quantity in {None, "G"}:
        return Reading(read_gr(path))
    if path.suffix.lower() in NEXUS:
        from solvus.models.formats.nexus import read_table

        table = read_table(path)
    else:
        table = _text_table(path)
    return _meaning(path, table, x_unit, quantity, wavelength)


def require_unit(text: str | None) -> XUnit | None:
    """A unit that is known, or none; raises PatternError otherwise."""
    for unit in UNITS:
        if text == unit:
            return unit
    if text is not None:
        raise PatternError(f"--unit: {text!r} is none of {', '.join(UNITS)}")
    return None


def require_quantity(text: str | None) -> Quantity | None:
    """A quantity that is known, or none; raises PatternError otherwise."""
    for quantity in get_args(Quantity):
        if text == quantity:
            known: Quantity = quantity
            return known
    if text is not None:
        raise PatternError(f"--quantity: {text!r} is none of {', '.join(get_args(Quantity))}")
    return None


def _meaning(
    path: Path, table: Table, x_unit: XUnit | None, quantity: Quantity | None, wavelength: float | None
) -> Reading:
    notes: list[str] = []
    held = quantity or table.quantity or quantity_of(table.header, path.suffix.lower())
    if held is None:
        refuse(path, "does not say whether it holds G, S, F or I; say it with --quantity")
    conditions = {**_conditions(table.header), **table.stated}
    if wavelength is not None:
        conditions["wavelength"] = wavelength
    x = table.x
    if held != "G":
        unit, source = _unit(path, table, x_unit)
        if source:
            notes.append(f"{path.name}: first column read as {unit}, by {source}")
        if x_unit is not None:
            notes.extend(_contradiction(path, table, x_unit))
        try:
            x = to_inverse_angstrom(x, unit, conditions.get("wavelength"))
        except ValueError as error:
            refuse(path, str(error))
    y = table.y
    if held == "S":
        y, note = as_structure_factor(y)
        notes.append(f"{path.name}: {note}")
    try:
        pattern = Pattern(
            quantity=held,
            x_unit="angstrom" if X_UNIT_OF[held] == "angstrom" else "1/angstrom",
            x=x,
            y=y,
            dy=table.dy,
            conditions=Conditions(**conditions),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        refuse(path, f"{where + ': ' if where else ''}{message}")
    return Reading(pattern, tuple(notes), table.header.number("tiltd"))


def _unit(path: Path, table: Table, said: XUnit | None) -> tuple[XUnit, str]:
    """The unit of the first column, and what it was inferred from (empty when it was said)."""
    if said is not None:
        return said, ""
    if table.unit is not None:
        return table.unit, ""
    inferred = unit_of(table.header, table.x)
    if inferred is None:
        refuse(
            path,
            f"does not say the unit of its first column ({table.x[0]:g} to {table.x[-1]:g}); "
            "say --unit 1/angstrom, 1/nm or 2theta",
        )
    return inferred


def _contradiction(path: Path, table: Table, said: XUnit) -> list[str]:
    """What the file says where that is another unit than the caller says, who has the last word."""
    named = (table.unit, "the file") if table.unit is not None else unit_of(table.header, table.x)
    if named is None or named[0] == said:
        return []
    return [f"{path.name}: first column taken as {said}, as you say, but it is {named[0]} by {named[1]}"]


def as_structure_factor(y: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """S(Q) from a column that holds S(Q) or S(Q) - 1, and the sentence that says which.

    S tends to 1 at high Q, S - 1 to 0: the mean over the last fifth is compared with one half.
    """
    end = float(y[-max(5, int(TAIL * len(y))) :].mean())
    if end > 0.5:
        return y, f"the column is S(Q): it tends to {end:.3g} at high Q"
    return y + 1.0, f"the column is S(Q) - 1: it tends to {end:.3g} at high Q; 1 was added"


def _conditions(header: Header) -> dict[str, Any]:
    text = "\n".join(header.lines)
    radiation = "neutron" if re.search(r"(mode|radiation)\s*[=:]\s*neutron", text, re.I) else "xray"
    found: dict[str, Any] = {"radiation": radiation}
    for name in ("qmin", "qmax", "qdamp", "qbroad", "wavelength"):
        value = header.number(name)
        if value:
            found[name] = value
    composition = re.search(
        r"(?:^|[#;])\s*composition\s*[=:]\s*([^;\n]+)", text, re.IGNORECASE | re.MULTILINE
    )
    if composition:
        found["composition"] = composition.group(1).strip()[:200]
    return found


def _text_table(path: Path) -> Table:
    lines = _lines(path)
    start, width = _first_row(path, lines)
    rows = _rows(path, lines, start, width)
    table = np.array(rows)
    steps = np.diff(table[:, 0])
    if not (steps > 0).all():
        at = int(np.argmin(steps > 0))
        refuse(
            path, f"the first column does not increase after {table[at, 0]:g}; sort the rows", start + at + 2
        )
    header = Header(tuple(lines[:start]), _labels(lines[:start]))
    dy = table[:, 2] if width >= 3 and (table[:, 2] >= 0).all() and table[:, 2].any() else None
    return Table(table[:, 0], table[:, 1], dy, header)


def _lines(path: Path) -> list[str]:
    return read_lines(
        path,
        largest=LARGEST_FILE,
        oversize="this is no single curve",
        binary="text columns, or NeXus/HDF5 with the ending .nxs or .h5, are read",
    )


def _fields(line: str) -> list[str]:
    return [part for part in SEPARATOR.split(line.strip()) if part]


def _is_row(line: str) -> bool:
    parts = _fields(line)
    return len(parts) >= 2 and all(FIELD.match(part) for part in parts)


def _first_row(path: Path, lines: list[str]) -> tuple[int, int]:
    """Index and width of the first of ``MIN_POINTS`` rows of equal width."""
    run, width = 0, 0
    for i, line in enumerate(lines):
        if DECIMAL_COMMA.match(line):
            refuse(path, "decimal commas; write numbers with a decimal point", i + 1)
        size = len(_fields(line)) if _is_row(line) else 0
        run = (run + 1 if size == width else 1) if size else 0
        width = size
        if run == MIN_POINTS:
            return i + 1 - MIN_POINTS, width
    refuse(path, f"no table of at least {MIN_POINTS} rows of numbers x, y was found")


def _rows(path: Path, lines: list[str], start: int, width: int) -> list[list[float]]:
    rows: list[list[float]] = []
    last = max(i for i, line in enumerate(lines) if line.strip())
    for i in range(start, last + 1):
        line = lines[i].strip()
        if not line or line.startswith("#"):
            continue
        parts = _fields(line)
        if len(parts) != width or not _is_row(line):
            if i == last:
                refuse(path, "the last line is cut off; export the file again", i + 1)
            refuse(path, f"{len(parts)} columns or text where {width} numbers were before", i + 1)
        row = [float(part.replace("d", "e").replace("D", "e")) for part in parts]
        if not np.isfinite(row[:3]).all():
            refuse(path, "NaN or infinite; remove the point's cause and export again", i + 1)
        rows.append(row)
    return rows


def _labels(header: list[str]) -> str:
    """The line that names the columns: ``#L``, else the last that has a word before the table."""
    named = [line for line in header if re.match(r"^\s*#+\s*L\b", line)]
    if named:
        return named[-1]
    worded = [line for line in header if re.search(r"[A-Za-z]", line) and "=" not in line]
    return worded[-1] if worded else ""
