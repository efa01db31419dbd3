"""What the network says and how well structures fit, as one calibrated posterior that "none of these" belongs to.

With p the network's probability of a structure's type, R_w the misfit and n the independent points of the pattern,
n = (r_max - r_min) (Qmax - Qmin) / pi, each structure k and the answer "none of these" score

    s_k    = - a n/2 ln(R_w,k^2 + floor^2) + b ln p_k + prior_k,
    s_none = - a n/2 ln(R_0^2 + noise + floor^2) + b ln p_none + c,

and the posterior is proportional to exp(s), with the structures of one type sharing the weight of the best of them:
how many of a type were tried says nothing of it. How they share it may rest on more than s (``within``). R_0 is the
misfit from which a structure explains too little, ``noise`` the share of white noise in the pattern's energy, which
no structure explains. a and c are fixed on patterns that training never saw
(:mod:`solvus.models.recognition.training.calibrate`); R_0 is what measured patterns leave, because simulated ones
hold too little of the errors of measurement and model. For the same reason the network's word counts half (b = 0.5;
simulated patterns alone would give it 0.9): it takes a nanoparticle's disorder for a distorted cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]

LEAST_P = 1e-6
"""Below it the network's word counts no further: it has seen a library, not the world."""
LEAST_NOISE_SHARE, MOST_NOISE_SHARE = 0.0, 0.95


class EvidenceWeights(BaseModel):
    """a, b, c, R_0 and the floor of the formula above.

    The floor is what rounding and interpolation leave of a perfect model; R_0 is what true structures of measured
    patterns stay below (:mod:`solvus.models.recognition.metal_clusters`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    misfit: float = 0.2
    network: float = 0.5
    none: float = 0.0
    r_0: float = 0.5
    floor: float = 0.01


@dataclass(frozen=True)
class Evidence:
    """Of one pattern with m structures tried.

    Attributes
    ----------
    r_w : (m,); p : (m,) the network's probability of each one's type; prior : (m,) logarithms.
    p_none : the network's probability of "none of these".
    points : independent points; noise : share of white noise in the energy.
    kinds : (m,) types.
    within : (m,) logarithms that count among the structures of one type only; ``None`` for none.
    """

    r_w: Floats
    p: Floats
    prior: Floats
    p_none: float
    points: float
    noise: float
    kinds: tuple[str, ...]
    within: Floats | None = None


def posterior(evidence: Evidence, weights: EvidenceWeights) -> Floats:
    """Probabilities of the m structures and, last, of "none of these": (m + 1,), summing to one."""
    half = 0.5 * weights.misfit * evidence.points
    floor = weights.floor**2
    scores = (
        -half * np.log(evidence.r_w**2 + floor)
        + weights.network * np.log(np.maximum(evidence.p, LEAST_P))
        + evidence.prior
    )
    scores = _shared(scores, evidence.within, evidence.kinds)
    noise = min(max(evidence.noise, LEAST_NOISE_SHARE), MOST_NOISE_SHARE)
    explained = weights.r_0**2 * (1.0 - noise) + noise
    none = -half * math.log(explained + floor) + weights.network * math.log(max(evidence.p_none, LEAST_P))
    together = np.append(scores, none + weights.none)
    weight = np.exp(together - together.max())
    return np.asarray(weight / weight.sum())


def _shared(scores: Floats, within: Floats | None, kinds: tuple[str, ...]) -> Floats:
    """Logarithm of each one's share in the weight of its type, which is that of the best of the type: (m,)."""
    finer = scores if within is None else scores + within
    shared = np.empty(len(scores))
    for kind in set(kinds):
        own = np.array([k == kind for k in kinds])
        shared[own] = scores[own].max() + finer[own] - np.logaddexp.reduce(finer[own])
    return shared
