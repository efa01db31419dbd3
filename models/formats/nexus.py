"""NeXus/HDF5: one ``NXdata`` group with a signal, its axis and its errors.

Any file is read whose default ``NXdata`` (or only one-dimensional signal) is a curve; units come from the ``units``
attribute of the axis. See the NeXus definition of NXdata, https://manual.nexusformat.org/classes/base_classes/NXdata.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from solvus.models.formats.read import Table
from solvus.models.formats.units import Header, XUnit
from solvus.models.pattern import Pattern, PatternError, Quantity
from solvus.models.text_file import refuse

UNIT_OF_TEXT: dict[str, XUnit] = {
    "1/angstrom": "1/angstrom",
    "1/a": "1/angstrom",
    "angstrom^-1": "1/angstrom",
    "1/nm": "1/nm",
    "nm^-1": "1/nm",
    "degree": "2theta",
    "degrees": "2theta",
    "deg": "2theta",
}
QUANTITIES: dict[str, Quantity] = {"G": "G", "F": "F", "S": "S", "I": "I"}
CONDITIONS = ("radiation", "qmin", "qmax", "qdamp", "qbroad", "wavelength", "composition")


def write_nexus(pattern: Pattern, path: Path) -> None:
    """Write ``/entry/data`` with the curve and ``/entry/conditions`` with what is known of the measurement.

    Raises
    ------
    PatternError
        When the file cannot be written.
    """
    axis = "r" if pattern.quantity == "G" else "Q"
    try:
        with h5py.File(path, "w") as file:
            file.attrs["default"] = "entry"
            entry = file.create_group("entry")
            entry.attrs.update({"NX_class": "NXentry", "default": "data"})
            data = entry.create_group("data")
            data.attrs.update({"NX_class": "NXdata", "signal": pattern.quantity, "axes": [axis]})
            data.create_dataset(axis, data=pattern.x).attrs["units"] = pattern.x_unit
            data.create_dataset(pattern.quantity, data=pattern.y)
            if pattern.dy is not None:
                data.create_dataset(f"{pattern.quantity}_errors", data=pattern.dy)
            conditions = entry.create_group("conditions")
            conditions.attrs["NX_class"] = "NXcollection"
            for name in CONDITIONS:
                value = getattr(pattern.conditions, name)
                if value is not None:
                    conditions[name] = value
    except OSError as error:
        refuse(path, f"cannot be written ({error.strerror or error})")


def read_table(path: Path) -> Table:
    """The curve of a file, its unit and conditions where they are stated.

    Raises
    ------
    PatternError
        When the file is missing, no HDF5, or does not hold exactly one curve.
    """
    if not path.exists():
        raise PatternError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            group = _data_group(path, file)
            return _table(path, group)
    except OSError as error:
        reason = str(error).partition("(")[2].rstrip(")") or str(error)
        raise PatternError(f"{path.name}: cannot be read as HDF5 ({reason})") from error


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _data_group(path: Path, file: h5py.File) -> h5py.Group:
    """The default NXdata, or the only one."""
    node: h5py.Group = file
    while "default" in node.attrs and _text(node.attrs["default"]) in node:
        node = node[_text(node.attrs["default"])]
    if _text(node.attrs.get("NX_class", "")) == "NXdata":
        return node
    groups: list[h5py.Group] = []

    def collect(_: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and _text(item.attrs.get("NX_class", "")) == "NXdata":
            groups.append(item)

    file.visititems(collect)
    if len(groups) != 1:
        refuse(path, f"holds {len(groups)} NXdata groups and names none as default; export one curve")
    return groups[0]


def _table(path: Path, group: h5py.Group) -> Table:
    signal = _text(group.attrs.get("signal", ""))
    axis = _text(group.attrs.get("axes", ""))
    if signal not in group or axis not in group:
        refuse(path, f"{group.name} does not name a signal and an axis that it holds")
    x, y = _vector(path, group[axis]), _vector(path, group[signal])
    named = next((n for n in (f"{signal}_errors", "errors") if n in group), None)
    unit = UNIT_OF_TEXT.get(_text(group[axis].attrs.get("units", "")).strip().lower())
    stated: dict[str, Any] = {}
    parent = group.parent
    if "conditions" in parent:
        for name in CONDITIONS:
            if name in parent["conditions"]:
                value = parent["conditions"][name][()]
                stated[name] = _text(value) if isinstance(value, bytes | str) else float(value)
    dy = None if named is None else _vector(path, group[named])
    return Table(x, y, dy, Header((), f"{axis} {signal}"), QUANTITIES.get(signal), unit, stated)


def _vector(path: Path, dataset: Any) -> NDArray[np.float64]:
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1 or dataset.dtype.kind not in "iuf":
        refuse(path, f"{dataset.name} is not a one-dimensional list of numbers")
    values: NDArray[np.float64] = np.asarray(dataset[()], dtype=np.float64)
    return values
