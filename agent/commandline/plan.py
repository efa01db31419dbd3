"""``solvus plan``: the planner alone, for a script or another orchestrator: a request in, proposals out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

LONGEST_LINE = 500
"""Characters of a refusal that are shown."""


def plan(
    request: Annotated[
        Path,
        typer.Argument(help="JSON file with space, target, observations, pending, n and seed; - for stdin."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="The proposals as one JSON document on stdout.")
    ] = False,
) -> None:
    """Ask the planner alone for the next recipes, without a laboratory or a ledger.

    The request holds what `solvus.agent.planner.request.PlanRequest` describes. The same request gives the same
    proposals.

    Example: solvus plan request.json --json
    """
    from pydantic import ValidationError

    from solvus.agent.commandline.console import fail, out, print_json

    try:
        text = sys.stdin.read() if str(request) == "-" else request.read_text()
    except OSError as error:
        fail(f"request: {request} cannot be read ({error.strerror})", as_json)
    from solvus.agent.planner.request import PlannerError, PlanRequest
    from solvus.agent.planner.suggest import suggest

    try:
        proposals = suggest(PlanRequest.model_validate_json(text))
    except PlannerError as error:
        fail(str(error), as_json)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "request"
        fail(f"{where}: {first['msg'].removeprefix('Value error, ')}"[:LONGEST_LINE], as_json)
    if as_json:
        print_json([p.model_dump(mode="json") for p in proposals])
        return
    for p in proposals:
        recipe = ", ".join(f"{name} {value}" for name, value in p.recipe.items())
        out.print(recipe, style="bold", markup=False, highlight=False, soft_wrap=True)
        out.print(p.explanation, markup=False, highlight=False, soft_wrap=True)
