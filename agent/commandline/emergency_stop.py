"""The body of ``solvus stop --emergency`` and ``solvus release``: a laboratory file, its devices, nothing between."""

from __future__ import annotations

import asyncio
import os
from typing import Literal

import typer

from solvus.agent.commandline.console import err, fail, out, print_json
from solvus.agent.commandline.paths import configuration
from solvus.drivers.broker_address import BrokerAddress, BrokerUnreachable
from solvus.drivers.broker_note import read_broker_note
from solvus.drivers.emergency import HaltOutcome, tell_all
from solvus.drivers.laboratory import Laboratory, load_laboratory
from solvus.drivers.messages import Halt, new_id
from solvus.drivers.yaml_file import ConfigurationError

NOT_ALL = 1
"""Exit status unless every device says that it is idle (or released)."""


def address_of(laboratory: Laboratory) -> BrokerAddress:
    """Where the laboratory's broker is: as configured, or as the process that started it has noted.

    Raises
    ------
    ConfigurationError
        When the broker is started with the agent and none seems to be.
    """
    if laboratory.broker.kind == "external":
        return laboratory.broker.address(os.environ)
    noted = read_broker_note(laboratory.data_directory / laboratory.name)
    if noted is None:
        raise ConfigurationError(
            [
                f"laboratory {laboratory.name}: no broker runs for it here (looked in "
                f"{laboratory.data_directory / laboratory.name}); run this in the folder where the agent was started"
            ]
        )
    return noted


def tell_laboratory(
    named: str, kind: Literal["halt", "release"], *, who: str, reason: str, as_json: bool
) -> None:
    """Stop or release every device, and say of each what it answers."""
    try:
        laboratory = load_laboratory(configuration(named, "laboratories"))
        address = address_of(laboratory)
        halt = Halt(boot_id=new_id(), kind=kind, by=who, reason=reason)
        devices = [device.id for device in laboratory.devices]
        outcomes = asyncio.run(tell_all(address, laboratory.name, devices, halt))
    except BrokerUnreachable as error:
        fail(f"{error}; NO DEVICE WAS TOLD: use the switches at the instruments", as_json)
    except (ConfigurationError, ValueError) as error:
        fail(str(error), as_json)
    _tell(laboratory.name, kind, outcomes, as_json)
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(NOT_ALL)


def _tell(laboratory: str, kind: str, outcomes: list[HaltOutcome], as_json: bool) -> None:
    if as_json:
        said = {o.device: {"ok": o.ok, "words": o.words} for o in outcomes}
        print_json(
            {"laboratory": laboratory, "kind": kind, "ok": all(o.ok for o in outcomes), "devices": said}
        )
        return
    for outcome in outcomes:
        where = out if outcome.ok else err
        where.print(f"{outcome.device}: {outcome.words}", markup=False, highlight=False, soft_wrap=True)
