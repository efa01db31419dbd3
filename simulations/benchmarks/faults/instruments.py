"""A laboratory that costs nothing to run: a robot, an instrument, and what stands in for identification and planning.

The chemistry has one parameter, x in 0 to 1, and one descriptor, the diameter. What the robot and the instrument did is
written to a log that is on the disk before they go on: with the devices' journals it is the oracle that the ledger is
compared with.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, TypeAdapter

from solvus.agent.campaign import Budget, Campaign, Target, Timing
from solvus.agent.jobs import IdentifyRequest, ResolvedTarget
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import Continuous, SearchSpace
from solvus.agent.scoring import Goal, TargetDescriptors
from solvus.agent.workers import Kind, Workers
from solvus.drivers.driver import ChemistryFailure, Driver, EquipmentFailure, Progress
from solvus.drivers.laboratory import Laboratory
from solvus.drivers.messages import Capability, Execute, ParameterSpec
from solvus.models.identification import Candidate, Descriptor, Identification
from solvus.models.pattern import Pattern

FAMILY = "ball"
GOAL = Goal(value=35.0, tolerance=1.0)
SPACE = SearchSpace(parameters=(Continuous(name="x", lower=0.0, upper=1.0),))
PROPOSALS = TypeAdapter(list[Proposal])


class NoSettings(BaseModel):
    """These devices take none."""


class Log:
    """What a device did, one line each, on the disk before it goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *words: str) -> None:
        with self.path.open("a", encoding="ascii") as file:
            file.write(" ".join(words) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[list[str]]:
        return (
            [line.split() for line in self.path.read_text("ascii").splitlines()] if self.path.exists() else []
        )


class _Logged(Driver):
    """Logs what it begins; takes a second or three."""

    version: ClassVar[str] = "1"
    simulated: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = NoSettings
    steps: ClassVar[int] = 4
    pauses: ClassVar[tuple[float, float]] = (0.1, 0.8)
    """Seconds of each step, from shortest to longest."""

    def __init__(self, log: Log, chance: random.Random, alive: Callable[[], bool]) -> None:
        super().__init__(NoSettings())
        self._log, self._chance, self._alive = log, chance, alive

    async def execute(self, order: Execute, progress: Progress) -> Pattern | None:
        self._log.write("begin", order.command_id)
        pause = self._chance.uniform(*self.pauses)
        for step in range(self.steps):
            await progress(step / self.steps, "at work")
            await asyncio.sleep(pause)
        if self._chance.random() < 0.05:
            raise EquipmentFailure("a valve is stuck")
        answer = self._work(order)
        if self._alive():
            self._log.write("end", order.command_id, *([] if answer is None else [answer.sha256]))
        return answer

    def _work(self, order: Execute) -> Pattern | None:
        raise NotImplementedError


class Robot(_Logged):
    """Makes balls."""

    name: ClassVar[str] = "bench-robot"

    def capabilities(self) -> tuple[Capability, ...]:
        x = ParameterSpec(name="x", kind="continuous", lower=0.0, upper=1.0)
        return (Capability(action="synthesise", parameters=(x,)),)

    def _work(self, order: Execute) -> Pattern | None:
        if self._chance.random() < 0.1:
            raise ChemistryFailure("nothing precipitated")
        return None


class Diffractometer(_Logged):
    """Measures them. Of every sample another pattern, so that one taken for another shows."""

    name: ClassVar[str] = "bench-diffractometer"

    def capabilities(self) -> tuple[Capability, ...]:
        return (Capability(action="measure"),)

    def _work(self, order: Execute) -> Pattern | None:
        noise = random.Random(order.command_id)  # noqa: S311 -- noise
        y = [round(noise.gauss(0.0, 1.0), 4) for _ in range(24)]
        return Pattern(x=np.arange(24) * 0.5, y=np.array(y))


class Bookkeepers(Workers):
    """In place of the worker processes: answers of the right form at no cost, after a while."""

    spread: tuple[float, float] = (-4.0, 4.0)
    """How far from the target the diameters come out, angstrom."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"workers {seed}")  # noqa: S311 -- draws recipes

    async def run(self, kind: Kind, job: Callable[[str], str], request: str) -> str:
        await asyncio.sleep(self._chance.uniform(0.05, 1.0))
        if kind == "identify":
            return self._identify(IdentifyRequest.model_validate_json(request))
        return PROPOSALS.dump_json(self._plan(json.loads(request)["n"])).decode()

    def close(self) -> None:
        pass

    def _identify(self, request: IdentifyRequest) -> str:
        sha = request.pattern.sha256
        diameter = GOAL.value + random.Random(sha).uniform(*self.spread)  # noqa: S311 -- chemistry
        share = Descriptor(mean=0.95, sd=0.02)
        candidate = Candidate(
            structure="Au ball-1000",
            family=FAMILY,
            elements=("Au",),
            probability=0.97,
            r_w=0.1,
            parameters={},
        )
        found = {f"fraction:{FAMILY}": share, "diameter": Descriptor(mean=diameter, sd=0.2)}
        return Identification(
            verdict="identified",
            candidates=(candidate,),
            descriptors=found,
            r_range=request.r_range,
            pattern_sha256=sha,
            model_version="bench 1",
        ).model_dump_json()

    def _plan(self, count: int) -> list[Proposal]:
        return [
            Proposal(
                recipe={"x": round(self._chance.random(), 6)},
                source="sobol",
                probability_feasible=1.0,
                seed=0,
                data_sha256="0" * 64,
                versions={},
                explanation="drawn at random",
            )
            for _ in range(count)
        ]


def campaign_of(experiments: int, parallel: int) -> Campaign:
    """A short campaign that loses patience quickly."""
    return Campaign(
        name="faults",
        target=Target(structure="Au ball-1000"),
        search_space=SPACE,
        budget=Budget(experiments=experiments),
        parallel=parallel,
        timing=Timing(command_expires=15.0, republish=1.0, device_lost=40.0, devices_ready=60.0),
    )


def target() -> ResolvedTarget:
    """A ball of 35 angstrom."""
    return ResolvedTarget(
        title="Au ball",
        elements=("Au",),
        descriptors=TargetDescriptors(goals={"diameter": GOAL}, family=FAMILY),
        pattern=Pattern(x=np.arange(24) * 0.5, y=np.zeros(24)),
    )


def laboratory_of(*, external: bool) -> Laboratory:
    """One robot and one instrument."""
    broker: dict[str, Any] = {"kind": "embedded"}
    if external:
        broker = {"kind": "external", "host": "in-memory", "keeps_sessions": True}
    return Laboratory.model_validate(
        {
            "name": "bench-lab",
            "broker": broker,
            "data_directory": "data",
            "devices": [
                {"id": "robot", "driver": "simulated-synthesizer", "action": "synthesise"},
                {"id": "diffractometer", "driver": "simulated-diffractometer", "action": "measure"},
            ],
        }
    )
