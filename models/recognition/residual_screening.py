"""Which structures explain what a first phase leaves: a matched filter beside its curve.

A structure's curve c, stretched, broadened and cut to spheres in the same steps as in
:mod:`solvus.models.recognition.screening`, is compared with the observed curve y where both are freed of their part
along the first phase's curve f, and of the parts along f's changes with its stretch and width:

    cosine = c' . y' / (|c'| |y'|),        v' = v - sum_k (v . e_k) e_k,        e_k an orthonormal basis of them.

Lengths in angstrom, Q in 1/angstrom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.recognition.candidates import Data
from solvus.models.recognition.screening import (
    DIAMETERS,
    DISPLACEMENTS,
    FARTHEST,
    POINTS_PER_NYQUIST,
    STRETCHES,
)
from solvus.models.recognition.signatures import STEP, Signatures

Floats = NDArray[np.float64]

LEAST_OWN = 0.02
"""Share of its energy that a curve has beside the first phase, at least: of less, rounding decides."""


@dataclass(frozen=True)
class Residual:
    """What is left to explain: ``y`` freed of ``basis`` and of length one, at ``r``.

    Attributes
    ----------
    r, y : (k,); basis : (b, k) orthonormal.
    """

    r: Floats
    y: Floats
    basis: Floats

    @classmethod
    def of(cls, data: Data, known: tuple[Floats, Floats], r_range: tuple[float, float]) -> Residual:
        """Of a pattern and the first phase's curve, given as its r and G(r)."""
        last = min(r_range[1], FARTHEST, float(data.r[-1]), float(known[0][-1]))
        first = max(r_range[0], float(data.r[0]), float(known[0][0]))
        r = np.arange(first, last, math.pi / data.qmax / POINTS_PER_NYQUIST)
        curve = np.interp(r, *known)
        slope = np.gradient(known[1], known[0])
        bend = np.gradient(slope, known[0])
        # r dG/dr is what a stretch of the lengths changes, the second derivative what a width does.
        rows = np.stack([curve, r * np.interp(r, known[0], slope), np.interp(r, known[0], bend), r * curve])
        scaled = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
        basis = np.linalg.qr(scaled.T)[0].T
        y = np.interp(r, data.r, data.g)
        y = y - basis.T @ (basis @ y)
        return cls(r, y / (float(np.linalg.norm(y)) or 1.0), basis)


@dataclass(frozen=True)
class Beside:
    """A structure with its best cosine beside the first phase, and the stretch and diameter of that curve."""

    name: str
    cosine: float
    stretch: float
    diameter: float


def screen_beside(
    signatures: Signatures,
    data: Data,
    known: tuple[Floats, Floats],
    r_range: tuple[float, float],
    *,
    qdamp: float,
) -> list[Beside]:
    """Every structure, the one that explains most beside the first phase first.

    Parameters
    ----------
    known : r and G(r) of the first phase, refined; over these r it is compared.
    qdamp : of the instrument, 1/angstrom.
    """
    if not signatures.names:
        return []
    left = Residual.of(data, known, r_range)
    x = np.minimum(left.r / np.array(DIAMETERS)[:, None], 1.0)
    envelopes = (1.0 - 1.5 * x + 0.5 * x**3) * np.exp(-0.5 * (qdamp * left.r) ** 2)
    weighted, squared = (envelopes * left.y).T.astype(np.float32), (envelopes**2).T.astype(np.float32)
    along = [(envelopes * row).T.astype(np.float32) for row in left.basis]
    best = np.full(len(signatures.names), -1.0)
    chosen = np.zeros((len(best), 2))
    for stretch in STRETCHES:
        for displacement in DISPLACEMENTS:
            curves = signatures.f @ _kernel(signatures.q, left.r, float(stretch), displacement, data)
            power = np.square(curves) @ squared
            own = power - sum(np.square(curves @ part) for part in along)
            cosine = (curves @ weighted) / np.sqrt(np.maximum(own, LEAST_OWN * power) + 1e-30)
            cosine[~signatures.crystalline, :-1] = -1.0  # a cluster has no other size
            which = cosine.argmax(axis=1)
            value = np.take_along_axis(cosine, which[:, None], axis=1)[:, 0]
            better = value > best
            best[better] = value[better]
            chosen[better, 0], chosen[better, 1] = stretch, np.array(DIAMETERS)[which[better]]
    found = [
        Beside(name, float(value), float(stretch), float(diameter))
        for name, value, (stretch, diameter) in zip(signatures.names, best, chosen, strict=True)
    ]
    return sorted(found, key=lambda one: (-one.cosine, one.name))


def _kernel(q: Floats, r: Floats, stretch: float, displacement: float, data: Data) -> NDArray[np.float32]:
    """What turns signatures into curves: (m, k). Each sample stands for a bin, which a limit of Q may cut."""
    actual = q / stretch
    low, high = ((limit * stretch - (q - 0.5 * STEP)) / STEP for limit in (data.qmin, data.qmax))
    share = np.clip(high, 0.0, 1.0) - np.clip(low, 0.0, 1.0)
    weight = share * np.exp(-displacement * actual**2)
    return np.asarray(weight[:, None] * np.sin(np.outer(actual, r)), dtype=np.float32)
