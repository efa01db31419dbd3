"""Whether an order is within what a device declares: the last of the three checks of limits (design section
3.4).

Pure, so that the agent asks the same question with the device's description before an order leaves it.
"""

from __future__ import annotations

from solvus.drivers.messages import Capability, Execute


def refusal(order: Execute, capabilities: tuple[Capability, ...]) -> str | None:
    """One sentence that says why ``order`` is not acceptable, or ``None``."""
    capability = next((known for known in capabilities if known.action == order.action), None)
    if capability is None:
        actions = ", ".join(known.action for known in capabilities)
        return f"action: {order.action!r} is none of this device's ({actions})"
    specs = {spec.name: spec for spec in capability.parameters}
    if unknown := sorted(order.parameters.keys() - specs.keys()):
        return f"{unknown[0]}: {order.action} takes no such parameter"
    if missing := [name for name in specs if name not in order.parameters]:
        return f"{missing[0]}: missing; {order.action} needs it"
    reasons = (spec.refusal(order.parameters[name]) for name, spec in specs.items())
    return next((reason for reason in reasons if reason is not None), None)
