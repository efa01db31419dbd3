"""What a listener knows of the devices of a laboratory: present or not, in which state, how far their
numbering is.

Presence is the last will, the age of the heartbeat and the ``boot_id`` together. A will comes late: the
broker publishes it when it notices, by which time the device may have booted again. So a state of a boot
that another boot has replaced is ignored, ``lost`` above all. The age of a heartbeat is counted on the
listener's clock from the moment it arrived, because a device's clock may be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from solvus.drivers.messages import Describe, DeviceMessage, State

SILENCE = timedelta(seconds=20)
"""A device not heard for this long is not counted on: four heartbeats of the default 5 s."""


def is_current(state: State, known_boot_id: str | None) -> bool:
    """False for a ``lost`` of another boot than the known one: a will that came late."""
    return state.state != "lost" or known_boot_id is None or state.boot_id == known_boot_id


@dataclass
class DevicePresence:
    """One device as last heard.

    Attributes
    ----------
    announced_seq : highest ``seq`` the device has said it gave out in ``journal_id``; above what was
        received, there
        is something to ask for with ``resend``.
    """

    state: State | None = None
    heard_at: datetime | None = None
    describe: Describe | None = None
    journal_id: str | None = None
    announced_seq: int = 0
    replaced_boots: set[str] = field(default_factory=set)

    @property
    def boot_id(self) -> str | None:
        return None if self.state is None else self.state.boot_id


class Presence:
    """All devices of one laboratory, fed with what arrives."""

    def __init__(self, silence: timedelta = SILENCE) -> None:
        self.silence = silence
        self.devices: dict[str, DevicePresence] = {}

    def hear_state(self, device: str, state: State, at: datetime, *, retained: bool = False) -> bool:
        """Take in a state; returns False when it is stale and was ignored.

        A retained state says what the device once was, not that it lives: ``heard_at`` stays as it is.
        """
        known = self._of(device)
        if state.boot_id in known.replaced_boots or not is_current(state, known.boot_id):
            return False
        if known.boot_id is not None and known.boot_id != state.boot_id:
            known.replaced_boots.add(known.boot_id)
        known.state = state
        if not retained and state.state != "lost":
            known.heard_at = at
        self._number(known, state)
        return True

    def hear_describe(self, device: str, describe: Describe) -> None:
        known = self._of(device)
        if describe.boot_id not in known.replaced_boots:
            known.describe = describe
            self._number(known, describe)

    def is_present(self, device: str, at: datetime) -> bool:
        """True when the device has lately spoken for itself and has not been lost since."""
        known = self._of(device)
        if known.state is None or known.state.state == "lost" or known.heard_at is None:
            return False
        return at - known.heard_at <= self.silence

    def _of(self, device: str) -> DevicePresence:
        return self.devices.setdefault(device, DevicePresence())

    @staticmethod
    def _number(known: DevicePresence, message: DeviceMessage) -> None:
        if message.journal_id != known.journal_id:
            known.journal_id, known.announced_seq = message.journal_id, message.seq
        known.announced_seq = max(known.announced_seq, message.seq)
