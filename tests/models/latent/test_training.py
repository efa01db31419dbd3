"""Training the autoencoder: drawn once, taken up again, calibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from solvus.models.latent.training.bank import particles
from solvus.models.latent.training.recipe import Recipe, read_recipe
from solvus.models.latent.training.train import Watch, train
from solvus.models.latent.weights import read
from solvus.models.recognition.training.loop import Progress
from solvus.models.recognition.training.recipe import RecipeError

TINY = Recipe(
    particles=24,
    held_out=12,
    batch=16,
    steps=6,
    width=32,
    prior_width=32,
    blocks=1,
    prior_blocks=1,
    components=2,
)


def test_particles_follow_from_the_seed() -> None:
    one, again = particles(3, 5, map), particles(3, 5, map)
    assert np.array_equal(one.invariants, again.invariants)
    assert np.array_equal(one.f, again.f)
    assert not np.array_equal(one.f, particles(3, 6, map).f)


@pytest.mark.slow
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        train(tmp_path / "one", TINY, processes=1, watch=Watch(step=stop))
    interrupted = train(tmp_path / "one", TINY, processes=1)
    whole = train(tmp_path / "two", TINY, processes=1)
    assert interrupted.read_bytes() == whole.read_bytes()
    weights = read(whole)
    assert weights.metadata.recipe == TINY.model_dump(mode="json")
    assert len(weights.outline.place) == TINY.held_out


def test_a_bad_recipe_is_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("steps: none\n")
    with pytest.raises(RecipeError, match="steps"):
        read_recipe(file)
    file.write_text("stpes: 3\n")
    with pytest.raises(RecipeError, match="stpes"):
        read_recipe(file)
