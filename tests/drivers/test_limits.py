"""What a laboratory allows a device, from the arithmetic to the device that refuses, and to one that does not start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvus.drivers.acceptance import refusal
from solvus.drivers.combination import Combination
from solvus.drivers.limits import DeviceLimits, LimitsMissing, narrowed
from solvus.drivers.messages import Capability, Claim, Execute, ParameterSpec, new_id, now

HOT = ParameterSpec(name="temperature", kind="continuous", unit="degC", lower=0.0, upper=200.0)
A = ParameterSpec(name="a", kind="continuous", unit="mL", lower=0.0, upper=10.0)
B = ParameterSpec(name="b", kind="continuous", unit="mL", lower=0.0, upper=10.0)
SOLVENT = ParameterSpec(name="solvent", kind="categorical", choices=("water", "ethanol"))
CAPABILITY = Capability(action="make", parameters=(HOT, A, B, SOLVENT))


def limits(**given: object) -> DeviceLimits:
    return DeviceLimits.model_validate(given)


def narrow(**given: object) -> Capability:
    (capability,) = narrowed((CAPABILITY,), limits(**given), simulated=True, driver="acme")
    return capability


def order(**parameters: float | str) -> Execute:
    values = {"temperature": 20.0, "a": 1.0, "b": 1.0, "solvent": "water"} | parameters
    return Execute(
        boot_id="b",
        command_id=new_id(),
        expires_at=now(),
        action="make",
        parameters=values,
        sample_id="s",
        campaign="c",
        experiment=1,
    )


VOLUME = {"name": "volume", "terms": {"a": 1.0, "b": 1.0}, "unit": "mL", "at_most": 12.0}
BOILING = {
    "name": "boiling",
    "terms": {"temperature": 1.0},
    "at_most": 78.0,
    "when": {"solvent": ["ethanol"]},
}


@given(st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_a_sum_is_refused_exactly_when_it_is_too_large(a: float, b: float) -> None:
    refused = Combination.model_validate(VOLUME).refusal({"a": a, "b": b})
    assert (refused is not None) == (a + b > 12.0 * (1 + 1e-9)) or abs(a + b - 12.0) < 1e-6


def test_a_combination_holds_for_its_choices_only() -> None:
    capability = narrow(combinations=[BOILING])
    assert refusal(order(temperature=90.0), (capability,)) is None
    words = refusal(order(temperature=90.0, solvent="ethanol"), (capability,))
    assert words == "boiling: temperature is 90, more than 78"


def test_a_step_counts_from_the_order_before() -> None:
    capability = narrow(parameters={"temperature": {"max_step": 30.0, "unit": "degC"}})
    assert refusal(order(temperature=150.0), (capability,)) is None, "the first may begin anywhere"
    before = order(temperature=100.0).parameters
    assert refusal(order(temperature=130.0), (capability,), before) is None
    words = refusal(order(temperature=131.0), (capability,), before)
    assert words == "temperature: 131 degC is 31 away from the 100 before, more than 30 in one step"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"parameters": {"temprature": {"lower": 1.0}}},
            "limits.temprature: the device takes temperature, a",
        ),
        (
            {"parameters": {"temperature": {"lower": 300.0, "upper": 350.0, "unit": "K"}}},
            "counts in degC, not in K",
        ),
        ({"combinations": [VOLUME | {"unit": "L"}]}, "a counts in mL, the sum in L; give it a weight"),
        ({"combinations": [VOLUME | {"terms": {"c": 1.0}}]}, "not c"),
        (
            {"combinations": [VOLUME | {"terms": {"solvent": 1.0}}]},
            "solvent is a choice and cannot be summed",
        ),
    ],
)
def test_limits_that_do_not_fit_the_device_are_refused(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        narrow(**given)


def test_a_real_instrument_does_not_start_without_limits_for_every_number() -> None:
    full = {
        name: {"lower": 0.0, "upper": 5.0, "unit": unit}
        for name, unit in (("temperature", "degC"), ("a", "mL"), ("b", "mL"))
    }
    narrowed((CAPABILITY,), limits(parameters=full), simulated=False, driver="acme")
    for without in (
        {},
        {"temperature": full["temperature"]},
        full | {"a": {"lower": 0.0, "upper": 5.0}},
        full | {"b": {"lower": 0.0, "unit": "mL"}},
    ):
        with pytest.raises(LimitsMissing, match="acme drives a real instrument and starts only with limits"):
            narrowed((CAPABILITY,), limits(parameters=without), simulated=False, driver="acme")


async def test_the_device_refuses_on_its_own_and_remembers_the_step(running, listener, make_order) -> None:
    await running.stop()
    running.options["limits"] = limits(
        parameters={"seconds": {"upper": 5.0, "max_step": 1.0, "unit": "s"}},
        combinations=[
            {"name": "haste", "terms": {"seconds": 1.0}, "at_least": 0.2, "when": {"fate": ["chemistry"]}}
        ],
    )
    await running.start()
    await listener.until(lambda: listener.state == "ready")
    orders = {
        "outside": make_order(seconds=6.0),
        "together": make_order(seconds=0.0, fate="chemistry"),
        "fine": make_order(seconds=0.0),
    }
    for command in orders.values():
        await listener.send(command)
    await listener.until(lambda: "done" in listener.kinds(orders["fine"].command_id))
    said = {name: listener.kinds(command.command_id) for name, command in orders.items()}
    assert said["outside"] == said["together"] == ["rejected"]
    assert (
        "haste: seconds is 0, less than 0.2"
        in listener.event(orders["together"].command_id, "rejected").reason
    )
    await running.stop()
    await running.start()
    await listener.until(lambda: listener.state == "ready")
    far = make_order(seconds=1.5)
    await listener.send(far)
    await listener.until(lambda: listener.kinds(far.command_id))
    assert "more than 1 in one step" in listener.event(far.command_id, "rejected").reason, (
        "also over a restart"
    )


async def test_a_real_driver_without_limits_ends_with_one_sentence(tmp_path: Path, monkeypatch) -> None:
    """As a process, the way it is started beside an instrument."""
    (tmp_path / "real_driver.py").write_text(
        "from slow_driver import SlowDriver\nclass RealDriver(SlowDriver):\n    simulated = False\n"
    )
    import os
    import sys

    command = [
        sys.executable,
        "-m",
        "solvus.drivers.serve",
        "--lab",
        "l",
        "--device",
        "d",
        "--broker-port",
        "1",
    ]
    command += ["--driver", "real_driver:RealDriver", "--journal", str(tmp_path / "j"), "--settings"]
    command.append(f'{{"log": "{tmp_path / "log"}"}}')
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | {"PYTHONPATH": path}, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert err.decode().startswith(
        "solvus: limits: slow-driver drives a real instrument and starts only with limits; the laboratory file must "
        "give lower, upper and unit of seconds in s, points"
    )


# --- claims ---


def claim(holder: str, lease: float = 60.0) -> Claim:
    return Claim(boot_id="a", expires_at=now().replace(year=now().year + 1), holder=holder, lease=lease)


async def test_a_device_works_for_one_campaign_at_a_time(running, listener, make_order) -> None:
    def held() -> str:
        return listener.states[-1][0].held_by

    await listener.until(lambda: listener.state == "ready")
    await listener.send(claim("gold-1.x"))
    await listener.until(lambda: held() == "gold-1.x")
    await listener.send(claim("silver-1.y"))
    foreign, ours = make_order(), make_order().model_copy(update={"claim": "gold-1.x"})
    await listener.send(foreign)
    await listener.send(ours)
    await listener.until(lambda: "done" in listener.kinds(ours.command_id))
    assert listener.event(foreign.command_id, "rejected").reason == "held by campaign gold-1"
    assert held() == "gold-1.x"
    await listener.send(claim("silver-1.y", 0.0))  # it has nothing to give back
    await listener.send(claim("gold-1.x", 0.3))
    await asyncio.sleep(1.0)
    await listener.until(lambda: held() == "")
    await listener.send(claim("silver-1.y"))
    await listener.until(lambda: held() == "silver-1.y")
