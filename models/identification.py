"""The Identification: what a pattern is, as ranked candidate structures with probabilities, or *none of these*.

Pure data; :mod:`solvus.models.identify` makes it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from solvus.models.latent.posterior import LatentPosterior

Verdict = Literal["identified", "none", "poor_data"]
NONE = "none of these"
"""Among structure types: what the library does not hold."""


class Descriptor(BaseModel):
    """One number that says something of the structure, with its standard uncertainty.

    The planner models descriptors, so they are continuous and always present for an identified pattern.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: float
    sd: float = Field(ge=0.0)
    lower_bound: bool = False
    """True when the pattern ends before the particle does, so ``mean`` is only a lower bound."""


class Candidate(BaseModel):
    """One structure that may explain the pattern, after its least-squares fit.

    ``parameters`` holds the refined values under the field's names: ``scale``, ``expansion`` (factor on the
    library's bond length), ``bond_length`` (nearest neighbours, angstrom), ``u_iso`` (angstrom^2), ``diameter``
    (angstrom), ``n_atoms``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    structure: str
    family: str
    elements: tuple[str, ...]
    probability: float = Field(ge=0.0, le=1.0)
    r_w: float = Field(ge=0.0)
    parameters: dict[str, float]


class PhaseShare(BaseModel):
    """One of two phases: its share of the sample's atoms, and of its mass."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    structure: str
    family: str
    atoms: Descriptor
    mass: Descriptor


class Recognised(BaseModel):
    """What the learned recogniser adds.

    Attributes
    ----------
    types : calibrated probabilities of structure types, most probable first, after refinement; "none of these" is one
        of them, and they add up to one.
    metals : groups of metals that hold every metal of the sample with probability ``coverage``; empty where the
        pattern cannot say. ``promised`` is false of a pattern far from everything in the library; the set then holds
        those of all compounds that fit nearly as well as the best too.
    strangeness : how unlike anything in the library the pattern is; ``strange`` beyond the calibrated threshold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    types: tuple[tuple[str, float], ...]
    metals: tuple[str, ...]
    promised: bool = True
    coverage: float
    strangeness: float
    strange: bool

    @property
    def none(self) -> float:
        """Probability of "none of these"."""
        return dict(self.types).get(NONE, 0.0)


class Identification(BaseModel):
    """Ranked candidates and a verdict.

    ``descriptors`` are those of the whole answer, not of one candidate: for every family ``fraction:<family>``
    (its share of the scattering when the best member of each family is mixed, 0-1), ``diameter`` (angstrom)
    and ``bond_length`` (angstrom). Empty unless the verdict is ``identified``. ``recognised`` is there where the
    learned recogniser was asked: whenever anything but metals may be present. ``phases`` are the best candidate and the
    second phase that was found beside it; empty where one phase is enough. ``place`` is the pattern's posterior in the
    latent space, where it was asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    descriptors: dict[str, Descriptor] = {}
    recognised: Recognised | None = None
    phases: tuple[PhaseShare, ...] = ()
    place: LatentPosterior | None = None
    r_range: tuple[float, float]
    pattern_sha256: str
    model_version: str
