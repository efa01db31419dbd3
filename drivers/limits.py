"""The limits a laboratory sets for one device, and how they narrow what its driver declares.

The device is the safety boundary (design section 3.4): the protocol around the driver narrows the driver's own limits
by these, announces the result in its description, and refuses every order outside. Planner and agent check the same
before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from solvus.drivers.combination import Combination
from solvus.drivers.messages import Capability, ParameterSpec, Value


class LimitsMissing(ValueError):  # noqa: N818 -- a state of affairs, told in one sentence
    """A device that must not start, because nobody has said within which limits it may work."""


class Limit(BaseModel):
    """A narrower range for one parameter of a device than the device itself allows.

    ``unit`` may be given; it is then compared with the device's. ``max_step`` bounds how far the value may be from that
    of the device's order before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lower: float | None = None
    upper: float | None = None
    unit: str | None = None
    choices: tuple[str, ...] = ()
    max_step: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _is_a_limit(self) -> Self:
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise ValueError(f"lower: {self.lower:g} must be below upper, {self.upper:g}")
        numeric = any(v is not None for v in (self.lower, self.upper, self.max_step))
        if bool(self.choices) == numeric:
            raise ValueError("choices: give either choices or lower and upper")
        return self

    def narrow(self, spec: ParameterSpec) -> ParameterSpec:
        """The parameter within both limits.

        Raises
        ------
        ValueError
            When the unit or kind differs, or nothing is left.
        """
        if self.unit is not None and self.unit != spec.unit:
            raise ValueError(
                f"{spec.name}: the device counts in {spec.unit or 'no unit'}, not in {self.unit}"
            )
        if (spec.kind == "categorical") != bool(self.choices):
            raise ValueError(
                f"{spec.name}: is {spec.kind}; give {'choices' if spec.choices else 'lower and upper'}"
            )
        if self.choices:
            if unknown := [choice for choice in self.choices if choice not in spec.choices]:
                raise ValueError(f"{spec.name}: {unknown[0]!r} is not one of {', '.join(spec.choices)}")
            return spec.model_copy(update={"choices": self.choices})
        low = max(v for v in (self.lower, spec.lower) if v is not None)
        high = min(v for v in (self.upper, spec.upper) if v is not None)
        if not low < high:
            raise ValueError(f"{spec.name}: nothing is left between {low:g} and {high:g}; widen the limit")
        steps = [v for v in (self.max_step, spec.max_step) if v is not None]
        return spec.model_copy(
            update={"lower": low, "upper": high, "max_step": min(steps) if steps else None}
        )


class DeviceLimits(BaseModel):
    """All that a laboratory says of what one device may be ordered."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    parameters: dict[str, Limit] = {}
    combinations: tuple[Combination, ...] = ()


def narrowed(
    capabilities: tuple[Capability, ...], limits: DeviceLimits, *, simulated: bool, driver: str
) -> tuple[Capability, ...]:
    """What the device takes within both its own limits and the laboratory's.

    Raises
    ------
    LimitsMissing
        When a real instrument has a numeric parameter for which the laboratory sets no limits with their unit.
    ValueError
        When a limit names an unknown parameter or another unit, or leaves nothing.
    """
    specs = {spec.name: spec for capability in capabilities for spec in capability.parameters}
    _check_names(limits, specs)
    if not simulated:
        _demand_limits(limits, specs.values(), driver)
    return tuple(_narrowed(capability, limits) for capability in capabilities)


def _narrowed(capability: Capability, limits: DeviceLimits) -> Capability:
    given = limits.parameters
    parameters = tuple(given[s.name].narrow(s) if s.name in given else s for s in capability.parameters)
    names = {spec.name for spec in parameters}
    combinations = tuple(c for c in limits.combinations if c.terms.keys() | c.when.keys() <= names)
    return capability.model_copy(
        update={"parameters": parameters, "combinations": (*capability.combinations, *combinations)}
    )


def _check_names(limits: DeviceLimits, specs: Mapping[str, ParameterSpec]) -> None:
    known = ", ".join(specs) or "no parameter"
    for name in limits.parameters:
        if name not in specs:
            raise ValueError(f"limits.{name}: the device takes {known}")
    for combination in limits.combinations:
        for name in (*combination.terms, *combination.when):
            if name not in specs:
                raise ValueError(f"combinations: {combination.name}: the device takes {known}, not {name}")
        for name, weight in combination.terms.items():
            spec = specs[name]
            if spec.kind == "categorical":
                raise ValueError(f"combinations: {combination.name}: {name} is a choice and cannot be summed")
            if weight == 1.0 and combination.unit and spec.unit != combination.unit:
                raise ValueError(
                    f"combinations: {combination.name}: {name} counts in {spec.unit or 'no unit'}, "
                    f"the sum in {combination.unit}; give it a weight that converts"
                )


def _demand_limits(limits: DeviceLimits, specs: Iterable[ParameterSpec], driver: str) -> None:
    missing = []
    for spec in specs:
        limit = limits.parameters.get(spec.name)
        unit = "" if not spec.unit else f" in {spec.unit}"
        bounded = limit is not None and limit.lower is not None and limit.upper is not None
        if spec.kind != "categorical" and not (
            bounded and limit is not None and (limit.unit or "") == spec.unit
        ):
            missing.append(f"{spec.name}{unit}")
    if missing:
        raise LimitsMissing(
            f"limits: {driver} drives a real instrument and starts only with limits; the laboratory file must give "
            f"lower, upper and unit of {', '.join(missing)}"
        )


def step_refusal(
    specs: Iterable[ParameterSpec], values: Mapping[str, Value], before: Mapping[str, Value] | None
) -> str | None:
    """One sentence when a value is too far from that of the order before, or ``None``.

    ``before`` is ``None`` when the device has not been ordered anything yet: the first order may begin anywhere.
    """
    for spec in specs:
        if spec.max_step is None or before is None or spec.name not in before:
            continue
        old, new = before[spec.name], values[spec.name]
        if isinstance(old, str) or isinstance(new, str):
            continue
        if abs(new - old) > spec.max_step * (1.0 + 1e-9):
            unit = f" {spec.unit}" if spec.unit else ""
            return (
                f"{spec.name}: {new:g}{unit} is {abs(new - old):g} away from the {old:g} before, "
                f"more than {spec.max_step:g} in one step"
            )
    return None
