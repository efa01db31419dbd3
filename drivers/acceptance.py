"""Whether an order is within what a device declares: the last of the three checks of limits (design section
3.4).

Pure, so that the agent asks the same question with the device's description before an order leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping

from solvus.drivers.limits import step_refusal
from solvus.drivers.messages import Capability, Execute, Value


def refusal(
    order: Execute, capabilities: tuple[Capability, ...], before: Mapping[str, Value] | None = None
) -> str | None:
    """One sentence that says why ``order`` is not acceptable, or ``None``.

    Parameters
    ----------
    before : parameters of the device's last order of this action, for limits on steps.
    """
    capability = next((known for known in capabilities if known.action == order.action), None)
    if capability is None:
        actions = ", ".join(known.action for known in capabilities)
        return f"action: {order.action!r} is none of this device's ({actions})"
    specs = {spec.name: spec for spec in capability.parameters}
    if unknown := sorted(order.parameters.keys() - specs.keys()):
        return f"{unknown[0]}: {order.action} takes no such parameter"
    if missing := [name for name in specs if name not in order.parameters]:
        return f"{missing[0]}: missing; {order.action} needs it"
    return values_refusal(capability, order.parameters, before)


def values_refusal(
    capability: Capability, values: Mapping[str, Value], before: Mapping[str, Value] | None = None
) -> str | None:
    """As :func:`refusal`, for values of which every one is there."""
    reasons = (spec.refusal(values[spec.name]) for spec in capability.parameters)
    reason = next((reason for reason in reasons if reason is not None), None)
    if reason is not None:
        return reason
    together = (combination.refusal(values) for combination in capability.combinations)
    reason = next((reason for reason in together if reason is not None), None)
    return reason or step_refusal(capability.parameters, values, before)
