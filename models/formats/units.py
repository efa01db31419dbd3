"""What a curve file holds and in which unit its first column stands, as far as its header says so.

Q in 1/angstrom is Q in 1/nm divided by ten; 2theta (degrees) becomes Q = 4 pi / wavelength sin(theta). A unit comes
from, in this order: the caller, the names of the columns, the header's words, and the geometry in the header (the
largest Q that a detector of the stated size, distance and wavelength can see). When none of these decides, the reader
asks; it does not guess.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Quantity

XUnit = Literal["1/angstrom", "1/nm", "2theta"]
UNITS: tuple[XUnit, ...] = get_args(XUnit)

QUANTITY_OF_SUFFIX: dict[str, Quantity] = {
    ".gr": "G",
    ".sq": "S",
    ".fq": "F",
    ".iq": "I",
    ".chi": "I",
    ".xy": "I",
    ".xye": "I",
}
QUANTITY_OF_WORD: dict[str, Quantity] = {"gr": "G", "sq": "S", "fq": "F", "iq": "I"}
COLUMN_QUANTITY: tuple[tuple[str, Quantity], ...] = (
    (r"\bG\s*\(\s*r|\bG\(", "G"),
    (r"\bF\s*\(", "F"),
    (r"\bS\s*\(", "S"),
    (r"\bI\s*\(|\bI\b|intensity|counts", "I"),
)
SPELLINGS: tuple[tuple[str, XUnit], ...] = (
    (r"2[\s_-]*theta|two[\s_-]*theta|2\s*θ|\btth\b|\b2th\b", "2theta"),
    (r"\bq[\s_]*[\[(]?\s*(1\s*/\s*nm|nm\s*\^?\s*\{?\s*-\s*1)|q_nm|inverse nanomet|\bnm\s*\^?\{?-1", "1/nm"),
    (
        r"\bq[\s_]*[\[(]?\s*\$?\s*(1\s*/\s*(a\b|å|angstrom)|(a\b|å|\\aa|ang(strom)?s?)\s*\^?\s*\{?\s*-\s*1)"
        r"|q_a\b|q_a\^|inverse angstrom|å\^?-1|å⁻¹",
        "1/angstrom",
    ),
)
SAME = (0.6, 1.15)
"""A pattern ends between these shares of the largest Q its detector can see: it is cut where the corners of
the image thin out, never beyond."""


@dataclass(frozen=True)
class Header:
    """The lines above the table and, among them, the one that names the columns (may be empty)."""

    lines: tuple[str, ...]
    labels: str

    def field(self, *names: str) -> str | None:
        """The text of ``name = value`` (or ``name: value``), of the first name that is there."""
        for name in names:
            pattern = re.compile(rf"(?:^|[\s#;,]){name}\s*[=:]\s*([^\s;,]+)", re.IGNORECASE)
            for line in self.lines:
                found = pattern.search(line)
                if found:
                    return found.group(1)
        return None

    def number(self, *names: str) -> float | None:
        text = self.field(*names)
        try:
            value = float(text) if text is not None else None
        except ValueError:
            return None
        return value if value is not None and math.isfinite(value) else None


def quantity_of(header: Header, suffix: str) -> Quantity | None:
    """What the second column is: by ``outputtype``, by its label, by the file's ending; ``None`` when none says."""
    written = (header.field("outputtype", "quantity") or "").lower()
    if written in QUANTITY_OF_WORD:
        return QUANTITY_OF_WORD[written]
    if suffix in QUANTITY_OF_SUFFIX:
        return QUANTITY_OF_SUFFIX[suffix]
    for spelling, quantity in COLUMN_QUANTITY:
        if re.search(spelling, header.labels):
            return quantity
    return None


def unit_of(header: Header, x: NDArray[np.float64]) -> tuple[XUnit, str] | None:
    """The unit of the first column and what said so, or ``None``.

    ``dataformat = Qnm`` in the header of an output of PDFgetX3 tells of that program's *input*, so it does not count.
    """
    for place, text in (("the names of the columns", header.labels), ("the header", "\n".join(header.lines))):
        found = {unit for spelling, unit in SPELLINGS if re.search(spelling, text, re.IGNORECASE)}
        if len(found) == 1:
            return found.pop(), place
    return _unit_by_geometry(header, float(x[-1]))


def _unit_by_geometry(header: Header, end: float) -> tuple[XUnit, str] | None:
    """Q as far as the detector reaches: at its corner when the beam hits its middle."""
    wavelength, distance = header.number("wavelength"), header.number("distance")
    sides = [
        (header.number(f"{axis}dimension") or 0.0) * (header.number(f"{axis}pixelsize") or 0.0)
        for axis in "xy"
    ]
    space = (header.field("integrationspace") or "").lower()
    if not wavelength or not distance or not all(sides) or space not in {"", "qspace"}:
        return None
    corner = math.atan(math.hypot(*sides) / 2.0 / distance)
    largest = 4.0 * math.pi / wavelength * math.sin(corner / 2.0)
    fitting: list[XUnit] = []
    for unit, factor in (("1/angstrom", 1.0), ("1/nm", 10.0)):
        if SAME[0] <= end / (largest * factor) <= SAME[1]:
            fitting.append("1/angstrom" if unit == "1/angstrom" else "1/nm")
    if space == "" and SAME[0] <= end / math.degrees(corner) <= SAME[1]:
        fitting.append("2theta")
    if len(fitting) != 1:
        return None
    return fitting[0], f"the detector in the header, which sees Q up to {largest:.1f} 1/angstrom"


def to_inverse_angstrom(x: NDArray[np.float64], unit: XUnit, wavelength: float | None) -> NDArray[np.float64]:
    """Q in 1/angstrom.

    Parameters
    ----------
    x : (n,) in ``unit``; 2theta in degrees.
    wavelength : angstrom; needed for 2theta.

    Raises
    ------
    ValueError
        For 2theta without a wavelength or outside 0 to 180 degrees.
    """
    if unit == "1/angstrom":
        return x
    if unit == "1/nm":
        return x / 10.0
    if wavelength is None:
        raise ValueError("2theta needs the wavelength; give --wavelength in angstrom")
    if x[0] < 0 or x[-1] > 180.0:
        raise ValueError(f"2theta from {x[0]:g} to {x[-1]:g} degrees; it lies between 0 and 180")
    q: NDArray[np.float64] = 4.0 * math.pi / wavelength * np.sin(np.radians(x) / 2.0)
    return q


def two_theta(q: NDArray[np.float64], wavelength: float) -> NDArray[np.float64]:
    """2theta in radians for Q in 1/angstrom; Q beyond 4 pi / wavelength has none and gives NaN."""
    sine = np.asarray(q) * wavelength / (4.0 * math.pi)
    angle: NDArray[np.float64] = 2.0 * np.arcsin(np.where(sine <= 1.0, sine, np.nan))
    return angle
