"""The rows one after another: ``solvus evaluate recognition`` without its command line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from solvus.models.pattern import PatternError
from solvus.models.recognition.signatures import SignatureError
from solvus.models.recognition.weights import WeightsError
from solvus.models.structures.catalogue_file import CatalogueError
from solvus.models.structures.library import LibraryError
from solvus.simulations.benchmarks.recognition.answer import AnswerError
from solvus.simulations.benchmarks.recognition.bench import Bench
from solvus.simulations.benchmarks.recognition.draws import DrawError
from solvus.simulations.benchmarks.recognition.environment import environment
from solvus.simulations.benchmarks.recognition.estimates import LEVEL, EstimateError
from solvus.simulations.benchmarks.recognition.peers import PeerError
from solvus.simulations.benchmarks.recognition.pomfinder import PomfinderError
from solvus.simulations.benchmarks.recognition.report_words import Evaluation
from solvus.simulations.benchmarks.recognition.results import Measured, Result
from solvus.simulations.benchmarks.recognition.rows import Row

REASONS = (
    AnswerError,
    CatalogueError,
    DrawError,
    EstimateError,
    LibraryError,
    PatternError,
    PeerError,
    PomfinderError,
    SignatureError,
    WeightsError,
)
"""What stops one row with a sentence, and no other row."""


def evaluate(rows: Sequence[Row], bench: Bench) -> Iterator[Result]:
    """Each row's result as it comes; one that cannot be measured says why."""
    for row in rows:
        start = time.perf_counter()
        measured: Measured | None = None
        problem = ""
        try:
            measured = row.run(bench)
        except REASONS as error:
            problem = str(error)
        yield Result(row.claim, measured, problem, time.perf_counter() - start)


def told(results: Sequence[Result], rows: Sequence[Row], bench: Bench) -> Evaluation:
    """What the report says when of ``rows`` those of ``results`` are done."""
    done = {result.claim.key for result in results}
    settings = {
        "patterns of each condition": "each row's own" if bench.count is None else str(bench.count),
        "seed of test patterns": str(bench.seed),
        "seed of patterns that fix thresholds": str(bench.seed + 1),
        "measured patterns": "none" if bench.patterns is None else bench.patterns.name,
        "intervals": f"{100.0 * LEVEL:g} %",
        "goals are asked of": bench.first,
    }
    return Evaluation(
        results=tuple(results),
        left=tuple(row.claim.key for row in rows if row.claim.key not in done),
        settings=settings,
        recognisers={name: choice.what for name, choice in bench.choices.items()},
        environment=environment(),
    )
