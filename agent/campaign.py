"""The Campaign as data: what a scientist writes in a YAML file. No behaviour lives here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from solvus.agent.approval import Approval
from solvus.agent.planner.early_signal import LEAST_PAIRS
from solvus.agent.planner.expressions import names_in
from solvus.agent.planner.search_space import Categorical, Fixed, Mixture, Ordinal, SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.scoring import Bound, Goal
from solvus.agent.stock import Reagent
from solvus.drivers.combination import Combination
from solvus.drivers.messages import Identifier, Name

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
    """Replicates included; proposals that were rejected not."""
    hours: float | None = Field(default=None, gt=0.0)
    """Since the campaign began; nothing is proposed after that."""


class StopWhen(_Part):
    """Rules of the planner that end the campaign before its budget is spent; each is shown with every proposal."""

    improvement_below_cost: bool = False
    """The next experiment is expected to gain less than ``planner.stop_improvement`` per unit of cost."""
    reached: bool = False
    """The best recipe so far is within all tolerances with probability ``planner.stop_reached``, by the model."""


class Stages(_Part):
    """A cheap early signal decides whether a sample is measured: what the synthesis devices say of it."""

    signal: tuple[Identifier, ...] = Field(min_length=1)
    """Names of the signals; a sample that lacks one is measured."""
    threshold: float = Field(default=0.02, gt=0.0, lt=0.5)
    """A sample is not measured when it is better than the best known one, and within all tolerances, with less than
    this probability each, at most."""
    least: int = Field(default=LEAST_PAIRS, ge=4)
    """Measured samples with these signals before any is skipped."""

    @model_validator(mode="after")
    def _no_signal_is_there_twice(self) -> Self:
        if len(set(self.signal)) != len(self.signal):
            raise ValueError("signal: a name is there twice; remove one")
        return self


class Step(_Part):
    """How far a parameter may be from its value in the order before."""

    value: float = Field(gt=0.0)
    unit: str = ""


class CampaignLimits(_Part):
    """Limits of this campaign beside the ranges of its search space and the limits of its devices."""

    max_step: dict[str, Step] = {}
    combinations: tuple[Combination, ...] = ()


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
    device_silent: float = Field(default=20.0, gt=0.0)
    """A device not heard for this long gets no new order until it is heard again; devices speak every 5 s."""
    devices_ready: float = Field(default=30.0, gt=0.0)
    """How long a starting campaign waits for its devices."""


class Campaign(_Part):
    """The search for one target, on one laboratory, within a budget."""

    name: CampaignName
    target: Target | None = None
    """May be left out to explore."""
    goals: dict[str, Goal] = {}
    """Of further descriptors, beside those that the target implies or in their place: weights, phases to avoid."""
    bounds: dict[str, Bound] = {}
    """What a product must keep to, such as a purity."""
    earlier: tuple[str, ...] = ()
    """Ids of campaigns in the same ledger whose experiments the planner learns from as well."""
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
    descriptors: Literal["identification", "latent"] = "identification"
    """What the planner knows of a sample: shares of families, size and bond length, or its place in the latent space
    with its bond length. A hit is judged by the identification either way."""
    stages: Stages | None = None
    """Samples are all measured when left out."""
    stop_when: StopWhen = StopWhen()
    identification: IdentificationChoice = IdentificationChoice()
    timing: Timing = Timing()
    approval: Approval = Approval()
    limits: CampaignLimits = CampaignLimits()
    inventory: tuple[Reagent, ...] = ()
    seed: int = Field(default=1, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _has_something_to_seek(self) -> Self:
        planner = self.planner
        if self.target is None and planner.mode != "explore":
            raise ValueError(
                f"target: is missing, and planner.mode {planner.mode} needs one; only explore does without"
            )
        if self.target is None and not self.identification.elements:
            raise ValueError(
                "identification.elements: without a target nothing says which metals a sample may hold; name them"
            )
        if self.stop_when.improvement_below_cost and planner.stop_improvement is None:
            raise ValueError(
                "stop_when: improvement_below_cost needs planner.stop_improvement, the gain per unit of cost that an "
                "experiment must promise"
            )
        if self.stop_when.reached and planner.mode != "target":
            raise ValueError(
                f"stop_when: nothing is reached in planner.mode {planner.mode}; leave reached out"
            )
        if self.stages is not None and planner.mode != "target":
            raise ValueError(
                f"stages: in planner.mode {planner.mode} no sample can be told to be of no use; leave stages out"
            )
        if len(set(self.earlier)) != len(self.earlier):
            raise ValueError("earlier: a campaign is there twice; remove one")
        for name in sorted(names_in(planner.cost) - set(self.search_space.names)) if planner.cost else ():
            raise ValueError(f"planner.cost: {name} is no parameter of the search space; correct it")
        return self

    @model_validator(mode="after")
    def _controls_fit_the_search_space(self) -> Self:
        refusal = self.approval.refusal(self.search_space)
        if refusal is not None:
            raise ValueError(refusal)
        units = _units(self.search_space)
        for name, step in self.limits.max_step.items():
            _check_number(units, f"limits.max_step: {name}", name)
            if units[name] != step.unit:
                raise ValueError(
                    f"limits.max_step: {name} is given in {units[name] or 'no unit'}, "
                    f"its step in {step.unit or 'no unit'}"
                )
        for combination in self.limits.combinations:
            for name, weight in combination.terms.items():
                _check_number(units, f"limits.combinations: {combination.name}", name)
                if weight == 1.0 and combination.unit and units[name] != combination.unit:
                    raise ValueError(
                        f"limits.combinations: {combination.name}: {name} is given in "
                        f"{units[name] or 'no unit'}, the sum in {combination.unit}; give it a weight that converts"
                    )
            _check_choices(units, f"limits.combinations: {combination.name}", combination.when)
        for reagent in self.inventory:
            for name in reagent.uses:
                _check_number(units, f"inventory: {reagent.name}", name)
            _check_choices(units, f"inventory: {reagent.name}", reagent.when)
        return self


def _units(space: SearchSpace) -> dict[str, str | None]:
    """The unit of every name that a recipe sets; ``None`` for words."""
    units: dict[str, str | None] = {}
    for p in space.parameters:
        if isinstance(p, Mixture):
            units |= {component.name: p.unit for component in p.components}
        elif isinstance(p, Categorical):
            units[p.name] = None
        else:
            value = p.value if isinstance(p, Fixed) else p.levels[0] if isinstance(p, Ordinal) else 0.0
            units[p.name] = None if isinstance(value, str) else p.unit
    return units


def _check_number(units: Mapping[str, str | None], where: str, name: str) -> None:
    """Raise ValueError unless ``name`` is a numeric parameter; the unit of a categorical one is ``None``."""
    if units.get(name) is None:
        numbers = ", ".join(n for n, unit in units.items() if unit is not None)
        raise ValueError(f"{where}: {name} is no number of the search space; it has {numbers}")


def _check_choices(units: Mapping[str, str | None], where: str, names: Iterable[str]) -> None:
    for name in names:
        if name not in units or units[name] is not None:
            raise ValueError(f"{where}: when: {name} is no categorical parameter of the search space")
