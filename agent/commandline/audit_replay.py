"""``solvus audit replay``: compute the planner's decisions again from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

if TYPE_CHECKING:
    from solvus.agent.ledger.ledger import Ledger
    from solvus.agent.ledger.projections import LedgerEvent
    from solvus.agent.replay import Recorded, Replayed

DIFFERS = 1
"""Exit status when a proposal does not come out as recorded."""


def replay(
    campaign: Annotated[
        str | None, typer.Argument(help="Id of the campaign; the newest.", show_default=False)
    ] = None,
    experiment: Annotated[
        int | None, typer.Option(min=1, help="Only the proposal of this experiment.", show_default=False)
    ] = None,
    ledger: Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compute the planner's proposals again from the ledger, and compare.

    On the versions, threads and vector instructions that the ledger records, every proposal must come out bit for bit;
    elsewhere its recipe may move by a thousandth of each range, and it is said what differs. Ends with status 1 when
    one does not come out as it has to.

    Example: solvus audit replay gold-decahedron-1 --experiment 12
    """
    from rich.progress import track

    from solvus.agent.commandline.console import err, fail, out, print_json
    from solvus.agent.commandline.reading import read_ledger
    from solvus.agent.replay import decisions, judged_again, judgements, replayed

    name, events, recorded = read_ledger(ledger, lambda opened: _events(opened, campaign), as_json=as_json)
    made, judged = decisions(events, recorded), judgements(events, recorded)
    if experiment is not None:
        made = [d for d in made if d.number == experiment]
        judged = [j for j in judged if j.number == experiment]
        if not made:
            fail(f"--experiment: the planner proposed no experiment {experiment} in {name}", as_json)
    found = [replayed(d) for d in track(made, "computing again", console=err, transient=True)]
    stages = [judged_again(j) for j in judged]
    good = all(r.good for r in found) and all(s.good for s in stages)
    if as_json:
        print_json(
            {
                "campaign": name,
                "proposals": len(found),
                "identical": sum(r.verdict == "identical" for r in found),
                "good": good,
                "differing": [_document(r) for r in found if r.verdict != "identical"],
                "stages": [{"experiment": s.number, "verdict": s.verdict} for s in stages],
            }
        )
    else:
        for r in found:
            if r.verdict != "identical" or experiment is not None:
                out.print(_words(r), markup=False, highlight=False, soft_wrap=True)
        same = sum(r.verdict == "identical" for r in found)
        out.print(f"{same} of {len(found)} proposals of {name} came out bit for bit", highlight=False)
        for s in (s for s in stages if s.verdict != "identical"):
            out.print(f"experiment {s.number}: whether it is measured: {s.verdict}", highlight=False)
        if stages:
            same = sum(s.verdict == "identical" for s in stages)
            out.print(f"{same} of {len(stages)} decisions on measuring came out bit for bit", highlight=False)
    if not good:
        raise typer.Exit(DIFFERS)


def _document(r: Replayed) -> dict[str, object]:
    return {
        "experiment": r.number,
        "verdict": r.verdict,
        "difference": r.difference,
        "fields": list(r.fields),
        "elsewhere": {name: list(pair) for name, pair in r.elsewhere.items()},
    }


def _words(r: Replayed) -> str:
    if r.verdict == "unknown":
        return (
            f"experiment {r.number}: no state of the ledger has the hash of what it was computed from; it was made by "
            f"another version of the planner"
        )
    if r.verdict == "identical":
        return f"experiment {r.number}: the same, bit for bit"
    there = ", ".join(f"{name} {a} (here {b})" for name, (a, b) in r.elsewhere.items())
    recipe = "the same recipe within" if r.verdict == "same" else "another recipe, off by"
    told = f"; recorded with {there}" if there else "; on the recorded versions"
    return f"experiment {r.number}: {recipe} {r.difference or 0.0:.1e} of a range; {', '.join(r.fields)} differ{told}"


async def _events(ledger: Ledger, campaign: str | None) -> tuple[str, list[LedgerEvent], Recorded]:
    from sqlmodel import col

    from solvus.agent.ledger.engine import LedgerError
    from solvus.agent.ledger.tables import CampaignRow
    from solvus.agent.replay import read_recorded

    rows = await ledger.rows(CampaignRow, order_by=col(CampaignRow.started_at))
    names = [row.campaign for row in rows]
    if not names or (campaign is not None and campaign not in names):
        known = f"there are {', '.join(names)}" if names else "the ledger holds none"
        raise LedgerError(f"campaign: {campaign or 'the newest'} is not there; {known}")
    name = campaign or names[-1]
    events = await ledger.events(name)
    return name, events, await read_recorded(ledger, events)
