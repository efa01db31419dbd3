"""``solvus run``: run a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

EXAMPLE = "Example: solvus run gold-decahedron --lab gold --seed 3"


def run(
    campaign: Annotated[str, typer.Argument(help="CAMPAIGN.yaml, or the name of a shipped campaign.")],
    lab: Annotated[
        str | None,
        typer.Option(help="LAB.yaml, or the name of a shipped laboratory; overrides the campaign's."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the planner; overrides the campaign's.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take up the interrupted campaign of this name.")
    ] = False,
    ledger: Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)] = None,
    log_json: Annotated[
        str | None,
        typer.Option(help="Add logs as JSON lines to this file; - is standard error.", show_default=False),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve Prometheus metrics at 127.0.0.1.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout, no live view.")
    ] = False,
) -> None:
    """Search for a target structure: order syntheses, identify what was made, plan the next, until it is found.

    Ctrl-C ends the campaign in good order; --resume takes it up again.

    Example: solvus run gold-decahedron --lab gold --seed 3
    """
    from solvus.agent.commandline.campaign_run import run_and_report

    run_and_report(
        campaign,
        lab=lab,
        seed=seed,
        resume=resume,
        ledger=ledger,
        as_json=as_json,
        log_to=log_json,
        metrics_port=metrics_port,
    )


def demo(
    seed: Annotated[int, typer.Option(min=0, help="Which simulated laboratory, and the planner's seed.")] = 1,
    ledger: Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout, no live view.")
    ] = False,
) -> None:
    """Run the demo campaign on a simulated laboratory: find a recipe for 3.5 nm decahedral gold.

    Starts a broker, a simulated robot and a simulated diffractometer on this machine; takes a few minutes.

    Example: solvus demo --seed 2
    """
    from solvus.agent.commandline.campaign_run import run_and_report

    run_and_report(
        "gold-decahedron", lab="gold", seed=seed, resume=False, ledger=ledger, as_json=as_json, demo=True
    )


def lab(
    laboratory: Annotated[str, typer.Argument(help="LAB.yaml, or the name of a shipped laboratory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the devices as JSON when they run.")] = False,
    workdir: Annotated[
        Path | None,
        typer.Option(help="Folder for journals and logs. [default: the laboratory's data folder]"),
    ] = None,
) -> None:
    """Run the devices of a laboratory, each in its own process, until Ctrl-C; with their broker unless external.

    Example: solvus lab gold
    """
    from solvus.agent.commandline.services import run_laboratory

    run_laboratory(laboratory, workdir=workdir, as_json=as_json)
