"""From raw I(Q) to G(r) in the loop: which background and settings apply, the work in a worker, the record of it.

A laboratory file names the background of an instrument (solvent and container, measured once); patterns come off the
wire as they were counted. What a reduction started from and what came of it is one ledger event: the raw pattern and
the background by hash (both are kept), all settings, the versions, the quality, and the hash of the G(r). From then on
the experiment's pattern is that G(r); its command keeps the raw one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvus.agent import jobs
from solvus.agent.bench import Bench
from solvus.agent.ledger.ledger import Step
from solvus.agent.ledger.tables import PatternRow
from solvus.drivers.laboratory import LaboratoryDevice, Reduction
from solvus.drivers.yaml_file import ConfigurationError
from solvus.models.pattern import Pattern, PatternError


@dataclass(frozen=True)
class DeviceReduction:
    """How the raw data of one instrument are reduced, with its background read."""

    choice: Reduction
    background: Pattern | None
    qmin: float | None
    qmax: float | None

    def settings(self, raw: Pattern, composition: str) -> dict[str, Any]:
        """Settings for :mod:`solvus.models.reduction`."""
        chosen = self.choice.model_dump(include={"background_scale", "rpoly", "lorch", "rmax", "rstep"})
        stated = {"qmin": self.qmin, "qmax": self.qmax, "radiation": raw.conditions.radiation}
        return {**chosen, **stated, "composition": composition}


def reductions_of(bench: Bench) -> dict[str, DeviceReduction]:
    """How each measuring device's raw data are reduced; devices without a reduction are left out.

    Raises
    ------
    ConfigurationError
        For a background that cannot be read, is no I(Q) or does not cover the instrument's range.
    """
    measuring = [d for d in bench.laboratory.devices if d.id in bench.measurement and d.reduction is not None]
    return {device.id: _of(device) for device in measuring}


def _of(device: LaboratoryDevice) -> DeviceReduction:
    assert device.reduction is not None  # noqa: S101 -- the caller left the others out
    qmin, qmax = (None, None) if (c := device.calibration) is None else (c.qmin, c.qmax)
    try:
        background = _read(device, device.reduction)
        if background is not None and qmin is not None and qmax is not None:
            from solvus.models.reduction.background import on_grid

            on_grid(background, np.array([qmin, qmax]))
    except PatternError as error:
        # The reader speaks of the command line's option; here it is a key of the laboratory file.
        words = str(error).replace("--unit", "unit:").removeprefix("background: ")
        raise ConfigurationError([f"devices.{device.id}.reduction.background: {words}"]) from error
    return DeviceReduction(device.reduction, background, qmin, qmax)


def _read(device: LaboratoryDevice, choice: Reduction) -> Pattern | None:
    from solvus.models.formats.read import read_pattern

    if choice.background is None:
        return None
    wavelength = None if device.calibration is None else device.calibration.wavelength
    return read_pattern(choice.background, x_unit=choice.unit, wavelength=wavelength).pattern


def request_for(
    reduction: DeviceReduction | None, device: str, raw: Pattern, target: jobs.ResolvedTarget
) -> jobs.ReduceRequest | jobs.Refusal:
    """What the worker is to do with a raw pattern, or why nothing can be done.

    The composition is the laboratory file's, else the pattern's, else the target's.
    """
    if reduction is None:
        return jobs.Refusal(
            refused=f"reduction: {device} sends raw I(Q); give it a reduction and its background in the laboratory file"
        )
    composition = reduction.choice.composition or raw.conditions.composition or _composition(target)
    if composition is None:
        return jobs.Refusal(
            refused=f"composition: neither {device} nor the target says it; add it to the laboratory file's reduction"
        )
    settings = reduction.settings(raw, composition)
    return jobs.ReduceRequest(raw=raw, background=reduction.background, settings=settings)


def _composition(target: jobs.ResolvedTarget) -> str | None:
    """A target of one element says what scatters; in which proportion several do, its elements do not say."""
    single = target.elements[0] if len(target.elements) == 1 else None
    return (None if target.pattern is None else target.pattern.conditions.composition) or single


async def record_reduction(
    step: Step, campaign: str, number: int, request: jobs.ReduceRequest, done: jobs.Reduced
) -> None:
    """Keep the background and the G(r), and write the event."""
    for pattern in (request.background, done.pattern):
        if pattern is not None and await step.get(PatternRow, pattern.sha256) is None:
            step.session.add(PatternRow(sha256=pattern.sha256, body=pattern.canonical_json))
            await step.session.flush()
    await step.append(
        campaign,
        "pattern-reduced",
        {
            "number": number,
            "raw_sha256": request.raw.sha256,
            "background_sha256": None if request.background is None else request.background.sha256,
            "pattern_sha256": done.pattern.sha256,
            "settings": done.settings,
            "quality": done.quality,
            "notes": list(done.notes),
            "versions": done.versions,
        },
    )
