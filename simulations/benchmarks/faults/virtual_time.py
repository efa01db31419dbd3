"""An asyncio event loop whose clock jumps: nothing ever waits, and the order of events is the same each time.

Whenever every task sleeps, the clock goes on to the moment at which the first of them wakes. Threads would bring the
real clock back in, so what asks for one is done at once in the loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class NothingToDo(RuntimeError):  # noqa: N818 -- a state of affairs
    """Every task waits for another: in real time this program would hang for ever."""


class _NoFiles(selectors.DefaultSelector):
    """Watches nothing: the world outside does not exist. Waiting moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingToDo("every task waits for another")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Times in seconds from 0."""

    def __init__(self) -> None:
        self._files = _NoFiles()
        super().__init__(self._files)
        self._clock_resolution = 1e-6  # sums of floats must not leave a timer just short of its moment

    def time(self) -> float:
        return self._files.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 -- belongs to whoever awaits
            future.set_exception(error)
        return future


def run_virtually(main: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run ``main()`` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
