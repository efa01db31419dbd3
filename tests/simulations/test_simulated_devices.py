"""The simulated robot and diffractometer, driven as the device shell drives them."""

import asyncio
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from solvus.drivers.driver import ChemistryFailure, EquipmentFailure
from solvus.drivers.messages import Execute, now
from solvus.models.pattern import Pattern
from solvus.simulations.diffractometer import DiffractometerSettings, SimulatedDiffractometer
from solvus.simulations.gold_chemistry import laboratory_of
from solvus.simulations.simulated_device import SimulatedSettings
from solvus.simulations.synthesizer import SimulatedSynthesizer, SynthesizerSettings
from solvus.simulations.world_store import WorldStore

RECIPE: dict[str, float | str] = {
    "temperature": 60.0,
    "pH": 7.0,
    "reductant_to_gold": 4.0,
    "reaction_time": 60.0,
    "capping_agent": laboratory_of(0).best_agent,
}


def order(action: str, command: str = "c1", sample: str = "s1", **recipe: float | str) -> Execute:
    return Execute(
        boot_id="b",
        command_id=command,
        expires_at=now() + timedelta(minutes=5),
        action=action,
        parameters=(RECIPE | recipe) if action == "synthesise" else {},
        sample_id=sample,
        campaign="test",
        experiment=1,
    )


async def quiet(fraction: float, what: str) -> None:
    assert 0.0 <= fraction <= 1.0
    assert what


def robot(tmp_path: Path, **settings: Any) -> SimulatedSynthesizer:
    return SimulatedSynthesizer(SimulatedSettings(world="gold", store=tmp_path / "w.sqlite", **settings))


def instrument(tmp_path: Path, **settings: Any) -> SimulatedDiffractometer:
    return SimulatedDiffractometer(
        DiffractometerSettings(world="gold", store=tmp_path / "w.sqlite", **settings)
    )


async def test_what_one_makes_the_other_measures(tmp_path: Path) -> None:
    assert await robot(tmp_path).execute(order("synthesise"), quiet) is None
    pattern = await instrument(tmp_path).execute(order("measure", "m1"), quiet)
    assert isinstance(pattern, Pattern)
    same = await instrument(tmp_path).execute(order("measure", "m1"), quiet)
    other = await instrument(tmp_path).execute(order("measure", "m2"), quiet)
    assert same == pattern
    assert isinstance(other, Pattern)
    assert not np.array_equal(other.y, pattern.y)


async def test_a_sample_nobody_made_is_an_equipment_failure(tmp_path: Path) -> None:
    with pytest.raises(EquipmentFailure, match="no sample ghost was made here"):
        await instrument(tmp_path).execute(order("measure", sample="ghost"), quiet)


async def test_no_product_is_a_chemistry_failure(tmp_path: Path) -> None:
    poor = order("synthesise", temperature=20.0, pH=3.0, reductant_to_gold=0.5)
    with pytest.raises(ChemistryFailure, match="No particles"):
        await robot(tmp_path).execute(poor, quiet)


async def test_the_event_loop_runs_on_while_a_device_computes(tmp_path: Path) -> None:
    """The longest silence of the loop stays far below the heartbeat, cold cache included."""
    await robot(tmp_path).execute(order("synthesise"), quiet)
    measuring = asyncio.ensure_future(instrument(tmp_path).execute(order("measure", "m1"), quiet))
    loop, gaps = asyncio.get_running_loop(), [0.0]
    last = loop.time()
    while not measuring.done():
        await asyncio.sleep(0.01)
        gaps.append(loop.time() - last)
        last = loop.time()
    assert max(gaps) < 1.0


async def test_cancelled_synthesis_leaves_no_sample(tmp_path: Path) -> None:
    making = asyncio.ensure_future(robot(tmp_path, time_scale=1.0).execute(order("synthesise"), quiet))
    await asyncio.sleep(0.05)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    with pytest.raises(EquipmentFailure):
        await instrument(tmp_path).execute(order("measure"), quiet)


async def test_time_scale_sets_how_long_it_takes(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await robot(tmp_path, time_scale=1e-4).execute(order("synthesise"), quiet)
    assert loop.time() - start >= 65 * 60 * 1e-4


def test_limits_of_the_laboratory_narrow_those_of_the_world(tmp_path: Path) -> None:
    limits = {
        "temperature": {"lower": 30, "upper": 200, "unit": "degC"},
        "capping_agent": {"choices": ["pvp"]},
    }
    (capability,) = robot(tmp_path, limits=limits).capabilities()
    specs = {spec.name: spec for spec in capability.parameters}
    assert (specs["temperature"].lower, specs["temperature"].upper) == (30.0, 95.0)
    assert specs["capping_agent"].choices == ("pvp",)
    with pytest.raises(ValueError, match="temperature: the device counts in degC, not in K"):
        robot(tmp_path, limits={"temperature": {"lower": 300, "upper": 350, "unit": "K"}})
    with pytest.raises(ValueError, match=r"limits.temprature: gold takes temperature"):
        robot(tmp_path, limits={"temprature": {"lower": 30}})


def test_calibration_becomes_the_conditions_of_the_pattern(tmp_path: Path) -> None:
    calibration = {"standard": "Ni", "qmin": 1.0, "qmax": 18.0, "qdamp": 0.04, "wavelength": 0.2}
    settings = DiffractometerSettings(world="gold", store=tmp_path / "w", calibration=calibration)  # type: ignore[arg-type]
    assert settings.instrument().qmax == 18.0
    with pytest.raises(ValidationError, match="cannot reach qmax 18"):
        DiffractometerSettings(world="gold", store=tmp_path, calibration=calibration | {"wavelength": 0.9})  # type: ignore[arg-type]


def test_an_unknown_world_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="world: 'glod' is not installed; did you mean 'gold'"):
        SimulatedSettings(world="glod", store=tmp_path)


async def test_a_robot_with_optics_tells_what_it_sees_and_makes_the_same(tmp_path: Path) -> None:
    settings = {"world": "gold", "seed": 3}
    plain = SimulatedSynthesizer(SynthesizerSettings(**settings, store=tmp_path / "a"))
    seeing = SimulatedSynthesizer(SynthesizerSettings(**settings, store=tmp_path / "b", optics=True))
    assert await plain.execute(order("synthesise"), quiet) is None
    signals = await seeing.execute(order("synthesise"), quiet)
    assert signals is not None and signals == await seeing.execute(order("synthesise"), quiet)
    made = [WorldStore(tmp_path / name).get("s1").product for name in "ab"]
    assert made[0] == made[1]
    ratio = (math.log(made[0].diameter / 10.0) + 2.20) / 3.00
    assert signals["plasmon_ratio"].value == pytest.approx(ratio, abs=0.04)
    assert signals["plasmon_wavelength"].unit == "nm" and 515.0 < signals["plasmon_wavelength"].value < 522.0
    less = await seeing.execute(order("synthesise", sample="s2", reaction_time=8.0), quiet)
    assert less is not None and less["absorbance"].value < signals["absorbance"].value
    with pytest.raises(ValidationError, match="mixture has no optical signals"):
        SynthesizerSettings(world="mixture", store=tmp_path / "c", optics=True)
