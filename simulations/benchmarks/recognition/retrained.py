"""A peer's published recipe, trained again on the clusters that a test brings along: figures on the same draws.

MetalFinder and POMFinder name clusters by boosted trees (:mod:`solvus.simulations.benchmarks.recognition.
peer_recipes`); which of the two is meant follows from the family of the clusters. Training patterns are simulated with
their own seed and without noise or strain, as the peers' were. The model stays in the work folder as xgboost's binary
JSON, under a hash of all that it depends on, and is trained once.

POMFinder's recipe is followed in full. MetalFinder's time grows with the square of the number of clusters, and all
3,743 would take well over 100 hours; so at most ``MOST`` clusters are taken, and a part of its classes
(:mod:`solvus.simulations.benchmarks.recognition.peer_parts`) is given to it and to whatever it is compared with.

Such a peer knows its own clusters and nothing else. It takes no other library (:meth:`Retrained.takes`), has no *none
of these*, accepts everything, and the doubt in its first name is all the strangeness that it can state.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.recognition.metal_groups import group_of
from solvus.models.structures.own import write_atomically
from solvus.models.structures.record import Family, Record
from solvus.simulations.benchmarks.recognition.answer import Answer, Progress
from solvus.simulations.benchmarks.recognition.peer_recipes import (
    RECIPES,
    SEED,
    Recipe,
    features_of,
    training_set,
)
from solvus.simulations.benchmarks.recognition.peers import PeerError
from solvus.simulations.benchmarks.recognition.polyoxometalates import digest

Floats = NDArray[np.float64]

FORMAT = 1
"""Raised when training patterns, features or trees are made in another way."""
MOST = 500
"""Clusters: MetalFinder's recipe takes about two hours for so many, on one thread."""
NAMED = 20
"""Types and structures in an answer."""
MEMBERS = 0.95
"""Probability that the structures make up whose metals are named."""
BATCH = 500
"""Patterns asked together."""


class RetrainedError(PeerError):
    """A peer that cannot be trained: its program is missing, or the library is none of its own. One sentence."""


class Retrained:
    """MetalFinder or POMFinder, trained for the library that a test brings along.

    Parameters
    ----------
    recipes : by the family of the clusters.
    """

    name = "retrained peer"

    def __init__(self, recipes: Mapping[Family, Recipe] = RECIPES) -> None:
        self._recipes = recipes
        self._work: Path | None = None
        self._progress: Progress = lambda things, total, heading: things
        self._models: dict[str, Any] = {}

    def equip(self, work: Path, progress: Progress) -> None:
        """Where trained models are kept, and what shows how far training is; without it they are not kept."""
        self._work, self._progress = work, progress

    def takes(self, library: Sequence[Record] | None) -> bool:
        """Whether a peer's recipe is for clusters such as these, and can be followed for so many."""
        return library is not None and self._recipe(library) is not None and 1 < len(library) <= MOST

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]:
        """One for each pattern.

        Raises
        ------
        RetrainedError
            Without xgboost, and for a library that it does not take, the shipped one among them.
        """
        if library is None or (recipe := self._recipe(library)) is None:
            raise RetrainedError(
                "retrained peer: has no recipe but for MetalFinder's or POMFinder's clusters, given as the library"
            )
        if not self.takes(library):
            raise RetrainedError(
                f"retrained peer: {recipe.name} is trained for 2 to {MOST:,} clusters, not {len(library):,}; "
                "name a part of them"
            )
        model = self._model(recipe, library)
        for start in range(0, len(patterns), BATCH):
            begin = time.perf_counter()
            features = features_of(recipe, patterns[start : start + BATCH])
            given = np.asarray(model.inplace_predict(features), dtype=np.float64)
            each = (time.perf_counter() - begin) / len(given)
            yield from (_answer(row / row.sum(), library, each) for row in given)

    def _recipe(self, library: Sequence[Record]) -> Recipe | None:
        families = {None if record.periodic else record.family for record in library}
        family = families.pop() if len(families) == 1 else None
        return None if family is None else self._recipes.get(family)

    def _model(self, recipe: Recipe, library: Sequence[Record]) -> Any:
        xgboost = _xgboost()
        depends = {
            "recipe": asdict(recipe),
            "library": digest(library),
            "xgboost": xgboost.__version__,
            "seed": SEED,
            "format": FORMAT,
        }
        key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
        if key not in self._models:
            kept = None if self._work is None else self._work / f"retrained-{recipe.name.lower()}-{key}.ubj"
            if kept is not None and kept.is_file():
                model = xgboost.Booster({"nthread": 1}, model_file=str(kept))
            else:
                model = self._trained(xgboost, recipe, library)
                if kept is not None:
                    write_atomically(kept, bytes(model.save_raw("ubj")))
            self._models[key] = model
        return self._models[key]

    def _trained(self, xgboost: Any, recipe: Recipe, library: Sequence[Record]) -> Any:
        numbered = self._progress(
            enumerate(library), len(library), f"training patterns as {recipe.name}'s, clusters"
        )
        features = np.concatenate([training_set(recipe, record, index) for index, record in numbered])
        labels = np.repeat(np.arange(len(library)), recipe.patterns)
        data = xgboost.QuantileDMatrix(features, label=labels, nthread=1)
        parameters = {
            "objective": "multi:softprob",
            "num_class": len(library),
            "max_depth": recipe.depth,
            "eta": recipe.rate,
            "tree_method": "hist",
            "nthread": 1,
            "seed": SEED,
        }
        model = xgboost.Booster(parameters, [data])
        rounds = self._progress(range(recipe.rounds), recipe.rounds, f"training {recipe.name} again, rounds")
        for number in rounds:
            model.update(data, number)
        return model


def _xgboost() -> Any:
    try:
        return importlib.import_module("xgboost")
    except ImportError as error:
        raise RetrainedError(
            f"xgboost: not installed ({error}); to train a peer again needs pip install 'solvus[bench]'"
        ) from error


def _answer(p: Floats, library: Sequence[Record], seconds: float) -> Answer:
    """From the probability of each cluster: (clusters,)."""
    order = np.argsort(-p, kind="stable")
    types: dict[str, float] = defaultdict(float)
    for k in order:
        types[library[k].type] += float(p[k])
    ranked = sorted(types.items(), key=lambda pair: -pair[1])[:NAMED]
    needed = int(np.searchsorted(np.cumsum(p[order]), MEMBERS)) + 1
    metals = {group_of(element) for k in order[:needed] for element in library[k].elements}
    return Answer(
        types=tuple(ranked),
        structures=tuple((library[k].name, float(p[k])) for k in order[:NAMED]),
        metals=frozenset(group for group in metals if group is not None),
        none=0.0,
        accepted=True,
        strangeness=float(1.0 - p[order[0]]),
        seconds=seconds,
    )
