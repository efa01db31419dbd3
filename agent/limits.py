"""The agent's own check of limits, between the planner's and the driver's: three gates, the last is the boundary."""

from __future__ import annotations

from collections.abc import Iterable

from solvus.agent.planner.search_space import Categorical, Recipe, SearchSpace
from solvus.drivers.messages import ParameterSpec


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


def check_space(space: SearchSpace, device: str, specs: Iterable[ParameterSpec]) -> None:
    """Refuse a search space that a device cannot serve to its corners.

    Raises
    ------
    LimitError
        Naming the parameter, the limit and the device.
    """
    by_name = {spec.name: spec for spec in specs}
    wanted = {p.name for p in space.parameters}
    for name in by_name.keys() - wanted:
        raise LimitError(f"search_space: {device} needs {name}; add it to the parameters")
    for parameter in space.parameters:
        spec = by_name.get(parameter.name)
        if spec is None:
            raise LimitError(
                f"search_space: {device} takes no {parameter.name}; it takes {', '.join(sorted(by_name))}"
            )
        if not isinstance(parameter, Categorical) and spec.unit != parameter.unit:
            raise LimitError(
                f"search_space: {parameter.name} is given in {parameter.unit or 'no unit'}, "
                f"{device} takes it in {spec.unit or 'no unit'}"
            )
        if spec.kind == "integer" and parameter.kind == "continuous":
            raise LimitError(
                f"search_space: {parameter.name} is continuous, {device} takes whole numbers; make it integer"
            )
        corners = (
            parameter.choices if isinstance(parameter, Categorical) else (parameter.lower, parameter.upper)
        )
        for value in corners:
            refusal = spec.refusal(value)
            if refusal is not None:
                raise LimitError(f"search_space: {refusal} (limit of {device}); narrow the parameter")
