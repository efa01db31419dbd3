"""The report of an evaluation: a folder with ``report.html``, ``report.md``, ``report.json`` and the pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from solvus.models.structures.own import write_atomically
from solvus.simulations.benchmarks.recognition.report_markdown import FOLDER, markdown
from solvus.simulations.benchmarks.recognition.report_page import page
from solvus.simulations.benchmarks.recognition.report_words import Evaluation

PAGE, TEXT, DATA = "report.html", "report.md", "report.json"


def document(evaluation: Evaluation) -> dict[str, Any]:
    """The report for programs: JSON values only."""
    return {
        "state": evaluation.state,
        "rows": [result.document() for result in evaluation.results],
        "not_done": list(evaluation.left),
        "recognisers": dict(evaluation.recognisers),
        "settings": dict(evaluation.settings),
        "environment": dict(evaluation.environment),
    }


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write all of it, each file in one step, over an earlier report.

    Returns
    -------
    The path of the HTML file.

    Raises
    ------
    CatalogueError
        When the folder cannot be written.
    """
    for result in evaluation.results:
        for picture in result.measured.pictures if result.measured else ():
            write_atomically(folder / FOLDER / f"{result.claim.key}-{picture.name}.png", picture.png)
    text = json.dumps(document(evaluation), indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / DATA, f"{text}\n".encode())
    write_atomically(folder / TEXT, markdown(evaluation).encode())
    write_atomically(folder / PAGE, page(evaluation).encode())
    return folder / PAGE
