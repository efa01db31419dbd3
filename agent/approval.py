"""Who must say yes before a recipe is made, as a campaign file says it. :mod:`solvus.agent.asking` applies it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from solvus.agent.planner.search_space import Categorical, SearchSpace

Person = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
"""A login name, or whatever a person is known by in the laboratory."""


class Approval(BaseModel):
    """When a person is asked.

    Attributes
    ----------
    policy : ``automatic``: never. ``first-of-a-kind``: for the first recipe of every combination of choices
        (``kinds``). ``outside-trust-region``: for a recipe farther than ``radius`` from all that were carried out.
        ``always``.
    kinds : the categorical parameters whose combination is a kind; all of them when left out.
    radius : Euclidean, where the range of each parameter counts 1, and a different choice counts 1 too.
    people : who may approve; anybody who may write requests when left out.
    identity : who a person is: the ``name`` a request gives, or the database's ``login`` (PostgreSQL), which nobody can
        choose.
    two_persons : two different people must approve.
    expires : seconds after which an unanswered proposal is dropped and the campaign paused; never when left out.
    unknown : what follows when nobody knows what became of an experiment: ``discard`` it and go on, or ``ask``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    policy: Literal["automatic", "first-of-a-kind", "outside-trust-region", "always"] = "automatic"
    kinds: tuple[str, ...] = ()
    radius: float = Field(default=0.2, gt=0.0, le=10.0)
    people: tuple[Person, ...] = ()
    identity: Literal["name", "login"] = "name"
    two_persons: bool = False
    expires: float | None = Field(default=None, gt=0.0)
    unknown: Literal["discard", "ask"] = "discard"

    def refusal(self, space: SearchSpace) -> str | None:
        """One sentence that says why this policy does not fit a search space, or ``None``."""
        choices = {p.name for p in space.parameters if isinstance(p, Categorical)}
        for name in self.kinds:
            if name not in choices:
                known = ", ".join(sorted(choices)) or "none"
                return f"approval.kinds: {name!r} is no categorical parameter of the search space; there is {known}"
        if self.two_persons and len(self.people) == 1:
            return "approval.people: two_persons needs two people or more; name another"
        if len(set(self.people)) != len(self.people):
            return "approval.people: somebody is named twice; remove one"
        return None
