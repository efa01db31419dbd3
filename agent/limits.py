"""The agent's own check of limits, between the planner's and the driver's: three gates, the last is the boundary."""

from __future__ import annotations

from collections.abc import Iterable

from solvus.agent.planner.search_space import (
    Continuous,
    Fixed,
    Ordinal,
    Recipe,
    SearchSpace,
    Shown,
)
from solvus.drivers.messages import ParameterSpec, Value


class LimitError(ValueError):
    """A search space that reaches beyond what a device accepts; one sentence names the parameter and the fix."""


def check_recipe(recipe: Recipe, space: SearchSpace, specs: Iterable[ParameterSpec]) -> str | None:
    """One sentence that says why ``recipe`` may not be ordered, or ``None``."""
    refusal = space.refusal(recipe)
    if refusal is not None:
        return refusal
    for spec in specs:
        if spec.name not in recipe:
            return f"{spec.name}: the device needs it and the recipe lacks it"
        refusal = spec.refusal(recipe[spec.name])
        if refusal is not None:
            return f"{refusal} (limit of the device)"
    return None


def _corners(space: SearchSpace, shown: Shown) -> tuple[Value, ...]:
    """The extreme values that a recipe may set."""
    parameter = next((p for p in space.parameters if p.name == shown.name), None)
    if parameter is None or not shown.choices:
        return shown.limits
    if isinstance(parameter, Fixed):
        return (parameter.value,)
    return parameter.levels if isinstance(parameter, Ordinal) else shown.choices


def check_space(space: SearchSpace, device: str, specs: Iterable[ParameterSpec]) -> None:
    """Refuse a search space that a device cannot serve to its corners.

    Raises
    ------
    LimitError
        Naming the parameter, the limit and the device.
    """
    by_name = {spec.name: spec for spec in specs}
    wanted = set(space.names)
    whole = {p.name for p in space.parameters if not isinstance(p, Continuous)}
    for name in by_name.keys() - wanted:
        raise LimitError(f"search_space: {device} needs {name}; add it to the parameters")
    for parameter in space.shown:
        spec = by_name.get(parameter.name)
        if spec is None:
            raise LimitError(
                f"search_space: {device} takes no {parameter.name}; it takes {', '.join(sorted(by_name))}"
            )
        if spec.kind != "categorical" and spec.unit != parameter.unit:
            raise LimitError(
                f"search_space: {parameter.name} is given in {parameter.unit or 'no unit'}, "
                f"{device} takes it in {spec.unit or 'no unit'}"
            )
        if spec.kind == "integer" and not parameter.choices and parameter.name not in whole:
            raise LimitError(
                f"search_space: {parameter.name} is continuous, {device} takes whole numbers; make it integer"
            )
        for value in _corners(space, parameter):
            refusal = spec.refusal(value)
            if refusal is not None:
                raise LimitError(f"search_space: {refusal} (limit of {device}); narrow the parameter")
