"""The reagents of a campaign: how much there is, what each recipe takes, and what is left. Pure arithmetic.

What was taken is counted from the ledger's orders alone, so that it survives whatever the agent does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from solvus.agent.planner.search_space import Recipe

_Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Reagent(BaseModel):
    """One reagent, all amounts in ``unit``.

    Attributes
    ----------
    stock : what is there for this campaign in all; raise it when a bottle is refilled.
    per_experiment : what every synthesis takes.
    uses : what a synthesis takes besides, per unit of a parameter's value.
    when : only recipes with one of these choices take any.
    reserve : what must be left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: _Name
    unit: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    stock: float = Field(ge=0.0)
    per_experiment: float = Field(default=0.0, ge=0.0)
    uses: dict[str, Annotated[float, Field(ge=0.0, allow_inf_nan=False)]] = {}
    when: dict[str, tuple[str, ...]] = {}
    reserve: float = Field(default=0.0, ge=0.0)

    def taken_by(self, recipe: Recipe) -> float:
        if not all(recipe.get(name) in choices for name, choices in self.when.items()):
            return 0.0
        return self.per_experiment + math.fsum(w * float(recipe[name]) for name, w in self.uses.items())


def left(reagent: Reagent, ordered: Iterable[Recipe]) -> float:
    """What is left after these syntheses, the reserve included."""
    return reagent.stock - math.fsum(map(reagent.taken_by, ordered))


def shortage(inventory: Sequence[Reagent], ordered: Sequence[Recipe], recipe: Recipe) -> str | None:
    """One sentence that says what ``recipe`` lacks, or ``None``."""
    for reagent in inventory:
        there, needed = left(reagent, ordered), reagent.taken_by(recipe)
        if needed > 0.0 and there - needed < reagent.reserve - 1e-9 * reagent.stock:
            keep = f", of which {reagent.reserve:g} are kept" if reagent.reserve else ""
            return (
                f"{reagent.name}: {there:.4g} {reagent.unit} left{keep}, {needed:.4g} needed; refill, raise its "
                "stock in the campaign file and go on with `solvus run ... --resume`"
            )
    return None
