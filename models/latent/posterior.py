"""A place in the latent space with its uncertainty: a mixture of normal distributions, which keeps several modes.

It is the structure descriptor that a planner may model: versioned, never averaged into one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = NDArray[np.float64]

LEAST_WEIGHT = 1e-3
"""Modes below it are left out."""
SAMPLES = 2000
"""Of the region of highest density."""


class Mode(BaseModel):
    """One normal distribution.

    Attributes
    ----------
    weight : share of the probability. mean : (d,). covariance : (d, d).
    structure : what the mode is, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: float = Field(gt=0.0, le=1.0)
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    structure: str = ""

    @model_validator(mode="after")
    def _square(self) -> Mode:
        if any(len(row) != len(self.mean) for row in self.covariance) or len(self.covariance) != len(
            self.mean
        ):
            raise ValueError("covariance: needs as many rows and columns as the mean has numbers")
        return self


class LatentPosterior(BaseModel):
    """Of one pattern.

    Attributes
    ----------
    modes : heaviest first; their weights add up to one.
    version : of the weights; places of different versions are not comparable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    modes: tuple[Mode, ...] = Field(min_length=1)
    version: str

    @model_validator(mode="after")
    def _whole(self) -> LatentPosterior:
        if abs(sum(mode.weight for mode in self.modes) - 1.0) > 1e-6:
            raise ValueError("modes: the weights must add up to one")
        return self

    @property
    def dimensions(self) -> int:
        return len(self.modes[0].mean)

    def normals(self) -> Normals:
        """For computing."""
        return Normals(
            np.array([mode.weight for mode in self.modes]),
            np.array([mode.mean for mode in self.modes]),
            np.array([mode.covariance for mode in self.modes]),
        )

    @staticmethod
    def of(normals: Normals, version: str, structures: tuple[str, ...] = ()) -> LatentPosterior:
        """Modes above ``LEAST_WEIGHT``, heaviest first."""
        names = structures or ("",) * len(normals.weight)
        order = [int(k) for k in np.argsort(-normals.weight, kind="stable")]
        kept = [k for k in order if normals.weight[k] >= LEAST_WEIGHT] or order[:1]
        total = sum(float(normals.weight[k]) for k in kept)
        modes = tuple(
            Mode(
                weight=min(1.0, float(normals.weight[k]) / total),
                mean=tuple(float(v) for v in normals.mean[k]),
                covariance=tuple(tuple(float(v) for v in row) for row in normals.covariance[k]),
                structure=names[k],
            )
            for k in kept
        )
        return LatentPosterior(modes=modes, version=version)


@dataclass(frozen=True)
class Normals:
    """weight (k,), mean (k, d), covariance (k, d, d)."""

    weight: Floats
    mean: Floats
    covariance: Floats

    def sample(self, n: int, generator: np.random.Generator) -> Floats:
        """(n, d)."""
        k = generator.choice(len(self.weight), n, p=self.weight / self.weight.sum())
        factors = np.linalg.cholesky(self.covariance)
        noise = generator.standard_normal((n, self.mean.shape[1]))
        return np.asarray(self.mean[k] + np.einsum("nij,nj->ni", factors[k], noise))

    def log_density(self, z: Floats) -> Floats:
        """At z (n, d): (n,)."""
        factors = np.linalg.cholesky(self.covariance)
        apart = z[None] - self.mean[:, None]
        u = np.stack([np.linalg.solve(f, a.T).T for f, a in zip(factors, apart, strict=True)])
        d = z.shape[1]
        norm = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1) + 0.5 * d * math.log(2 * math.pi)
        logs = np.log(self.weight / self.weight.sum())[:, None] - 0.5 * (u**2).sum(axis=2) - norm[:, None]
        return np.asarray(np.logaddexp.reduce(logs, axis=0))

    def widened(self, factor: float) -> Normals:
        """All standard deviations times ``factor``."""
        return Normals(self.weight, self.mean, self.covariance * factor**2)

    def level(self, z: Floats, generator: np.random.Generator) -> float:
        """Share of the probability in the region of highest density that ends at z (d,): below 0.9 for a place inside
        the region that holds 90 %."""
        drawn = self.log_density(self.sample(SAMPLES, generator))
        return float((drawn > self.log_density(z[None])[0]).mean())
