"""The report as Markdown, with its pictures beside it in ``pictures/``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from solvus.simulations.benchmarks.recognition.report_words import (
    VERDICTS,
    Evaluation,
    amount,
    found,
    goal_of,
    reached,
)
from solvus.simulations.benchmarks.recognition.results import Result

FOLDER = "pictures"


def markdown(evaluation: Evaluation) -> str:
    """The Markdown text."""
    summary = [
        (r.claim.test, r.claim.peer, r.claim.reach, "; ".join(found(r)), reached(r))
        for r in evaluation.results
    ]
    parts = [
        "# Recognition, evaluated",
        evaluation.state,
        _table(("test", "peer", "to reach", "measured (95 % interval)", "reached"), summary),
        *(part for result in evaluation.results for part in _row(result)),
        "## Recognisers",
        _pairs(evaluation.recognisers),
        "## Settings",
        _pairs(evaluation.settings),
        "## Versions and machine",
        _pairs(evaluation.environment),
    ]
    return "\n\n".join(parts) + "\n"


def _row(result: Result) -> list[str]:
    claim, measured = result.claim, result.measured
    parts = [f"## {claim.test} (`{claim.key}`)", claim.how]
    if measured is None:
        return [*parts, f"Not measured: {result.problem}."]
    rows = [
        (
            f.recogniser,
            f.condition,
            f.name,
            amount(f),
            str(f.estimate.n),
            f.peer,
            goal_of(f),
            "; ".join(filter(None, (VERDICTS[f.verdict], f.remark))),
        )
        for f in measured.figures
    ]
    head = ("by", "on", "figure", "measured (95 % interval)", "n", "peer", "to reach", "")
    pictures = [
        f"![{picture.caption}]({FOLDER}/{claim.key}-{picture.name}.png)\n\n{picture.caption}"
        for picture in measured.pictures
    ]
    return [*parts, *(f"> {remark}" for remark in measured.remarks), _table(head, rows), *pictures]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        escaped = [cell.replace("|", "\\|") for cell in cells]
        return f"| {' | '.join(escaped)} |"

    return "\n".join([line(head), f"|{'---|' * len(head)}", *(line(row) for row in rows)])


def _pairs(values: Mapping[str, str]) -> str:
    return _table(("", ""), list(values.items()))
