"""Training itself: steps of AdamW on drawn batches, with checkpoints from which a run goes on as if never stopped."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from solvus.models.recognition.encoder import Encoder, Shape
from solvus.models.recognition.labels import Labels
from solvus.models.recognition.training.bank import Bank
from solvus.models.recognition.training.losses import Target, losses, total
from solvus.models.recognition.training.recipe import Recipe
from solvus.models.recognition.training.stream import Batch, Stream
from solvus.models.structures.build import begin_worker

AHEAD = 4
"""Batches drawn before they are needed."""
CHECKPOINT_EVERY = 250
REPORT_EVERY = 50
DECAY = 0.02
LARGEST_GRADIENT = 1.0
BETAS = (0.9, 0.98)


@dataclass
class Progress:
    """Where a run stands: step, and for each report the step and the mean losses since the one before."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


class Run:
    """A training run in a folder; taken up again where its last checkpoint left it."""

    def __init__(self, folder: Path, recipe: Recipe, labels: Labels, device: str = "cpu") -> None:
        self.folder, self.recipe, self.labels = folder, recipe, labels
        self.device = torch.device(device)
        torch.manual_seed(recipe.seed)
        shape = Shape(recipe.width, recipe.blocks, recipe.dimension, len(labels.kinds), len(labels.groups))
        self.encoder = Encoder(shape).to(self.device)
        places = torch.nn.functional.normalize(torch.randn(len(labels.entries), recipe.dimension), dim=1)
        self.places = torch.nn.Parameter(places.to(self.device))
        self._optimiser = torch.optim.AdamW(
            self._parameters(), lr=recipe.learning_rate, betas=BETAS, weight_decay=DECAY
        )
        self.progress = Progress()
        self._resume()

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [*self.encoder.parameters(), self.places]

    def steps(self, bank: Path, processes: int = 1) -> Iterator[Progress]:
        """Train to the end, yielding after each step. A checkpoint is kept now and then, and when the caller stops."""
        recent: deque[dict[str, float]] = deque(maxlen=REPORT_EVERY)
        try:
            with _batches(bank, self.recipe, self.progress.step, processes) as batches:
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
        target = Target.of(batch, self.device)
        parts = losses(self.encoder(target.inputs), self.places, target)
        self._optimiser.zero_grad(set_to_none=True)
        total(parts).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters(), LARGEST_GRADIENT)
        self._optimiser.step()
        return {name: float(value.detach()) for name, value in parts.items()}

    def keep(self) -> None:
        """Write a checkpoint, whole or not at all."""
        tensors = {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()} | {
            "places": self.places.data
        }
        for k, parameter in enumerate(self._parameters()):
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
        state = _state_of(path)
        if state is None or state["recipe"] != self.recipe.sha256:
            return
        tensors = load_file(path, device=str(self.device))
        self.encoder.load_state_dict(
            {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
        )
        self.places.data.copy_(tensors["places"])
        for k, parameter in enumerate(self._parameters()):
            prefix = f"adam.{k}."
            own = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
            if own:
                self._optimiser.state[parameter] = own
        self.progress = Progress(state["step"], state["history"])


class Schedule(Protocol):
    """What the learning rate depends on; a recipe has it."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def warm_up(self) -> int: ...
    @property
    def steps(self) -> int: ...


def rate(step: int, recipe: Schedule) -> float:
    """The learning rate: a straight rise, then half a cosine down to a hundredth."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done))))


def _state_of(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as held:
        document = json.loads((held.metadata() or {}).get("state", "null"))
    return document if isinstance(document, dict) else None


@contextmanager
def _batches(bank: Path, recipe: Recipe, first: int, processes: int) -> Iterator[Iterator[Batch]]:
    """Batches in order, drawn ahead in other processes."""
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (bank, recipe))

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
    _STREAM.append(Stream(Bank.load(bank), recipe))


def _draw(number: int) -> Batch:
    return _STREAM[0].batch(number)
