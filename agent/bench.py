"""The part of a laboratory that one campaign works at: its devices by purpose, and the broker that reaches them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from solvus.agent.campaign import Campaign
from solvus.agent.outbox import ACTIONS
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.laboratory import Calibration, Laboratory
from solvus.drivers.yaml_file import ConfigurationError


@dataclass(frozen=True)
class Bench:
    laboratory: Laboratory
    address: BrokerAddress
    synthesis: tuple[str, ...]
    measurement: tuple[str, ...]

    def calibration(self, device: str) -> Calibration | None:
        """What a standard taught of this instrument."""
        return next((d.calibration for d in self.laboratory.devices if d.id == device), None)


@dataclass(frozen=True)
class ChosenDevices:
    """Ids of the devices that make and that measure."""

    synthesis: tuple[str, ...]
    measurement: tuple[str, ...]


def chosen_devices(campaign: Campaign, laboratory: Laboratory) -> ChosenDevices:
    """The devices that the campaign names, or all that can do the work; needs no broker.

    Raises
    ------
    ConfigurationError
        When the campaign names a device that the laboratory does not have, or nothing can do the work.
    """
    ids = [d.id for d in laboratory.devices]
    chosen: dict[str, tuple[str, ...]] = {}
    for purpose, field in (("make", "synthesis"), ("measure", "measurement")):
        able = tuple(d.id for d in laboratory.devices if d.action == ACTIONS[purpose])
        wanted = able if campaign.devices is None else getattr(campaign.devices, field)
        for device in wanted:
            if device not in ids:
                close = difflib.get_close_matches(device, ids, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(ids)}"
                raise ConfigurationError(
                    [f"devices.{field}: laboratory {laboratory.name} has no {device!r}; {hint}"]
                )
        if not wanted:
            raise ConfigurationError(
                [f"devices.{field}: no device of laboratory {laboratory.name} takes {ACTIONS[purpose]!r}"]
            )
        chosen[field] = wanted
    return ChosenDevices(chosen["synthesis"], chosen["measurement"])
