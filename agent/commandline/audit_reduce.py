"""``solvus audit reduce``: reduce recorded raw data again, and hand them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

if TYPE_CHECKING:
    from solvus.agent.jobs import ReduceRequest
    from solvus.agent.ledger.ledger import Ledger
    from solvus.models.pattern import Pattern

SAME = 1e-9
"""Of the largest |G(r)|: what another processor or version of numpy may change in the last digits."""
DIFFERS = 1
"""Exit status when the G(r) comes out differently."""


def reduce_again(
    number: Annotated[
        int, typer.Argument(min=1, help="Number of a pattern-reduced event, as `audit list` gives it.")
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder for raw.iq, background.iq and reduced.gr, to reduce otherwise.", show_default=False
        ),
    ] = None,
    ledger: Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Reduce the recorded raw pattern again, with the recorded background and settings, and compare the G(r).

    Ends with status 1 when it comes out differently.

    Example: solvus audit reduce 20 --to raw-20
    """
    import numpy as np

    from solvus.agent import jobs
    from solvus.agent.commandline.console import fail, out, print_json
    from solvus.agent.commandline.reading import read_ledger
    from solvus.agent.recognition import REDUCED
    from solvus.models.pattern import PatternError

    body, request, recorded = read_ledger(ledger, lambda opened: _recorded(opened, number), as_json=as_json)
    done = REDUCED.validate_json(jobs.reduce(request.model_dump_json()))
    if isinstance(done, jobs.Refusal):
        fail(f"reduction: this version refuses it ({done.refused})", as_json)
    if to is not None:
        try:
            _hand_out(
                to, {"raw.iq": request.raw, "background.iq": request.background, "reduced.gr": recorded}
            )
        except PatternError as error:
            fail(str(error), as_json)
    again = done.pattern
    grid = len(again.x) == len(recorded.x) and bool((again.x == recorded.x).all())
    off = float(np.abs(again.y - recorded.y).max() / np.abs(recorded.y).max()) if grid else None
    same = off is not None and off <= SAME
    versions = {"recorded": body["versions"], "here": done.versions}
    if as_json:
        exact = again.sha256 == recorded.sha256
        print_json(
            {"event": number, "same": same, "bit_for_bit": exact, "difference": off, "versions": versions}
        )
    else:
        out.print(_verdict(again.sha256 == recorded.sha256, off), highlight=False, soft_wrap=True)
        if versions["recorded"] != versions["here"]:
            told = ", ".join(f"{k} {v} (here {done.versions.get(k)})" for k, v in body["versions"].items())
            out.print(f"Recorded with {told}", highlight=False, soft_wrap=True)
    if not same:
        raise typer.Exit(DIFFERS)


def _verdict(exact: bool, off: float | None) -> str:
    if exact:
        return "The same G(r), bit for bit."
    if off is None:
        return "Another G(r): its points lie elsewhere."
    within = "The same G(r) to rounding" if off <= SAME else "Another G(r)"
    return f"{within}: the largest difference is {off:.1e} of its largest value."


async def _recorded(ledger: Ledger, number: int) -> tuple[dict[str, Any], ReduceRequest, Pattern]:
    """Body of the event, what the worker was asked, and the G(r) that it gave."""
    from solvus.agent.jobs import ReduceRequest
    from solvus.agent.ledger.engine import LedgerError
    from solvus.agent.ledger.ledger import decode
    from solvus.agent.ledger.tables import EventRow, PatternRow
    from solvus.models.pattern import Pattern

    rows = await ledger.rows(EventRow, EventRow.seq == number)
    if not rows or rows[0].kind != "pattern-reduced":
        what = f"is a {rows[0].kind} event" if rows else f"does not exist; the ledger holds {ledger.head[0]}"
        raise LedgerError(f"event: {number} {what}; `audit list --kind pattern-reduced` lists reductions")
    body = decode(rows[0]).body
    found: dict[str, Pattern | None] = {}
    for which in ("raw", "background", "pattern"):
        kept = await ledger.rows(PatternRow, PatternRow.sha256 == body[f"{which}_sha256"])
        found[which] = Pattern.model_validate_json(kept[0].body) if kept else None
    raw, made = found["raw"], found["pattern"]
    if raw is None or made is None or (body["background_sha256"] and found["background"] is None):
        raise LedgerError(f"event: {number} names a pattern that is missing; see `solvus audit verify`")
    return body, ReduceRequest(raw=raw, background=found["background"], settings=body["settings"]), made


def _hand_out(folder: Path, patterns: dict[str, Pattern | None]) -> None:
    """Write the patterns; raises PatternError with one sentence when that cannot be done."""
    from solvus.models.formats.write import write_pattern
    from solvus.models.pattern import PatternError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PatternError(f"--to: {folder} cannot be made ({error.strerror})") from error
    for name, pattern in patterns.items():
        if pattern is None:
            continue
        if (folder / name).exists():
            raise PatternError(f"--to: {folder / name} exists and is never overwritten; name another folder")
        write_pattern(pattern, folder / name)
