"""A whole training run: particles, steps, calibration, weights. Each is kept, not made twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from solvus.models.latent import weights as files
from solvus.models.latent.training.bank import Particles, particles
from solvus.models.latent.training.calibrate import calibrated, outline_of
from solvus.models.latent.training.loop import Run
from solvus.models.latent.training.loss_picture import draw_losses
from solvus.models.latent.training.recipe import Recipe
from solvus.models.latent.training.stream import Stream
from solvus.models.latent.weights import FORMAT, Metadata
from solvus.models.recognition.training.loop import Progress
from solvus.models.recognition.training.train import PACKAGES
from solvus.models.recognition.training.workers import mapping
from solvus.models.recognition.weights import shipped

HELD_OUT_SEED = 1
"""After that of the training."""


@dataclass(frozen=True)
class Watch:
    """What is told while a run goes on: ``items`` wraps what the bank is made of; ``step`` hears of every step."""

    items: Callable[[str, Iterable[Any], int], Iterable[Any]] = lambda what, rows, total: rows
    step: Callable[[Progress], None] = lambda progress: None


def train(
    folder: Path, recipe: Recipe, *, processes: int = 2, dask: str | None = None, watch: Watch | None = None
) -> Path:
    """Train, or go on where an interrupted run stopped; returns the file of tensors, with its description beside it.

    Parameters
    ----------
    folder : of all runs; each recipe has its own within.
    processes : that make the particles; one draws batches while steps are made.
    dask : address of a scheduler that makes the particles instead.

    Raises
    ------
    ClusterError
        When the cluster cannot be used.
    """
    watch = watch or Watch()
    torch.set_num_threads(1)
    # Products of matrices in bfloat16 where the processor has them: half the time, and only training uses it.
    torch.set_float32_matmul_precision("medium")
    bank = folder / f"particles-{recipe.of_bank[:12]}"
    bank.mkdir(parents=True, exist_ok=True)
    with mapping(processes, dask) as mapped:
        for name, count, seed in (
            ("held-out", recipe.held_out, recipe.seed + HELD_OUT_SEED),
            ("training", recipe.particles, recipe.seed),
        ):
            if not (bank / f"{name}.npz").is_file():

                def items(rows: Iterable[Any], total: int, what: str = name) -> Iterable[Any]:
                    return watch.items(what, rows, total)

                particles(count, seed, mapped, items).save(bank / f"{name}.npz")
    own = folder / f"run-{recipe.sha256[:12]}"
    own.mkdir(parents=True, exist_ok=True)
    run = Run(own, recipe)
    for progress in run.steps(bank / "training.npz"):
        watch.step(progress)
        if progress.history and progress.step == int(progress.history[-1]["step"]):
            draw_losses(progress.history, own / "loss.png")
    torch.set_float32_matmul_precision("highest")
    return _finished(own, run, bank / "held-out.npz")


def _finished(own: Path, run: Run, held_out: Path) -> Path:
    """Calibration and files of a run that has made all its steps."""
    model = run.model.eval()
    files.round_to_half(model)
    unseen = Particles.load(held_out)
    widening, metrics = calibrated(model, Stream(unseen, run.recipe, shipped().encoder), run.recipe)
    tensors = files.encoded(model, outline_of(model, unseen))
    last = run.progress.history[-1] if run.progress.history else {}
    metadata = Metadata(
        format=FORMAT,
        recogniser=shipped().version,
        shape=vars(model.shape),
        recipe=run.recipe.model_dump(mode="json"),
        metrics=last | metrics,
        widening=widening,
        packages={name: version(name) for name in PACKAGES},
        tensors=hashlib.sha256(tensors).hexdigest(),
    )
    path = own / files.TENSORS.name
    files.write(tensors, metadata, path)
    return path
