"""Whether a laboratory and its ledger are able to do their job: each check does the thing itself and says what to do.

Healthy means able, not merely there: the broker carries a message there and back, the database takes a row, a worker
process identifies a pattern.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from solvus.agent import jobs
from solvus.agent.campaign import Target
from solvus.agent.ledger.engine import LedgerError, as_ledger_error, ledger_url, make_engine
from solvus.agent.workers import JobFailed, WorkerLost, Workers
from solvus.drivers.broker_address import BrokerAddress, BrokerUnreachable
from solvus.drivers.connection import Connection, Inbound, NotDelivered
from solvus.drivers.laboratory import Laboratory, LaboratoryDevice
from solvus.drivers.limits import narrowed
from solvus.drivers.messages import AgentStatus, State, new_id
from solvus.drivers.registry import load
from solvus.drivers.topics import all_status_topics, parse, status_topic
from solvus.models.identification import Identification
from solvus.models.pattern import Conditions

LEAST_DISK = 1e9
"""Bytes: a night of patterns and journals stays well under it."""
SKEW = timedelta(seconds=30)
"""Difference of clocks that is worth mending: orders expire by the device's clock."""
LISTEN = 7.0
"""Seconds to hear a heartbeat, which comes every 5."""
SLOW = 1.0
"""Seconds of a round trip after which a broker is called slow."""
TRIAL_METAL, TRIAL_SHAPE = "Au", "icosahedron-147"
TRIAL = f"{TRIAL_METAL} {TRIAL_SHAPE}"
BUILT = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right shows a time before this."""


@dataclass(frozen=True)
class Check:
    """One finding. ``ok`` is ``None`` for what could not be looked at; ``fix`` says what to do unless it is well."""

    name: str
    ok: bool | None
    words: str
    fix: str = ""


async def timed(name: str, work: Awaitable[Check], limit: float) -> Check:
    """A check that takes too long has failed."""
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        return Check(
            name, False, f"gave no answer within {limit:g} s", "see whether the machine is overloaded"
        )


# --- database and disk ---


async def check_database(url: str) -> Check:
    """Write a row into the ledger's database and take it back."""
    name = "database"
    try:
        address = ledger_url(url)
        file = address.database if address.get_backend_name() == "sqlite" else None
        if file is not None and not Path(file).is_file():
            return await _try_folder(Path(file))
        engine = make_engine(address, write=True)
    except LedgerError as error:
        return Check(name, False, str(error), "correct --ledger or SOLVUS_LEDGER")
    began = time.monotonic()
    try:
        async with engine.connect() as connection:
            what = await _write_and_take_back(connection)
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        words = str(as_ledger_error(address, error)) if cause is error else str(cause).splitlines()[0]
        return Check(
            name, False, words, "give this login the right to write, free the database, or correct --ledger"
        )
    finally:
        await engine.dispose()
    return Check(name, True, f"{what} in {1e3 * (time.monotonic() - began):.0f} ms")


async def _write_and_take_back(connection: AsyncConnection) -> str:
    known = await connection.run_sync(lambda c: inspect(c).has_table("ledger_event"))
    table = f"solvus_doctor_{new_id()[:8]}"
    await connection.execute(text(f"CREATE TABLE {table} (x INTEGER)"))
    await connection.execute(text(f"INSERT INTO {table} VALUES (1)"))  # noqa: S608 -- a name of our own
    await connection.rollback()
    return "takes a row" if known else "takes a row; it holds no ledger yet, the first campaign makes it"


async def _try_folder(file: Path) -> Check:
    """A ledger that is still to be made: its folder must take a file."""
    folder = file.parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"solvus")
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        why = error.strerror or str(error)
        return Check("database", False, f"{folder} takes no file ({why})", "choose another --ledger")
    return Check(
        "database", True, f"none at {file} yet, and its folder can be written; the first campaign makes it"
    )


def check_disk(folders: Iterable[Path]) -> Check:
    """Room where ledger, journals and patterns go."""
    least, where = min(((shutil.disk_usage(f).free, f) for f in map(_existing, folders)), key=lambda x: x[0])
    words = f"{least / 1e9:.1f} GB free at {where}"
    if least < LEAST_DISK:
        return Check("disk", False, words, f"make room: at least {LEAST_DISK / 1e9:g} GB for a night")
    return Check("disk", True, words)


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder


# --- broker, devices, clock ---


@dataclass
class Heard:
    """What was heard of a laboratory in a few seconds."""

    round_trip: float | None = None
    states: dict[str, State] = None  # type: ignore[assignment]
    retained: dict[str, State] = None  # type: ignore[assignment]
    skews: dict[str, timedelta] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.states, self.retained, self.skews = {}, {}, {}


async def listen(
    address: BrokerAddress, lab: str, devices: frozenset[str], patience: float = LISTEN
) -> Heard:
    """Send a message to ourselves and listen for the devices' heartbeats.

    Raises
    ------
    BrokerUnreachable, NotDelivered
        One sentence each.
    """
    heard, ours = Heard(), new_id()
    back, changed = asyncio.Event(), asyncio.Event()

    async def hear(message: Inbound) -> None:
        if ours.encode() in message.payload:
            back.set()
        topic = parse(message.topic)
        if topic is None or topic.channel != "state":
            return
        with suppress(ValidationError):
            state = State.model_validate_json(message.payload)
            if message.retain:
                heard.retained[topic.device] = state
            else:
                heard.states[topic.device] = state
                heard.skews[topic.device] = abs(datetime.now(UTC) - state.sent_at)
            changed.set()

    topics = (f"solvus/v1/{lab}/+/state", all_status_topics(lab))
    connection = Connection(address, f"solvus-doctor-{ours[:8]}", subscriptions=topics, handler=hear)
    await connection.connect_or_fail()
    try:
        note = AgentStatus(
            message_id=ours, boot_id=ours, campaign="doctor", state="stopped", detail="a check"
        )
        began = time.monotonic()
        await connection.publish(status_topic(lab, "doctor"), note.model_dump_json(by_alias=True).encode())
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await back.wait()
                heard.round_trip = time.monotonic() - began
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not devices <= heard.states.keys():
                    changed.clear()
                    await changed.wait()
    finally:
        await connection.stop()
    return heard


def check_broker(heard: Heard, address: BrokerAddress) -> Check:
    if heard.round_trip is None:
        return Check(
            "broker",
            False,
            f"{address} took a message and did not bring it back",
            "let this login read and write solvus/v1/LAB/agent/+/status (docs/security.md)",
        )
    words = f"{address} brings a message back in {1e3 * heard.round_trip:.0f} ms"
    if heard.round_trip > SLOW:
        return Check("broker", False, words, "it is overloaded or far away; orders and results will be late")
    return Check("broker", True, words)


def check_devices(heard: Heard, devices: Iterable[str]) -> list[Check]:
    return [_check_device(device, heard) for device in devices]


def _check_device(device: str, heard: Heard) -> Check:
    name, state = f"device {device}", heard.states.get(device)
    if state is None:
        last = heard.retained.get(device)
        said = "was never heard at this broker" if last is None else f"is silent, and was last {last.state}"
        return Check(name, False, said, "start it with `solvus lab LAB.yaml` or beside its instrument")
    if state.halted != "no":
        return Check(name, False, state.detail, "see that all is well, then `solvus release LAB.yaml`")
    if state.state not in ("ready", "busy"):
        return Check(
            name, False, f"{state.state}: {state.detail or 'it does not say why'}", "see the device's log"
        )
    held = f", held by campaign {state.held_by.partition('.')[0]}" if state.held_by else ""
    return Check(name, True, f"{state.state}{held}")


def check_clock(skews: dict[str, timedelta]) -> Check:
    """Our clock against sense, and against those of the devices that were heard."""
    if datetime.now(UTC) < BUILT:
        return Check("clock", False, f"shows {datetime.now(UTC):%Y-%m-%d}", "set this machine's clock")
    if not skews:
        return Check(
            "clock", True, f"shows {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; no device to compare it with"
        )
    worst = max(skews, key=lambda device: skews[device])
    words = f"within {skews[worst].total_seconds():.1f} s of {len(skews)} devices"
    if skews[worst] > SKEW:
        return Check(
            "clock",
            False,
            f"{worst}'s clock is {skews[worst].total_seconds():.0f} s off this machine's",
            "run NTP on both: a device refuses orders that its clock calls expired",
        )
    return Check("clock", True, words)


def check_driver(device: LaboratoryDevice) -> Check:
    """Whether a device that is started here can be: driver, settings and limits."""
    name = f"driver of {device.id}"
    try:
        driver_class = load(device.driver)
        settings = driver_class.Settings.model_validate(device.driver_settings())
        narrowed(
            driver_class(settings).capabilities(),
            device.safety(),
            simulated=driver_class.simulated,
            driver=driver_class.name,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return Check(name, False, f"settings.{where}: {first['msg']}", "correct the laboratory file")
    except ValueError as error:
        return Check(name, False, str(error), "correct the laboratory file, or install the driver")
    return Check(name, True, f"{driver_class.name} {driver_class.version}, settings and limits fit")


# --- models ---


async def check_models(identify: Callable[[Workers], Awaitable[Identification]] | None = None) -> list[Check]:
    """Start the worker processes, have one identify a simulated pattern and the other load the planner."""
    workers = Workers()
    began = time.monotonic()
    try:
        found = await (identify or _identify_a_trial)(workers)
        took = f"{time.monotonic() - began:.1f} s"
        identified = (
            Check("models", True, f"identified {TRIAL} from its simulated pattern in {took}")
            if _is_the_trial(found)
            else Check(
                "models", False, f"took a simulated {TRIAL} for {_named(found)}", "install Solvus again"
            )
        )
        network = Check("network", True, await workers.run("identify", load_network, ""))
        await workers.run("plan", jobs.warm_up, "")
        planner = Check("planner", True, "loaded in its worker process")
    except (JobFailed, WorkerLost) as error:
        broken = Check("models", False, str(error), "install Solvus again, and see whether memory suffices")
        return [broken, Check("network", None, "not looked at"), Check("planner", None, "not looked at")]
    finally:
        workers.close()
    return [identified, network, planner]


def _is_the_trial(found: Identification) -> bool:
    """Shape and metal: a candidate names its geometry, and apart from it the metals that fit."""
    best = next(iter(found.candidates), None)
    return best is not None and best.structure == TRIAL_SHAPE and best.elements == (TRIAL_METAL,)


def _named(found: Identification) -> str:
    """The best candidate with its metals, or the verdict where there is none."""
    best = next(iter(found.candidates), None)
    return found.verdict if best is None else f"{'/'.join(best.elements)} {best.structure}".strip()


def load_network(_: str) -> str:
    """Load the learned recogniser with its catalogue; runs in a worker. Says which it is."""
    from solvus.models.recognition.recogniser import Recogniser
    from solvus.models.recognition.weights import shipped

    Recogniser.load()
    return f"{shipped().version} loaded"


async def _identify_a_trial(workers: Workers) -> Identification:
    conditions = Conditions(qmin=0.8, qmax=20.0, qdamp=0.03)
    wanted = jobs.ResolveRequest(
        target=Target(structure=TRIAL),
        elements=(TRIAL_METAL,),
        r_range=(1.6, 20.0),
        conditions=conditions,
        rmax=60.0,
    )
    resolved = await workers.run("identify", jobs.resolve, wanted.model_dump_json())
    pattern = jobs.ResolvedTarget.model_validate_json(resolved).pattern
    request = jobs.IdentifyRequest(pattern=pattern, elements=(TRIAL_METAL,), r_range=(1.6, 20.0), qdamp=0.03)
    return Identification.model_validate_json(
        await workers.run("identify", jobs.identify, request.model_dump_json())
    )


async def examine(
    laboratory: Laboratory, address: BrokerAddress | None, why_no_address: str, url: str
) -> list[Check]:
    """All checks of a laboratory and a ledger.

    Parameters
    ----------
    address : of the broker; ``None`` where it is started with the agent and does not run now.
    why_no_address : what to say then.
    """
    file = ledger_url(url).database if url.startswith("sqlite") else None
    folders = [laboratory.data_directory, *([Path(file).parent] if file else [])]
    found = [await timed("database", check_database(url), 20.0), check_disk(folders)]
    devices = [device.id for device in laboratory.devices]
    found += [check_driver(device) for device in laboratory.devices if device.launch and address is None]
    if address is None:
        found += [Check("broker", None, why_no_address), check_clock({})]
    else:
        try:
            heard = await listen(address, laboratory.name, frozenset(devices))
        except (BrokerUnreachable, NotDelivered) as error:
            found += [Check("broker", False, str(error), "start the broker, or correct the laboratory file")]
            found += [Check("devices", None, "not looked at, without a broker"), check_clock({})]
        else:
            found += [check_broker(heard, address), *check_devices(heard, devices), check_clock(heard.skews)]
    return [*found, *await check_models()]
