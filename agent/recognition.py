"""What a measured sample is: raw data are reduced, the pattern is identified, the identification scored.

The work is done by the workers; each outcome is a ledger step of its own, so that after a crash nothing is done again
that is written down.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from solvus.agent import jobs
from solvus.agent.bench import Bench
from solvus.agent.campaign import Campaign
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CommandRow, ExperimentRow, PatternRow
from solvus.agent.reduction import DeviceReduction, record_reduction, request_for
from solvus.agent.scoring import ScoringError, score
from solvus.agent.snapshot import summarise
from solvus.agent.states import ExperimentState
from solvus.agent.transitions import move_experiment
from solvus.agent.workers import JobFailed, WorkerLost, Workers
from solvus.models.identification import Identification
from solvus.models.pattern import Pattern

log = logging.getLogger(__name__)

REDUCED = TypeAdapter[jobs.Reduced | jobs.Refusal](jobs.Reduced | jobs.Refusal)
NOT_REDUCED = "none: raw data that could not be reduced"
"""The model version of an identification that no model has made."""


@dataclass(frozen=True)
class Recognition:
    """Takes experiments of one campaign from *measured* to *scored*."""

    campaign_id: str
    campaign: Campaign
    bench: Bench
    target: jobs.ResolvedTarget
    reductions: Mapping[str, DeviceReduction]
    ledger: Ledger
    workers: Workers

    async def recognise(self, row: ExperimentRow) -> None:
        """Carry one measured experiment as far as it goes.

        One that its worker dies of, on which a job raises, or whose identification cannot be scored has failed, with
        the reason in the ledger; its pattern is kept there too.
        """
        stored = await self.ledger.rows(PatternRow, PatternRow.sha256 == row.pattern_sha256)
        device = await self._measured_by(row)
        try:
            await self._recognise(row, device, Pattern.model_validate_json(stored[0].body))
        except (WorkerLost, JobFailed, ScoringError) as error:
            reason = f"not identified: {error}"
            log.warning("experiment %d %s", row.number, reason)
            async with self.ledger.step() as step:
                fresh = await step.get(ExperimentRow, self.campaign_id, row.number)
                if fresh is not None:
                    await move_experiment(
                        step, fresh, ExperimentState.FAILED, reason=reason, cause="software"
                    )

    async def _recognise(self, row: ExperimentRow, device: str, measured: Pattern) -> None:
        pattern: Pattern | jobs.Refusal = measured
        if measured.quantity == "I":
            pattern = await self._reduce(row, device, measured)
        calibration = self.bench.calibration(device)
        request = jobs.IdentifyRequest(
            pattern=measured if isinstance(pattern, jobs.Refusal) else pattern,
            elements=self.campaign.identification.elements or self.target.elements,
            r_range=self.campaign.identification.r_range,
            qdamp=None if calibration is None else calibration.qdamp,
            qbroad=None if calibration is None else calibration.qbroad,
            expansion=self.campaign.identification.expansion,
            place=self.campaign.descriptors == "latent",
        )
        if isinstance(pattern, jobs.Refusal):
            identification = Identification(
                verdict="poor_data",
                reasons=(pattern.refused,),
                r_range=request.r_range,
                pattern_sha256=measured.sha256,
                model_version=NOT_REDUCED,
            )
        else:
            answer = await self.workers.run("identify", jobs.identify, request.model_dump_json())
            identification = Identification.model_validate_json(answer)
        await self._record(row.number, identification, request)

    async def _reduce(self, row: ExperimentRow, device: str, raw: Pattern) -> Pattern | jobs.Refusal:
        """G(r), written into the ledger, or why there is none."""
        request = request_for(self.reductions.get(device), device, raw, self.target)
        if isinstance(request, jobs.Refusal):
            return request
        done = REDUCED.validate_json(
            await self.workers.run("identify", jobs.reduce, request.model_dump_json())
        )
        if isinstance(done, jobs.Refusal):
            return done
        async with self.ledger.step() as step:
            await record_reduction(step, self.campaign_id, row.number, request, done)
        return done.pattern

    async def _record(
        self, number: int, identification: Identification, request: jobs.IdentifyRequest
    ) -> None:
        result = score(identification, self.target.descriptors, self.campaign.hit_probability)
        async with self.ledger.step() as step:
            await step.append(
                self.campaign_id,
                "experiment-identified",
                {
                    "number": number,
                    "pattern_sha256": identification.pattern_sha256,
                    "settings": request.model_dump(mode="json", exclude={"pattern"}),
                    "identification": identification.model_dump(mode="json"),
                },
            )
            await step.append(
                self.campaign_id,
                "experiment-scored",
                {"number": number, "score": result.model_dump(mode="json"), "summary": summarise(result)},
            )

    async def _measured_by(self, row: ExperimentRow) -> str:
        commands = await self.ledger.rows(
            CommandRow,
            CommandRow.campaign == self.campaign_id,
            CommandRow.experiment == row.number,
            CommandRow.purpose == "measure",
        )
        return commands[-1].device
