"""One order at the hardware: what a driver returns or raises, in words the protocol knows."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from solvus.drivers.data import store_pattern
from solvus.drivers.driver import ChemistryFailure, Driver, EquipmentFailure, Progress
from solvus.drivers.messages import PATTERN_INLINE_LIMIT, Execute, PatternReference, Signal, Signals
from solvus.models.pattern import Pattern

log = logging.getLogger(__name__)

PROGRESS_PAUSE = 1.0
"""Seconds between two progress events of one command: each is a durable event, so they are kept few."""
IDLE_LIMIT = 30.0
"""Seconds the hardware has to become safe before the device calls it a fault."""
ENVELOPE = 2000
"""Bytes of a result beside its pattern; measured under 600."""

Measured = Pattern | PatternReference | Signals | None
SIGNALS = TypeAdapter[dict[str, Signal]](Signals)


async def measure(driver: Driver, order: Execute, progress: Progress, data: Path | None) -> Measured:
    """Carry out ``order`` and make what was measured fit for the wire.

    Raises what the driver raises, and :class:`EquipmentFailure` for a result that cannot be sent.
    """
    pattern = await driver.execute(order, progress)
    if pattern is None:
        return None
    if isinstance(pattern, dict):
        return _checked(pattern)
    if not isinstance(pattern, Pattern):
        raise EquipmentFailure(f"the driver returned a {type(pattern).__name__} instead of a Pattern")
    if len(pattern.model_dump_json()) + ENVELOPE <= PATTERN_INLINE_LIMIT:
        return pattern
    if data is None:
        raise EquipmentFailure(
            f"the pattern of {len(pattern.x)} points is too large for a message, and the device has no data folder"
        )
    return await asyncio.to_thread(store_pattern, data, pattern)


def _checked(signals: Signals) -> Signals | None:
    """The signals of a sample; those that cannot be sent are told and left out, for they are a bonus: what was made is
    good without them."""
    try:
        return SIGNALS.validate_python(signals) or None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        log.warning("the driver's signals cannot be sent: %s: %s", where, first["msg"])
        return None


async def make_safe(driver: Driver) -> str | None:
    """Idle the hardware; returns why it is not safe, or ``None``."""
    try:
        async with asyncio.timeout(IDLE_LIMIT):
            await driver.idle()
    except Exception as error:  # a driver may fail in any way; unsafe hardware is told, not raised
        log.exception("the hardware could not be made safe")
        return f"making the hardware safe failed ({type(error).__name__}: {error})"
    return None


def in_words(error: BaseException) -> str:
    """What a driver raised: its own words where it chose them, else with the name of the exception."""
    if isinstance(error, (ChemistryFailure, EquipmentFailure)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def sparing(tell: Callable[[float | None, str], None]) -> Progress:
    """A :data:`Progress` that tells no more often than is worth keeping."""
    last = -math.inf

    async def progress(fraction: float, words: str) -> None:
        nonlocal last
        moment = asyncio.get_running_loop().time()
        if moment - last >= PROGRESS_PAUSE:
            last = moment
            tell(min(max(fraction, 0.0), 1.0) if math.isfinite(fraction) else None, words)

    return progress
