"""Run a verb of ``solvus`` as another user of the machine: ``python other_user.py UID VERB ...``, started by root.

The interpreter may lie where that user cannot read, so everything is imported before the change of user.
"""

from __future__ import annotations

import os
import sys

import aiosqlite  # noqa: F401
import sqlalchemy.dialects.sqlite.aiosqlite  # noqa: F401
import typer.main  # noqa: F401

import solvus.agent.commandline.controls_desk
import solvus.agent.commandline.emergency_stop
import solvus.agent.commandline.status_waits  # noqa: F401
from solvus.agent.commandline.app import app

if __name__ == "__main__":
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
    app(sys.argv[2:], prog_name="solvus")
