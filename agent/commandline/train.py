"""``solvus train``: the learned parts made anew, from the library alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from solvus.agent.commandline.console import err, fail, out, print_json
from solvus.agent.commandline.library_build import AsJson, interrupted, progress_bar

train_app = typer.Typer(no_args_is_help=True, help="Train the learned parts anew, from the library alone.")


@train_app.command("recognition")
def recognition(
    config: Annotated[
        Path | None, typer.Option(help="A YAML file; without one, the recipe of the shipped weights.")
    ] = None,
    work: Annotated[
        Path,
        typer.Option(
            help="Where banks, checkpoints and weights are kept; an interrupted run goes on from here."
        ),
    ] = Path("solvus-training"),
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes that simulate.")] = 2,
    dask: Annotated[
        str | None, typer.Option(help="Simulate on a Dask cluster: the scheduler's address, tcp://HOST:PORT.")
    ] = None,
    device: Annotated[str, typer.Option(help="Of torch, such as cuda.")] = "cpu",
    install: Annotated[
        bool, typer.Option("--install", help="Put the weights in the place of the shipped ones.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train the recogniser: about two hours on two cores. Interrupt it as you like; the same command goes on.

    Example: solvus train recognition --work training --processes 2
    """
    import shutil

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from solvus.models.recognition import weights
    from solvus.models.recognition.training.loop import Progress as Steps
    from solvus.models.recognition.training.recipe import read_recipe
    from solvus.models.recognition.training.train import Watch, train

    def items(what: str, rows: Iterable[Any], total: int) -> Iterable[Any]:
        return progress_bar(f"patterns: {what}")(rows, total)

    columns = (TextColumn("steps"), BarColumn(), TextColumn("{task.fields[losses]}"), TimeRemainingColumn())
    try:
        recipe = read_recipe(config)
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("steps", total=recipe.steps, losses="")

            def step(progress: Steps) -> None:
                last = progress.history[-1] if progress.history else {}
                losses = " ".join(f"{k} {v:.2f}" for k, v in last.items() if k != "step")
                bar.update(task, completed=progress.step, losses=losses)

            path = train(
                work, recipe, processes=processes, dask=dask, device=device, watch=Watch(items, step)
            )
    except ValueError as error:
        fail(str(error), as_json)
    except KeyboardInterrupt:
        interrupted(f"what was done is kept in {work}; the same command goes on from there")
    if install:
        for suffix in (".safetensors", ".json"):
            shutil.copyfile(path.with_suffix(suffix), weights.TENSORS.with_suffix(suffix))
    size = sum(path.with_suffix(s).stat().st_size for s in (".safetensors", ".json"))
    if as_json:
        print_json({"weights": str(path), "bytes": size, "recipe": recipe.sha256, "installed": install})
        return
    out.print(f"{path}: {size / 1e6:.1f} MB{', installed' if install else ''}", markup=False, highlight=False)


@train_app.command("autoencoder")
def autoencoder(
    config: Annotated[
        Path | None, typer.Option(help="A YAML file; without one, the recipe of the shipped weights.")
    ] = None,
    work: Annotated[
        Path,
        typer.Option(
            help="Where particles, checkpoints and weights are kept; an interrupted run goes on from here."
        ),
    ] = Path("solvus-training"),
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes that make the particles.")] = 2,
    dask: Annotated[
        str | None,
        typer.Option(help="Make them on a Dask cluster: the scheduler's address, tcp://HOST:PORT."),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Put the weights in the place of the shipped ones.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train the autoencoder: about an hour on two cores. Interrupt it as you like; the same command goes on.

    Example: solvus train autoencoder --work training --install
    """
    import shutil

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from solvus.models.latent import weights
    from solvus.models.latent.training.recipe import read_recipe
    from solvus.models.latent.training.train import Watch, train
    from solvus.models.recognition.training.loop import Progress as Steps

    def items(what: str, rows: Iterable[Any], total: int) -> Iterable[Any]:
        return progress_bar(f"particles: {what}")(rows, total)

    columns = (TextColumn("steps"), BarColumn(), TextColumn("{task.fields[losses]}"), TimeRemainingColumn())
    try:
        recipe = read_recipe(config)
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("steps", total=recipe.steps, losses="")

            def step(progress: Steps) -> None:
                last = progress.history[-1] if progress.history else {}
                shown = ("packing", "height", "radius", "agreement")
                losses = " ".join(f"{k} {last[k]:.2f}" for k in shown if k in last)
                bar.update(task, completed=progress.step, losses=losses)

            path = train(work, recipe, processes=processes, dask=dask, watch=Watch(items, step))
    except ValueError as error:
        fail(str(error), as_json)
    except KeyboardInterrupt:
        interrupted(f"what was done is kept in {work}; the same command goes on from there")
    if install:
        for suffix in (".safetensors", ".json"):
            shutil.copyfile(path.with_suffix(suffix), weights.TENSORS.with_suffix(suffix))
    size = sum(path.with_suffix(s).stat().st_size for s in (".safetensors", ".json"))
    if as_json:
        print_json({"weights": str(path), "bytes": size, "recipe": recipe.sha256, "installed": install})
        return
    out.print(f"{path}: {size / 1e6:.1f} MB{', installed' if install else ''}", markup=False, highlight=False)
