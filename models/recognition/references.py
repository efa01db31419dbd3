"""Where the structures of the library lie in the embedding: what a pattern's neighbours are looked for among.

A structure's place is the mean of the embeddings of its own calculated patterns under a handful of usual conditions,
and beside it stands the spacing of atoms that the network reads off them. It takes no training, so a structure that a
user adds is found as the shipped ones are. Neighbours are ordered by

    score = SHARPNESS cos - (ln s - ln s_k)^2 / 2 (sd^2 + SPACING^2),

with s the spacing that the network sees in the pattern, sd its uncertainty, and s_k that of the structure; metal
geometries have any bond length and therefore no s_k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.recognition.canonical import Range, inputs
from solvus.models.recognition.curves import curves, damping, sphere
from solvus.models.recognition.encoder import QUANTITIES, Encoder
from solvus.models.recognition.signatures import REACH, Radiation, Signatures

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

USUAL = (
    # qmin, qmax, qdamp, first r, last r, diameter of a crystal, displacement beside the curve's own
    (0.8, 24.0, 0.03, 0.1, 30.0, np.inf, 0.003),
    (0.5, 20.0, 0.04, 0.1, 30.0, 60.0, 0.004),
    (1.0, 25.0, 0.02, 1.0, 30.0, 30.0, 0.006),
    (0.7, 16.0, 0.05, 0.1, 20.0, np.inf, 0.003),
    (0.3, 13.0, 0.03, 1.5, 30.0, 100.0, 0.008),
    (1.2, 22.0, 0.02, 0.1, 20.0, 25.0, 0.004),
    (0.6, 18.0, 0.06, 1.0, 15.0, 45.0, 0.002),
    (0.9, 26.0, 0.01, 0.1, 10.0, np.inf, 0.005),
)
"""Conditions under which places are taken."""
CHUNK = 512
SHARPNESS = 24.0
"""Factor on the cosine (NormFace: Wang et al., ACM MM 2017), the same as in training."""
SPACING = 0.02
"""What heat, size and a predicted cell change the spacing by."""


@dataclass(frozen=True)
class Places:
    """Of m structures: directions (m, dimension) of length one, and ln of the spacing (m,), NaN for any."""

    directions: Singles
    spacing: Singles

    def joined(self, other: Places) -> Places:
        return Places(
            np.concatenate([self.directions, other.directions]),
            np.concatenate([self.spacing, other.spacing]),
        )


def places(
    encoder: Encoder, f: Singles, reach: float, crystalline: NDArray[np.bool_], radiation: Radiation
) -> Places:
    """Of n structures given as short curves."""
    total, spacing = np.zeros((len(f), encoder.shape.dimension)), np.zeros(len(f))
    for first in range(0, len(f), CHUNK):
        part = slice(first, first + CHUNK)
        total[part], spacing[part] = _summed(
            encoder, f[part], reach, crystalline[part], radiation == "neutron"
        )
    directions = (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)
    return Places(directions, (spacing / len(USUAL)).astype(np.float32))


def places_of(encoder: Encoder, signatures: Signatures, radiation: Radiation) -> Places:
    """The same of signatures."""
    return places(encoder, signatures.f, REACH, signatures.crystalline, radiation)


def _summed(
    encoder: Encoder, f: Singles, reach: float, crystalline: NDArray[np.bool_], neutron: bool
) -> tuple[Floats, Floats]:
    n = len(f)
    total, spacing = np.zeros((n, encoder.shape.dimension)), np.zeros(n)
    for qmin, qmax, qdamp, first, last, diameter, extra in USUAL:
        full = Range.same(n, qmin=qmin, qmax=qmax, qdamp=qdamp, r_first=first, r_last=last, neutron=neutron)
        g = curves(f, reach, np.ones(n), np.full(n, extra), full) * damping(full.qdamp)
        g *= sphere(np.where(crystalline, diameter, np.inf))
        with torch.inference_mode():
            encoded = encoder(torch.from_numpy(inputs(g, full)))
        total += encoded.embedding.numpy()
        spacing += encoded.mean[:, QUANTITIES.index("spacing")].numpy()
    return total, spacing


def scores(embedding: Singles, spacing: Singles, sd: Singles, references: Places) -> tuple[Singles, Singles]:
    """Score of every reference for every pattern, and its cosine: (n, m) each.

    Parameters
    ----------
    embedding : (n, dimension), of length one; spacing, sd : (n,) ln of the spacing and its uncertainty.
    """
    cosine = embedding @ references.directions.T
    away = np.nan_to_num(spacing[:, None] - references.spacing) ** 2
    return SHARPNESS * cosine - 0.5 * away / (sd[:, None] ** 2 + SPACING**2), cosine


def nearest(score: Singles, count: int) -> NDArray[np.int64]:
    """Numbers of the references with the highest scores, the best first: (n, count)."""
    count = min(count, score.shape[1])
    some = np.argpartition(-score, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(score, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)
