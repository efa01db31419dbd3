"""The report as one HTML file that holds its pictures; nothing is fetched from anywhere when it is opened."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape as escaped
from importlib.resources import files
from itertools import count

from solvus.simulations.benchmarks.recognition.report_words import (
    VERDICTS,
    Evaluation,
    amount,
    found,
    goal_of,
    reached,
)
from solvus.simulations.benchmarks.recognition.results import Picture, Result

TITLE = "Recognition, evaluated"


DPI = 96.0 / 150.0
"""Pixels of the page for each of a picture."""
PNG_WIDTH = slice(16, 20)
"""Where a PNG states its width, big-endian."""


def escape(text: str) -> str:
    """For HTML; a percent sign stays with its number."""
    return escaped(text).replace(" %", "&nbsp;%")


def page(evaluation: Evaluation) -> str:
    """The HTML text."""
    style = files("solvus.agent").joinpath("report.css").read_text(encoding="utf-8")
    body = "\n".join(
        [
            f"<h1>{TITLE}</h1>",
            f'<p class="soft">{escape(evaluation.state)}</p>',
            _summary(evaluation),
            *(_row(result) for result in evaluation.results),
            "<h2>Recognisers</h2>",
            _pairs(evaluation.recognisers),
            "<h2>Settings</h2>",
            _pairs(evaluation.settings),
            "<h2>Versions and machine</h2>",
            _pairs(evaluation.environment),
        ]
    )
    return (
        f'<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f"<style>{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], numbers: frozenset[int] = frozenset()) -> str:
    """Cells hold HTML; ``numbers`` are the columns set to the right."""

    def cells(tag: str, row: Iterable[str]) -> str:
        opened = (f'<{tag} class="n">' if k in numbers else f"<{tag}>" for k in count())
        return "".join(f"{start}{cell}</{tag}>" for start, cell in zip(opened, row, strict=False))

    lines = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>\n{lines}\n</tbody></table>"


def _summary(evaluation: Evaluation) -> str:
    rows = (
        (
            f'<a href="#{escape(result.claim.key)}">{escape(result.claim.test)}</a>',
            escape(result.claim.peer),
            escape(result.claim.reach),
            "<br>".join(escape(line) for line in found(result)),
            escape(reached(result)),
        )
        for result in evaluation.results
    )
    return _table(("test", "peer", "to reach", "measured (95 % interval)", "reached"), rows)


def _row(result: Result) -> str:
    claim, measured = result.claim, result.measured
    parts = [
        f'<h2 id="{escape(claim.key)}">{escape(claim.test)} <code>{escape(claim.key)}</code></h2>',
        f"<p>{escape(claim.how)}</p>",
    ]
    if measured is None:
        parts.append(f'<p class="note problem">Not measured: {escape(result.problem)}.</p>')
        return "\n".join(parts)
    parts += [f'<p class="note">{escape(remark)}</p>' for remark in measured.remarks]
    rows = (
        (
            escape(f.recogniser),
            escape(f.condition),
            escape(f.name),
            escape(amount(f)),
            str(f.estimate.n),
            escape(f.peer),
            escape(goal_of(f)),
            escape("; ".join(filter(None, (VERDICTS[f.verdict], f.remark)))),
        )
        for f in measured.figures
    )
    head = ("by", "on", "figure", "measured (95 % interval)", "n", "peer", "to reach", "")
    parts.append(_table(head, rows, frozenset({4})))
    parts += [_figure(picture) for picture in measured.pictures]
    parts.append(f'<p class="soft">{result.seconds:.0f} s.</p>')
    return "\n".join(parts)


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    caption = escape(picture.caption)
    width = DPI * int.from_bytes(picture.png[PNG_WIDTH], "big")
    return (
        f'<figure><img alt="{caption}" style="max-width:{width:.0f}px" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _pairs(values: Mapping[str, str]) -> str:
    return _table(("", ""), ((escape(name), escape(value)) for name, value in values.items()))
