"""The devices of the crash matrix, each served by a process of its own, and the wishes that lead them into rare states.

A *wish* is a file in the laboratory's folder: whoever is concerned finds it there at its next turn. It is how the
matrix brings about a failure, a rejection or a recipe out of range without a line in the code that is tested.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

from solvus.agent.jobs import IdentifyRequest
from solvus.agent.planner.observations import Proposal
from solvus.drivers.driver import ChemistryFailure, Driver, Progress
from solvus.drivers.messages import Capability, Execute, ParameterSpec, Value
from solvus.models.pattern import Pattern
from solvus.simulations.benchmarks.faults.instruments import Bookkeepers, Diffractometer, Log, Robot

FAIL, NARROW, WILD, ENOUGH = "fail", "narrow", "wild", "enough"
"""The next sample does not come out; the robot takes less than it said; the next recipe is out of range; every sample
hits, so that the campaign ends."""
LINGER = 20.0
"""Seconds an order takes when its device is wished to linger (``linger-robot``): time to be killed at work."""
PAUSES = (0.02, 0.08)
"""Seconds of each of the four steps of an order."""


class Wishes:
    """The files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, name: str) -> None:
        (self._folder / f"wish-{name}").touch()

    def withdraw(self, name: str) -> None:
        (self._folder / f"wish-{name}").unlink(missing_ok=True)

    def holds(self, name: str) -> bool:
        return (self._folder / f"wish-{name}").exists()

    def take(self, name: str) -> bool:
        """Whether it was there; it is fulfilled once."""
        there = self.holds(name)
        self.withdraw(name)
        return there


class Place(BaseModel):
    """Where a device writes its log and looks for wishes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path


class _Lingering(Driver):
    """Takes its time when that is wished."""

    device: ClassVar[str]
    _wishes: Wishes

    async def execute(self, order: Execute, progress: Progress) -> Pattern | None:
        if self._wishes.take(f"linger-{self.device}"):
            await asyncio.sleep(LINGER)
        made = await super().execute(order, progress)  # type: ignore[safe-super]
        return made if isinstance(made, Pattern) else None  # neither of these gives signals


class Moody(ParameterSpec):
    """A parameter of which nothing is taken while that is wished. A device reads its driver's limits once, when it
    starts, and the agent orders nothing outside them; so it is what they say of a value that changes."""

    _wishes: Wishes = PrivateAttr()

    @classmethod
    def among(cls, wishes: Wishes, spec: ParameterSpec) -> Self:
        moody = cls(**spec.model_dump())
        moody._wishes = wishes
        return moody

    def refusal(self, value: Value) -> str | None:
        if self._wishes.holds(NARROW):
            return f"{self.name}: nothing is taken now, as wished"
        return super().refusal(value)


class CrashRobot(_Lingering, Robot):
    """Makes balls, in a tenth of a second or three."""

    name: ClassVar[str] = "crash-robot"
    device: ClassVar[str] = "robot"
    Settings: ClassVar[type[BaseModel]] = Place
    pauses: ClassVar[tuple[float, float]] = PAUSES

    def __init__(self, settings: BaseModel) -> None:
        place = Place.model_validate(settings)
        super().__init__(Log(place.folder / "robot.log"), random.Random(), lambda: True)  # noqa: S311 -- chemistry
        self._wishes = Wishes(place.folder)

    def capabilities(self) -> tuple[Capability, ...]:
        (said,) = super().capabilities()
        narrow = tuple(Moody.among(self._wishes, spec) for spec in said.parameters)
        return (said.model_copy(update={"parameters": narrow}),)

    def _work(self, order: Execute) -> Pattern | None:
        if self._wishes.take(FAIL):
            raise ChemistryFailure("nothing precipitated, as wished")
        return None


class CrashDiffractometer(_Lingering, Diffractometer):
    """Measures them as quickly."""

    name: ClassVar[str] = "crash-diffractometer"
    device: ClassVar[str] = "diffractometer"
    Settings: ClassVar[type[BaseModel]] = Place
    pauses: ClassVar[tuple[float, float]] = PAUSES

    def __init__(self, settings: BaseModel) -> None:
        place = Place.model_validate(settings)
        log = Log(place.folder / "diffractometer.log")
        super().__init__(log, random.Random(), lambda: True)  # noqa: S311 -- chemistry
        self._wishes = Wishes(place.folder)


class CrashBookkeepers(Bookkeepers):
    """Does not hit before it is enough; plans out of range when that is wished."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(seed)
        self._wishes = Wishes(folder)

    def _identify(self, request: IdentifyRequest) -> str:
        self.spread = (0.0, 0.0) if self._wishes.holds(ENOUGH) else (6.0, 9.0)
        return super()._identify(request)

    def _plan(self, count: int) -> list[Proposal]:
        planned = super()._plan(count)
        if self._wishes.take(WILD):
            planned[0] = planned[0].model_copy(update={"recipe": {"x": 7.0}})
        return planned


DRIVERS: dict[str, type[Driver]] = {"robot": CrashRobot, "diffractometer": CrashDiffractometer}
