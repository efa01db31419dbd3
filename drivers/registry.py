"""Finding drivers: the entry-point group ``solvus.drivers``, or ``module:Class`` for one that is not
installed.

Names come from the laboratory's configuration, never off the wire.
"""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from pydantic import BaseModel

from solvus.drivers.driver import Driver

GROUP = "solvus.drivers"


class DriverNotFound(ValueError):  # noqa: N818 -- says what happened, as the user reads it
    """No usable driver of that name. One sentence."""


@dataclass(frozen=True)
class DriverEntry:
    """One registered driver; either ``driver`` or ``error`` is set."""

    name: str
    target: str
    driver: type[Driver] | None
    error: str | None


def available() -> list[DriverEntry]:
    """Every registered driver, by name. One that cannot be imported is listed with its error."""
    return [_entry(point) for point in sorted(entry_points(group=GROUP))]


def load(name: str) -> type[Driver]:
    """The driver registered as ``name``, or the class that ``module:Class`` names.

    Raises
    ------
    DriverNotFound
        There is none, or it cannot be used; the message says which.
    """
    if ":" in name:
        entry = _entry(EntryPoint(name=name, value=name, group=GROUP))
    else:
        points = {point.name: point for point in entry_points(group=GROUP)}
        if name not in points:
            close = difflib.get_close_matches(name, points, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(points))}"
            raise DriverNotFound(f"driver: no driver {name!r} is installed; {hint}")
        entry = _entry(points[name])
    if entry.driver is None:
        raise DriverNotFound(f"driver: {name} ({entry.target}) cannot be used: {entry.error}")
    return entry.driver


def _entry(point: EntryPoint) -> DriverEntry:
    try:
        loaded = point.load()
    except Exception as error:  # noqa: BLE001 -- foreign code may fail in any way and must not take the list down
        return DriverEntry(point.name, point.value, None, f"{type(error).__name__}: {error}")
    defect = _defect(loaded)
    return DriverEntry(point.name, point.value, loaded if defect is None else None, defect)


def _defect(loaded: object) -> str | None:
    if not (isinstance(loaded, type) and issubclass(loaded, Driver)):
        return "it is no subclass of solvus.drivers.driver.Driver"
    if inspect.isabstract(loaded):
        return f"it leaves out {', '.join(sorted(loaded.__abstractmethods__))}"
    missing = [name for name in ("name", "version", "simulated", "Settings") if not hasattr(loaded, name)]
    if missing:
        return f"it does not set {', '.join(missing)}"
    if not (isinstance(loaded.Settings, type) and issubclass(loaded.Settings, BaseModel)):
        return "its Settings is no pydantic model"
    return None
