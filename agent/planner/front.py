"""The front of best compromises between the goals of a target, among what was made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solvus.agent.planner.known import readings_of
from solvus.agent.planner.observations import Observation
from solvus.agent.planner.outputs import natural, outputs_of
from solvus.agent.scoring import TargetDescriptors, squared_distance


def front(observations: Sequence[Observation], target: TargetDescriptors) -> list[Observation]:
    """Trusted observations that no other one is at least as near to every goal, and nearer to one.

    Notes
    -----
    By the means of the most probable reading; where spreads matter, ask the planner in mode ``front``.
    """
    outputs = outputs_of(target)
    ok = [o for o in observations if o.outcome == "ok"]
    if not ok:
        return []
    rows = []
    for observation in ok:
        columns = natural(outputs, readings_of(observation, outputs)[0].values)
        rows.append(
            [
                float(squared_distance([column], [output.goal]))
                for column, output in zip(columns, outputs, strict=True)
                if output.aimed
            ]
        )
    distances = np.array(rows)
    no_worse = (distances[:, None] <= distances[None]).all(-1)
    better = (distances[:, None] < distances[None]).any(-1)
    beaten = np.flatnonzero((no_worse & better).any(0)).tolist()
    return [o for i, o in enumerate(ok) if i not in beaten]
