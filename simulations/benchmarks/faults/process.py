"""Programs that can be killed: all that one of them runs and holds goes at once, as with SIGKILL.

A program is a coroutine with everything it starts. To kill it is first to cut it off (its connection, its files: after
that nothing it does has any effect) and then to cancel its tasks, so that the code it runs while it is cancelled, which
a killed process would not run, changes nothing outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
"""When every schedule begins."""

_current: ContextVar[Life | None] = ContextVar("program", default=None)


class Killed(asyncio.CancelledError):
    """Raised in a program at the moment of its death, where it was in the middle of something synchronous."""


@dataclass(eq=False)
class Life:
    """One run of a program, from its start to its end or death."""

    alive: bool = True
    cut: list[Callable[[], None]] = field(default_factory=list)
    """Called at death: close what the operating system would close."""
    tasks: dict[asyncio.Task[Any], None] = field(default_factory=dict)

    def hold(self, release: Callable[[], None]) -> None:
        """Release this when the program dies."""
        self.cut.append(release)

    def die(self) -> None:
        """Cut it off and cancel what it runs."""
        if not self.alive:
            return
        self.alive = False
        for release in reversed(self.cut):
            release()
        self.cut.clear()
        for task in list(self.tasks):
            task.cancel()

    async def buried(self) -> None:
        """Return when nothing of it runs any more."""
        while running := [task for task in self.tasks if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.sleep(0)


def follow_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Make the loop note for each task which program started it."""

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        life = _current.get()
        if life is not None:
            life.tasks[task] = None
            task.add_done_callback(lambda done: life.tasks.pop(done, None))
            if not life.alive:
                task.cancel()
        return task

    loop.set_task_factory(factory)


class WrongClock:
    """A program's own clock: ``offset`` seconds off, ``drift`` seconds a second faster."""

    def __init__(self, offset: float = 0.0, drift: float = 0.0) -> None:
        self.offset, self.drift = offset, drift

    def __call__(self) -> datetime:
        seconds = asyncio.get_running_loop().time()
        return EPOCH + timedelta(seconds=seconds * (1.0 + self.drift) + self.offset)


@dataclass
class Program:
    """Something that is started again whenever it ends, until it says that it is done.

    Attributes
    ----------
    main : runs it once; true when it need not run again.
    pause : seconds before it is started again.
    expected : what it may end with; anything else is kept in ``surprises``.
    """

    name: str
    main: Callable[[Life], Coroutine[Any, Any, bool]]
    expected: tuple[type[BaseException], ...]
    pause: float = 1.0
    clock: WrongClock = field(default_factory=WrongClock)
    life: Life | None = None
    done: bool = False
    ends: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    _down: float = 0.0

    def kill(self, down: float) -> None:
        """End it as SIGKILL would; it is back after ``down`` seconds."""
        if self.life is not None and self.life.alive:
            self._down = down
            self.life.die()

    async def supervise(self) -> None:
        """Run it until it is done."""
        while not self.done:
            life = self.life = Life()
            context = copy_context()
            context.run(_current.set, life)
            self._down = self.pause
            task = asyncio.get_running_loop().create_task(self.main(life), context=context)
            life.tasks[task] = None
            await asyncio.wait({task})
            killed = not life.alive
            life.die()
            await life.buried()
            self._note(task, killed)
            if not self.done:
                await asyncio.sleep(self._down)
        self.life = None

    def _note(self, task: asyncio.Task[bool], killed: bool) -> None:
        if killed or task.cancelled():
            self.ends.append("killed")
            return
        error = task.exception()
        if error is None:
            self.done = task.result()
            self.ends.append("done" if self.done else "ended")
            return
        sentence = f"{type(error).__name__}: {error}".splitlines()[0]
        self.ends.append(sentence)
        if not isinstance(error, self.expected) and sentence not in self.surprises:
            self.surprises.append(sentence)
