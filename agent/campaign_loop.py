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
from types import MappingProxyType
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlmodel import col

from solvus.agent import jobs
from solvus.agent.bench import Bench
from solvus.agent.campaign import Campaign
from solvus.agent.claims import Claims
from solvus.agent.controls import Controls
from solvus.agent.conversation import Conversation
from solvus.agent.decide import Confirm, Exhausted, Experiment, Found, Plan, Wait, next_step
from solvus.agent.gates import recipe_refusal
from solvus.agent.latent import Places
from solvus.agent.ledger.ledger import Clock, Ledger, Step
from solvus.agent.ledger.tables import ExperimentRow, PatternRow
from solvus.agent.lessons import Lessons
from solvus.agent.limits import LimitError, check_space
from solvus.agent.logs import CAMPAIGN, EXPERIMENT
from solvus.agent.neighbours import AT_WORK
from solvus.agent.ordering import Ordering
from solvus.agent.outbox import ACTIONS
from solvus.agent.plan_request import EarlierRows, Ground, limits_now, plan_request
from solvus.agent.planner.limits import PlanLimits
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import Recipe
from solvus.agent.proposing import Proposer
from solvus.agent.recognition import Recognition
from solvus.agent.reduction import DeviceReduction
from solvus.agent.rules import Enough, enough
from solvus.agent.side_jobs import CampaignBroken, SideJobs
from solvus.agent.snapshot import Snapshot, as_experiment, found_words, replicate_proposal
from solvus.agent.stages import Staging
from solvus.agent.states import ExperimentState
from solvus.agent.watch import Watch
from solvus.agent.workers import Workers
from solvus.drivers.checked_client import CheckedClient
from solvus.drivers.connection import Transport
from solvus.drivers.messages import AgentState, AgentStatus
from solvus.models.identification import Identification
from solvus.models.pattern import Pattern

E = ExperimentState
TICK = 0.5
"""Seconds after which the loop looks around even if nothing was heard: time-outs have no message of their own."""

TEXT_LIMIT = 2000
"""Characters of a status on the wire."""

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
    holder : names the campaign at broker and devices, uniquely among all ledgers; without one it claims no device.
    earlier : campaigns that the planner learns from as well, with their patterns in ``lessons``.
    lessons : what patterns teach the planner; fresh ones when left out.
    places : how samples are placed in the latent space, in a campaign that describes them so.
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
        holder: str | None = None,
        earlier: tuple[EarlierRows, ...] = (),
        lessons: Lessons | None = None,
        places: Places | None = None,
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
        self._wire = Conversation(
            campaign_id, campaign, bench, ledger, clock, self._changed.set, transport, name=holder
        )
        self._recognition = Recognition(campaign_id, campaign, bench, target, reductions, ledger, workers)
        self._lessons = lessons or Lessons(target.pattern, campaign.identification.r_range)
        self._ground = Ground(campaign, target.planned, self._lessons, earlier, places)
        self._staging = Staging(campaign_id, self._ground, ledger, workers)
        self._enough: Enough | None = None
        self._stopping: str | None = None
        self._kept: Sequence[ExperimentRow] = ()
        self._read_at: tuple[int, str] | None = None
        self._jobs = SideJobs(self._changed.set)
        self._ordering = Ordering(campaign_id, campaign, bench, ledger, clock, self._wire, holder)
        self._claims = None if holder is None else Claims(self._wire, self._wire.devices, holder, clock)
        self._proposer = Proposer(campaign_id, campaign, self._refusal, clock)
        self._controls = Controls(
            campaign_id,
            campaign,
            ledger,
            clock,
            check=self._refusal,
            again=self._propose_again,
            stop=self.stop,
        )
        self._devices_watch = Watch(campaign_id, ledger, self._wire, self._controls)

    # --- life ---

    async def run(self) -> EndState:
        """Run until the target is found, the budget is spent, or :meth:`stop` is called.

        Raises
        ------
        BrokerUnreachable, LaboratoryTaken, DevicesMissing, DevicesHeld, LimitError
            When the campaign cannot begin; one sentence each.
        CampaignBroken
            When planning or the record of an identification fails; the end is in the ledger, as stopped.
        """
        CAMPAIGN.set(self.id)
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
            if self._claims is not None:
                await self._claims.give_back()
            await self._wire.publish_status(self._last_status())
            await self._wire.close()

    def stop(self, why: str = "stopped by the operator") -> None:
        """Propose nothing more and come to an end; what is under way is taken up again by ``--resume``."""
        self._stopping = self._stopping or why
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
        if self._claims is not None:
            await self._claims.take()
        met = {
            d: said.model_dump(mode="json", by_alias=True) for d, said in self._wire.descriptions().items()
        }
        await self._enter()
        async with self._ledger.step() as step:
            await step.append(self.id, "devices-met", {"devices": met})
        await self._ordering.begin()

    async def _turn(self) -> EndState | None:
        await self._wire.attend()
        if self._claims is not None:
            await self._claims.renew()
        await self._devices_watch.attend()
        await self._controls.attend()
        # Before the rows are read: a plan that lands in between must not be decided upon as if it had not.
        self._jobs.collect()
        rows = await self._rows()
        self._start_identifications(rows)
        end = await self._decide(rows)
        if not self._stopping and not self._controls.paused:
            await self._dispatch()
        self._say_what_holds_it_up(end)
        self._show(await self._rows())
        await self._wire.tell(self._status())
        return end

    async def _dispatch(self) -> None:
        """Order what may be ordered; a sample of which it is not yet decided whether it is measured waits for that."""
        rows = await self._rows()
        asked = await self._staging.open_questions(rows)
        for number, request in asked.items():
            self._jobs.start(f"stage {number}", partial(self._staging.judge, number, request))
        await self._ordering.dispatch(rows, self._controls.in_doubt(), asked)

    # --- identification ---

    def _start_identifications(self, rows: Sequence[ExperimentRow]) -> None:
        for row in rows:
            if row.state == E.MEASURED.value:
                self._jobs.start(f"identify {row.number}", partial(self._recognise, row))

    async def _recognise(self, row: ExperimentRow) -> None:
        EXPERIMENT.set(row.number)  # of this job alone: each has a context of its own
        await self._recognition.recognise(row)

    # --- decisions ---

    async def _decide(self, rows: Sequence[ExperimentRow]) -> EndState | None:
        if self._stopping:
            return await self._end("stopped", self._stopping)
        if "plan" in self._jobs:
            return None
        step = next_step(self.campaign, self._experiments(rows), self._ordering.hours())
        if self._controls.paused and isinstance(step, Confirm | Plan | Wait):
            self._tell("waiting", "")
            return None
        match step:
            case Found(numbers):
                return await self._end("found", found_words(self._experiments(rows), numbers))
            case Exhausted(reason):
                return await self._end("exhausted", reason)
            case Wait(reason):
                self._tell("waiting", reason)
            case Confirm(experiment, replicate):
                await self._propose(rows, replicate_proposal(rows, experiment), experiment.number, replicate)
            case Plan(count):
                if self._enough is not None and self._enough.holds(self._experiments(rows)):
                    return await self._end_by_rule(self._enough, rows)
                self._tell("running", "planning the next experiment")
                self._jobs.start("plan", partial(self._plan, rows, count))
        return None

    async def _plan(self, rows: Sequence[ExperimentRow], count: int) -> None:
        limits = self._limits(rows)
        await self._learn(rows)
        request = plan_request(self._ground, rows, count, limits)
        answer = await self._workers.run("plan", jobs.suggest, json.dumps(request))
        proposals = PROPOSALS.validate_json(answer)
        self._enough = enough(self.campaign, proposals[0], self._experiments(rows), limits)
        if self._enough is not None:
            return
        for proposal in proposals[: await self._still_wanted()]:
            await self._propose(await self._rows(), proposal, None, 0, limits)
            limits = None if limits is None else limits.after([proposal.recipe])

    async def _learn(self, rows: Sequence[ExperimentRow]) -> None:
        """Take in the patterns that the planner has not seen."""
        wanted = {row.pattern_sha256 for row in rows if row.state == E.SCORED.value and row.pattern_sha256}
        for sha256 in sorted(sha for sha in wanted if sha not in self._lessons):
            [stored] = await self._ledger.rows(PatternRow, PatternRow.sha256 == sha256)
            self._lessons.take(Pattern.model_validate_json(stored.body))

    def _limits(self, rows: Sequence[ExperimentRow]) -> PlanLimits | None:
        """What the planner is told of combinations and steps; nothing while the devices do not say theirs."""
        try:
            capabilities = self._wire.capabilities(self.bench.synthesis, ACTIONS["make"])
        except LimitError:
            return None
        return limits_now(self.campaign, capabilities, self._ordering.before, rows)

    async def _end_by_rule(self, met: Enough, rows: Sequence[ExperimentRow]) -> EndState | None:
        """End as a rule of stopping says, once what is under way has ended: it may change the planner's mind."""
        if any(e.active for e in self._experiments(rows)):
            self._tell("waiting", f"{met.reason}; waiting for the experiments under way to end")
            return None
        return await self._end("exhausted", met.reason, met.record())

    async def _still_wanted(self) -> int:
        """How many new recipes are wanted now: while they were computed another experiment may have hit or found."""
        if self._controls.paused:
            return 0
        step = next_step(self.campaign, self._experiments(await self._rows()), self._ordering.hours())
        return step.count if isinstance(step, Plan) else 0

    async def _propose(
        self,
        rows: Sequence[ExperimentRow],
        proposal: Proposal,
        replicate_of: int | None,
        replicate: int,
        limits: PlanLimits | None = None,
    ) -> None:
        """Write a proposal and its verdict, or the question that will give it one."""
        experiments = self._experiments(rows)
        async with self._ledger.step() as step:
            await self._proposer.write(step, proposal, replicate_of, replicate, experiments, limits)
        await self._controls.pause_if_all_are_refused()
        self._changed.set()

    async def _propose_again(
        self, step: Step, proposal: Proposal, replicate_of: int | None, replicate: int
    ) -> ExperimentRow:
        return await self._proposer.write(step, proposal, replicate_of, replicate, ())

    def _refusal(self, recipe: Recipe) -> str | None:
        """Why no device may be ordered to make a recipe, or ``None``."""
        try:
            capabilities = self._wire.capabilities(self.bench.synthesis, ACTIONS["make"])
        except LimitError as error:
            return str(error)
        return recipe_refusal(recipe, self.campaign, capabilities, self._ordering.before)

    async def _end(
        self, state: EndState, reason: str, why: Mapping[str, Any] = MappingProxyType({})
    ) -> EndState:
        async with self._ledger.step() as step:
            await step.append(self.id, "campaign-ended", {"state": state, "reason": reason, **why})
        self._tell(state, reason)
        return state

    # --- what is where ---

    async def _rows(self) -> Sequence[ExperimentRow]:
        """The experiments; read anew when the ledger has grown, as only its events change them."""
        head = self._ledger.head
        if self._read_at != head:
            self._kept = await self._ledger.rows(
                ExperimentRow, ExperimentRow.campaign == self.id, order_by=col(ExperimentRow.number)
            )
            self._read_at = head
        return self._kept

    def _experiments(self, rows: Sequence[ExperimentRow]) -> list[Experiment]:
        return [as_experiment(row, asks=row.number in self._controls.questions) for row in rows]

    def _say_what_holds_it_up(self, end: EndState | None) -> None:
        """Where the campaign waits for a person, a device or a reagent, that is what it waits for."""
        lost = {} if self._claims is None else self._claims.lost()
        held = (f"{device} is held by campaign {other} now" for device, other in lost.items())
        words = [w for w in (self._controls.waits_for(), *held, *self._ordering.blocked.values()) if w]
        if end is None and words:
            self.snapshot.waits_for = " | ".join(words)[:TEXT_LIMIT]

    def _status(self) -> AgentStatus:
        return AgentStatus(
            boot_id=self._wire.boot_id,
            campaign=self.id,
            state=self.snapshot.state,
            detail=self.snapshot.waits_for,
            experiments=len(self.snapshot.experiments),
            devices=tuple(sorted(self._wire.devices)),
        )

    def _last_status(self) -> AgentStatus:
        """A good-bye: also an agent that ends on an error is no longer at work."""
        status = self._status()
        return status.model_copy(update={"state": "stopped"}) if status.state in AT_WORK else status

    def _tell(self, state: AgentState, waits_for: str) -> None:
        self.snapshot.state, self.snapshot.waits_for = state, waits_for
        self._watch(self.snapshot)

    def _show(self, rows: Sequence[ExperimentRow]) -> None:
        self.snapshot.experiments = self._experiments(rows)
        for row in rows:
            if row.identification is not None and row.number not in self.snapshot.identifications:
                self.snapshot.identifications[row.number] = Identification.model_validate_json(
                    row.identification
                )
        self.snapshot.devices = self._wire.words()
        self.snapshot.paused = self._controls.paused
        self.snapshot.asks = self._controls.words()
        self._watch(self.snapshot)
