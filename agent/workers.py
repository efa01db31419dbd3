"""Worker processes for slow work, so that the loop never blocks.

Spawned, one torch thread each; a worker ends when its parent does, and a broken pool is rebuilt. Workers take and
give JSON text and never open the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

Kind = Literal["identify", "plan"]
ATTEMPTS = 3
"""How often a job may lose its worker (killed for memory, say) before the failure is the job's own."""

TEXT_LIMIT = 300
"""Characters kept of what an unexpected error says: some quote the whole of their input."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerLost(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """A job lost its worker process several times over."""


class JobFailed(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """A job raised what nobody expected; one sentence with the kind, the text and the place of the error."""


def _answer(job: Callable[[str], str], request: str) -> str:
    """Run in the worker. Every error becomes one of ours, because one that cannot be unpickled breaks the pool."""
    try:
        return job(request)
    except Exception as error:  # the boundary of a process: here a bug ends as a recorded outcome
        place = traceback.extract_tb(error.__traceback__)[-1]
        words = " ".join(str(error).split())[:TEXT_LIMIT]
        raise JobFailed(
            f"{type(error).__name__}: {words} ({Path(place.filename).name}, line {place.lineno})"
        ) from error


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # nothing of ours outlives the agent, and there is nothing to tidy up


@contextmanager
def _ctrl_c_kept_from_children() -> Iterator[None]:
    """A process started in here never hears Ctrl-C, not even while it imports what it needs: that belongs to the
    agent, which ends its workers itself. Here it is only held back as long as the block takes."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """First thing in every worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be kept from it
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)


class Workers:
    """One process for identification and one for planning, so that each keeps its own caches warm."""

    def __init__(self) -> None:
        for name in THREAD_VARIABLES:
            os.environ[name] = "1"  # inherited by the spawned workers, where it must precede import torch
        self._pools: dict[Kind, ProcessPoolExecutor] = {}

    def _pool(self, kind: Kind) -> ProcessPoolExecutor:
        if kind not in self._pools:
            self._pools[kind] = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
            )
        return self._pools[kind]

    async def run(self, kind: Kind, job: Callable[[str], str], request: str) -> str:
        """Run ``job(request)`` in the worker for ``kind``; a lost worker is replaced and the job repeated.

        Raises
        ------
        WorkerLost
            When the worker died ``ATTEMPTS`` times on this job.
        JobFailed
            When the job raised.
        """
        for attempt in range(1, ATTEMPTS + 1):
            pool = self._pool(kind)
            try:
                with _ctrl_c_kept_from_children():
                    answer = asyncio.get_running_loop().run_in_executor(pool, _answer, job, request)
                return await answer
            except JobFailed as error:
                log.info("the %s job failed", kind, exc_info=error)  # with the worker's own traceback
                raise
            except BrokenProcessPool:
                log.warning(
                    "the %s worker died (attempt %d of %d); starting another", kind, attempt, ATTEMPTS
                )
                if self._pools.get(kind) is pool:  # another job may have replaced it already
                    del self._pools[kind]
                pool.shutdown(wait=False)
        raise WorkerLost(
            f"the {kind} worker died {ATTEMPTS} times on one job; see the log for what killed it"
        )

    def close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                if process.name.startswith("Spawn"):
                    process.terminate()
        self._pools.clear()
