"""A whole training run: bank, steps, places of the library, calibration, weights. Each is kept, not made twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import nn

from solvus.models.recognition import weights as files
from solvus.models.recognition.calibration import Calibration
from solvus.models.recognition.encoder import Encoder
from solvus.models.recognition.geometry_curves import GEOMETRY_REACH, geometry_rows
from solvus.models.recognition.labels import Labels
from solvus.models.recognition.references import Places, places, places_of
from solvus.models.recognition.signatures import Radiation, shipped
from solvus.models.recognition.training.bank import Bank
from solvus.models.recognition.training.calibrate import calibrated
from solvus.models.recognition.training.loop import Progress, Run
from solvus.models.recognition.training.loss_picture import draw_losses
from solvus.models.recognition.training.recipe import Recipe
from solvus.models.recognition.training.stock import stocked
from solvus.models.recognition.training.workers import mapping
from solvus.models.recognition.weights import FORMAT, Metadata, Weights
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.library import Library

PACKAGES = ("torch", "numpy", "scipy", "safetensors")
REFERENCE_U, REFERENCE_DELTA2 = 0.003, 1.0
"""angstrom^2, of the geometries whose places are taken."""


@dataclass(frozen=True)
class Watch:
    """What is told while a run goes on: ``items`` wraps what the bank is made of; ``step`` hears of every step."""

    items: Callable[[str, Iterable[Any], int], Iterable[Any]] = lambda what, rows, total: rows
    step: Callable[[Progress], None] = lambda progress: None


def train(
    folder: Path,
    recipe: Recipe,
    *,
    processes: int = 2,
    dask: str | None = None,
    device: str = "cpu",
    watch: Watch | None = None,
) -> Path:
    """Train, or go on where an interrupted run stopped; returns the file of tensors, with its description beside it.

    Parameters
    ----------
    folder : of all runs; each recipe has its own within.
    processes : that simulate; one of them draws batches while steps are made.
    dask : address of a scheduler that simulates instead.
    device : of torch.

    Raises
    ------
    ClusterError
        When the cluster cannot be used.
    """
    watch = watch or Watch()
    torch.set_num_threads(1)
    catalogue, library = Catalogue.load(own_too=False), Library.load("all")
    labels = Labels.of(catalogue, library)
    with mapping(processes, dask) as mapped:
        bank = stocked(folder, recipe, catalogue, library, mapped, watch.items)
        unseen = stocked(
            folder, recipe.of_calibration, catalogue, library, mapped, watch.items, other="threshold"
        )
    own = folder / f"run-{recipe.sha256[:12]}"
    own.mkdir(parents=True, exist_ok=True)
    run = Run(own, recipe, labels, device)
    for progress in run.steps(bank):
        watch.step(progress)
        if progress.history and progress.step == int(progress.history[-1]["step"]):
            draw_losses(progress.history, own / "loss.png")
    return _finished(own, run, Bank.load(unseen), catalogue, library, watch)


def _finished(
    own: Path, run: Run, unseen: Bank, catalogue: Catalogue, library: Library, watch: Watch
) -> Path:
    """Places, calibration and files of a run that has made all its steps."""
    labels, encoder = run.labels, run.encoder.cpu().eval()
    rounded_to_half(encoder)
    references = {r: _references(encoder, labels, library, r) for r in ("xray", "neutron")}
    tensors = files.encoded(encoder, references)
    shape = encoder.shape
    plain = Metadata(
        format=FORMAT,
        catalogue=catalogue.version,
        library=library.version,
        kinds=labels.kinds,
        groups=labels.groups,
        shape=vars(shape),
        recipe=run.recipe.model_dump(mode="json"),
        metrics=run.progress.history[-1] if run.progress.history else {},
        calibration=Calibration(),
        packages={name: version(name) for name in PACKAGES},
        tensors=hashlib.sha256(tensors).hexdigest(),
    )
    kept = files.references_in(load(tensors))
    fixed, metrics = calibrated(Weights(encoder, kept, labels, plain), unseen, run.recipe, watch.items)
    metadata = plain.model_copy(update={"calibration": fixed, "metrics": plain.metrics | metrics})
    path = own / files.TENSORS.name
    files.write(tensors, metadata, path)
    return path


def rounded_to_half(encoder: nn.Module) -> None:
    """To the precision that the weights are shipped in, so that what is calibrated is what is used."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(parameter.half().float())


def _references(encoder: Encoder, labels: Labels, library: Library, radiation: Radiation) -> Places:
    """Places of the catalogue's records, then of the geometries, in the order of the labels."""
    signatures = shipped(radiation)
    of_records = places_of(encoder, signatures, radiation)
    rows = geometry_rows(library, REFERENCE_U, REFERENCE_DELTA2)
    of_geometries = places(encoder, rows, GEOMETRY_REACH, np.zeros(len(rows), dtype=bool), radiation)
    names = [*signatures.names, *(entry.name for entry in library.entries)]
    directions = dict(zip(names, [*of_records.directions, *of_geometries.directions], strict=True))
    spacing = dict(zip(signatures.names, of_records.spacing, strict=True))
    # What the radiation has no data for lies nowhere.
    nowhere = np.zeros(encoder.shape.dimension, dtype=np.float32)
    return Places(
        np.stack([directions.get(name, nowhere) for name in labels.entries]),
        np.array([spacing.get(name, np.nan) for name in labels.entries], dtype=np.float32),
    )
