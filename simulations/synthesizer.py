"""A simulated synthesis robot: makes what its world says and puts it on the shelf."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Self

from pydantic import BaseModel, model_validator

from solvus.drivers.driver import ChemistryFailure, Driver, EquipmentFailure, Progress
from solvus.drivers.messages import Capability, Execute, Signals
from solvus.simulations.simulated_device import SimulatedSettings, pass_time
from solvus.simulations.world import NoProduct, Transparent, find_world
from solvus.simulations.world_store import SampleRecord, WorldStore, WorldStoreError


class SynthesizerSettings(SimulatedSettings):
    """Settings of the robot: ``optics`` puts a spectrometer at its flow cell, whose signals go out with each product.
    Not every world can be looked at."""

    optics: bool = False

    @model_validator(mode="after")
    def _world_can_be_looked_at(self) -> Self:
        if self.optics and not isinstance(find_world(self.world), Transparent):
            raise ValueError(f"optics: the world {self.world} has no optical signals; leave it out")
        return self


class SimulatedSynthesizer(Driver):
    """Takes ``synthesise`` with the parameters of its world."""

    name: ClassVar[str] = "simulated-synthesizer"
    version: ClassVar[str] = "1"
    simulated: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = SynthesizerSettings

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        self._settings = SynthesizerSettings.model_validate(settings.model_dump())
        self._world = find_world(self._settings.world)
        self._store = WorldStore(self._settings.store)
        specs = {spec.name: spec for spec in self._world.parameters}
        for name, limit in self._settings.limits.items():
            if name not in specs:
                raise ValueError(f"limits.{name}: {self._settings.world} takes {', '.join(specs)}")
            specs[name] = limit.narrow(specs[name])
        self._capabilities = (Capability(action="synthesise", parameters=tuple(specs.values())),)

    def capabilities(self) -> tuple[Capability, ...]:
        return self._capabilities

    async def execute(self, order: Execute, progress: Progress) -> Signals | None:
        """Make the recipe in ``order`` and look at it; the product is durable before this returns."""
        seconds = 60.0 * self._world.minutes(order.parameters)
        await pass_time(seconds, self._settings.time_scale, progress, "synthesising")
        try:
            await asyncio.to_thread(self._make, order)
        except NoProduct as nothing:
            raise ChemistryFailure(str(nothing)) from nothing
        except WorldStoreError as error:
            raise EquipmentFailure(str(error)) from error
        return await asyncio.to_thread(self._look, order)

    def _make(self, order: Execute) -> None:
        seed = self._settings.seed
        product = self._world.make(
            order.parameters, seed=seed, experiment=order.experiment, replicate=order.replicate
        )
        record = SampleRecord(
            product=product, seed=seed, experiment=order.experiment, replicate=order.replicate
        )
        self._store.put(order.sample_id, record)

    def _look(self, order: Execute) -> Signals | None:
        if not (self._settings.optics and isinstance(self._world, Transparent)):
            return None
        return self._world.look(
            order.parameters,
            seed=self._settings.seed,
            experiment=order.experiment,
            replicate=order.replicate,
        )
