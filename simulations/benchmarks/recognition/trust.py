"""What an answer is worth: calibration of its probabilities, coverage of its sets, refusal of other chemistry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.simulations.benchmarks.recognition import pictures, separation
from solvus.simulations.benchmarks.recognition.bench import Bench, Part
from solvus.simulations.benchmarks.recognition.estimates import Estimate, exact_share, mean, share
from solvus.simulations.benchmarks.recognition.reliability import Calibration, calibration, classwise
from solvus.simulations.benchmarks.recognition.results import Figure, Goal, Measured, Picture
from solvus.simulations.benchmarks.recognition.scoring import (
    Judged,
    covered,
    groups_of,
    set_sizes,
    strangeness,
    view,
)

Floats = NDArray[np.float64]

STATED = 0.95
"""Coverage that a recogniser's set of metals claims."""
ROC_POINTS = 200
"""Of a curve, in the data."""


@dataclass(frozen=True)
class Pool:
    """Patterns of several parts as one sample, under a label, with the goal asked of its calibration."""

    label: str
    parts: tuple[Part, ...]
    goal: Goal | None = None

    def judged(self, bench: Bench, name: str) -> list[Judged]:
        """Answers of a recogniser to all of them."""
        return [row for part in self.parts for row in bench.judged(name, part)]


def calibrated(bench: Bench, pools: Sequence[Pool], remarks: tuple[str, ...] = ()) -> Measured:
    """Expected calibration error of the first answer by type, merged types being one."""
    figures: list[Figure] = []
    shown: dict[tuple[str, str], Calibration] = {}
    for pool in pools:
        for name in bench.names:
            rows = pool.judged(bench, name)
            for how, merging in (("strict", None), ("merged", bench.types)):
                seen = view(rows, "type", merging)
                found = calibration(seen.probability, seen.within(1), bench.seed)
                each = classwise(seen.given, seen.truth)
                last = how == "merged"
                worst = f", worst {each.worst[0]} with {each.worst[1]:.3f}" if each.worst else ""
                figures += [
                    Figure(
                        f"ECE, {how}",
                        pool.label,
                        name,
                        found.ece,
                        "error",
                        goal=pool.goal if last and name == bench.first else None,
                        remark=f"perfect answers would have {found.floor:.3f} with so many patterns",
                    ),
                    Figure(
                        f"classwise ECE, {how}",
                        pool.label,
                        name,
                        Estimate(each.mean, each.mean, each.mean, len(rows)),
                        "error",
                        remark=f"mean of {each.types} types{worst}",
                    ),
                ]
                if last:
                    shown[name, pool.label] = found
    mine = {label: found for (name, label), found in shown.items() if name == bench.first}
    caption = (
        f"Share of first answers of {bench.first} that are right against the probability stated for them, in bins of "
        "about equally many answers; merged types. Bars: 95 %."
    )
    curves = {
        f"{name}, {label}": {
            "ece": asdict(found.ece),
            "floor": found.floor,
            "bins": [{"probability": b.probability, **asdict(b.right)} for b in found.bins],
        }
        for (name, label), found in shown.items()
    }
    picture = Picture("reliability", caption, pictures.reliability(mine))
    return Measured(tuple(figures), (picture,), {"reliability": curves}, remarks)


def coverage(
    bench: Bench, parts: Sequence[Part], share_goal: Goal, size_goal: Goal, remarks: tuple[str, ...] = ()
) -> Measured:
    """How often the set of metals holds every metal of the sample, and how large it is."""
    figures: list[Figure] = []
    shares: dict[str, Estimate] = {}
    sizes: dict[str, list[float]] = {}
    for part in parts:
        for name in bench.names:
            rows = bench.judged(name, part)
            first = name == bench.first
            within, size = exact_share(covered(rows)), mean(set_sizes(rows))
            figures += [
                Figure(
                    "coverage", part.label, name, within, goal=share_goal if first else None, peer="0 of 3"
                ),
                Figure("mean set size", part.label, name, size, "groups", goal=size_goal if first else None),
                *_by_number(rows, part.label, name),
            ]
            if first:
                shares[part.label] = within
                sizes[part.label] = set_sizes(rows).tolist()
    caption = (
        f"Left: share of sets that hold every metal of the sample, {bench.first}. Right: how many groups of metals a "
        "set holds."
    )
    picture = Picture("coverage", caption, pictures.coverage(shares, sizes, STATED))
    curves = {"coverage": {k: asdict(e) for k, e in shares.items()}, "sizes": sizes}
    return Measured(tuple(figures), (picture,), curves, remarks)


def _by_number(rows: Sequence[Judged], label: str, name: str) -> list[Figure]:
    """Coverage and size for samples of one metal, of two, and so on."""
    numbers = np.array([len(groups_of(row.draw)) for row in rows])
    held, size = covered(rows), set_sizes(rows)
    found = []
    for number in sorted(set(numbers.tolist())):
        of = numbers == number
        what = f"samples of {number} {'metal' if number == 1 else 'metals'}"
        found += [
            Figure(f"coverage, {what}", label, name, exact_share(held[of])),
            Figure(f"mean set size, {what}", label, name, mean(size[of]), "groups"),
        ]
    return found


def refused(
    bench: Bench,
    fixing: Pool,
    own: Pool,
    foreign: Mapping[str, Part],
    goal: Goal,
    remarks: tuple[str, ...] = (),
) -> Measured:
    """False acceptance where the strangeness accepts 95 % of the library's own patterns.

    Parameters
    ----------
    fixing : patterns of the library that fix the threshold and nothing else; own : others, which show what it does.
    foreign : patterns of other chemistry by kind. Those whose draw says ``indistinguishable`` are left out of a second
        count.
    """
    figures: list[Figure] = []
    curves: dict[str, separation.Roc] = {}
    for name in bench.names:
        limit = separation.threshold(strangeness(fixing.judged(bench, name)))
        mine = strangeness(own.judged(bench, name))
        figures.append(Figure("true acceptance", own.label, name, share(mine <= limit)))
        by_kind = {kind: bench.judged(name, part) for kind, part in foreign.items()}
        everything = [row for rows in by_kind.values() for row in rows]
        apart = [row for row in everything if not alike(row)]
        sets = {"all other chemistry": everything, "without what cannot be told apart": apart, **by_kind}
        for label, rows in sets.items():
            if not rows:
                continue
            score = strangeness(rows)
            found = separation.roc(mine, score)
            asked = goal if name == bench.first and rows is apart else None
            figures += [
                Figure("false acceptance", label, name, share(score <= limit), goal=asked, peer="100 %"),
                Figure("area under the ROC", label, name, found.area, "area"),
                Figure("accepted by its own rule", label, name, share([r.answer.accepted for r in rows])),
            ]
            if name == bench.first:
                curves[label] = found
    caption = (
        f"True against false acceptance as the threshold of the strangeness rises, {bench.first}; dashed: "
        "where it is set, and the goal. Right: the corner enlarged."
    )
    picture = Picture("roc", caption, pictures.separation(curves, separation.TRUE_ACCEPTANCE, goal.high))
    data = {label: _thinned(found) for label, found in curves.items()}
    return Measured(tuple(figures), (picture,), {"roc": data}, remarks)


def alike(row: Judged) -> bool:
    """Whether a foreign pattern is marked as one that scattering cannot tell from the library."""
    return bool(row.draw.conditions.get("indistinguishable", 0.0))


def _thinned(found: separation.Roc) -> dict[str, object]:
    kept = np.unique(np.linspace(0, len(found.false) - 1, min(ROC_POINTS, len(found.false))).astype(int))
    return {
        "false": found.false[kept].tolist(),
        "true": found.true[kept].tolist(),
        "area": asdict(found.area),
    }
