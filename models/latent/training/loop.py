"""Training itself: steps of AdamW on drawn batches, with checkpoints from which a run goes on as if never stopped."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from solvus.models.latent.network import Autoencoder, Shape
from solvus.models.latent.training.bank import Particles
from solvus.models.latent.training.losses import losses
from solvus.models.latent.training.recipe import Recipe
from solvus.models.latent.training.stream import Batch, Stream
from solvus.models.recognition.training.loop import Progress, rate
from solvus.models.recognition.weights import shipped
from solvus.models.structures.build import begin_worker

AHEAD = 4
CHECKPOINT_EVERY = 250
REPORT_EVERY = 50
DECAY = 0.02
LARGEST_GRADIENT = 1.0
BETAS = (0.9, 0.98)


def shape_of(recipe: Recipe, features: int) -> Shape:
    """Of the networks that a recipe trains."""
    return Shape(
        recipe.dimensions,
        recipe.components,
        recipe.width,
        recipe.prior_width,
        recipe.blocks,
        recipe.prior_blocks,
        features,
    )


class Run:
    """A training run in a folder; taken up again where its last checkpoint left it."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe
        torch.manual_seed(recipe.seed)
        self.model = Autoencoder(shape_of(recipe, shipped().encoder.shape.width))
        self._optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.learning_rate, betas=BETAS, weight_decay=DECAY
        )
        self.progress = Progress()
        self._resume()

    def steps(self, bank: Path) -> Iterator[Progress]:
        """Train to the end, yielding after each step. A checkpoint is kept now and then, and when the caller stops."""
        recent: deque[dict[str, float]] = deque(maxlen=REPORT_EVERY)
        try:
            with _batches(bank, self.recipe, self.progress.step) as batches:
                for batch in batches:
                    recent.append(self._step(batch))
                    self.progress.step += 1
                    if self.progress.step % REPORT_EVERY == 0:
                        self.progress.history.append(
                            {"step": float(self.progress.step)}
                            | {k: sum(r[k] for r in recent) / len(recent) for k in recent[0]}
                        )
                    if self.progress.step % CHECKPOINT_EVERY == 0:
                        self.keep()
                    yield self.progress
        finally:
            self.keep()

    def _step(self, batch: Batch) -> dict[str, float]:
        for group in self._optimiser.param_groups:
            group["lr"] = rate(self.progress.step, self.recipe)
        # Of the step alone, so that a run taken up again draws what it would have drawn.
        generator = torch.Generator().manual_seed(self.recipe.seed + 7919 * self.progress.step)
        parts = losses(self.model, batch, self.recipe, generator)
        self._optimiser.zero_grad(set_to_none=True)
        parts["total"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        self._optimiser.step()
        return {name: float(value.detach()) for name, value in parts.items()}

    def keep(self) -> None:
        """Write a checkpoint, whole or not at all."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for k, parameter in enumerate(self.model.parameters()):
            for name, value in self._optimiser.state.get(parameter, {}).items():
                tensors[f"adam.{k}.{name}"] = value
        state = {"recipe": self.recipe.sha256, "step": self.progress.step, "history": self.progress.history}
        part = self.folder / "checkpoint.part"
        save_file(
            {k: v.contiguous() for k, v in tensors.items()}, part, metadata={"state": json.dumps(state)}
        )
        part.replace(self.folder / "checkpoint.safetensors")

    def _resume(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return
        with safe_open(path, framework="pt") as held:
            state = json.loads((held.metadata() or {}).get("state", "{}"))
        if state.get("recipe") != self.recipe.sha256:
            return
        tensors = load_file(path)
        own = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        self.model.load_state_dict(own)
        for k, parameter in enumerate(self.model.parameters()):
            prefix = f"adam.{k}."
            kept = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
            if kept:
                self._optimiser.state[parameter] = kept
        self.progress = Progress(state["step"], state["history"])


@contextmanager
def _batches(bank: Path, recipe: Recipe, first: int) -> Iterator[Iterator[Batch]]:
    """Batches in order, drawn ahead in another process."""
    pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (bank, recipe))

    def drawn() -> Iterator[Batch]:
        waiting: deque[Future[Batch]] = deque()
        for number in range(first, recipe.steps + AHEAD):
            if number < recipe.steps:
                waiting.append(pool.submit(_draw, number))
            if waiting and (len(waiting) > AHEAD or number >= recipe.steps):
                yield waiting.popleft().result()

    try:
        yield drawn()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_STREAM: list[Stream] = []


def _begin(bank: Path, recipe: Recipe) -> None:
    begin_worker()
    _STREAM.append(Stream(Particles.load(bank), recipe, shipped().encoder))


def _draw(number: int) -> Batch:
    return _STREAM[0].batch(number)
