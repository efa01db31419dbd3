"""One run of the agent: open the ledger, begin or resume a campaign, run its loop, close everything."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from platform import machine, python_version
from typing import Any, TypeVar

from pydantic import TypeAdapter

from solvus.agent import jobs
from solvus.agent.bench import Bench
from solvus.agent.campaign import Campaign
from solvus.agent.campaign_loop import CampaignLoop, EndState
from solvus.agent.campaign_record import latest_target
from solvus.agent.earlier import earlier_campaigns
from solvus.agent.latent import Places, placed_anew, recorded
from solvus.agent.ledger.canonical import canonical, sha256_text
from solvus.agent.ledger.ledger import Ledger, Step
from solvus.agent.ledger.projections import LedgerEvent
from solvus.agent.ledger.tables import CampaignRow, PatternRow
from solvus.agent.lessons import Lessons
from solvus.agent.plan_request import Ground
from solvus.agent.reduction import DeviceReduction, reductions_of
from solvus.agent.retarget import Retarget, scored_anew
from solvus.agent.scoring import TargetDescriptors
from solvus.agent.snapshot import Snapshot
from solvus.agent.workers import JobFailed, Workers
from solvus.drivers.laboratory import Laboratory
from solvus.drivers.messages import new_id as unique_id
from solvus.drivers.yaml_file import ConfigurationError
from solvus.models.pattern import Conditions

TARGET_RMAX = 60.0
"""angstrom; range over which the target's pattern is calculated: particle size is read from all of it."""
RECORDED_PACKAGES = ("solvus", "torch", "botorch", "gpytorch", "numpy", "scipy", "ase", "aiomqtt", "pydantic")
RETARGETS = {"target", "goals", "bounds"}
"""What a campaign aims at."""
MAY_CHANGE_ON_RESUME = {
    "budget",
    "parallel",
    "timing",
    "approval",
    "limits",
    "inventory",
    "stop_when",
    "stages",
} | RETARGETS
"""What a scientist may change in the middle of a campaign without making earlier decisions meaningless: a new target
counts every experiment anew."""

_TARGET = TypeAdapter[jobs.ResolvedTarget | jobs.Refusal](jobs.ResolvedTarget | jobs.Refusal)
_COMPUTING = TypeAdapter[dict[str, str]](dict[str, str])

Prepared = TypeVar("Prepared")


class NothingToResume(ValueError):  # noqa: N818 -- a state of affairs, told in one sentence
    """``--resume`` where no campaign of that name was interrupted."""


class StoppedEarly(Exception):  # noqa: N818 -- a state of affairs, told in one sentence
    """Told to stop while the campaign was still being prepared: the ledger is as it was."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    campaign: str
    state: EndState
    head: tuple[int, str]


def environment(computing: Mapping[str, str]) -> dict[str, str]:
    """Versions that a decision depends on, and how the workers compute (:func:`solvus.agent.jobs.computing`)."""
    found = {"python": python_version(), "machine": machine(), "platform": sys.platform, **computing}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def recorded_target(target: jobs.ResolvedTarget) -> dict[str, Any]:
    """What the ledger keeps of a target: all that decisions rest on."""
    sha256 = None if target.pattern is None else target.pattern.sha256
    return target.model_dump(mode="json", exclude={"pattern"}) | {"pattern_of_target": sha256}


async def new_id(ledger: Ledger, campaign: Campaign) -> str:
    """The id of a new campaign of this name."""
    earlier = await ledger.rows(CampaignRow, CampaignRow.name == campaign.name)
    return f"{campaign.name}-{len(earlier) + 1}"


async def begin(
    ledger: Ledger,
    campaign_id: str,
    campaign: Campaign,
    bench: Bench,
    target: jobs.ResolvedTarget,
    computing: Mapping[str, str],
    uid: str | None = None,
) -> None:
    """Enter a new campaign into the ledger, with the target in the planner's words and its pattern: a file may change
    later."""
    async with ledger.step() as step:
        await _keep_pattern(step, target)
        await step.append(
            campaign_id,
            "campaign-started",
            {
                "name": campaign.name,
                # In another ledger a campaign of the same id may begin in the same millisecond.
                "uid": uid or unique_id(),
                "config": campaign.model_dump(mode="json"),
                "laboratory": bench.laboratory.model_dump(mode="json"),
                "target": recorded_target(target),
                "environment": environment(computing),
                "lessons": True,
            },
        )


async def _keep_pattern(step: Step, target: jobs.ResolvedTarget) -> None:
    if target.pattern is not None and await step.get(PatternRow, target.pattern.sha256) is None:
        step.session.add(PatternRow(sha256=target.pattern.sha256, body=target.pattern.canonical_json))


async def interrupted(ledger: Ledger, campaign: Campaign) -> str:
    """The id of the newest campaign of that name that has not come to an end.

    Raises
    ------
    NothingToResume, ConfigurationError
        When there is none, or the file has changed in more than what :data:`MAY_CHANGE_ON_RESUME` names.
    """
    rows = await ledger.rows(CampaignRow, CampaignRow.name == campaign.name, order_by=CampaignRow.started_at)
    open_rows = [row for row in rows if row.state in ("running", "stopped")]
    if not open_rows:
        raise NothingToResume(
            f"resume: no interrupted campaign named {campaign.name!r} in this ledger; leave --resume out"
        )
    # Read back, so that a key which the model has gained since is no difference.
    recorded = Campaign.model_validate_json(open_rows[-1].config).model_dump(mode="json")
    given = campaign.model_dump(mode="json")
    changed = [k for k in given if k not in MAY_CHANGE_ON_RESUME and given[k] != recorded.get(k)]
    if changed:
        raise ConfigurationError(
            [
                f"resume: {', '.join(changed)} differ from the interrupted campaign; "
                "put them back, or begin a new campaign without --resume"
            ]
        )
    return open_rows[-1].campaign


async def check_ground(
    ledger: Ledger, campaign_id: str, bench: Bench, campaign: Campaign, target: jobs.ResolvedTarget
) -> bool:
    """Refuse to take up a campaign on other devices than it began with, or with a target that has changed although the
    campaign file has not.

    Returns
    -------
    Whether the campaign is aimed at another target from now on.

    Raises
    ------
    ConfigurationError
        Naming what has changed.
    """
    events = await ledger.events(campaign_id)
    configs = [e for e in events if e.kind in ("campaign-started", "campaign-resumed")]
    # Read back, so that a key which a model has gained since is no difference.
    if bench.laboratory.devices != Laboratory.model_validate(configs[0].body["laboratory"]).devices:
        raise ConfigurationError(
            [
                "resume: the laboratory's devices differ from those the campaign began with; put their settings back"
            ]
        )
    recorded = {"latent": None, "aim": None} | latest_target(events)
    for key in ("descriptors", "aim"):
        if recorded[key] is not None:
            recorded[key] = TargetDescriptors.model_validate(recorded[key]).model_dump(mode="json")
    if recorded_target(target) == recorded:
        return False
    if target.latent != recorded["latent"]:
        _require_one_version(campaign_id, events, target.latent)
        return True
    given = campaign.model_dump(mode="json", include=RETARGETS)
    if (
        Campaign.model_validate(configs[-1].body["config"]).model_dump(mode="json", include=RETARGETS)
        == given
    ):
        raise ConfigurationError(
            [
                "resume: the target's file has changed since the campaign began; put it back, or begin a new campaign"
            ]
        )
    if list(target.elements) != list(recorded["elements"]):
        raise ConfigurationError(
            [
                f"resume: the new target holds {', '.join(target.elements)}, the experiments so far were identified "
                f"among {', '.join(recorded['elements'])}; begin a new campaign"
            ]
        )
    return True


def _require_one_version(campaign_id: str, events: Sequence[LedgerEvent], version: str | None) -> None:
    """Refuse to go on under new weights until every sample has been placed under them."""
    measured = {e.body["number"] for e in events if e.kind == "experiment-identified"}
    anew = placed_anew(events)
    if measured and (not anew or any(place.version != version for place in anew.values())):
        raise ConfigurationError(
            [
                f"resume: the samples of {campaign_id} were placed in the latent space by other weights; first place "
                f"all under these: solvus latent reembed --campaign {campaign_id}"
            ]
        )


async def uid_of(ledger: Ledger, campaign_id: str) -> str:
    """What tells a campaign from one of the same id in another ledger."""
    started = next(e for e in await ledger.events(campaign_id) if e.kind == "campaign-started")
    written = {
        name: value for name, value in started.body.items() if name != "lessons"
    }  # as version 1 had it
    return str(started.body.get("uid") or sha256_text(canonical(written))[:32])


async def resume(
    ledger: Ledger,
    campaign_id: str,
    campaign: Campaign,
    computing: Mapping[str, str],
    retarget: Retarget | None = None,
) -> None:
    """Enter into the ledger that a campaign is taken up again, and with ``retarget`` what it aims at now."""
    config = campaign.model_dump(mode="json")
    async with ledger.step() as step:
        await step.append(
            campaign_id,
            "campaign-resumed",
            {"config": config, "environment": environment(computing), "lessons": True},
        )
        if retarget is not None:
            await _keep_pattern(step, retarget.target)
            await retarget.write(step, campaign_id, recorded_target(retarget.target))


async def resolve_target(campaign: Campaign, bench: Bench, workers: Workers) -> jobs.ResolvedTarget:
    """The target as goals, by the identification worker.

    Raises
    ------
    ConfigurationError
        When it cannot be aimed at.
    """
    calibration = bench.calibration(bench.measurement[0])
    known = {} if calibration is None else calibration.model_dump(exclude={"standard"})
    request = jobs.ResolveRequest(
        target=campaign.target,
        goals=campaign.goals,
        bounds=campaign.bounds,
        elements=campaign.identification.elements,
        r_range=campaign.identification.r_range,
        expansion=campaign.identification.expansion,
        conditions=Conditions(**known),
        rmax=TARGET_RMAX,
        latent=campaign.descriptors == "latent",
    )
    try:
        answer = _TARGET.validate_json(await workers.run("identify", jobs.resolve, request.model_dump_json()))
    except JobFailed as error:
        raise ConfigurationError([f"target: could not be worked out; {error}"]) from error
    if isinstance(answer, jobs.Refusal):
        raise ConfigurationError([answer.refused])
    return answer


class Session:
    """Runs one campaign; :meth:`stop` may be called at any time, also from a signal handler of the loop.

    Parameters
    ----------
    ledger : claimed for writing; its tables are made here, once it is certain that the campaign has a target. Its
        clock is the campaign's.
    take_up : go on with the interrupted campaign of this name.
    watch : called with a fresh snapshot after every turn of the loop.
    """

    def __init__(
        self,
        campaign: Campaign,
        bench: Bench,
        ledger: Ledger,
        *,
        take_up: bool = False,
        watch: Callable[[Snapshot], None] = lambda _: None,
    ) -> None:
        self.campaign = campaign
        self.bench = bench
        self._ledger = ledger
        self._take_up = take_up
        self._watch = watch
        self._loop: CampaignLoop | None = None
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()
        if self._loop is not None:
            self._loop.stop()

    async def run(self) -> Outcome:
        """Run the campaign to its end.

        Raises
        ------
        LedgerError, ConfigurationError, NothingToResume, BrokerUnreachable, LaboratoryTaken, DevicesMissing,
        DevicesHeld, LimitError
            When it cannot begin; one sentence each, and nothing half-written.
        StoppedEarly
            When it was stopped before it could.
        """
        workers = Workers()
        warming = asyncio.create_task(workers.run("plan", jobs.warm_up, ""))
        try:
            # Background and target first: a campaign that cannot do without them leaves no trace in the ledger.
            reductions = reductions_of(self.bench)
            target = await self._unless_stopped(resolve_target(self.campaign, self.bench, workers))
            await self._ledger.prepare()
            return await self._run(workers, target, reductions)
        finally:
            warming.cancel()
            workers.close()

    async def _unless_stopped(self, preparing: Coroutine[Any, Any, Prepared]) -> Prepared:
        """What a worker answers that may still be starting: nobody who stops a campaign wants to wait for that."""
        task, stopping = asyncio.create_task(preparing), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                raise StoppedEarly("stopped while the campaign was being prepared; the ledger is as it was")
            return task.result()
        finally:
            task.cancel()
            stopping.cancel()

    async def _run(
        self,
        workers: Workers,
        target: jobs.ResolvedTarget,
        reductions: Mapping[str, DeviceReduction],
    ) -> Outcome:
        ledger = self._ledger
        # Of the worker that has just resolved the target: both are set up alike, and the planner's is still importing.
        asked = workers.run("identify", jobs.computing, "")
        computing = _COMPUTING.validate_json(await self._unless_stopped(asked))
        if self._take_up:
            campaign_id = await interrupted(ledger, self.campaign)
            another = await check_ground(ledger, campaign_id, self.bench, self.campaign, target)
            retarget = await scored_anew(ledger, campaign_id, self.campaign, target) if another else None
            uid = await uid_of(ledger, campaign_id)
            enter = partial(resume, ledger, campaign_id, self.campaign, computing, retarget)
        else:
            campaign_id, uid = await new_id(ledger, self.campaign), unique_id()
            enter = partial(begin, ledger, campaign_id, self.campaign, self.bench, target, computing, uid)
        lessons = Lessons(target.pattern, self.campaign.identification.r_range)
        anew = await recorded(ledger, campaign_id) if self._take_up else {}
        places = Places.of(target.latent, target.planned, anew)
        ground = Ground(self.campaign, target.planned, lessons, places=places)
        earlier = await earlier_campaigns(ledger, campaign_id, ground)
        self._loop = CampaignLoop(
            campaign_id=campaign_id,
            campaign=self.campaign,
            bench=self.bench,
            target=target,
            reductions=reductions,
            ledger=ledger,
            workers=workers,
            clock=ledger.clock,
            enter=enter,
            watch=self._watch,
            holder=f"{campaign_id}.{uid}",
            earlier=earlier,
            lessons=lessons,
            places=places,
        )
        if self._stopping.is_set():
            self._loop.stop()
        state = await self._loop.run()
        return Outcome(campaign_id, state, ledger.head)
