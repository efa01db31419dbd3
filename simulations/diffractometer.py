"""A simulated total-scattering instrument: takes a sample from the shelf and measures its G(r), or raw I(Q)."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from solvus.drivers.driver import Driver, EquipmentFailure, Progress
from solvus.drivers.laboratory import Calibration
from solvus.drivers.messages import Capability, Execute
from solvus.models.pattern import Pattern
from solvus.simulations.simulated_device import SimulatedSettings, pass_time
from solvus.simulations.world import Instrument, find_world
from solvus.simulations.world_store import WorldStore, WorldStoreError


class DiffractometerSettings(SimulatedSettings):
    """Settings of the simulated instrument.

    Attributes
    ----------
    exposure : seconds; noise falls with its square root.
    output : ``pdf`` for G(r), ``raw`` for I(Q) of the sample in its solvent and container, which the agent reduces.
    calibration : as in LAB.yaml; without one, that of :class:`solvus.simulations.world.Instrument`.
    """

    exposure: float = Field(default=60.0, ge=1.0, le=3600.0)
    output: Literal["pdf", "raw"] = "pdf"
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _calibration_is_of_an_instrument(self) -> DiffractometerSettings:
        self.instrument()
        return self

    def instrument(self) -> Instrument:
        """The virtual instrument these settings describe; raises ValueError when none can be like that."""
        if self.calibration is None:
            return Instrument(exposure=self.exposure, output=self.output)
        known = self.calibration.model_dump(exclude={"standard"})
        return Instrument(exposure=self.exposure, output=self.output, **known)


class SimulatedDiffractometer(Driver):
    """Takes ``measure``, without parameters. Another measurement of a sample has its own noise."""

    name: ClassVar[str] = "simulated-diffractometer"
    version: ClassVar[str] = "1"
    simulated: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = DiffractometerSettings

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        self._settings = DiffractometerSettings.model_validate(settings)
        self._instrument = self._settings.instrument()
        self._world = find_world(self._settings.world)
        self._store = WorldStore(self._settings.store)

    def capabilities(self) -> tuple[Capability, ...]:
        return (Capability(action="measure"),)

    async def execute(self, order: Execute, progress: Progress) -> Pattern | None:
        """Measure the sample named in ``order``."""
        await pass_time(self._instrument.exposure, self._settings.time_scale, progress, "measuring")
        try:
            return await asyncio.to_thread(self._measure, order)
        except WorldStoreError as error:
            raise EquipmentFailure(str(error)) from error

    def _measure(self, order: Execute) -> Pattern:
        record = self._store.get(order.sample_id)
        return self._world.measure(
            record.product,
            self._instrument,
            seed=record.seed,
            experiment=record.experiment,
            replicate=record.replicate,
            repeat=self._store.repeat_of(order.sample_id, order.command_id),
        )
