"""Run one device until it is told to stop: ``python -m solvus.drivers.serve``.

One process per device, so that a driver that hangs or dies takes no other with it. One line per event goes to
standard error. Light on purpose: it runs on small machines beside instruments and loads neither torch nor
SQLAlchemy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from solvus.drivers.broker_address import BrokerAddress, TlsFiles
from solvus.drivers.device import HEARTBEAT, Device
from solvus.drivers.journal import Journal
from solvus.drivers.laboratory import read_password
from solvus.drivers.leash import when_parent_ends
from solvus.drivers.limits import DeviceLimits
from solvus.drivers.registry import load
from solvus.drivers.topics import device_topic

PASSWORD = "SOLVUS_BROKER_PASSWORD"  # noqa: S105 -- the name of a variable; a command line can be read by everybody
"""Environment variable that holds the broker's password."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one device; returns 0 after a stop and 2, with one sentence, for what cannot work."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s " + options.device + " %(levelname)s %(message)s"
    )
    try:
        asyncio.run(_serve(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join((error.title, *map(str, first["loc"])))
        sys.stderr.write(f"solvus: {where}: {first['msg']}\n")
        return 2
    except ValueError as error:
        sys.stderr.write(f"solvus: {error}\n")
        return 2
    return 0


async def _serve(options: argparse.Namespace) -> None:
    device_topic(options.lab, options.device, "state")  # refuses the reserved name before anything is opened
    driver_class = load(options.driver)
    driver = driver_class(driver_class.Settings.model_validate_json(options.settings))
    stop = asyncio.Event()
    _stop_on_request(stop, options.with_parent)
    with Journal(options.journal) as journal:
        device = Device(
            driver,
            lab=options.lab,
            device=options.device,
            address=_address(options),
            journal=journal,
            data=options.data,
            limits=DeviceLimits.model_validate_json(options.limits),
            heartbeat=options.heartbeat,
            persistent_session=options.persistent_session,
        )
        await device.run(stop)


def _stop_on_request(stop: asyncio.Event, with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: there Ctrl-C ends the process, and the journal holds
            break
    if with_parent:

        def parent_ended() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: the device has stopped already
                loop.call_soon_threadsafe(stop.set)

        when_parent_ends(parent_ended)


def _address(options: argparse.Namespace) -> BrokerAddress:
    tls = None
    if options.tls_ca is not None:
        tls = TlsFiles(ca=options.tls_ca, certificate=options.tls_certificate, key=options.tls_key)
    return BrokerAddress.model_validate(
        {
            "host": options.broker_host,
            "port": options.broker_port,
            "username": options.username,
            "password": os.environ.get(PASSWORD)
            if options.password_file is None
            else read_password(options.password_file),
            "tls": tls,
        }
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m solvus.drivers.serve", description=__doc__)
    add = parser.add_argument
    add("--lab", required=True, help="first level of the device's topics")
    add("--device", required=True, help="second level of the device's topics")
    add("--driver", required=True, help="registered name, or module:Class")
    add("--settings", default="{}", help="the driver's settings as JSON")
    add("--limits", default="{}", help="the laboratory's limits for this device as JSON")
    add("--broker-host", default="127.0.0.1")
    add("--broker-port", type=int, default=1883)
    add("--username", help=f"broker user; the password is taken from {PASSWORD}")
    add("--password-file", type=Path, help="file that holds the password instead")
    add("--tls-ca", type=Path, help="certificate authority of the broker; turns TLS on")
    add("--tls-certificate", type=Path)
    add("--tls-key", type=Path)
    add("--journal", type=Path, required=True, help="this device's journal file")
    add("--data", type=Path, help="the laboratory's data folder, for patterns too large for a message")
    add("--heartbeat", type=float, default=HEARTBEAT, help="seconds between two states")
    add("--persistent-session", action="store_true", help="for brokers that keep sessions well, as Mosquitto")
    add("--with-parent", action="store_true", help="stop when standard input closes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
