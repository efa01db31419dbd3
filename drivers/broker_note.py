"""Where a broker listens that was started here: a note beside its data, for other programs of this machine."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from solvus.drivers.broker_address import BrokerAddress

log = logging.getLogger(__name__)
NAME = "broker.json"


def write_broker_note(workdir: Path, address: BrokerAddress) -> None:
    """Host and port only: a password has no place in a file that others read."""
    note = BrokerAddress(host=address.host, port=address.port)
    (workdir / NAME).write_text(note.model_dump_json(), encoding="utf-8")


def remove_broker_note(workdir: Path) -> None:
    (workdir / NAME).unlink(missing_ok=True)


def read_broker_note(workdir: Path) -> BrokerAddress | None:
    """What was noted, or ``None``. Whether a broker still listens there is for the caller to find out."""
    try:
        return BrokerAddress.model_validate_json((workdir / NAME).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be read (%s)", workdir / NAME, error)
        return None
