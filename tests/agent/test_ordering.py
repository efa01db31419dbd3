"""Which experiment goes to a device, and why one waits: on a real ledger, with devices that the test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from solvus.agent.bench import Bench
from solvus.agent.ledger.tables import CommandRow
from solvus.agent.ordering import Ordering
from solvus.agent.states import CommandState, ExperimentState
from solvus.agent.transitions import move_command, move_experiment
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.messages import Capability, ParameterSpec
from tests.agent.ledger_builder import BEST, LABORATORY, SPACE, LedgerBuilder

CAPABILITY = Capability(
    action="synthesise",
    parameters=tuple(
        ParameterSpec(name=p.name, kind="categorical", choices=p.choices)
        if p.kind == "categorical"
        else ParameterSpec(name=p.name, kind="continuous", unit=p.unit, lower=p.lower, upper=p.upper)
        for p in SPACE.parameters
    ),
)


class Devices:
    """What Ordering needs of the conversation with the devices."""

    boot_id = "boot"

    def __init__(self) -> None:
        self.free = {"robot", "diffractometer"}
        self.excuses: dict[str, str] = {}

    def ready(self) -> frozenset[str]:
        return frozenset(self.free)

    def why_not(self, device: str) -> str | None:
        return self.excuses.get(device)

    def capabilities(self, devices: tuple[str, ...], action: str) -> dict[str, Capability]:
        return dict.fromkeys(devices, CAPABILITY)


class Bank:
    """A campaign with one approved experiment, and an Ordering that would give it to the robot."""

    def __init__(self, builder: LedgerBuilder) -> None:
        self.builder, self.devices = builder, Devices()

    async def ordering(self, **changes: object) -> Ordering:
        chosen = type(self.builder.campaign).model_validate(
            self.builder.campaign.model_dump(mode="json") | changes
        )
        bench = Bench(LABORATORY, BrokerAddress(), ("robot",), ("diffractometer",))
        made = Ordering(self.builder.id, chosen, bench, self.builder.ledger, self.builder.clock, self.devices)
        await made.begin()
        return made

    async def approved(self) -> int:
        builder = self.builder
        builder.count += 1
        async with builder.ledger.step() as step:
            body = {"number": builder.count, "sample_id": f"s{builder.count}", "recipe": BEST}
            proposal = builder._proposal("hit").model_dump(mode="json")
            more = {"replicate_of": None, "replicate": 0, "proposal": proposal}
            await step.append(builder.id, "experiment-proposed", body | more)
            await move_experiment(step, await builder._row(step), ExperimentState.APPROVED)
        return builder.count

    async def dispatch(self, ordering: Ordering, *in_doubt: int) -> str:
        """The state that the newest experiment is in afterwards."""
        await ordering.dispatch([await self.builder.row(self.builder.count)], in_doubt)
        return (await self.builder.row(self.builder.count)).state


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    builder = await LedgerBuilder.start(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield Bank(builder)
    await builder.ledger.close()


async def test_a_free_device_is_ordered(bank: Bank) -> None:
    number = await bank.approved()
    ordering = await bank.ordering()
    assert await bank.dispatch(ordering) == "synthesising" and ordering.blocked == {}
    (row,) = await bank.builder.ledger.rows(CommandRow, CommandRow.experiment == number)
    assert row.device == "robot" and ordering.before["robot"] == BEST


async def test_a_silent_device_gets_nothing_and_the_reason_is_shown(bank: Bank) -> None:
    await bank.approved()
    bank.devices.free.clear()
    bank.devices.excuses["robot"] = "robot is silent (last heard 45 s ago)"
    ordering = await bank.ordering()
    assert await bank.dispatch(ordering) == "approved"
    assert ordering.blocked == {1: "experiment 1 waits: robot is silent (last heard 45 s ago)"}


async def test_what_there_is_no_reagent_for_waits_also_after_a_restart(bank: Bank) -> None:
    await bank.builder.experiment("miss")
    await bank.builder.experiment("no-product")
    await bank.approved()
    gold = {"name": "gold", "unit": "mL", "stock": 5, "per_experiment": 2}
    ordering = await bank.ordering(inventory=[gold])
    assert await bank.dispatch(ordering) == "approved"
    assert ordering.blocked[3].startswith("experiment 3 waits for reagents: gold: 1 mL left, 2 needed")
    refilled = await bank.ordering(inventory=[gold | {"stock": 6}])
    assert await bank.dispatch(refilled) == "synthesising"


async def test_a_recipe_that_has_come_to_lie_too_far_off_is_not_ordered(bank: Bank) -> None:
    await bank.builder.experiment("miss")
    made = (await bank.builder.ledger.rows(CommandRow, CommandRow.purpose == "make"))[0]
    await bank.approved()
    ordering = await bank.ordering(limits={"max_step": {"temperature": {"value": 0.01, "unit": "degC"}}})
    assert ordering.before["robot"] is not None and made.device == "robot"
    assert await bank.dispatch(ordering) == "failed"
    row = await bank.builder.row(bank.builder.count)
    assert row.cause == "limits" and "more than 0.01 in one step" in row.reason


async def test_a_device_in_doubt_gets_nothing_until_a_person_has_answered(bank: Bank) -> None:
    lost = await bank.builder.experiment("synthesising")
    (command,) = await bank.builder.ledger.rows(CommandRow, CommandRow.experiment == lost)
    async with bank.builder.ledger.step() as step:
        row = await step.get(CommandRow, command.command_id)
        await move_command(step, row, CommandState.INTERRUPTED)
    await bank.approved()
    ordering = await bank.ordering()
    assert await bank.dispatch(ordering, lost) == "approved", "its vessel may be full"
    assert await bank.dispatch(ordering) == "synthesising"
