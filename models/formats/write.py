"""Write a curve so that :func:`solvus.models.formats.read.read_pattern` gives the same pattern back.

The ending chooses the layout: ``.gr .sq .fq .iq`` as PDFgetX3 writes them, ``.chi`` as Fit2D does, ``.xy .xye .dat``
with the conditions as comments, ``.csv``, and NeXus/HDF5. Q is written in 1/angstrom unless 2theta is asked for, r in
angstrom, and S(Q) as S(Q), never S(Q) - 1; the header says all three.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from solvus.models.formats.read import NEXUS
from solvus.models.formats.units import QUANTITY_OF_SUFFIX
from solvus.models.formats.units import two_theta as angle_of
from solvus.models.pattern import Pattern
from solvus.models.pattern_files import write_gr
from solvus.models.text_file import refuse

LABEL = {
    "G": ("r(angstrom)", "G(1/angstrom^2)"),
    "F": ("Q(1/angstrom)", "F(1/angstrom)"),
    "S": ("Q(1/angstrom)", "S(Q)"),
    "I": ("Q(1/angstrom)", "I(Q)"),
}
FREE = {".dat", ".csv", ".txt"}
"""Endings that may hold any quantity."""
WORD = {"G": "gr", "F": "fq", "S": "sq", "I": "iq"}


ANGLES = {".xy", ".xye", ".dat", ".csv"}
"""Endings of files that diffractometers write over 2theta."""


def write_pattern(pattern: Pattern, path: Path | str, *, two_theta: bool = False) -> None:
    """Write one curve.

    Parameters
    ----------
    two_theta : write I over 2theta in degrees instead of Q; for ``ANGLES`` and a pattern that knows its wavelength.

    Raises
    ------
    PatternError
        When the ending is unknown or stands for another quantity, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if two_theta and (
        pattern.quantity != "I" or suffix not in ANGLES or pattern.conditions.wavelength is None
    ):
        refuse(path, f"2theta needs I, a wavelength and one of the endings {', '.join(sorted(ANGLES))}")
    if suffix in NEXUS:
        from solvus.models.formats.nexus import write_nexus

        write_nexus(pattern, path)
        return
    if suffix not in FREE and suffix not in QUANTITY_OF_SUFFIX:
        known = ", ".join([*QUANTITY_OF_SUFFIX, *sorted(FREE), ".nxs", ".h5"])
        refuse(path, f"the ending {suffix or '(none)'} is not one of {known}")
    if suffix in QUANTITY_OF_SUFFIX and QUANTITY_OF_SUFFIX[suffix] != pattern.quantity:
        refuse(path, f"a {suffix} file holds {QUANTITY_OF_SUFFIX[suffix]}, not {pattern.quantity}")
    if suffix == ".gr":
        write_gr(pattern, path)
        return
    text = _fit2d(pattern, path) if suffix == ".chi" else _commented(pattern, suffix, two_theta)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        refuse(path, f"cannot be written ({error.strerror})")


def _rows(pattern: Pattern, separator: str, two_theta: bool = False) -> list[str]:
    x = pattern.x
    if two_theta and pattern.conditions.wavelength is not None:
        x = np.degrees(angle_of(x, pattern.conditions.wavelength))
    columns = [x, pattern.y] + ([] if pattern.dy is None else [pattern.dy])
    return [separator.join(repr(float(v)) for v in row) for row in np.stack(columns, axis=1)]


def _settings(pattern: Pattern) -> list[str]:
    conditions = pattern.conditions
    lines = [f"outputtype = {WORD[pattern.quantity]}", f"mode = {conditions.radiation}"]
    for name in ("wavelength", "composition", "qmin", "qmax", "qdamp", "qbroad"):
        value = getattr(conditions, name)
        if value is not None:
            lines.append(f"{name} = {value}")
    return lines


def _commented(pattern: Pattern, suffix: str, two_theta: bool) -> str:
    """Conditions as comments, then the columns under their names."""
    separator, mark = (",", "") if suffix == ".csv" else ("  ", "#L ")
    x, y = ("2theta(degrees)", "I(2theta)") if two_theta else LABEL[pattern.quantity]
    label = mark + separator.join([x, y] + ([] if pattern.dy is None else [f"d{pattern.quantity}"]))
    header = [f"# {line}" for line in _settings(pattern)]
    return "\n".join([*header, label, *_rows(pattern, separator, two_theta)]) + "\n"


def _fit2d(pattern: Pattern, path: Path) -> str:
    """Four lines above the table: title, name of x, name of y, number of points."""
    title = f"{path.name}; " + "; ".join(_settings(pattern))
    rows = _rows(pattern, "  ")
    return "\n".join([title, "Q (Inverse Angstroms)", "Intensity", f"  {len(rows)}", *rows]) + "\n"
