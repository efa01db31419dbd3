"""The agent's gate before an order: ranges, combinations and steps, of the campaign and of the device that would do it.

The planner proposes within the search space, the agent asks here when a recipe is proposed, edited and ordered, and the
device refuses on its own what is outside (:mod:`solvus.drivers.acceptance`).
"""

from __future__ import annotations

from collections.abc import Mapping

from solvus.agent.campaign import Campaign
from solvus.agent.limits import check_recipe
from solvus.agent.planner.search_space import Recipe
from solvus.drivers.acceptance import values_refusal
from solvus.drivers.messages import Capability


def recipe_refusal(
    recipe: Recipe,
    campaign: Campaign,
    capabilities: Mapping[str, Capability],
    before: Mapping[str, Recipe | None],
) -> str | None:
    """One sentence that says why no device may be ordered to make ``recipe``, or ``None`` when one may.

    Parameters
    ----------
    capabilities : of the synthesis, by device.
    before : the recipe of each device's last order, for limits on steps; ``None`` before the first.
    """
    specs = [spec for capability in capabilities.values() for spec in capability.parameters]
    reason = check_recipe(recipe, campaign.search_space, specs) or _together(recipe, campaign)
    if reason is not None:
        return reason
    reasons = [
        device_refusal(recipe, campaign, device, capability, before.get(device))
        for device, capability in capabilities.items()
    ]
    return None if not reasons or None in reasons else reasons[0]


def device_refusal(
    recipe: Recipe, campaign: Campaign, device: str, capability: Capability, before: Recipe | None
) -> str | None:
    """One sentence that says why ``device`` may not be ordered to make ``recipe`` now, or ``None``."""
    reason = campaign.search_space.refusal(recipe) or _together(recipe, campaign)
    if reason is None and before is not None:
        reason = _step(recipe, campaign, before)
    if reason is not None:
        return reason
    reason = values_refusal(capability, recipe, before)
    return None if reason is None else f"{reason} (limit of {device})"


def _together(recipe: Recipe, campaign: Campaign) -> str | None:
    reasons = (combination.refusal(recipe) for combination in campaign.limits.combinations)
    return next((reason for reason in reasons if reason is not None), None)


def _step(recipe: Recipe, campaign: Campaign, before: Recipe) -> str | None:
    for name, step in campaign.limits.max_step.items():
        old, new = float(before[name]), float(recipe[name])
        if abs(new - old) > step.value * (1.0 + 1e-9):
            unit = f" {step.unit}" if step.unit else ""
            return (
                f"{name}: {new:g}{unit} is {abs(new - old):g} away from the {old:g} before, "
                f"more than {step.value:g} in one step"
            )
    return None
