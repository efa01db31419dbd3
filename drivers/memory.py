"""What a device must remember beside its journal: that it was stopped in an emergency, and what it was last ordered.

One small JSON file, replaced as a whole and on the disk before the call returns. Where it cannot be read the device
takes itself for stopped: a person has to look anyway.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from solvus.drivers.messages import Execute, Halt, Value

log = logging.getLogger(__name__)


class _Remembered(BaseModel):
    model_config = ConfigDict(extra="forbid")

    halt: Halt | None = None
    last: dict[str, dict[str, Value]] = {}
    """By action, the parameters of the order that was last begun."""


class DeviceMemory:
    """Read from, and kept in, a file beside the journal."""

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(journal.name + ".memory.json")
        self._known = self._read()

    @property
    def halt(self) -> Halt | None:
        """The emergency stop that has not been released."""
        return self._known.halt

    def set_halt(self, halt: Halt | None) -> None:
        """Raises OSError when it cannot be written."""
        self._known = self._known.model_copy(update={"halt": halt})
        self._write()

    def before(self, action: str) -> dict[str, Value] | None:
        """Parameters of the last order of this action, or ``None``."""
        return self._known.last.get(action)

    def began(self, order: Execute) -> None:
        """Raises OSError when it cannot be written."""
        self._known = self._known.model_copy(
            update={"last": self._known.last | {order.action: order.parameters}}
        )
        self._write()

    def _read(self) -> _Remembered:
        try:
            return _Remembered.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Remembered()
        except (OSError, ValidationError) as error:
            log.error("%s cannot be read; the device takes itself for stopped", self._path, exc_info=error)
            return _Remembered(
                halt=Halt(boot_id="none", by="the device", reason=f"{self._path.name} cannot be read")
            )

    def _write(self) -> None:
        draft = self._path.with_name(self._path.name + ".new")
        with draft.open("wb") as file:
            file.write(self._known.model_dump_json(by_alias=True).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
