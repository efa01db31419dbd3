"""The body of ``solvus run`` and ``solvus demo``: read the files, run, show, report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.live import Live
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from solvus.agent.campaign import Campaign
from solvus.agent.campaign_loop import DevicesMissing
from solvus.agent.claims import DevicesHeld
from solvus.agent.commandline.console import err, fail, out, print_json
from solvus.agent.commandline.paths import configuration, default_ledger
from solvus.agent.commandline.running import BrokerDied, DeviceDied, run_campaign
from solvus.agent.ledger.engine import LedgerError, ledger_url, plain_url
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.limits import LimitError
from solvus.agent.live_view import lines, render
from solvus.agent.logs import log_json
from solvus.agent.metrics import HOST, Metrics, MetricsUnavailable
from solvus.agent.neighbours import LaboratoryTaken
from solvus.agent.report import report_from_ledger
from solvus.agent.session import NothingToResume, Outcome, StoppedEarly
from solvus.agent.side_jobs import CampaignBroken
from solvus.agent.snapshot import Snapshot
from solvus.agent.workers import JobFailed, WorkerLost
from solvus.drivers.broker import BrokerStartError
from solvus.drivers.broker_address import BrokerUnreachable
from solvus.drivers.laboratory import Laboratory, load_laboratory
from solvus.drivers.yaml_file import ConfigurationError, load_yaml

EXIT_OF = {"found": 0, "exhausted": 3, "stopped": 130}
"""0: found and confirmed; 3: ended without; 130: interrupted, as shells say it."""

EXPECTED = (
    ConfigurationError,
    LedgerError,
    NothingToResume,
    BrokerStartError,
    BrokerDied,
    BrokerUnreachable,
    LaboratoryTaken,
    DevicesMissing,
    DevicesHeld,
    MetricsUnavailable,
    DeviceDied,
    LimitError,
    WorkerLost,
    JobFailed,
    CampaignBroken,
)
"""What a user can put right; each says how in one sentence."""


def read_configuration(campaign: str, lab: str | None, seed: int | None) -> tuple[Campaign, Laboratory, str]:
    """Campaign (with the seed put in), laboratory, and the shipped name or path of the laboratory."""
    path = configuration(campaign, "campaigns")
    read = load_yaml(path, Campaign)
    base = path.resolve().parent
    target = read.target
    if target is not None:
        # A file named in a campaign is meant relative to the campaign's own folder.
        moved = {
            k: base / v for k, v in (("file", target.file), ("pattern", target.pattern)) if v is not None
        }
        read = read.model_copy(update={"target": target.model_copy(update=moved)})
    if seed is not None:
        read = read.model_copy(update={"seed": seed})
    named = lab or read.laboratory
    beside = base / named
    return read, load_laboratory(beside if beside.is_file() else configuration(named, "laboratories")), named


def with_world_seed(laboratory: Laboratory, seed: int) -> Laboratory:
    """The laboratory with another seed for its simulated world: another laboratory of the same kind."""
    devices = tuple(
        d.model_copy(update={"settings": d.settings | {"seed": seed}}) if "seed" in d.settings else d
        for d in laboratory.devices
    )
    return laboratory.model_copy(update={"devices": devices})


@contextmanager
def _watching(as_json: bool) -> Iterator[Callable[[Snapshot], None]]:
    """A live table on a terminal, a line per finished experiment elsewhere, nothing with --json."""
    if as_json:
        yield lambda _: None
    elif out.is_terminal:
        with Live(console=out, auto_refresh=False, transient=False) as live:
            yield lambda snapshot: live.update(render(snapshot), refresh=True)
    else:
        told: list[Snapshot | None] = [None]

        def tell(snapshot: Snapshot) -> None:
            for line in lines(told[0], snapshot):
                out.print(line, markup=False, highlight=False, soft_wrap=True)
            told[0] = snapshot.copy()

        yield tell


@contextmanager
def _measured(
    watch: Callable[[Snapshot], None], metrics: Metrics | None, as_json: bool
) -> Iterator[Callable[[Snapshot], None]]:
    """``watch``, with the same snapshots for Prometheus where that was asked for."""
    if metrics is None:
        yield watch
        return

    def both(snapshot: Snapshot) -> None:
        metrics.show(snapshot)
        watch(snapshot)

    if not as_json:
        err.print(f"Metrics at http://{HOST}:{metrics.port}/metrics", highlight=False)
    try:
        yield both
    finally:
        metrics.close()


def _log_to(target: str, as_json: bool) -> None:
    """JSON lines besides, or on standard error instead of, the lines for people."""
    plain = logging.getLogger().handlers
    for handler in plain:
        handler.setLevel(logging.WARNING)
    try:
        log_json(target)
    except OSError as error:
        fail(f"--log-json: {target} cannot be written ({error.strerror})", as_json)
    if target == "-":
        for handler in plain[:-1]:
            logging.getLogger().removeHandler(handler)


def run_and_report(
    campaign: str,
    *,
    lab: str | None,
    seed: int | None,
    resume: bool,
    ledger: str | None,
    as_json: bool,
    demo: bool = False,
    log_to: str | None = None,
    metrics_port: int | None = None,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    url = ledger or default_ledger()
    try:
        if log_to is not None:
            _log_to(log_to, as_json)
        metrics = None if metrics_port is None else Metrics(metrics_port)
        read, laboratory, _ = read_configuration(campaign, lab, seed)
        if demo and seed is not None:
            laboratory = with_world_seed(laboratory, seed)
        if not as_json:
            err.print(f"Starting {laboratory.name} and the agent ...", highlight=False)
        with _watching(as_json) as watch, _measured(watch, metrics, as_json) as measured:
            outcome = asyncio.run(run_campaign(read, laboratory, url, resume=resume, watch=measured))
        report = asyncio.run(_report(url, outcome))
    except StoppedEarly as early:
        if as_json:
            print_json({"campaign": None, "state": "stopped"})
        err.print(str(early), highlight=False)
        raise typer.Exit(EXIT_OF["stopped"]) from None
    except EXPECTED as error:
        fail(str(error), as_json)
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        fail(
            f"ledger: the database refused a step ({str(cause).splitlines()[0]}); the steps before it are whole: "
            "mend the database and go on with `solvus run ... --resume`",
            as_json,
        )
    _tell(outcome, plain_url(ledger_url(url)), report, as_json)
    raise typer.Exit(EXIT_OF[outcome.state])


async def _report(url: str, outcome: Outcome) -> Path:
    ledger = await Ledger.open(url, write=False)
    try:
        return await report_from_ledger(ledger, outcome.campaign)
    finally:
        await ledger.close()


def _tell(outcome: Outcome, url: str, report: Path, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {
            "campaign": outcome.campaign,
            "state": outcome.state,
            "report": str(report),
            "ledger": url,
            "events": outcome.head[0],
            "head": outcome.head[1],
        }
        print_json(document)
        return
    words = {
        "found": "[green]The target was found and confirmed.[/green]",
        "exhausted": "[yellow]The campaign has come to its end; no target was found and confirmed.[/yellow]",
        "stopped": "[yellow]Stopped.[/yellow] `solvus run ... --resume` goes on from here.",
    }
    out.print(words[outcome.state])
    for name, value in (
        ("Report", str(report)),
        ("Ledger", f"{url} ({outcome.head[0]} events)"),
        ("Head", outcome.head[1]),
    ):
        out.print(f"{name + ':':8} {value}", highlight=False, soft_wrap=True)
