"""Measured patterns of a folder, each with what is known of its sample, against `identify`.

The folder holds the patterns and ``truth.csv`` with the columns ``file, kind, elements, structure,
what_a_right_answer_says``. Rows of the kind ``G(r)`` are read; others are no patterns that can be identified directly.
A composition in a file's header is put aside, since it would give the answer away. Where the right answer says *none of
these*, nothing else counts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from solvus.models.identification import NONE as NOTHING
from solvus.models.identification import Identification
from solvus.models.identify import identify
from solvus.models.pattern import PatternError
from solvus.models.pattern_files import read_gr
from solvus.models.recognition.metal_groups import group_of
from solvus.simulations.benchmarks.recognition.bench import Bench
from solvus.simulations.benchmarks.recognition.estimates import mean, share
from solvus.simulations.benchmarks.recognition.results import Figure, Goal, Measured

TRUTH = "truth.csv"
COLUMNS = ("file", "kind", "elements", "structure", "what_a_right_answer_says")
NONE = "none of these"
CANDIDATES = 20
"""Asked for, so that three types are among them."""
TYPES = 3
"""Looked at."""
MEMBERS = 0.95
"""Probability of the candidates whose metals are taken together."""
LISTED = 12
"""Groups of metals that are listed; the data list all."""
ALL = Goal(low=1.0)


@dataclass(frozen=True)
class Sample:
    """A row of ``truth.csv``; ``structure`` in words, ``inside`` unless the right answer is *none of these*."""

    file: str
    elements: tuple[str, ...]
    structure: str
    inside: bool

    def is_type(self, name: str) -> bool:
        """Whether a structure type is what the words say: ``fcc`` is ``fcc Fm-3m`` and ``fcc-like``."""
        whole = rf"(?<![\w-]){re.escape(name.casefold())}(?!\w)"
        return re.search(whole, self.structure.casefold()) is not None

    @property
    def metals(self) -> frozenset[str]:
        """Groups of metals."""
        return frozenset(group for e in self.elements if (group := group_of(e)) is not None)


@dataclass(frozen=True)
class Verdict:
    """One sample with what was answered: the first types, the set of metals, and what of it is right."""

    file: str
    verdict: str
    types: tuple[str, ...]
    metals: tuple[str, ...]
    right_type: bool
    right_metals: bool
    right_none: bool


def samples(folder: Path) -> list[Sample]:
    """The patterns of G(r) that ``truth.csv`` lists.

    Raises
    ------
    PatternError
        When it is missing, lacks a column, or lists no G(r).
    """
    path = folder / TRUTH
    if not path.is_file():
        raise PatternError(f"--patterns: no file {path}; it lists the patterns and what they are")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise PatternError(f"{path.name}: no column {missing[0]}; it needs {', '.join(COLUMNS)}")
        found = [
            Sample(
                row["file"],
                tuple(e for e in row["elements"].split(";") if e),
                row["structure"],
                NONE not in row["what_a_right_answer_says"],
            )
            for row in reader
            if row["kind"] == "G(r)"
        ]
    if not found:
        raise PatternError(f"{path.name}: lists no pattern of the kind G(r)")
    return found


def judged(sample: Sample, answer: Identification, merging: Mapping[str, str]) -> Verdict:
    """Compare an answer with what is known; types count as they are and merged."""
    types = types_in(answer)[:TYPES]
    identified = answer.verdict == "identified"
    right = any(sample.is_type(name) for t in types for name in (t, merging.get(t, t)))
    metals = metals_in(answer)
    return Verdict(
        file=sample.file,
        verdict=answer.verdict,
        types=types,
        metals=tuple(sorted(metals)),
        right_type=identified and right,
        right_metals=identified and sample.metals <= metals,
        right_none=answer.verdict == "none",
    )


def types_in(answer: Identification) -> tuple[str, ...]:
    """Structure types, most probable first: the stated ones, or where there are none those of the candidates."""
    if answer.recognised is not None and answer.recognised.types:
        return tuple(name for name, _ in answer.recognised.types if name != NOTHING)
    return tuple(dict.fromkeys(candidate.family for candidate in answer.candidates))


def metals_in(answer: Identification) -> frozenset[str]:
    """Groups of metals: the stated set, or where there is none those of the most probable candidates that make up
    ``MEMBERS`` together."""
    if answer.recognised is not None and answer.recognised.metals:
        return frozenset(answer.recognised.metals)
    found: set[str | None] = set()
    total = 0.0
    for candidate in answer.candidates:
        found |= {group_of(element) for element in candidate.elements}
        total += candidate.probability
        if total >= MEMBERS:
            break
    return frozenset(group for group in found if group is not None)


def measured_row(bench: Bench) -> Measured:
    """The row for the patterns of ``--patterns``.

    Raises
    ------
    PatternError
        Without a folder, or for a folder or file that cannot be read.
    """
    if bench.patterns is None:
        raise PatternError("--patterns: name the folder of measured patterns with its truth.csv")
    listed = samples(bench.patterns)
    verdicts = list(_verdicts(bench, bench.patterns, listed))
    inside = [v for s, v in zip(listed, verdicts, strict=True) if s.inside]
    outside = [v for s, v in zip(listed, verdicts, strict=True) if not s.inside]
    metal = [v for s, v in zip(listed, verdicts, strict=True) if s.inside and s.metals]
    by = "identify"
    figures = []
    if inside:
        types = share([v.right_type for v in inside])
        figures.append(
            Figure("type within the first three", "patterns of the library's kinds", by, types, goal=ALL)
        )
    if metal:
        held = share([v.right_metals for v in metal])
        size = mean([len(v.metals) for v in metal])
        figures += [
            Figure("every metal in the set", "patterns of the library's kinds", by, held, goal=ALL),
            Figure("mean set size", "patterns of the library's kinds", by, size, "groups"),
        ]
    if outside:
        none = share([v.right_none for v in outside])
        figures.append(Figure("none of these", "patterns of other chemistry", by, none, goal=ALL))
    return Measured(
        tuple(figures),
        curves={"patterns": [asdict(v) for v in verdicts]},
        remarks=tuple(_words(listed, verdicts)),
    )


def _verdicts(bench: Bench, folder: Path, listed: list[Sample]) -> Iterator[Verdict]:
    for sample in bench.progress(listed, len(listed), "measured patterns"):
        pattern = read_gr(folder / sample.file)
        unnamed = pattern.conditions.model_copy(update={"composition": None})
        answer = identify(pattern.model_copy(update={"conditions": unnamed}), top=CANDIDATES)
        yield judged(sample, answer, bench.types)


def _words(listed: list[Sample], verdicts: list[Verdict]) -> Iterator[str]:
    """One sentence for each pattern."""
    for sample, found in zip(listed, verdicts, strict=True):
        metals = ", ".join(found.metals) or "none"
        if len(found.metals) > LISTED:
            metals = f"{len(found.metals)} groups"
        said = f"{found.verdict}; {', '.join(found.types) or 'no type'}; metals {metals}"
        wrong = [
            what
            for what, right, asked in (
                ("type", found.right_type, sample.inside),
                ("metals", found.right_metals, sample.inside and bool(sample.metals)),
                ("verdict", found.right_none, not sample.inside),
            )
            if asked and not right
        ]
        yield f"{sample.file}: {said}: {'wrong ' + ' and '.join(wrong) if wrong else 'right'}."
