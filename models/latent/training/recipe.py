"""What a training run of the autoencoder is, as data that is kept with the weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from solvus.models.recognition.training.recipe import RecipeError, canonical


class Recipe(BaseModel):
    """Of the autoencoder.

    Attributes
    ----------
    seed : of everything that is drawn.
    particles : drawn for training; held_out : drawn apart, for the calibration.
    dimensions : of the latent space; components : normal distributions of a pattern's posterior.
    width, blocks : of the networks of structures; prior_width, prior_blocks : of the one of patterns.
    batch, steps : particles in a step, and steps.
    learning_rate, warm_up : highest rate, and the steps until it is reached; it then falls as a cosine.
    agreement : weight of what the latent place of a structure says beyond its pattern (the divergence of the bound).
    gathering : weight of the divergence from a normal distribution, which keeps the space without holes.
    hidden : share of cases in which the speaker sees the map alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(default=20261129, ge=0, lt=2**63)
    particles: int = Field(default=16_000, gt=0)
    held_out: int = Field(default=1_000, gt=0)
    dimensions: int = Field(default=8, gt=1)
    components: int = Field(default=8, gt=0)
    width: int = Field(default=512, gt=0)
    blocks: int = Field(default=2, ge=0)
    prior_width: int = Field(default=640, gt=0)
    prior_blocks: int = Field(default=3, ge=0)
    batch: int = Field(default=512, gt=1)
    steps: int = Field(default=6_000, gt=0)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    warm_up: int = Field(default=200, ge=0)
    agreement: float = Field(default=0.5, ge=0)
    gathering: float = Field(default=0.02, ge=0)
    hidden: float = Field(default=0.25, ge=0, le=1)

    @property
    def sha256(self) -> str:
        """Of the canonical text: two runs with one hash give one result on one machine."""
        return hashlib.sha256(canonical(self.model_dump(mode="json")).encode()).hexdigest()

    @property
    def of_bank(self) -> str:
        """Hash of what the particles depend on."""
        kept = {name: getattr(self, name) for name in ("seed", "particles", "held_out")}
        return hashlib.sha256(canonical(kept).encode()).hexdigest()


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
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: is no YAML") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RecipeError(f"{path}: {place}: {first['msg']}") from error
