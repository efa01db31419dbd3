"""What the encoder is trained to: one loss for each head, in nats for each pattern."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from solvus.models.recognition.encoder import Encoded
from solvus.models.recognition.references import SHARPNESS
from solvus.models.recognition.training.stream import Batch

WEIGHTS = {"entry": 1.0, "kind": 1.0, "metals": 0.25, "quantities": 0.15}
"""The metals' loss is a sum over all groups, and that of quantities over three normal densities in logarithms."""


@dataclass(frozen=True)
class Target:
    """A batch as tensors."""

    inputs: torch.Tensor
    entry: torch.Tensor
    kinds: torch.Tensor
    share: torch.Tensor
    metals: torch.Tensor
    known: torch.Tensor
    quantities: torch.Tensor

    @staticmethod
    def of(batch: Batch, device: torch.device) -> Target:
        columns = (torch.from_numpy(getattr(batch, name)).to(device) for name in Target.__dataclass_fields__)
        return Target(*columns)


def losses(encoded: Encoded, places: torch.Tensor, target: Target) -> dict[str, torch.Tensor]:
    """Mean of each over the patterns that have its truth.

    Parameters
    ----------
    places : (entries, dimension), one direction for each library entry.
    """
    cosine = encoded.embedding @ functional.normalize(places, dim=1).T
    known = target.entry >= 0
    return {
        "entry": functional.cross_entropy(SHARPNESS * cosine[known], target.entry[known]),
        "kind": _kind(encoded.kinds, target),
        "metals": _metals(encoded.metals, target),
        "quantities": _quantities(encoded, target.quantities),
    }


def total(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    """The weighted sum."""
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()


def _kind(logits: torch.Tensor, target: Target) -> torch.Tensor:
    """Cross entropy to both phases by their share in the signal."""
    log_p = functional.log_softmax(logits, dim=1).gather(1, target.kinds)
    return -(target.share * log_p[:, 0] + (1.0 - target.share) * log_p[:, 1]).mean()


def _metals(logits: torch.Tensor, target: Target) -> torch.Tensor:
    kept = target.known
    each = functional.binary_cross_entropy_with_logits(
        logits[kept], target.metals[kept].to(logits.dtype), reduction="none"
    )
    return each.sum(dim=1).mean()


def _quantities(encoded: Encoded, truth: torch.Tensor) -> torch.Tensor:
    """Negative logarithm of the normal density."""
    known = torch.isfinite(truth)
    distance = (torch.nan_to_num(truth) - encoded.mean) / encoded.sd
    density = 0.5 * distance.square() + encoded.sd.log() + 0.5 * math.log(2.0 * math.pi)
    return torch.where(known, density, 0.0).sum() / len(truth)
