"""What the simulated devices have in common: their settings, and time that passes faster than it should."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from solvus.drivers.driver import Progress
from solvus.drivers.limits import Limit
from solvus.simulations.world import find_world

STEPS = 10
"""Progress reports per order."""


class SimulatedSettings(BaseModel):
    """Settings of every simulated device.

    Attributes
    ----------
    world : registered name of the simulated chemistry; seed : which laboratory of it.
    store : SQLite file shared by the devices of one laboratory, relative to the device's working folder.
    time_scale : real seconds per simulated second; 0 for no waiting at all, 1 for the real thing.
    limits : narrower ranges than the world's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    world: str
    seed: int = Field(default=0, ge=0)
    store: Path
    time_scale: float = Field(default=0.0, ge=0.0, le=1.0)
    limits: dict[str, Limit] = {}

    @field_validator("world")
    @classmethod
    def _exists(cls, name: str) -> str:
        find_world(name)
        return name


async def pass_time(seconds: float, time_scale: float, progress: Progress, what: str) -> None:
    """Wait for simulated ``seconds`` and report on the way; a cancel takes effect at once."""
    for step in range(STEPS):
        await progress(step / STEPS, what)
        await asyncio.sleep(seconds * time_scale / STEPS)
