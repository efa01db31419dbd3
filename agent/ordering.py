"""Which experiment goes to which device next: free, heard, within every limit, and with reagents to make it.

What cannot be ordered waits, with the reason in :attr:`Ordering.blocked`, and is looked at again at every turn.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from solvus.agent.bench import Bench
from solvus.agent.campaign import Campaign
from solvus.agent.conversation import Conversation
from solvus.agent.gates import device_refusal
from solvus.agent.ledger.ledger import Clock, Ledger
from solvus.agent.ledger.tables import CampaignRow, CommandRow, ExperimentRow
from solvus.agent.outbox import ACTIONS, open_commands, queue_command
from solvus.agent.planner.search_space import Recipe
from solvus.agent.states import CommandState, ExperimentState
from solvus.agent.stock import shortage
from solvus.agent.transitions import move_experiment

C, E = CommandState, ExperimentState
LOST = frozenset({C.UNKNOWN, C.INTERRUPTED})
"""Ends of an order that leave its experiment unknown."""
TOOK_NOTHING = frozenset({C.REJECTED, C.EXPIRED})
"""Ends of an order that nothing was taken for: the device did not begin."""


def took_something(row: CommandRow) -> bool:
    """Whether an order counts against the stock: all but those that the device never began."""
    return CommandState(row.state) not in TOOK_NOTHING


class Ordering:
    """Gives every waiting experiment a device, oldest first.

    Attributes
    ----------
    before : the recipe of each device's last synthesis, for limits on steps.
    blocked : why an experiment waits although it might be ordered, by its number.
    """

    def __init__(
        self,
        campaign_id: str,
        campaign: Campaign,
        bench: Bench,
        ledger: Ledger,
        clock: Clock,
        wire: Conversation,
        holder: str | None = None,
    ) -> None:
        self._id = campaign_id
        self._holder = holder
        self._campaign = campaign
        self._bench = bench
        self._ledger = ledger
        self._clock = clock
        self._wire = wire
        self._began: datetime | None = None
        self.before: dict[str, Recipe | None] = {}
        self.blocked: dict[int, str] = {}

    async def begin(self) -> None:
        """Read from the ledger when the campaign began and what each device made last."""
        (row,) = await self._ledger.rows(CampaignRow, CampaignRow.campaign == self._id)
        self._began = datetime.fromisoformat(row.started_at)
        states = {row.command_id: CommandState(row.state) for row in await self._commands()}
        for event in await self._ledger.events(self._id, "command-queued"):
            body = event.body
            if body["purpose"] == "make" and states.get(body["command_id"]) not in TOOK_NOTHING:
                self.before[body["device"]] = body["command"]["parameters"]

    def hours(self) -> float:
        """Since the campaign began."""
        return 0.0 if self._began is None else (self._clock() - self._began).total_seconds() / 3600.0

    async def dispatch(
        self,
        rows: Sequence[ExperimentRow],
        in_doubt: Collection[int] = (),
        held: Collection[int] = (),
    ) -> None:
        """Give every waiting experiment a free device, oldest first.

        Parameters
        ----------
        in_doubt : experiments of which people are asked what became of them; the device that had one of them gets
            nothing new, for its vessel may be full.
        held : experiments that wait for something else and get no device.
        """
        self.blocked.clear()
        commands = await self._commands()
        taken = {row.device for row in open_commands(commands)}
        taken |= {
            row.device for row in commands if row.experiment in in_doubt and CommandState(row.state) in LOST
        }
        made = [
            json.loads(row.body)["parameters"]
            for row in commands
            if row.purpose == "make" and took_something(row)
        ]
        for row in rows:
            purpose = {E.APPROVED.value: "make", E.SYNTHESISED.value: "measure"}.get(row.state)
            if purpose is None or row.number in held:
                continue
            parameters: Recipe = json.loads(row.recipe) if purpose == "make" else {}
            if purpose == "make" and (lack := shortage(self._campaign.inventory, made, parameters)):
                self.blocked[row.number] = f"experiment {row.number} waits for reagents: {lack}"
                continue
            device = await self._choose(row, purpose, parameters, taken)
            if device is None:
                continue
            taken.add(device)
            await self._order(row, device, purpose, parameters)
            if purpose == "make":
                self.before[device] = parameters
                made.append(parameters)

    async def _choose(
        self, row: ExperimentRow, purpose: str, parameters: Recipe, taken: set[str]
    ) -> str | None:
        """A device that may do it now; ``None`` when it must wait, or has failed at a limit."""
        devices = self._bench.synthesis if purpose == "make" else self._bench.measurement
        ready = self._wire.ready()
        free = [d for d in devices if d not in taken and d in ready]
        if not free:
            reasons = [why for d in devices if d not in taken and (why := self._wire.why_not(d))]
            if reasons:
                self.blocked[row.number] = f"experiment {row.number} waits: {'; '.join(reasons)}"
            return None
        if purpose == "measure":
            return free[0]
        capabilities = self._wire.capabilities(devices, ACTIONS[purpose])
        refusals = {
            d: device_refusal(parameters, self._campaign, d, capabilities[d], self.before.get(d))
            for d in devices
        }
        allowed = [d for d in free if refusals[d] is None]
        if allowed:
            return allowed[0]
        if any(refusals[d] is None for d in devices):
            return None  # one that is at work now may do it
        await self._give_up(row, next(reason for reason in refusals.values() if reason is not None))
        return None

    async def _give_up(self, row: ExperimentRow, reason: str) -> None:
        """An approved recipe that has come to lie outside the limits, after others were made."""
        async with self._ledger.step() as step:
            fresh = await step.get(ExperimentRow, self._id, row.number)
            if fresh is not None:
                await move_experiment(step, fresh, E.FAILED, reason=f"not ordered: {reason}", cause="limits")

    async def _order(self, row: ExperimentRow, device: str, purpose: str, parameters: Recipe) -> None:
        expires_at = self._clock() + timedelta(seconds=self._campaign.timing.command_expires)
        async with self._ledger.step() as step:
            fresh = await step.get(ExperimentRow, self._id, row.number)
            assert fresh is not None  # noqa: S101 -- experiments are never removed
            await queue_command(
                step,
                fresh,
                device=device,
                purpose=purpose,
                parameters=parameters,
                boot_id=self._wire.boot_id,
                expires_at=expires_at,
                claim=self._holder,
            )

    async def _commands(self) -> Sequence[CommandRow]:
        return await self._ledger.rows(CommandRow, CommandRow.campaign == self._id)
