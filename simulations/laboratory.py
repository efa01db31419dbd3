"""The devices of a laboratory file as processes on this machine.

Each device is one ``python -m solvus.drivers.serve``, so that a crash of one touches nothing else, as beside real
instruments. The processes end with this one, however it ends (:mod:`solvus.drivers.leash`). None is restarted: a device
that died may have left its hardware in any state, so it is reported and a person decides.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Self

from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.laboratory import Laboratory, LaboratoryDevice, device_login
from solvus.drivers.serve import PASSWORD

STOP_LIMIT = 20.0
"""Seconds a device has to end when asked: more than it gives its own order (15 s)."""


class DeviceProcesses:
    """Starts every device that the laboratory launches, and stops them at the end.

    Parameters
    ----------
    laboratory : which devices.
    address : of the running broker.
    workdir : for journals, logs and relative paths in the settings of drivers; made when missing.
    """

    def __init__(self, laboratory: Laboratory, address: BrokerAddress, workdir: Path) -> None:
        self._laboratory = laboratory
        self._address = address
        self._workdir = workdir.resolve()
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        self._workdir.mkdir(parents=True, exist_ok=True)
        try:
            for device in self._laboratory.devices:
                if device.launch:
                    self._processes[device.id] = await self._start(device)
        except OSError:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process id of every device, dead ones too."""
        return {device: process.pid for device, process in self._processes.items()}

    def log_file(self, device: str) -> Path:
        """Where a device's output goes."""
        return self._workdir / f"{device}.log"

    def dead(self) -> dict[str, str]:
        """Devices that have ended by themselves, each with one sentence that says so."""
        ended = {d: p.returncode for d, p in self._processes.items() if p.returncode is not None}
        return {device: self._obituary(device, code) for device, code in ended.items()}

    async def first_death(self) -> str:
        """Wait until a device ends by itself; returns the sentence about it. Forever, when none does."""
        if not self._processes:
            await asyncio.Event().wait()
        waits = [asyncio.ensure_future(process.wait()) for process in self._processes.values()]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return next(iter(self.dead().values()))

    async def stop(self) -> None:
        """Ask every device to end, and kill what does not; may be called again."""
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            process.terminate()
        await asyncio.gather(*(_ended(process) for process in running))
        self._processes.clear()

    async def _start(self, device: LaboratoryDevice) -> asyncio.subprocess.Process:
        environment = dict(os.environ)
        address = self._login(device)
        if address.password is not None:
            environment[PASSWORD] = address.password.get_secret_value()
        with self.log_file(device.id).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self._command(device, address),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._workdir,
                env=environment,
                # Ctrl-C is for the agent, which then stops the devices in order.
                start_new_session=True,
            )

    def _login(self, device: LaboratoryDevice) -> BrokerAddress:
        """Where the device logs in: as itself where the laboratory has a secret for it."""
        secrets = self._laboratory.broker.device_secrets
        return self._address if secrets is None else device_login(self._address, secrets, device.id)

    def _command(self, device: LaboratoryDevice, address: BrokerAddress) -> list[str]:
        options: dict[str, str | Path | None] = {
            "lab": self._laboratory.name,
            "device": device.id,
            "driver": device.driver,
            "settings": json.dumps(device.driver_settings()),
            "limits": device.safety().model_dump_json(),
            "broker-host": address.host,
            "broker-port": str(address.port),
            "username": address.username,
            "journal": self._workdir / f"{device.id}.journal",
            "data": self._laboratory.pattern_folder.resolve(),
        }
        if (tls := address.tls) is not None:
            files = {"tls-ca": tls.ca, "tls-certificate": tls.certificate, "tls-key": tls.key}
            options |= {name: file.resolve() for name, file in files.items() if file is not None}
        command = [sys.executable, "-m", "solvus.drivers.serve", "--with-parent"]
        if self._laboratory.broker.keeps_sessions:
            command.append("--persistent-session")
        for name, value in options.items():
            command += [] if value is None else [f"--{name}", str(value)]
        return command

    def _obituary(self, device: str, code: int) -> str:
        lines = self.log_file(device).read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return f"device {device} has ended with code {code}: {last}"


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_LIMIT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
