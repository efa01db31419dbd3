"""A child process that ends when its parent does, however the parent ends.

The parent holds the writing end of the child's standard input and never writes. When the parent is gone,
killed or not, the operating system closes that pipe and the child reads the end of it. Works on every
system, needs no signal.

As a program, for children that do not know of it: ``python -m solvus.drivers.leash COMMAND ...`` runs the
command and ends it when standard input closes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable


def when_parent_ends(act: Callable[[], None]) -> None:
    """Call ``act`` in a thread once standard input has closed."""

    def wait() -> None:
        # The descriptor itself: a daemon thread inside sys.stdin holds its lock while the interpreter ends.
        while os.read(0, 4096):
            pass
        act()

    threading.Thread(target=wait, name="leash", daemon=True).start()


def main(command: list[str]) -> int:
    """Run ``command`` until it ends, standard input closes or SIGTERM arrives; returns its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 -- given by our own parent
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    when_parent_ends(child.terminate)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
