"""How often the right name is among the first answers: what several rows of the table ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from solvus.simulations.benchmarks.recognition import pictures
from solvus.simulations.benchmarks.recognition.bench import Bench, Part
from solvus.simulations.benchmarks.recognition.estimates import Estimate, share
from solvus.simulations.benchmarks.recognition.results import Figure, Goal, Measured, Picture
from solvus.simulations.benchmarks.recognition.retrained import RetrainedError
from solvus.simulations.benchmarks.recognition.scoring import Confusion, Judged, Level, View, confusions, view

NAMED = 5
"""Confusions that are named in words; ``KEPT`` are in the data."""
KEPT = 40


@dataclass(frozen=True)
class Asked:
    """Patterns with what is asked on them: a goal and a peer's figure for each number of answers looked at.

    ``goals`` may be empty where nothing is asked.
    """

    part: Part
    goals: tuple[Goal | None, ...] = ()
    peer: tuple[str, ...] = ()


@dataclass(frozen=True)
class Naming:
    """What counts as the right name: at a ``level``, with names merged by ``merging`` where there is one, which is
    called ``merged_as``; ``ks`` are the numbers of answers looked at."""

    level: Level
    ks: tuple[int, ...]
    merging: Mapping[str, str] | None = None
    merged_as: str = "merged"

    def views(self, rows: Sequence[Judged]) -> dict[str, View]:
        """Strict and merged, the one that goals are asked of last."""
        found = {"strict": view(rows, self.level)}
        if self.merging is not None:
            found[self.merged_as] = view(rows, self.level, self.merging)
        return found


def ranked(bench: Bench, asked: Sequence[Asked], naming: Naming, remarks: tuple[str, ...] = ()) -> Measured:
    """Top-k of every recogniser under every condition; goals are asked of the first recogniser.

    A peer that cannot be trained leaves a remark.
    """
    figures: list[Figure] = []
    lines: dict[str, dict[str, list[Estimate]]] = {}
    missing: dict[str, None] = {}
    for item in asked:
        for name in bench.names_for(item.part):
            try:
                rows = bench.judged(name, item.part)
            except RetrainedError as error:
                missing[f"{name}: {error}."] = None
                continue
            goals = item.goals if name == bench.first else ()
            views = naming.views(rows)
            for how, seen in views.items():
                estimates = [share(seen.within(k)) for k in naming.ks]
                last = how == list(views)[-1]
                figures += [
                    Figure(
                        f"top-{k}" if naming.merging is None else f"top-{k}, {how}",
                        item.part.label,
                        name,
                        estimate,
                        goal=goals[i] if goals and last else None,
                        peer=item.peer[i] if item.peer and last else "",
                    )
                    for i, (k, estimate) in enumerate(zip(naming.ks, estimates, strict=True))
                ]
                if last:
                    lines.setdefault(item.part.label, {})[name] = estimates
            accepted = share([row.answer.accepted for row in rows])
            figures.append(Figure("accepted", item.part.label, name, accepted))
    shown = (
        Picture(
            "ranks",
            "Share of patterns with the right name among the first answers, "
            f"by {naming.level}{'' if naming.merging is None else f', {naming.merged_as}'}.",
            pictures.ranks(lines, naming.ks),
        ),
    )
    hardest = asked[-1].part
    confused, wrong = confusion(bench, hardest, naming)
    return Measured(
        tuple(figures),
        shown + confused,
        {
            "ranks": {c: {n: [asdict(e) for e in es] for n, es in by.items()} for c, by in lines.items()},
            "confusions": {"condition": hardest.label, "cells": [asdict(c) for c in wrong[:KEPT]]},
        },
        (*remarks, *missing),
    )


def confusion(bench: Bench, part: Part, naming: Naming) -> tuple[tuple[Picture, ...], list[Confusion]]:
    """The picture of the first recogniser's confusions of types, with the largest named; none without errors."""
    merging = naming.merging if naming.level == "type" else None
    seen = view(bench.judged(bench.first, part), "type", merging)
    wrong = confusions(seen)
    png = pictures.confusion(seen, wrong)
    if png is None:
        return (), wrong
    named = "; ".join(f"{c.truth} taken for {c.given} ({c.count} of {c.of})" for c in wrong[:NAMED])
    caption = f"What the types confused most were taken for: {bench.first}, {part.label}. Largest: {named}."
    return (Picture("confusion", caption, png),), wrong
