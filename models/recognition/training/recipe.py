"""What a training run is: everything that its result depends on, as data that is kept with the weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

CALIBRATION_SEED = 100
"""After that of the training; a bank takes the seeds up to three after its own."""
CALIBRATION_SHARES = (0.5, 0.15, 0.2, 0.15)
"""Where the patterns of the calibration come from."""


class RecipeError(ValueError):
    """A configuration that is none. One sentence."""


class Recipe(BaseModel):
    """Of the recogniser.

    Attributes
    ----------
    seed : of everything that is drawn.
    variants_xray, variants_neutron : of each record of the catalogue in the bank; variants_wide : of those crystals
        that have several cell lengths, each strained widely.
    variants_geometry : of each metal geometry. variants_shape : metal clusters of other shapes, in all.
    variants_foreign : of each structure of other chemistry.
    width, blocks : of the encoder.
    dimension : of the embedding.
    batch, steps : patterns in a step, and steps.
    learning_rate, warm_up : highest rate, and the steps until it is reached; it then falls as a cosine to zero.
    shares : of the patterns that come from oxides and the rest of the catalogue's crystals, from polyoxometalates,
        from metal geometries and from other chemistry.
    neutron : share of the catalogue's patterns that are neutron data.
    mixtures : share of patterns to which a second phase is added.
    wide, wide_from : share of the crystals (X-rays) that are strained widely, from this step on: the network first
        learns the structures and then what else their cells may be.
    shapes : share of the metal clusters that are of any shape.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(default=20261123, ge=0, lt=2**63)
    variants_xray: int = Field(default=20, gt=0)
    variants_wide: int = Field(default=8, gt=0)
    variants_neutron: int = Field(default=6, gt=0)
    variants_geometry: int = Field(default=6, gt=0)
    variants_shape: int = Field(default=8200, gt=0)
    variants_foreign: int = Field(default=10, gt=0)
    width: int = Field(default=768, gt=0)
    blocks: int = Field(default=3, gt=0)
    dimension: int = Field(default=96, gt=0)
    batch: int = Field(default=1024, gt=1)
    steps: int = Field(default=9000, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    warm_up: int = Field(default=300, ge=0)
    shares: tuple[float, float, float, float] = (0.56, 0.14, 0.18, 0.12)
    neutron: float = Field(default=0.2, ge=0, le=1)
    mixtures: float = Field(default=0.15, ge=0, le=1)
    wide: float = Field(default=0.35, ge=0, le=1)
    wide_from: int = Field(default=4000, ge=0)
    shapes: float = Field(default=0.5, ge=0, le=1)

    @property
    def sha256(self) -> str:
        """Of the canonical text: two runs with one hash give one result on one machine."""
        return hashlib.sha256(canonical(self.model_dump(mode="json")).encode()).hexdigest()

    @property
    def of_calibration(self) -> Recipe:
        """Of the patterns that the calibration is fixed on: new variants under another seed, of one phase each."""
        variants = {"xray": 2, "wide": 1, "neutron": 1, "geometry": 1, "shape": 1500, "foreign": 4}
        changes = {f"variants_{name}": count for name, count in variants.items()}
        drawn = {"mixtures": 0.0, "batch": 1024, "wide_from": 0, "shares": CALIBRATION_SHARES}
        return self.model_copy(update=changes | drawn | {"seed": self.seed + CALIBRATION_SEED})

    @property
    def of_bank(self) -> str:
        """Hash of what the bank depends on."""
        kept = {
            k: v for k, v in self.model_dump(mode="json").items() if k.startswith("variants") or k == "seed"
        }
        return hashlib.sha256(canonical(kept).encode()).hexdigest()


def canonical(document: Any) -> str:
    """JSON text with sorted keys and no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_recipe(path: Path | None) -> Recipe:
    """A recipe from a YAML file; without one, that of the shipped weights.

    Raises
    ------
    RecipeError
        When the file is missing, no YAML, or says what no recipe can.
    """
    if path is None:
        return Recipe()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Recipe.model_validate(document or {})
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: is no YAML") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RecipeError(f"{path}: {place}: {first['msg']}") from error
