"""The topic tree of design section 5, in one place."""

from __future__ import annotations

from dataclasses import dataclass

ROOT = "solvus/v1"
AGENT = "agent"
"""Reserved: no device may be called this."""
CHANNELS = ("state", "describe", "command", "event", "result", "halt")
RETAINED = frozenset({"state", "describe", "status", "halt"})


@dataclass(frozen=True)
class DeviceTopic:
    lab: str
    device: str
    channel: str

    def __str__(self) -> str:
        return f"{ROOT}/{self.lab}/{self.device}/{self.channel}"


def device_topic(lab: str, device: str, channel: str) -> str:
    """Topic of one device's channel. Raises ValueError for an unknown channel or the reserved device id."""
    if channel not in CHANNELS:
        raise ValueError(f"channel: {channel!r} is not one of {', '.join(CHANNELS)}")
    if device == AGENT:
        raise ValueError("device: 'agent' is reserved; choose another id")
    return str(DeviceTopic(lab, device, channel))


def listen_topics(lab: str) -> tuple[str, ...]:
    """What the agent subscribes to."""
    return tuple(f"{ROOT}/{lab}/+/{channel}" for channel in ("state", "describe", "event", "result"))


def halt_topics(lab: str) -> str:
    """Emergency stops of all devices of a laboratory."""
    return f"{ROOT}/{lab}/+/halt"


def status_topic(lab: str, agent: str) -> str:
    """Of one agent, which is named for its campaign and what tells that from one of the same id in another ledger:
    ``gold-decahedron-1.5f0c...``."""
    return f"{ROOT}/{lab}/{AGENT}/{agent}/status"


def all_status_topics(lab: str) -> str:
    """What an agent looks at to see whether another works at the laboratory."""
    return status_topic(lab, "+")


def parse(topic: str) -> DeviceTopic | None:
    """The device topic in ``topic``, or ``None`` when it is none of ours."""
    parts = topic.split("/")
    if len(parts) != 5 or "/".join(parts[:2]) != ROOT or parts[4] not in CHANNELS or parts[3] == AGENT:
        return None
    return DeviceTopic(parts[2], parts[3], parts[4])
