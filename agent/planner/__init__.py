"""The planner, usable without the rest: ``from solvus.agent.planner import Planner``.

It is loaded when it is asked for: with it comes torch, which takes two seconds, and other modules of this package do
without.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solvus.agent.planner.planner import Planner

__all__ = ["Planner"]


def __getattr__(name: str) -> object:
    if name != "Planner":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from solvus.agent.planner.planner import Planner

    return Planner
