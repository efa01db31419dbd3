"""The command line: every verb in one place, each importing its heavy parts only when it runs."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from solvus import __version__
from solvus.agent.commandline.audit import audit_app
from solvus.agent.commandline.bench import bench_app
from solvus.agent.commandline.broker import broker_app
from solvus.agent.commandline.controls import approve, edit, pause, reject, release, resolve, resume, stop
from solvus.agent.commandline.doctor import doctor
from solvus.agent.commandline.drivers import drivers_app
from solvus.agent.commandline.evaluate import evaluate_app
from solvus.agent.commandline.identify import identify
from solvus.agent.commandline.identify_series import identify_series
from solvus.agent.commandline.latent import latent_app
from solvus.agent.commandline.library import library_app
from solvus.agent.commandline.plan import plan
from solvus.agent.commandline.reduce import calibrate, reduce
from solvus.agent.commandline.refine import refine
from solvus.agent.commandline.report import report
from solvus.agent.commandline.run import demo, lab, run
from solvus.agent.commandline.simulate import simulate
from solvus.agent.commandline.status import status
from solvus.agent.commandline.train import train_app

app = typer.Typer(
    name="solvus",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_show_locals=False,
    help="From a measured scattering pattern to the next synthesis. `solvus demo` shows it all.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"solvus {__version__}")
        raise typer.Exit


@app.callback()
def solvus(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From a measured scattering pattern to the next synthesis."""


for verb in (
    demo,
    run,
    plan,
    lab,
    identify,
    identify_series,
    refine,
    simulate,
    reduce,
    calibrate,
    status,
    report,
    approve,
    edit,
    reject,
    resolve,
    pause,
    resume,
    stop,
    release,
    doctor,
):
    app.command()(verb)
app.add_typer(audit_app, name="audit")
app.add_typer(broker_app, name="broker")
app.add_typer(drivers_app, name="drivers")
app.add_typer(library_app, name="library")
app.add_typer(latent_app, name="latent")
app.add_typer(bench_app, name="bench")
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")


def main() -> None:
    """Entry point of ``solvus``. Every process computes on one thread, unless the user has set another number.

    What Solvus computes are many small products: threads that wait for one another cost two to four times the processor
    time, and the last digits of a sum depend on their number.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before a command loads numpy or torch, which read it then
    app()
