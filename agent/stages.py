"""Samples whose early signal says that measuring them would not help are not measured.

A sample is held back from the instrument from the end of its synthesis until the planner's worker has answered; the
answer is in the ledger with its numbers, whichever way it falls. Where there is no answer the sample is measured.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from solvus.agent import jobs
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import EarlySignalRow, ExperimentRow
from solvus.agent.plan_request import Ground, stage_request
from solvus.agent.planner.early_signal import StageDecision, StageRequest
from solvus.agent.states import EARLY_SIGNAL, ExperimentState
from solvus.agent.transitions import move_experiment
from solvus.agent.workers import JobFailed, WorkerLost, Workers
from solvus.drivers.messages import Signal, Signals

log = logging.getLogger(__name__)

SIGNALS = TypeAdapter[dict[str, Signal]](dict[str, Signal])


def signals_of(rows: Sequence[EarlySignalRow]) -> dict[int, Signals]:
    """What is known early of samples, by the number of their experiment."""
    return {row.experiment: SIGNALS.validate_json(row.signals) for row in rows}


@dataclass
class Staging:
    """Decides for one campaign which samples are measured."""

    campaign_id: str
    ground: Ground
    ledger: Ledger
    workers: Workers
    _missed: set[str] = field(default_factory=set)
    """Signals that were missed and told of."""

    async def open_questions(self, rows: Sequence[ExperimentRow]) -> Mapping[int, StageRequest]:
        """Of which samples it has to be decided whether they are measured, by number, with what is asked."""
        stages = self.ground.campaign.stages
        if stages is None:
            return {}
        made = [row.number for row in rows if row.state == ExperimentState.SYNTHESISED.value]
        if not made:
            return {}
        known = await self.ledger.rows(EarlySignalRow, EarlySignalRow.campaign == self.campaign_id)
        decided = {row.experiment for row in known if row.decision is not None}
        signals = signals_of(known)
        for number in made:
            self._tell_of(set(stages.signal) - set(signals.get(number, {})), number)
        asked = {n: stage_request(self.ground, rows, signals, n) for n in made if n not in decided}
        return {number: request for number, request in asked.items() if request is not None}

    def _tell_of(self, missing: set[str], number: int) -> None:
        """Say once that the devices do not give what the campaign file names: a slip of the pen would skip nothing."""
        if missing - self._missed:
            names = ", ".join(sorted(missing))
            log.warning("stages: experiment %d came without %s and is measured", number, names)
            self._missed |= missing

    async def judge(self, number: int, request: StageRequest) -> None:
        """Decide on one sample, and end its experiment where it is not worth measuring.

        A decision that cannot be made costs a measurement, not the campaign.
        """
        try:
            answer = await self.workers.run("plan", jobs.judge, request.model_dump_json())
            decision = StageDecision.model_validate_json(answer)
        except (WorkerLost, JobFailed) as error:
            log.warning("whether experiment %d is worth measuring could not be decided: %s", number, error)
            decision = StageDecision(measure=True, reason=f"it could not be decided: {error}")
        body = {"number": number, "decision": decision.model_dump(mode="json")}
        async with self.ledger.step() as step:
            await step.append(self.campaign_id, "stage-decided", body)
            row = await step.get(ExperimentRow, self.campaign_id, number)
            if row is not None and row.state == ExperimentState.SYNTHESISED.value and not decision.measure:
                reason = f"not measured: {decision.reason}"
                await move_experiment(step, row, ExperimentState.FAILED, reason=reason, cause=EARLY_SIGNAL)
