"""The pictures of the report, as PNG bytes: reliability, confusion, coverage, ROC, ranks.

Colours are those of Okabe and Ito (2008), which stay apart for colour-blind readers; line styles and markers tell the
same for a black-and-white print. Bars and bands are intervals at 95 %.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from solvus.simulations.benchmarks.recognition.estimates import Estimate
from solvus.simulations.benchmarks.recognition.reliability import Calibration
from solvus.simulations.benchmarks.recognition.scoring import Confusion, View
from solvus.simulations.benchmarks.recognition.separation import Roc

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#8c8c8c"
DPI = 150
CONFUSED = 14
"""Types on each axis of a confusion picture: more are not legible on a page."""
WRAPPED, TITLE = 24, 36
"""Characters in a line of a label and of a panel's title."""
BESIDE = 0.08
"""Between the points of two recognisers, so that their bars stay apart."""
CORNER = 0.2
"""Of either axis of a ROC that is shown enlarged."""
COLUMNS = 3
"""Panels beside one another."""
PERCENT = partial(PercentFormatter, 1.0, symbol=" %")
PALE = LinearSegmentedColormap.from_list("pale", ["#ffffff", "#56B4E9", "#0072B2", "#00324f"])


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the software's name and version the same data gives the same bytes.
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def _title(axes: Axes, words: str) -> None:
    """Over a panel, on several lines where it is long; a percent sign stays with its number."""
    lines = textwrap.wrap(words.replace(" %", "\u00a0%"), TITLE)
    axes.set_title("\n".join(lines), fontsize=9, loc="left")


def _style(k: int) -> dict[str, str]:
    return {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths of the bars below and above, for `errorbar`."""
    return [
        [max(0.0, e.value - e.low) for e in estimates],
        [max(0.0, e.high - e.value) for e in estimates],
    ]


def reliability(curves: Mapping[str, Calibration]) -> bytes:
    """Share that is right against stated probability, one panel for each of the named conditions."""
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(3.0 * columns + 0.5, 3.3 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes, (name, found) in zip(panels, curves.items(), strict=False):
        right = [b.right for b in found.bins]
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--", zorder=1)
        axes.errorbar(
            [b.probability for b in found.bins],
            [e.value for e in right],
            yerr=_errors(right),
            fmt="o-",
            ms=4,
            lw=1.1,
            elinewidth=0.8,
            color=COLOURS[0],
        )
        _title(axes, name)
        low, high = found.ece.low, found.ece.high
        axes.text(
            0.97,
            0.04,
            f"ECE {found.ece.value:.3f}\n({low:.3f} to {high:.3f})\nby chance alone {found.floor:.3f}",
            transform=axes.transAxes,
            ha="right",
            fontsize=8.5,
        )
        axes.set_xlabel("stated probability", fontsize=9)
        axes.set_ylabel("share that is right", fontsize=9)
        axes.tick_params(labelbottom=True, labelleft=True)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_aspect("equal")
        _tidy(axes)
    return _png(figure)


def confusion(seen: View, wrong: Sequence[Confusion]) -> bytes | None:
    """What the types that are confused most were taken for, by row in shares of the truth; ``None`` without errors."""
    if not wrong:
        return None
    weight: dict[str, int] = {}
    for cell in wrong:
        for name in (cell.truth, cell.given):
            weight[name] = weight.get(name, 0) + cell.count
    shown = sorted(sorted(weight, key=lambda name: -weight[name])[:CONFUSED])
    place = {name: k for k, name in enumerate(shown)}
    table = np.zeros((len(shown), len(shown)))
    for truth, given in zip(seen.truth, seen.first, strict=True):
        if truth in place and given in place:
            table[place[truth], place[given]] += 1
    totals = np.array([sum(t == name for t in seen.truth) for name in shown])
    shares = table / np.maximum(totals, 1)[:, None]
    side = 2.6 + 0.42 * len(shown)
    figure = Figure(figsize=(side + 0.9, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap=PALE, vmin=0.0, vmax=1.0)
    for i, j in zip(*np.nonzero(table), strict=True):
        axes.text(
            j,
            i,
            f"{table[i, j]:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[i, j] > 0.45 else "black",
        )
    labels = ["\n".join(textwrap.wrap(name, WRAPPED)) for name in shown]
    axes.set_xticks(range(len(shown)), labels, rotation=90, fontsize=8)
    rows = [f"{label} ({n})" for label, n in zip(labels, totals, strict=True)]
    axes.set_yticks(range(len(shown)), rows, fontsize=8)
    axes.set_xlabel("answer", fontsize=9)
    axes.set_ylabel("truth (patterns)", fontsize=9)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, format=PERCENT())
    bar.ax.tick_params(labelsize=8)
    bar.set_label("share of the patterns of a type", fontsize=8)
    return _png(figure)


def coverage(shares: Mapping[str, Estimate], sizes: Mapping[str, Sequence[float]], goal: float) -> bytes:
    """How often the set holds every metal, by condition, and how large the sets are."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(shares)
    estimates = list(shares.values())
    left.errorbar(
        range(len(names)),
        [e.value for e in estimates],
        yerr=_errors(estimates),
        fmt="o",
        ms=5,
        capsize=3,
        color=COLOURS[0],
    )
    left.axhline(goal, color=GREY, lw=0.8, ls="--")
    left.text(
        len(names) - 0.55, goal, f"stated {100.0 * goal:g} %", ha="right", va="bottom", fontsize=8, color=GREY
    )
    left.set_xticks(range(len(names)), ["\n".join(textwrap.wrap(name, 18)) for name in names], fontsize=8)
    left.set_xlim(-0.6, len(names) - 0.4)
    lowest = min([goal, *(e.low for e in estimates)])
    left.set_ylim(max(0.0, lowest - 0.05), 1.01)
    left.yaxis.set_major_formatter(PERCENT())
    left.set_ylabel("sets that hold every metal", fontsize=9)
    _tidy(left)
    for k, (name, values) in enumerate(sizes.items()):
        largest = int(max(values, default=0))
        counts = np.bincount(np.asarray(values, dtype=int), minlength=largest + 1) / max(1, len(values))
        right.plot(range(len(counts)), counts, lw=1.1, ms=4, label=name, **_style(k))
    right.set_xlabel("groups of metals in the set", fontsize=9)
    right.set_ylabel("share of patterns", fontsize=9)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.yaxis.set_major_formatter(PERCENT())
    right.set_ylim(bottom=0.0)
    right.legend(frameon=False, fontsize=8)
    _tidy(right)
    return _png(figure)


def separation(curves: Mapping[str, Roc], true_acceptance: float, goal: float) -> bytes:
    """True against false acceptance for each kind of foreign pattern, on the right the corner that matters."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    whole, corner = figure.subplots(1, 2)
    for axes in (whole, corner):
        for k, (name, found) in enumerate(curves.items()):
            axes.step(
                found.false,
                found.true,
                where="post",
                lw=1.3,
                ls=("-", "--", "-.", ":")[k % 4],
                color=COLOURS[k % len(COLOURS)],
                label=f"{name} (area {found.area.value:.3f})",
            )
        axes.axhline(true_acceptance, color=GREY, lw=0.8, ls="--")
        axes.set_xlabel("foreign patterns accepted", fontsize=9)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PERCENT())
            axis.set_major_locator(MaxNLocator(5))
        _tidy(axes)
    whole.set_ylabel("patterns of the library accepted", fontsize=9)
    whole.set_xlim(-0.01, 1.01)
    whole.set_ylim(0.0, 1.01)
    whole.legend(framealpha=0.9, edgecolor="none", fontsize=8, loc="lower right")
    corner.axvline(goal, color=GREY, lw=0.8, ls="--")
    corner.set_xlim(-0.002, CORNER)
    corner.set_ylim(1.0 - CORNER, 1.002)
    return _png(figure)


def ranks(curves: Mapping[str, Mapping[str, Sequence[Estimate]]], ks: Sequence[int]) -> bytes:
    """Share of right answers among the first k, one panel for each condition, one line for each recogniser."""
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(3.0 * columns + 0.6, 3.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes, (condition, lines) in zip(panels, curves.items(), strict=False):
        for k, (name, estimates) in enumerate(lines.items()):
            axes.errorbar(
                np.array(ks) + BESIDE * (k - 0.5 * (len(lines) - 1)),
                [e.value for e in estimates],
                yerr=_errors(estimates),
                lw=1.1,
                ms=4,
                capsize=2,
                label=name,
                **_style(k),
            )
        _title(axes, condition)
        axes.set_xticks(list(ks))
        axes.set_xlabel("answers looked at", fontsize=9)
        axes.set_ylabel("right answer among them", fontsize=9)
        axes.tick_params(labelleft=True)
        axes.yaxis.set_major_formatter(PERCENT())
        _tidy(axes)
    lowest = min(e.low for lines in curves.values() for row in lines.values() for e in row)
    panels[0].set_ylim(max(0.0, lowest - 0.05), 1.02)
    panels[0].legend(frameon=False, fontsize=8, loc="lower right")
    return _png(figure)
