"""The loop: a target goes in, orders go out, patterns come back, until the target is found and confirmed.

    instrument --result--> [inbox] -> (reduce) -> identify -> score -> plan -> [outbox] --command--> robot

One coroutine (:meth:`CampaignLoop.run`) looks at the ledger, does what its state asks for, and sleeps until something
changes. Identification and planning run beside it in worker processes. Everything that must survive is in the ledger;
what this object holds besides can be lost at any moment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Literal

from pydantic import TypeAdapter
from sqlalchemy import func
from sqlmodel import col, select

from solvus.agent import jobs
from solvus.agent.bench import Bench
from solvus.agent.campaign import Campaign
from solvus.agent.conversation import Conversation
from solvus.agent.decide import Confirm, Exhausted, Found, Plan, Wait, next_step
from solvus.agent.ledger.ledger import Clock, Ledger
from solvus.agent.ledger.tables import ExperimentRow
from solvus.agent.limits import check_recipe, check_space
from solvus.agent.neighbours import AT_WORK
from solvus.agent.outbox import ACTIONS, open_commands, queue_command
from solvus.agent.planner.observations import Proposal
from solvus.agent.recognition import Recognition
from solvus.agent.reduction import DeviceReduction
from solvus.agent.side_jobs import CampaignBroken, SideJobs
from solvus.agent.snapshot import Snapshot, as_experiment, plan_request, replicate_proposal
from solvus.agent.states import ExperimentState
from solvus.agent.transitions import move_experiment
from solvus.agent.workers import Workers
from solvus.drivers.checked_client import CheckedClient
from solvus.drivers.connection import Transport
from solvus.drivers.messages import AgentState, AgentStatus, new_id
from solvus.models.identification import Identification

E = ExperimentState
TICK = 0.5
"""Seconds after which the loop looks around even if nothing was heard: time-outs have no message of their own."""

EndState = Literal["found", "exhausted", "stopped"]
PROPOSALS = TypeAdapter(list[Proposal])


class DevicesMissing(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """The campaign's devices are not on the wire."""


class CampaignLoop:
    """One running campaign.

    Parameters
    ----------
    campaign_id : unique in the ledger; also the campaign's name on the wire.
    bench : the devices of the laboratory that this campaign uses.
    target : the resolved target.
    reductions : for each device that sends raw data, how they are reduced.
    enter : writes the beginning into the ledger; called when the broker and the devices are there and can serve the
        campaign, so that one that cannot begin leaves no campaign behind.
    watch : called with a fresh snapshot after every turn of the loop.
    transport : see :class:`solvus.drivers.connection.Connection`.
    """

    def __init__(
        self,
        *,
        campaign_id: str,
        campaign: Campaign,
        bench: Bench,
        target: jobs.ResolvedTarget,
        reductions: Mapping[str, DeviceReduction],
        ledger: Ledger,
        workers: Workers,
        clock: Clock,
        enter: Callable[[], Awaitable[None]],
        watch: Callable[[Snapshot], None] = lambda _: None,
        transport: Transport = CheckedClient,
    ) -> None:
        self.id = campaign_id
        self.campaign = campaign
        self.bench = bench
        self.target = target
        self.snapshot = Snapshot(campaign_id, target.title, budget=campaign.budget.experiments)
        self._ledger = ledger
        self._workers = workers
        self._clock = clock
        self._enter = enter
        self._watch = watch
        self._changed = asyncio.Event()
        self._wire = Conversation(campaign_id, campaign, bench, ledger, clock, self._changed.set, transport)
        self._recognition = Recognition(campaign_id, campaign, bench, target, reductions, ledger, workers)
        self._stopping = False
        self._experiments: Sequence[ExperimentRow] = ()
        self._read_at: tuple[int, str] | None = None
        self._jobs = SideJobs(self._changed.set)

    # --- life ---

    async def run(self) -> EndState:
        """Run until the target is found, the budget is spent, or :meth:`stop` is called.

        Raises
        ------
        BrokerUnreachable, LaboratoryTaken, DevicesMissing, LimitError
            When the campaign cannot begin; one sentence each.
        CampaignBroken
            When planning or the record of an identification fails; the end is in the ledger, as stopped.
        """
        await self._wire.open()
        try:
            await self._await_devices()
            while True:
                end = await self._turn()
                if end is not None:
                    return end
                await self._rest()
        except CampaignBroken as error:
            await self._end("stopped", str(error))
            raise
        finally:
            await self._jobs.cancel()
            await self._wire.publish_status(self._last_status())
            await self._wire.close()

    def stop(self) -> None:
        """Propose nothing more and come to an end; what is under way is taken up again by ``--resume``."""
        self._stopping = True
        self._changed.set()

    async def _rest(self) -> None:
        """Until something changes, or for a tick. (``wait_for`` can swallow a cancel on Python 3.11.)"""
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK):
                await self._changed.wait()
        self._changed.clear()

    async def _await_devices(self) -> None:
        deadline = self._clock() + timedelta(seconds=self.campaign.timing.devices_ready)
        while missing := self._wire.missing():
            self._tell("starting", f"waiting for {', '.join(missing)} to appear")
            await self._wire.tell(self._status())
            await self._wire.ask_for_descriptions()
            if self._stopping:
                await self._enter()
                return
            if self._clock() > deadline:
                raise DevicesMissing(
                    f"devices: {', '.join(missing)} did not appear on laboratory {self.bench.laboratory.name} within "
                    f"{self.campaign.timing.devices_ready:g} s; start them with `solvus lab LAB.yaml`"
                )
            await self._rest()
        self._wire.limits(self.bench.measurement, ACTIONS["measure"])  # refuses one that cannot
        for device in self.bench.synthesis:
            check_space(self.campaign.search_space, device, self._wire.limits((device,), ACTIONS["make"]))
        met = {
            d: said.model_dump(mode="json", by_alias=True) for d, said in self._wire.descriptions().items()
        }
        await self._enter()
        async with self._ledger.step() as step:
            await step.append(self.id, "devices-met", {"devices": met})

    async def _turn(self) -> EndState | None:
        await self._wire.attend()
        # Before the rows are read: a plan that lands in between must not be decided upon as if it had not.
        self._jobs.collect()
        rows = await self._rows()
        self._start_identifications(rows)
        end = await self._decide(rows)
        if not self._stopping:
            await self._dispatch()
        self._show(await self._rows())
        await self._wire.tell(self._status())
        return end

    # --- identification ---

    def _start_identifications(self, rows: Sequence[ExperimentRow]) -> None:
        for row in rows:
            if row.state == E.MEASURED.value:
                self._jobs.start(f"identify {row.number}", partial(self._recognition.recognise, row))

    # --- decisions ---

    async def _decide(self, rows: Sequence[ExperimentRow]) -> EndState | None:
        if self._stopping:
            return await self._end("stopped", "stopped by the operator")
        if "plan" in self._jobs:
            return None
        step = next_step(self.campaign, [as_experiment(row) for row in rows])
        match step:
            case Found(experiments):
                numbers = " and ".join(str(n) for n in experiments)
                return await self._end("found", f"the target was made in experiments {numbers}")
            case Exhausted(reason):
                return await self._end("exhausted", reason)
            case Wait(reason):
                self._tell("waiting", reason)
            case Confirm(experiment, replicate):
                await self._propose(replicate_proposal(rows, experiment), experiment.number, replicate)
            case Plan(count):
                self._tell("running", "planning the next experiment")
                self._jobs.start("plan", partial(self._plan, rows, count))
        return None

    async def _plan(self, rows: Sequence[ExperimentRow], count: int) -> None:
        request = plan_request(self.campaign, self.target.descriptors, rows, count)
        answer = await self._workers.run("plan", jobs.suggest, json.dumps(request))
        for proposal in PROPOSALS.validate_json(answer)[: await self._still_wanted()]:
            await self._propose(proposal, None, 0)

    async def _still_wanted(self) -> int:
        """How many new recipes are wanted now: while they were computed another experiment may have hit or found."""
        step = next_step(self.campaign, [as_experiment(row) for row in await self._rows()])
        return step.count if isinstance(step, Plan) else 0

    async def _propose(self, proposal: Proposal, replicate_of: int | None, replicate: int) -> None:
        """Write a proposal and its verdict. Approval is automatic here; limits are checked all the same."""
        limits = self._wire.limits(self.bench.synthesis, ACTIONS["make"])
        refusal = check_recipe(proposal.recipe, self.campaign.search_space, limits)
        async with self._ledger.step() as step:
            highest = select(func.max(col(ExperimentRow.number))).where(ExperimentRow.campaign == self.id)
            number = ((await step.session.exec(highest)).one() or 0) + 1
            await step.append(
                self.id,
                "experiment-proposed",
                {
                    "number": number,
                    "sample_id": f"{self.id}-{number}-{new_id()[:8]}",
                    "recipe": proposal.recipe,
                    "replicate_of": replicate_of,
                    "replicate": replicate,
                    "proposal": proposal.model_dump(mode="json"),
                },
            )
            row = await step.get(ExperimentRow, self.id, number)
            assert row is not None  # noqa: S101 -- made by the event above
            if refusal is None:
                await move_experiment(step, row, E.APPROVED, decision={"verdict": "automatic"})
            else:
                await move_experiment(
                    step, row, E.REJECTED, reason=refusal, decision={"verdict": "rejected", "by": "limits"}
                )
        self._changed.set()

    async def _end(self, state: EndState, reason: str) -> EndState:
        async with self._ledger.step() as step:
            await step.append(self.id, "campaign-ended", {"state": state, "reason": reason})
        self._tell(state, reason)
        return state

    # --- orders out ---

    async def _dispatch(self) -> None:
        """Give every waiting experiment a free device, oldest first."""
        ready = self._wire.ready()
        taken = {row.device for row in open_commands(await self._wire.commands())}
        expires_at = self._clock() + timedelta(seconds=self.campaign.timing.command_expires)
        for row in await self._rows():
            waiting = {E.APPROVED.value: "make", E.SYNTHESISED.value: "measure"}.get(row.state)
            if waiting is None:
                continue
            devices = self.bench.synthesis if waiting == "make" else self.bench.measurement
            free = [d for d in devices if d not in taken and d in ready]
            if not free:
                continue
            taken.add(free[0])
            async with self._ledger.step() as step:
                fresh = await step.get(ExperimentRow, self.id, row.number)
                assert fresh is not None  # noqa: S101 -- experiments are never removed
                await queue_command(
                    step,
                    fresh,
                    device=free[0],
                    purpose=waiting,
                    parameters=json.loads(row.recipe) if waiting == "make" else {},
                    boot_id=self._wire.boot_id,
                    expires_at=expires_at,
                )

    # --- what is where ---

    async def _rows(self) -> Sequence[ExperimentRow]:
        """The experiments; read anew when the ledger has grown, as only its events change them."""
        head = self._ledger.head
        if self._read_at != head:
            self._experiments = await self._ledger.rows(
                ExperimentRow, ExperimentRow.campaign == self.id, order_by=col(ExperimentRow.number)
            )
            self._read_at = head
        return self._experiments

    def _status(self) -> AgentStatus:
        return AgentStatus(
            boot_id=self._wire.boot_id,
            campaign=self.id,
            state=self.snapshot.state,
            detail=self.snapshot.waits_for,
            experiments=len(self.snapshot.experiments),
        )

    def _last_status(self) -> AgentStatus:
        """A good-bye: also an agent that ends on an error is no longer at work."""
        status = self._status()
        return status.model_copy(update={"state": "stopped"}) if status.state in AT_WORK else status

    def _tell(self, state: AgentState, waits_for: str) -> None:
        self.snapshot.state, self.snapshot.waits_for = state, waits_for
        self._watch(self.snapshot)

    def _show(self, rows: Sequence[ExperimentRow]) -> None:
        self.snapshot.experiments = [as_experiment(row) for row in rows]
        for row in rows:
            if row.identification is not None and row.number not in self.snapshot.identifications:
                self.snapshot.identifications[row.number] = Identification.model_validate_json(
                    row.identification
                )
        self.snapshot.devices = self._wire.words()
        self._watch(self.snapshot)
