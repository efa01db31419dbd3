"""What the author of a driver implements: one class, one method that matters.

A driver knows its instrument and nothing of MQTT, journals or campaigns;
:class:`solvus.drivers.device.Device` puts the protocol around it. The device has already refused unknown
actions, missing or unknown parameters and values outside the limits stated in :meth:`Driver.capabilities`,
or outside the laboratory's narrower ones, without which a real instrument does not start,
before :meth:`Driver.execute` is called, and it calls it for one order at a time.

A minimal driver::

    class Furnace(Driver):
        name = "acme-furnace"
        version = "1.0"
        simulated = False
        Settings = FurnaceSettings

        def capabilities(self) -> tuple[Capability, ...]:
            hot = ParameterSpec(name="temperature", kind="continuous", unit="K", lower=300.0, upper=900.0)
            return (Capability(action="anneal", parameters=(hot,)),)

        async def execute(self, order: Execute, progress: Progress) -> Pattern | None:
            await self.port.heat_to(order.parameters["temperature"])
            return None

        async def idle(self) -> None:
            await self.port.heater_off()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar

from pydantic import BaseModel

from solvus.drivers.messages import Capability, Execute, Signals
from solvus.models.pattern import Pattern

Progress = Callable[[float, str], Awaitable[None]]
"""Tell how far the order is: a fraction in 0 to 1 and a few words. Cheap: what comes too often is dropped."""


class ChemistryFailure(Exception):  # noqa: N818 -- the word of the wire format
    """The instrument did its work and the sample did not come out: this teaches the planner."""


class EquipmentFailure(Exception):  # noqa: N818 -- the word of the wire format
    """The instrument could not do its work: this says nothing about the recipe."""


class Driver(ABC):
    """One instrument.

    Attributes
    ----------
    name, version : what ``describe`` tells of the driver; letters, digits and ``._:-``.
    simulated : true when no real instrument stands behind it; declared on the wire.
    Settings : pydantic model of the driver's settings, checked before the driver is made.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    simulated: ClassVar[bool]
    Settings: ClassVar[type[BaseModel]]

    def __init__(self, settings: BaseModel) -> None:
        self.settings = settings

    @abstractmethod
    def capabilities(self) -> tuple[Capability, ...]:
        """The actions this instrument takes, with their parameters, limits and units; constant once made."""

    async def open(self) -> None:  # noqa: B027 -- optional
        """Connect to the hardware; called once, before anything else that touches it."""

    async def close(self) -> None:  # noqa: B027 -- optional
        """Let go of the hardware; called once, last."""

    async def idle(self) -> None:  # noqa: B027 -- optional
        """Make the hardware safe; repeatable. Called after a cancel or failure, before :meth:`close`, and in an
        emergency also beside an order that does not end."""

    @abstractmethod
    async def execute(self, order: Execute, progress: Progress) -> Pattern | Signals | None:
        """Carry out ``order`` and return the measured pattern, or ``None`` where nothing is measured.

        A synthesis whose sample is looked at on its way, such as by a spectrometer at a flow cell, returns what was
        seen: a dictionary of :class:`solvus.drivers.messages.Signal` by name, with finite values and their units.

        The parameters of ``order`` are within the limits. A cancel arrives as :class:`asyncio.CancelledError`
        at the next ``await``; blocking calls belong into :func:`asyncio.to_thread`.

        Raises
        ------
        ChemistryFailure
            The sample did not come out.
        EquipmentFailure
            The instrument did not work. Any other exception counts as this one.
        """
