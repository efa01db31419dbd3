"""The shipped autoencoder on disk: tensors in ``autoencoder.safetensors``, the rest in ``autoencoder.json``.

Nothing is unpickled. The two files name each other by hash, and the description names the recogniser whose features the
posterior reads: with another one the pair is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from solvus.models.latent.network import Autoencoder, Shape
from solvus.models.recognition import weights as recognition
from solvus.models.recognition.weights import WeightsError

TENSORS = Path(__file__).with_name("autoencoder.safetensors")
FORMAT = 1


class Metadata(BaseModel):
    """What is written beside the tensors.

    Attributes
    ----------
    recogniser : version of the weights whose features are read.
    shape : of the networks. recipe : of the training run. metrics : what it ended with, and of the calibration.
    widening : factor on the standard deviations of a pattern's posterior that gives the promised coverage.
    tensors : SHA-256 of the file of tensors. packages : versions that the run was made with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int
    recogniser: str
    shape: dict[str, int]
    recipe: dict[str, Any]
    metrics: dict[str, float]
    widening: float
    packages: dict[str, str]
    tensors: str


@dataclass(frozen=True)
class Outline:
    """Particles of no pattern, which show on the map where what lies.

    Attributes
    ----------
    place : (n, d). family : (n,) numbers in ``ALL_FAMILIES``. atoms : (n,).
    """

    place: NDArray[np.float32]
    family: NDArray[np.int64]
    atoms: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Weights:
    """The autoencoder in memory."""

    model: Autoencoder
    outline: Outline
    metadata: Metadata

    @property
    def version(self) -> str:
        """Identifies the latent space in every record of a place in it."""
        return f"latent-{self.metadata.tensors[:12]}"


def encoded(model: Autoencoder, outline: Outline) -> bytes:
    """The file of tensors, those of the networks in half precision."""
    tensors = {f"model.{k}": v.detach().cpu().half().contiguous() for k, v in model.state_dict().items()}
    tensors["outline.place"] = torch.from_numpy(outline.place).half()
    tensors["outline.family"] = torch.from_numpy(outline.family).to(torch.uint8)
    tensors["outline.atoms"] = torch.from_numpy(outline.atoms).to(torch.int32)
    return save(tensors)


def write(tensors: bytes, metadata: Metadata, path: Path = TENSORS) -> None:
    """Write both files, the description last."""
    part = path.with_suffix(".part")
    part.write_bytes(tensors)
    part.replace(path)
    text = json.dumps(metadata.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path.with_suffix(".json"))


@cache
def shipped() -> Weights:
    """The weights in the package.

    Raises
    ------
    WeightsError
        When they cannot be used.
    """
    return read(TENSORS)


def read(path: Path) -> Weights:
    """Read weights made for the shipped recogniser.

    Raises
    ------
    WeightsError
        When a file is missing or damaged, or was made for another recogniser.
    """
    try:
        metadata = Metadata.model_validate_json(path.with_suffix(".json").read_bytes())
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{error.filename}: missing; make it with solvus train autoencoder") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise WeightsError(
            f"{path.with_suffix('.json').name}: {where}: {error.errors()[0]['msg']}"
        ) from error
    if metadata.format != FORMAT:
        raise WeightsError(f"{path.name}: format {metadata.format}, this version reads {FORMAT}")
    if hashlib.sha256(content).hexdigest() != metadata.tensors:
        raise WeightsError(f"{path.name}: not the file that {path.with_suffix('.json').name} describes")
    here = recognition.shipped().version
    if metadata.recogniser != here:
        raise WeightsError(
            f"{path.name}: made for the recogniser {metadata.recogniser}, this one is {here}; "
            "train it again with solvus train autoencoder"
        )
    model = Autoencoder(Shape(**metadata.shape))
    try:
        tensors = load(content)
        own = {k.removeprefix("model."): v.float() for k, v in tensors.items() if k.startswith("model.")}
        model.load_state_dict(own)
        outline = Outline(
            tensors["outline.place"].float().numpy(),
            tensors["outline.family"].long().numpy(),
            tensors["outline.atoms"].long().numpy(),
        )
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise WeightsError(f"{path.name}: damaged; train it again with solvus train autoencoder") from error
    model.eval()
    return Weights(model, outline, metadata)


def round_to_half(model: torch.nn.Module) -> None:
    """To the precision that is shipped, so that what is calibrated is what is used."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
