"""Structured logs: one JSON object a line, each with the campaign and, where there is one, the experiment it is about.

Every event of the ledger is logged once it is committed, so that a log collector sees what the ledger holds without
reading it. Passwords never get this far: they are kept in types that do not print them.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CAMPAIGN: ContextVar[str | None] = ContextVar("campaign", default=None)
EXPERIMENT: ContextVar[int | None] = ContextVar("experiment", default=None)
FIELDS = ("campaign", "experiment", "event", "seq", "device", "command_id")
"""What a record may carry besides its message, as ``extra``."""


class JsonLines(logging.Formatter):
    """A record as one line of JSON; times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "campaign": CAMPAIGN.get(),
            "experiment": EXPERIMENT.get(),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps({k: v for k, v in line.items() if v is not None}, ensure_ascii=False, default=str)


def log_json(target: str) -> logging.Handler:
    """Send all logs from INFO on to ``target``: a file, which is added to, or ``-`` for standard error.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    handler: logging.Handler
    if target == "-":
        handler = logging.StreamHandler(sys.stderr)
    else:
        path = Path(target).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(JsonLines())
    handler.setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    for name in ("solvus", "alembic"):
        logging.getLogger(name).setLevel(logging.INFO if name == "solvus" else logging.WARNING)
    return handler
