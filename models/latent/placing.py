"""Patterns and structures to places in the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.identification import Candidate
from solvus.models.latent.invariants import local_order, standard_patterns
from solvus.models.latent.network import Autoencoder, Mixture
from solvus.models.latent.posterior import LatentPosterior, Normals
from solvus.models.latent.weights import Weights
from solvus.models.pattern import Pattern, PatternError
from solvus.models.recognition.encoder import Encoder
from solvus.models.recognition.geometry_curves import geometry_row
from solvus.models.recognition.quality import assess
from solvus.models.recognition.recogniser import canonical
from solvus.models.recognition.weights import shipped as recogniser
from solvus.models.scattering.unit_factor import UnitScattering
from solvus.models.structures.build import scattering_of
from solvus.models.structures.clusters import unit_positions
from solvus.models.structures.library import Library

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def normals_of(mixture: Mixture, row: int) -> Normals:
    """One pattern's posterior as the network says it."""
    weight = torch.softmax(mixture.logits[row].double(), 0).numpy()
    variance = mixture.sd[row].double().numpy() ** 2
    covariance = np.stack([np.diag(v) for v in variance])
    return Normals(weight, mixture.mean[row].double().numpy(), covariance)


def mixture_of(model: Autoencoder, encoder: Encoder, values: Singles) -> Mixture:
    """Of canonical inputs (n, 308)."""
    with torch.inference_mode():
        inputs = torch.from_numpy(values)
        return model.posterior(inputs, encoder.features(inputs))


def places_of(model: Autoencoder, invariants: Singles) -> tuple[Floats, Floats]:
    """Mean and standard deviation of q(z | structure): (n, d) each."""
    with torch.inference_mode():
        mean, sd = model.read(torch.from_numpy(invariants))
    return mean.double().numpy(), sd.double().numpy()


def invariants_of(positions: Sequence[Floats], units: Sequence[UnitScattering]) -> Singles:
    """Of unit geometries with their scattering: (n, COUNT)."""
    rows = np.stack([geometry_row(unit, 0.0, 0.0) for unit in units])
    orders = np.stack([local_order(places) for places in positions])
    return np.hstack([standard_patterns(rows), orders]).astype(np.float32)


KNOWN = 0.05
"""Of a coordinate: no sample is one ideal structure, and its place is not known better than this."""
LEAST = 0.01
"""Probability of a candidate below which it is left out."""


def placed_candidates(weights: Weights, candidates: Sequence[Candidate]) -> LatentPosterior | None:
    """Posterior of a pattern after refinement: a mode for each metal particle that explains it, where that lies.

    Sharper than what the network sees in the pattern alone, and not misled by what training does not model, such as a
    spread of sizes. ``None`` where no candidate is a metal particle of the library.
    """
    named = {entry.name for entry in Library.load().entries}
    kept = [c for c in candidates if c.probability >= LEAST and c.structure in named]
    if not kept:
        return None
    places = [_library_place(weights, c.structure) for c in kept]
    share = np.array([c.probability for c in kept])
    covariance = np.stack([np.diag(sd**2 + KNOWN**2) for _, sd in places])
    normals = Normals(share / share.sum(), np.stack([mean for mean, _ in places]), covariance)
    return LatentPosterior.of(normals, weights.version, tuple(c.structure for c in kept))


@lru_cache(maxsize=1024)
def _library_place(weights: Weights, name: str) -> tuple[Floats, Floats]:
    """Mean and standard deviation (d,) of a geometry of the library; the metal does not matter."""
    unit = unit_positions(Library.load().atoms(name, "Au").positions)
    mean, sd = places_of(weights.model, invariants_of([unit], [scattering_of(unit)[1]]))
    return mean[0], sd[0]


def placed(weights: Weights, pattern: Pattern, r_range: tuple[float, float]) -> tuple[Normals, float, float]:
    """Posterior of a pattern, calibrated, with the bond length (angstrom) and its relative standard deviation.

    Raises
    ------
    PatternError
        For a pattern that is no G(r) or in no state to be read; the sentence gives the reason.
    """
    quality = assess(pattern, r_range)
    if quality.reasons:
        raise PatternError(quality.reasons[0])
    values = canonical(pattern, quality.qmin, quality.qmax)
    mixture = mixture_of(weights.model, recogniser().encoder, values)
    normals = normals_of(mixture, 0).widened(weights.metadata.widening)
    return normals, float(mixture.bond[0].exp()), float(mixture.bond_sd[0])
