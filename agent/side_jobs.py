"""Jobs that run beside the campaign's loop, each under a name of which one is under way at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from solvus.agent.workers import JobFailed, WorkerLost


class CampaignBroken(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """Work that the loop cannot go on without has failed; the ledger is whole and ``--resume`` takes it up."""


class SideJobs:
    """Starts jobs, and says in the loop's own turn when one of them has failed.

    Parameters
    ----------
    changed : called when a job has ended, so that the loop looks around.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tasks

    def start(self, name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``make()`` beside the loop unless a job of that name is under way."""
        if name in self._tasks:
            return
        self._tasks[name] = task = asyncio.create_task(make(), name=name)
        task.add_done_callback(lambda _: self._changed())

    def collect(self) -> None:
        """Let go of the jobs that are done; the loop must not go on without what one of them could not do.

        Raises
        ------
        CampaignBroken
            Naming the job, what it raised, and the way on.
        """
        for name in [n for n, task in self._tasks.items() if task.done()]:
            error = self._tasks.pop(name).exception()
            if error is not None:
                kind = "" if isinstance(error, (JobFailed, WorkerLost)) else f"{type(error).__name__}: "
                raise CampaignBroken(
                    f"the job {name!r} failed ({kind}{error}); nothing recorded is lost: "
                    "`solvus run ... --resume` goes on from here once the cause is mended"
                ) from error

    async def cancel(self) -> None:
        """Give up what is under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
