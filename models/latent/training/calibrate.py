"""How wide a pattern's posterior must be to hold what it promises, on particles drawn apart from the training's."""

from __future__ import annotations

import numpy as np
import torch

from solvus.models.latent.construction import BESIDE, MIXED, radius_of
from solvus.models.latent.network import NAMES, Autoencoder
from solvus.models.latent.placing import normals_of
from solvus.models.latent.training.bank import Particles
from solvus.models.latent.training.losses import spoken_losses
from solvus.models.latent.training.recipe import Recipe
from solvus.models.latent.training.stream import Batch, Stream
from solvus.models.latent.weights import Outline
from solvus.models.structures.clusters import ALL_FAMILIES

PROMISED = 0.9
WIDENINGS = np.exp(np.linspace(np.log(0.6), np.log(2.5), 30))
BATCHES = 2
KEY = 23
"""Of the draws; training's is another."""


def calibrated(model: Autoencoder, held_out: Stream, recipe: Recipe) -> tuple[float, dict[str, float]]:
    """The factor on the standard deviations, and what was measured with it."""
    batches = [held_out.batch(number, key=KEY) for number in range(BATCHES)]
    generator = np.random.default_rng((recipe.seed, KEY))
    with torch.inference_mode():
        places = [model.read(torch.from_numpy(b.invariants))[0].double().numpy() for b in batches]
        mixtures = [
            model.posterior(torch.from_numpy(b.values), torch.from_numpy(b.features)) for b in batches
        ]
    normals = [normals_of(m, k) for m in mixtures for k in range(len(m.logits))]
    truth = np.concatenate(places)
    share = []
    for widening in WIDENINGS:
        levels = [
            n.widened(widening).level(z, generator) for n, z in zip(normals[::4], truth[::4], strict=True)
        ]
        share.append(float((np.array(levels) <= PROMISED).mean()))
    chosen = float(WIDENINGS[int(np.argmin(np.abs(np.array(share) - PROMISED)))])
    apart = [n.widened(chosen).level(z, generator) for n, z in zip(normals[1::4], truth[1::4], strict=True)]
    metrics = {"coverage_90": float((np.array(apart) <= PROMISED).mean())}
    return chosen, metrics | _spoken(model, batches)


def _spoken(model: Autoencoder, batches: list[Batch]) -> dict[str, float]:
    """How well structures come back from their own places."""
    parts: dict[str, list[float]] = {}
    right = []
    with torch.inference_mode():
        for batch in batches:
            spoken = model.speak(model.read(torch.from_numpy(batch.invariants))[0])
            for name, value in spoken_losses(spoken, batch.told).items():
                parts.setdefault(f"held_out_{name}", []).append(float(value))
            right.append((spoken.packing.argmax(1).numpy() == batch.told.packing).mean())
    return {name: float(np.mean(values)) for name, values in parts.items()} | {
        "held_out_packing_right": float(np.mean(right))
    }


def outline_of(model: Autoencoder, held_out: Particles) -> Outline:
    """Where the particles that were drawn apart lie."""
    with torch.inference_mode():
        place = model.read(torch.from_numpy(held_out.invariants))[0].numpy()
    told = held_out.told
    inner = told.inner.sum(axis=1)
    share = (told.letters & told.inner).sum(axis=1) / np.maximum(inner, 1)
    layered = np.where(share < MIXED[0], "fcc", np.where(share > MIXED[1], "hcp", "faulted"))
    names = np.where(np.nan_to_num(told.eccentricity) > BESIDE, "fcc", np.array(NAMES)[told.packing])
    family = [ALL_FAMILIES.index(str(f)) for f in np.where(names == "layers", layered, names)]
    radius = np.exp(told.radius.astype(np.float64))
    unit = np.array([radius_of(str(name), 1.0) for name in names])
    return Outline(place, np.array(family, dtype=np.int64), np.rint((radius / unit) ** 3).astype(np.int64))
