"""A driver whose every move is written to a file, so that a test can count them from outside the process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from solvus.drivers.driver import ChemistryFailure, Driver, EquipmentFailure, Progress
from solvus.drivers.messages import Capability, Execute, ParameterSpec
from solvus.models.pattern import Pattern


class SlowSettings(BaseModel):
    log: Path
    idle_fails: bool = False
    open_fails: bool = False


class SlowDriver(Driver):
    name = "slow-driver"
    version = "1.0"
    simulated = True
    Settings = SlowSettings

    def capabilities(self) -> tuple[Capability, ...]:
        seconds = ParameterSpec(name="seconds", kind="continuous", unit="s", lower=0.0, upper=60.0)
        fate = ParameterSpec(
            name="fate", kind="categorical", choices=("fine", "chemistry", "equipment", "bug")
        )
        points = ParameterSpec(name="points", kind="integer", lower=20, upper=200_000)
        return (
            Capability(action="make", parameters=(seconds, fate)),
            Capability(action="measure", parameters=(points,)),
        )

    async def open(self) -> None:
        self.move("open")
        if self.settings.open_fails:
            raise OSError("no such port")

    async def close(self) -> None:
        self.move("close")

    async def idle(self) -> None:
        self.move("idle")
        if self.settings.idle_fails:
            raise OSError("the valve does not answer")

    async def execute(self, order: Execute, progress: Progress) -> Pattern | None:
        self.move(f"begin {order.command_id}")
        if order.action == "measure":
            n = int(order.parameters["points"])
            return Pattern(x=np.arange(n) * 0.01, y=np.sin(np.arange(n)))
        await progress(0.5, "half way")
        await progress(0.6, "too soon to tell again")
        await asyncio.sleep(order.parameters["seconds"])
        fate = order.parameters["fate"]
        if fate == "chemistry":
            raise ChemistryFailure("nothing precipitated")
        if fate == "equipment":
            raise EquipmentFailure("the pump is blocked")
        if fate == "bug":
            raise KeyError("forgotten")
        self.move(f"end {order.command_id}")
        return None

    def move(self, what: str) -> None:
        with self.settings.log.open("a") as file:
            file.write(what + "\n")
