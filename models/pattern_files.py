"""Read and write G(r) files as PDFgetX2/3, xPDFsuite, PDFgetN and PDFgui-like programs leave them.

Their headers differ widely, but all are text above numeric columns r, G (then dr, dG or others). What a
header says of the measurement becomes :class:`Conditions`; what it does not say stays ``None``. Nothing is
repaired: a file with a fault is refused in one sentence that names the file, the line where known, and the
fix.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from solvus.models.pattern import MIN_POINTS, Conditions, Pattern, PatternError
from solvus.models.text_file import read_lines, refuse

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
NUMBERS = re.compile(
    rf"^\s*(?:{NUMBER}|nan|inf|[-+]inf)(?:[\s;]+(?:{NUMBER}|nan|inf|[-+]inf))*\s*$",
    re.IGNORECASE,
)
DECIMAL_COMMA = re.compile(r"^\s*[-+]?\d+,\d+[\s;]+[-+]?\d+,\d+")
LARGEST_FILE = 50_000_000
"""Bytes; a G(r) of 100 angstrom in steps of 0.001 with four columns takes 6 MB."""
STEP_TOLERANCE = 0.02
"""Share of the r step by which single steps may differ: rounding of r to four digits stays below it."""
NANOMETRE_END = 6.5
"""A grid that ends before this, in steps under 0.005, was written in nanometres: no program writes G(r) to
less than 6.5 angstrom in such steps."""
FINE_STEP = 0.005
SHORTEST_BOND = 0.6
"""angstrom; H-H has 0.74, so a strongest peak below it on a fine grid is one in nanometres."""
KNOWN_OTHER = {
    ".chi": "raw intensity I(Q)",
    ".sq": "S(Q)",
    ".fq": "F(Q)",
    ".iq": "raw intensity I(Q)",
    ".xy": "raw intensity",
    ".xye": "raw intensity",
}


def read_gr(path: Path | str) -> Pattern:
    """Read one G(r) file.

    Returns
    -------
    Pattern with ``quantity="G"``, r in angstrom on the file's own grid; points at and below r = 0 are left
    out only when r is negative nowhere. ``dy`` is kept where the program wrote a third or fourth column
    named as error of G.

    Raises
    ------
    PatternError
        When the file is missing, no text, no G(r), in nanometres, has gaps, NaN, a truncated line or decimal
        commas.
    """
    path = Path(path)
    lines = _read_lines(path)
    start = _first_row(path, lines)
    header, labels = lines[:start], _labels(lines[:start])
    _refuse_other_quantities(path, header, labels)
    table = _parse_rows(path, lines, start)
    _check_grid(path, table[:, 0], start)
    _check_unit(path, table, [*header, labels])
    dy = _uncertainty(table, labels)
    try:
        conditions = Conditions(**_conditions(header, labels))
        return Pattern(quantity="G", x=table[:, 0], y=table[:, 1], dy=dy, conditions=conditions)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        refuse(path, f"{where + ': ' if where else ''}{message}")


def write_gr(pattern: Pattern, path: Path | str) -> None:
    """Write a G(r) with its conditions, in the layout of PDFgetX3; :func:`read_gr` gives the same pattern
    back.

    Raises
    ------
    PatternError
        When the pattern is no G(r) or the file cannot be written.
    """
    path = Path(path)
    if pattern.quantity != "G":
        raise PatternError(f"{path.name}: a .gr file holds G(r), not {pattern.quantity}")
    conditions = pattern.conditions
    header = ["[PDF]", f"mode = {conditions.radiation}", "outputtype = gr"]
    for name in ("wavelength", "composition", "qmin", "qmax", "qdamp", "qbroad"):
        value = getattr(conditions, name)
        if value is not None:
            header.append(f"{name} = {value}")
    columns = [pattern.x, pattern.y] + ([] if pattern.dy is None else [np.zeros_like(pattern.x), pattern.dy])
    label = "#L r($\\AA$)  G($\\AA^{-2}$)" + ("" if pattern.dy is None else "  dr  dG")
    rows = ["  ".join(repr(float(v)) for v in row) for row in zip(*columns, strict=True)]
    try:
        path.write_text(
            "\n".join([*header, "", "#### start data", "#S 1", label, *rows]) + "\n", encoding="utf-8"
        )
    except OSError as error:
        refuse(path, f"cannot be written ({error.strerror})")


def _read_lines(path: Path) -> list[str]:
    return read_lines(
        path,
        largest=LARGEST_FILE,
        oversize="this is no G(r) file",
        binary="give the G(r) as text in two columns",
    )


def _first_row(path: Path, lines: list[str]) -> int:
    """Index of the first data row: the first of ``MIN_POINTS`` or more rows of numbers with two or more
    columns."""
    run = 0
    for i, line in enumerate(lines):
        if DECIMAL_COMMA.match(line):
            refuse(path, "decimal commas; write numbers with a decimal point", i + 1)
        is_row = bool(NUMBERS.match(line)) and len(re.split(r"[\s;]+", line.strip())) >= 2
        run = run + 1 if is_row else 0
        if run == MIN_POINTS:
            return i + 1 - MIN_POINTS
    if len(lines) > 2 and lines[0].strip().isdigit() and re.match(r"^\s*[A-Z][a-z]?\s", lines[2]):
        refuse(path, "looks like an .xyz structure, not a pattern; a G(r) file is needed")
    if run or any(NUMBERS.match(line) for line in lines):
        refuse(path, f"no table of at least {MIN_POINTS} rows r, G(r) was found")
    refuse(path, "is not a pattern: no columns of numbers r, G(r) were found")


def _labels(header: list[str]) -> str:
    """The line that names the columns."""
    named = [line for line in header if re.match(r"^\s*#+\s*L\b", line)]
    return named[-1] if named else (header[-1] if header else "")


def _refuse_other_quantities(path: Path, header: list[str], labels: str) -> None:
    written = _field(header, "outputtype")
    if written is not None and written.lower() != "gr":
        refuse(path, f"holds {written} by its header, but G(r) is needed; transform it first")
    suffix = path.suffix.lower()
    says_g = bool(re.search(r"\bG\s*\(", labels)) or (written or "").lower() == "gr"
    if suffix in KNOWN_OTHER and not says_g:
        refuse(path, f"a {suffix} file holds {KNOWN_OTHER[suffix]}, but G(r) is needed; transform it first")
    if re.match(r"^\s*#+\s*L\s+(Q|2\s*[Tt]heta|[Tt]wo[Tt]heta)\b", labels):
        refuse(path, "its first column is Q or 2theta, but G(r) is needed; transform it first")


def _parse_rows(path: Path, lines: list[str], start: int) -> NDArray[np.float64]:
    rows: list[list[float]] = []
    width = len(re.split(r"[\s;]+", lines[start].strip()))
    last = max(i for i, line in enumerate(lines) if line.strip())
    for i in range(start, last + 1):
        line = lines[i].strip()
        if not line or line.startswith("#"):
            continue
        if DECIMAL_COMMA.match(line):
            refuse(path, "decimal commas; write numbers with a decimal point", i + 1)
        fields = re.split(r"[\s;]+", line)
        if not NUMBERS.match(line) or len(fields) != width:
            if i == last:
                refuse(path, "the last line is cut off; export the file again", i + 1)
            refuse(path, f"{len(fields)} columns or text where {width} numbers were before", i + 1)
        row = [float(field) for field in fields]
        if not np.isfinite(row[:2]).all():
            refuse(path, "NaN or infinite; remove the point's cause and export again", i + 1)
        rows.append(row)
    if lines[last].rstrip().endswith((".", "-", "+")) and not lines[last - 1].rstrip().endswith("."):
        refuse(path, "the last line is cut off; export the file again", last + 1)
    return np.array(rows)


def _check_grid(path: Path, r: NDArray[np.float64], start: int) -> None:
    steps = np.diff(r)
    typical = float(np.median(steps))
    if r[0] < 0:
        refuse(path, f"negative distance r = {r[0]:g}; cut the table at r = 0", start + 1)
    if not (steps > 0).all():
        where = int(np.argmin(steps > 0))
        refuse(
            path,
            f"r is not increasing after r = {r[where]:g}; sort the rows and remove doubles",
            start + where + 2,
        )
    uneven = np.abs(steps - typical) > STEP_TOLERANCE * typical + 2e-4
    if uneven.any():
        where = int(np.argmax(uneven))
        if where == len(steps) - 1 and steps[-1] < typical:
            refuse(
                path, f"the last line is cut off (r = {r[-1]:g}); export the file again", start + where + 2
            )
        refuse(
            path,
            f"the r grid has a gap or unequal steps after r = {r[where]:g} (step {steps[where]:g}, "
            f"elsewhere {typical:g}); export it on a uniform grid",
            start + where + 2,
        )


def _check_unit(path: Path, table: NDArray[np.float64], header: list[str]) -> None:
    """Refuse nanometres: 1/nm taken for 1/angstrom is the classic silent corruption."""
    r, g = table[:, 0], table[:, 1]
    if re.search(r"\br\s*[\(\[]\s*nm\b|nanomet", " ".join(header), re.IGNORECASE):
        refuse(path, "r is in nanometres by its header; convert r to angstrom (and G to 1/angstrom^2)")
    step = float(np.median(np.diff(r)))
    if step >= FINE_STEP:
        return
    if r[-1] < NANOMETRE_END:
        refuse(path, f"r ends at {r[-1]:g} in steps of {step:g}: that is nanometres; convert to angstrom")
    peak = float(r[int(g.argmax())])
    if peak < SHORTEST_BOND:
        refuse(path, f"the strongest peak at r = {peak:g} can only be nanometres; convert r to angstrom")


def _field(header: list[str], name: str) -> str | None:
    """The value of ``name = value`` in any of the layouts, several to a line included."""
    pattern = re.compile(rf"(?:^|[\s#;,]){name}\s*[=:]\s*([^\s;,]+)", re.IGNORECASE)
    for line in header:
        found = pattern.search(line)
        if found:
            return found.group(1)
    return None


def _number(header: list[str], *names: str) -> float | None:
    for name in names:
        text = _field(header, name)
        if text is not None and re.fullmatch(NUMBER, text):
            return float(text)
    return None


def _conditions(header: list[str], labels: str) -> dict[str, Any]:
    """What the header says, each value only where it is possible (a Qmax of 0 stands for "not set")."""
    text = "\n".join(header)
    neutron = bool(
        re.search(r"mode\s*=\s*neutron|stype\s*=\s*N\b|PDFgetN|##### Vanadium|Neutron PDF", text, re.I)
    )
    qmin, qmax = _number(header, "qmin"), _number(header, "qmax")
    wavelength = _number(header, "wavelength", "lambda")
    qdamp, qbroad = _number(header, "qdamp"), _number(header, "qbroad")
    return {
        "radiation": "neutron" if neutron else "xray",
        "qmin": qmin,
        "qmax": qmax if qmax else None,
        "wavelength": wavelength if wavelength and not neutron else None,
        "qdamp": qdamp,
        "qbroad": qbroad,
        "composition": _composition(header),
    }


def _composition(header: list[str]) -> str | None:
    for line in header:
        found = re.match(r"^\s*#?\s*composition\s*[=:]\s*(.+?)\s*$", line, re.IGNORECASE)
        if found:
            return found.group(1)[:200]
    listed = re.findall(r"^\s*([A-Z][a-z]?)\s+\d+\.\d+\s+\d+\.\d+\s+[-\d.]+", "\n".join(header), re.MULTILINE)
    return " ".join(dict.fromkeys(listed)) or None


def _uncertainty(table: NDArray[np.float64], labels: str) -> NDArray[np.float64] | None:
    """The column labelled as the error of G, where there is one with positive values."""
    names = re.sub(r"^\s*#+\s*L\s*", "", labels).split()
    for i, name in enumerate(names[: table.shape[1]]):
        if i >= 2 and re.match(r"^(dG|d_G|err|sigG|sigma)", name, re.IGNORECASE):
            column = table[:, i]
            if np.isfinite(column).all() and (column >= 0).all() and column.any():
                return np.array(column)
    return None
