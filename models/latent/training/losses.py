"""What the autoencoder is asked for: the evidence lower bound of constructions given patterns.

    L = E_q [log p(construction | z)] - a (log q(z | structure) - log p(z | pattern)) - g KL(q | N(0, 1)),

with q the reader, p(z | pattern) the prior and p(construction | z) the speaker.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from solvus.models.latent.network import Autoencoder, Spoken
from solvus.models.latent.training.bank import Told
from solvus.models.latent.training.recipe import Recipe
from solvus.models.latent.training.stream import Batch

WEIGHTS = {"packing": 2.0, "centre": 1.0, "height": 4.0, "radius": 2.0, "letters": 3.0, "eccentricity": 0.5}
"""Of the parts of a construction."""


def losses(
    model: Autoencoder, batch: Batch, recipe: Recipe, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """The parts of the bound, nats, each a mean over the batch; ``total`` is what is minimised."""
    mean, sd = model.read(torch.from_numpy(batch.invariants))
    z = mean + sd * torch.randn(mean.shape, generator=generator)
    hidden = torch.rand(len(z), generator=generator) < recipe.hidden
    parts = spoken_losses(model.speak(z, hidden), batch.told)
    mixture = model.posterior(torch.from_numpy(batch.values), torch.from_numpy(batch.features))
    entropy = (sd.log() + 0.5 * math.log(2.0 * math.pi * math.e)).sum(1)
    parts["agreement"] = (-entropy - mixture.log_density(z)).mean()
    parts["gathering"] = 0.5 * (mean**2 + sd**2 - 1.0 - 2.0 * sd.log()).sum(1).mean()
    bond = torch.from_numpy(batch.bond)
    parts["bond"] = _normal(bond, mixture.bond, mixture.bond_sd).mean()
    parts["total"] = (
        sum(weight * parts[name] for name, weight in WEIGHTS.items())
        + recipe.agreement * parts["agreement"]
        + recipe.gathering * parts["gathering"]
        + 0.2 * parts["bond"]
    )
    return parts


def spoken_losses(spoken: Spoken, told: Told) -> dict[str, torch.Tensor]:
    """- log p(construction | z) in its parts, each a mean over what there is."""
    packing, centre = torch.from_numpy(told.packing), torch.from_numpy(told.centre)
    rows = torch.arange(len(packing))
    height, radius = torch.from_numpy(told.height), torch.from_numpy(told.radius)
    there = ~torch.isnan(height)
    heights = _normal(torch.nan_to_num(height), spoken.height[rows, packing], spoken.height_sd[rows, packing])
    letters = functional.binary_cross_entropy_with_logits(
        spoken.letters, torch.from_numpy(told.letters).float(), reduction="none"
    )
    inner = torch.from_numpy(told.inner).float()
    eccentricity = torch.from_numpy(told.eccentricity)
    beside = ~torch.isnan(eccentricity)
    apart = _normal(torch.nan_to_num(eccentricity), spoken.eccentricity, spoken.eccentricity_sd)
    return {
        "packing": functional.cross_entropy(spoken.packing, packing),
        "centre": functional.cross_entropy(spoken.centre[rows, packing], centre),
        "height": (heights * there).sum() / there.sum(),
        "radius": _normal(radius, spoken.radius, spoken.radius_sd).mean(),
        "letters": (letters * inner).sum() / inner.sum().clamp(min=1.0),
        "eccentricity": (apart * beside).sum() / beside.sum().clamp(min=1.0),
    }


def _normal(x: torch.Tensor, mean: torch.Tensor, sd: torch.Tensor) -> torch.Tensor:
    """- log of the normal density."""
    return 0.5 * ((x - mean) / sd) ** 2 + sd.log() + 0.5 * math.log(2.0 * math.pi)
