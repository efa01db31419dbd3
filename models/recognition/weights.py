"""The shipped recogniser on disk: tensors in ``recognition.safetensors``, the rest in ``recognition.json``.

Nothing is unpickled. The two files name each other by hash, and both name the catalogue and the library of metal
geometries that they were made for: with another library the numbers of entries and types would mean something else, so
such a pair is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from solvus.models.recognition.calibration import Calibration
from solvus.models.recognition.encoder import Encoder, Shape
from solvus.models.recognition.labels import Labels
from solvus.models.recognition.references import Places
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.library import Library

TENSORS = Path(__file__).with_name("recognition.safetensors")
FORMAT = 1
REFERENCES = ("xray", "neutron")


class WeightsError(ValueError):
    """The weights are missing, damaged, or made for another library. One sentence."""


class Metadata(BaseModel):
    """What is written beside the tensors.

    Attributes
    ----------
    catalogue, library : versions of what the weights were made for.
    kinds, groups : names by number; entries are those of catalogue and library, in their order.
    shape : of the encoder.
    recipe : of the training run, and what it printed at its end.
    tensors : SHA-256 of the file of tensors.
    packages : versions that the run was made with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int
    catalogue: str
    library: str
    kinds: tuple[str, ...]
    groups: tuple[str, ...]
    shape: dict[str, int]
    recipe: dict[str, Any]
    metrics: dict[str, float]
    calibration: Calibration
    packages: dict[str, str]
    tensors: str


@dataclass(frozen=True)
class Weights:
    """The recogniser in memory.

    Attributes
    ----------
    references : for each radiation the places of all entries in the embedding.
    """

    encoder: Encoder
    references: dict[str, Places]
    labels: Labels
    metadata: Metadata

    @property
    def version(self) -> str:
        """Identifies the weights in the record of a decision."""
        return f"recognition-{self.metadata.tensors[:12]}"


def encoded(encoder: Encoder, references: dict[str, Places]) -> bytes:
    """The file of tensors: half precision, which moves no logit by more than about 0.01."""
    tensors = {f"encoder.{k}": v.detach().cpu().half().contiguous() for k, v in encoder.state_dict().items()}
    for radiation in REFERENCES:
        held = references[radiation]
        tensors[f"references.{radiation}"] = torch.from_numpy(held.directions).half()
        tensors[f"spacing.{radiation}"] = torch.from_numpy(held.spacing).half()
    return save(tensors)


def references_in(tensors: dict[str, torch.Tensor]) -> dict[str, Places]:
    """Places of all entries for each radiation.

    Raises
    ------
    KeyError
        When one is missing.
    """
    return {
        k: Places(tensors[f"references.{k}"].float().numpy(), tensors[f"spacing.{k}"].float().numpy())
        for k in REFERENCES
    }


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
    """The weights in the package, for the shipped catalogue and all metal geometries.

    Raises
    ------
    WeightsError
        When they cannot be used.
    """
    return read(TENSORS, Catalogue.load(own_too=False), Library.load("all"))


def read(path: Path, catalogue: Catalogue, library: Library) -> Weights:
    """Read weights made for this catalogue and library.

    Raises
    ------
    WeightsError
        When a file is missing or damaged, or was made for something else.
    """
    try:
        metadata = Metadata.model_validate_json(path.with_suffix(".json").read_bytes())
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{error.filename}: missing; make it with solvus train recognition") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise WeightsError(
            f"{path.with_suffix('.json').name}: {where}: {error.errors()[0]['msg']}"
        ) from error
    if metadata.format != FORMAT:
        raise WeightsError(f"{path.name}: format {metadata.format}, this version reads {FORMAT}")
    if hashlib.sha256(content).hexdigest() != metadata.tensors:
        raise WeightsError(f"{path.name}: not the file that {path.with_suffix('.json').name} describes")
    for what, own, theirs in (
        ("catalogue", catalogue.version, metadata.catalogue),
        ("library", library.version, metadata.library),
    ):
        if own != theirs:
            raise WeightsError(
                f"{path.name}: made for the {what} {theirs}, this one is {own}; "
                "train it again with solvus train recognition"
            )
    return _assembled(path, content, metadata, Labels.of(catalogue, library))


def _assembled(path: Path, content: bytes, metadata: Metadata, labels: Labels) -> Weights:
    try:
        tensors = {name: value.float() for name, value in load(content).items()}
        encoder = Encoder(Shape(**metadata.shape))
        own = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
        encoder.load_state_dict(own)
        references = references_in(tensors)
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(f"{path.name}: damaged; train it again with solvus train recognition") from error
    if metadata.kinds != labels.kinds or metadata.groups != labels.groups:
        raise WeightsError(f"{path.name}: its structure types are not those of this library")
    if any(len(held.spacing) != len(labels.entries) for held in references.values()):
        raise WeightsError(f"{path.name}: its entries are not those of this library")
    encoder.eval()
    return Weights(encoder, references, labels, metadata)
