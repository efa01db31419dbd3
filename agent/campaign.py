"""The Campaign as data: what a scientist writes in a YAML file. No behaviour lives here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from solvus.agent.planner.search_space import SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.drivers.messages import Name

CampaignName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Tolerance(_Part):
    """How far off still counts as found."""

    diameter: float = Field(default=0.05, gt=0.0, lt=1.0)
    """Relative: 0.05 is 5 % of the target's diameter."""
    bond_length: float = Field(default=0.01, gt=0.0, lt=0.2)
    """Relative."""
    impurity: float = Field(default=0.4, gt=0.0, lt=1.0)
    """Share of the scattering that may come from other families."""


class Target(_Part):
    """The wanted structure: exactly one of a named cluster, a structure file, or a measured pattern."""

    structure: str | None = None
    """A cluster of the library with its element, for example ``Au icosahedron-561``."""
    file: Path | None = None
    """An xyz or CIF file of a finite cluster."""
    pattern: Path | None = None
    """A measured G(r); its own identification becomes the target."""
    tolerance: Tolerance = Tolerance()

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(x is not None for x in (self.structure, self.file, self.pattern)) != 1:
            raise ValueError("give exactly one of structure, file or pattern")
        return self


class Budget(_Part):
    experiments: int = Field(ge=1, le=100_000)
    """Replicates included."""


class Devices(_Part):
    """Which devices of the laboratory do what; several of a kind share the work."""

    synthesis: tuple[Name, ...] = Field(min_length=1)
    measurement: tuple[Name, ...] = Field(min_length=1)


class IdentificationChoice(_Part):
    elements: tuple[str, ...] = ()
    """Metals that may be present; those of the target when left out."""
    r_range: tuple[float, float] = (1.6, 20.0)
    """angstrom; the range over which R_w ranks."""
    expansion: float | None = Field(default=None, gt=0.0, le=0.6)
    """Relative range of bond lengths and cells about the library's that is held possible; *none of these* is judged
    against it. By default what heat, size and alloying do."""

    @model_validator(mode="after")
    def _range_is_a_range(self) -> Self:
        if not 0.0 < self.r_range[0] < self.r_range[1]:
            raise ValueError(f"r_range: {self.r_range[0]:g} to {self.r_range[1]:g} angstrom is no range")
        return self


class Timing(_Part):
    """Seconds after which silence means something. Laboratory instruments are slow; these are for people to set."""

    command_expires: float = Field(default=600.0, gt=0.0)
    """An order not accepted by then dies."""
    republish: float = Field(default=5.0, gt=0.0)
    """An order not accepted by then is published again; the device knows it by its id."""
    device_lost: float = Field(default=3600.0, gt=0.0)
    """A device silent for this long while it works leaves its order `unknown`."""
    devices_ready: float = Field(default=30.0, gt=0.0)
    """How long a starting campaign waits for its devices."""


class Campaign(_Part):
    """The search for one target, on one laboratory, within a budget."""

    name: CampaignName
    target: Target
    laboratory: str = "gold"
    """Name of a shipped laboratory or path of a LAB.yaml; ``--lab`` overrides it."""
    devices: Devices | None = None
    """All devices of the laboratory that can, when left out."""
    search_space: SearchSpace
    budget: Budget
    parallel: int = Field(default=1, ge=1, le=64)
    """Experiments under way at once."""
    confirmations: int = Field(default=1, ge=1, le=10)
    """Replicates that must hit as well before the target is called found."""
    hit_probability: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Least probability of being within all tolerances that makes a hit."""
    planner: PlannerSettings = PlannerSettings()
    identification: IdentificationChoice = IdentificationChoice()
    timing: Timing = Timing()
    seed: int = Field(default=1, ge=0, lt=2**31)
