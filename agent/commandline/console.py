"""What every verb says and how: people read stderr and tables, programs read one JSON document on stdout."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import typer
from rich.console import Console

out = Console()
"""Answers."""
err = Console(stderr=True)
"""Progress, warnings and errors, which must not mix with an answer that is piped on."""

BAD_INPUT = 2
"""Exit status for anything the user can put right."""


def print_json(document: Any) -> None:
    """The one JSON document of a command run with ``--json``."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def fail(message: str, as_json: bool = False) -> NoReturn:
    """End with one sentence (or several lines of one each) and a non-zero exit."""
    if as_json:
        print_json({"error": message})
    err.print("[red]solvus:[/red]", end=" ")
    err.print(message, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(BAD_INPUT)
