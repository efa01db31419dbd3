"""What a worker process makes of a job that goes wrong."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal

import numpy as np
import pytest

from solvus.agent import jobs
from solvus.agent.workers import JobFailed, Workers
from solvus.models.identification import Identification
from solvus.models.pattern import Pattern


async def test_a_job_that_raises_fails_alone_and_says_why() -> None:
    workers = Workers()
    try:
        with pytest.raises(
            JobFailed, match=r"^ValueError: invalid literal for int.*\(workers.py, line \d+\)$"
        ):
            await workers.run("identify", int, "seven")  # type: ignore[arg-type]
        with pytest.raises(JobFailed, match="ValidationError"):  # which could not be unpickled
            await workers.run("identify", jobs.identify, "{}")
        here = json.loads(await workers.run("identify", jobs.computing, ""))
        assert here["threads"] == "1" and here["cpu_capability"]
    finally:
        workers.close()


async def test_ctrl_c_does_not_reach_a_worker_that_is_still_importing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A terminal sends it to every process of its group: a worker would die with a traceback, and be started again."""
    workers, before = Workers(), set(multiprocessing.active_children())
    asked = asyncio.create_task(workers.run("identify", jobs.computing, ""))
    try:
        while not asked.done():
            for child in set(multiprocessing.active_children()) - before:
                os.kill(child.pid, signal.SIGINT)
            await asyncio.sleep(0.05)
        assert json.loads(asked.result())["threads"] == "1"
        assert "died" not in caplog.text
    finally:
        workers.close()


@pytest.mark.parametrize("elements", [("Xx",), ("Au",)])
def test_what_solvus_refuses_to_identify_is_poor_data_with_its_reason(elements: tuple[str, ...]) -> None:
    x = np.arange(0.0, 5.0, 0.01) if elements == ("Au",) else np.arange(0.0, 30.0, 0.01)
    request = jobs.IdentifyRequest(
        pattern=Pattern(x=x, y=np.sin(7.0 * x)), elements=elements, r_range=(1.6, 20.0)
    )
    answer = Identification.model_validate_json(jobs.identify(request.model_dump_json()))
    assert answer.verdict == "poor_data" and answer.reasons[0]
    assert answer.pattern_sha256 == request.pattern.sha256
